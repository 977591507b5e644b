"""True labels of a `train.rec` whose own are unusable: `list.txt` or `train.lst` beside it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from auggen.core.errors import UserError

Numbers = npt.NDArray[np.int64]
_LONGEST = 4096  # bytes of a line, on average
_NAMES = ("list.txt", "train.lst")


def find_list(folder: Path) -> Path | None:
    """Returns the list file of a folder, if there is one."""
    return next((path for name in _NAMES if (path := folder / name).is_file()), None)


def read_list(path: Path, keys: Numbers) -> Numbers:
    """Returns the label of each key [n], from a list with one line an image.

    Columns are apart by a tab, or by white space where there is no tab. A line that ends in a whole
    number is `... path label` and belongs to the key at its place (keys ascending); otherwise it is
    `key label path`, as `im2rec` writes. Paths are not opened.

    Raises:
        UserError: another number of lines, an unreadable line, a key that is not the record's.
    """
    labels = np.empty(len(keys), np.int64)
    count = 0
    if path.stat().st_size > _LONGEST * (len(keys) + 1):
        raise UserError(f"{path}: too long for {len(keys)} images; it belongs to another set")
    try:
        with path.open(encoding="utf-8") as lines:
            for count, line in enumerate(filter(str.strip, lines), 1):
                if count <= len(keys):
                    labels[count - 1] = _label_of(line, int(keys[count - 1]))
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"{path}: line {count}: {error}; expected `path label` or `key label path`"
        ) from error
    if count != len(keys):
        raise UserError(f"{path}: {count} lines for {len(keys)} images; it belongs to another set")
    return labels


def _label_of(line: str, key: int) -> int:
    columns = line.strip().split("\t") if "\t" in line else line.split()
    numbered = len(columns) == 3 and columns[0] == str(key) and _is_number(columns[1])
    # more than three columns between tabs end in a face's box, not in a label
    plain = len(columns) > 1 and ("\t" not in line or len(columns) <= 3) and not numbered
    if plain and columns[-1].strip().isdecimal():
        return int(columns[-1])
    if len(columns) < 3 or int(columns[0]) != key:
        raise ValueError(f"{line.strip()[:80]!r} is not the line of image {key}")
    label = float(columns[1])
    if not (label.is_integer() and label >= 0):
        raise ValueError(f"label {columns[1]!r} is no whole number from 0")
    return int(label)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
