"""Errors that name all faulty photographs at once, with the lines that would leave them out."""

import csv
import io
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from auggen.core.errors import UserError

_TOLD = 5
"""Faults told in full; the lines name all."""


def exclude_lines(names: Iterable[str]) -> str:
    """Returns lines of data/exclude.csv that leave these photographs out."""
    lines = io.StringIO()
    csv.writer(lines).writerows(["", "", "pixels", "", name, ""] for name in names)
    return lines.getvalue().strip()


def tell_broken(faults: dict[str, str]) -> None:
    """Raises UserError if images cannot be used; `faults` says why, by the image's name."""
    if faults:
        told = "; ".join([*faults.values()][:_TOLD])
        raise UserError(
            f"{told}{_more(len(faults), 'images')}; or leave them out by lines of "
            f"`prepare.exclude`:\n{exclude_lines(faults)}"
        )


def tell_shared(source: Path, pairs: list[tuple[str, str]]) -> None:
    """Raises UserError if photographs are the same image under two identities."""
    if pairs:
        told = "; ".join(" and ".join(pair) for pair in pairs[:_TOLD])
        raise UserError(
            f"{source}: {told}{_more(len(pairs), 'pairs')} are the same image under two "
            "identities, which would leak across the split; remove the wrong one, merge the "
            "identities, or leave both out by lines of `prepare.exclude`:\n"
            f"{exclude_lines(dict.fromkeys(chain(*pairs)))}"
        )


def _more(count: int, what: str) -> str:
    return f"; and {count - _TOLD} {what} more" if count > _TOLD else ""
