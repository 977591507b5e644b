"""The one exception a user is meant to read, and how a stage script shows it."""

import errno
import sys
from collections.abc import Callable

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk, quota, size limit of a file
_NO_PLACE = {  # not permitted, read-only, a file for a folder or the other way round, too long
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip


class UserError(Exception):
    """Bad input or params: the message names the file or field, the value and the remedy."""


def run_stage(app: Callable[[], object]) -> None:
    """Runs a Typer app; a `UserError`, full disk or wrong path ends in one line and exit code 2."""
    try:
        app()
    except UserError as error:
        sys.exit(_report(str(error)))
    except OSError as error:
        place = error.filename or "the output folder"
        if error.errno in _NO_PLACE and error.filename:
            sys.exit(_report(f"{place}: {error.strerror}; correct the path or its permissions"))
        if error.errno not in _FULL_DISK:
            raise
        sys.exit(
            _report(
                f"{place}: no room to write it ({error.strerror}); free some space and run again, "
                "finished checkpoints are kept"
            )
        )


def _report(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
