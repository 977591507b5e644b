"""People and photographs that `prepare` leaves out: the list of an overlap with test sets."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from auggen.core.errors import UserError
from auggen.ingest.photos import Photos

_COLUMNS = ("sign", "identity", "training_image")
_OF_PEOPLE, _OF_IMAGES = ("name",), ("pixels", "embedding")


@dataclass(frozen=True)
class Excluded:
    """What a list names, all of it in the source."""

    people: set[str] = field(default_factory=set)
    """Identities, with all their photographs."""
    rows: list[int] = field(default_factory=list)
    """Rows of single photographs, ascending."""


def read_excluded(photos: Photos, source: Path, path: Path) -> Excluded:
    """Reads a CSV list with the columns sign, identity and training_image; others do not count.

    An empty file names nobody.

    Sign `name` leaves out the `identity`; `pixels` and `embedding` leave out the `training_image`,
    by the path it has in a face set: `<identity>/<file>`, see `Photo.name`.

    Raises:
        UserError: missing or unreadable file, missing column, unknown sign, a person or photograph
            that is not in the source; names file, line and value.
    """
    people: dict[str, int] = {}
    images: dict[str, int] = {}
    for number, row in _lines(path):
        kind, column = (people, "identity") if row["sign"] in _OF_PEOPLE else (images, _COLUMNS[2])
        if row["sign"] not in _OF_PEOPLE + _OF_IMAGES:
            raise UserError(
                f"{path}: line {number}: sign {row['sign']!r} is none of "
                f"{', '.join(_OF_PEOPLE + _OF_IMAGES)}; correct it or remove the line"
            )
        kind.setdefault(row[column] or "", number)
    rows = {photo.name: row for row, photo in enumerate(photos) if photo.name in images}
    for column, asked, known in (
        ("identity", people, set(photos.identities)),
        ("training_image", images, set(rows)),
    ):
        if missing := asked.keys() - known:
            value = min(missing, key=asked.__getitem__)
            raise UserError(
                f"{path}: line {asked[value]}: {column} {value!r} is not in {source}; correct it "
                "or remove the line"
            )
    return Excluded(set(people), sorted(rows.values()))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yields line numbers and columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            found = reader.fieldnames
            for column in _COLUMNS:
                if found is not None and column not in found:
                    raise UserError(
                        f"{path}: line 1: no column `{column}`, found {', '.join(found)};"
                        " give the list that `evaluate` writes, overlap.csv"
                    )
            for row in reader:
                if None in row:
                    raise UserError(
                        f"{path}: line {reader.line_num}: more columns than line 1 names; put a "
                        "name that has commas in double quotes"
                    )
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path}: unreadable ({error}); correct `prepare.exclude` "
            "(data/exclude.csv names nobody)"
        ) from error
