"""The one exception a user is meant to read, and how a stage script shows it."""

import errno
import sys
from collections.abc import Callable

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk, quota, size limit of a file


class UserError(Exception):
    """Bad input or params: the message names the file or field, the value and the remedy."""


def run_stage(app: Callable[[], object]) -> None:
    """Runs a Typer app; a `UserError` or a full disk ends in one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        sys.exit(_report(str(error)))
    except OSError as error:
        if error.errno not in _FULL_DISK:
            raise
        place = error.filename or "the output folder"
        sys.exit(
            _report(
                f"{place}: no room to write it ({error.strerror}); free some space and run again, "
                "finished checkpoints are kept"
            )
        )


def _report(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
