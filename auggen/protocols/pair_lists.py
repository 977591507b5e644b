"""Lists of image pairs beside their images: LFW's pairs.txt, RFW's, and `path1 path2 0|1`.

Lines are counted from 1. Paths are relative to the list's folder and may not leave it.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from auggen.core.errors import UserError

MAX_LINES = 50_000_000
NUM_FOLDS = 10
_SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm")


@dataclass(frozen=True)
class PairList:
    """Pairs of images, as many as the list names."""

    images: list[Path]
    """Every image once."""
    first: npt.NDArray[np.int64]
    """Number of the first image of each pair."""
    second: npt.NDArray[np.int64]
    """Number of the second."""
    is_same: npt.NDArray[np.bool_]
    """Whether both show one person."""
    folds: npt.NDArray[np.int64]
    """Fold of each pair, 0..9."""
    people: npt.NDArray[np.int64] | None = None
    """Person of each image, where the list names people."""
    groups: list[str] | None = None
    """Group of each pair, where the list names groups."""


def fold_numbers(num_pairs: int) -> npt.NDArray[np.int64]:
    """Returns the contiguous folds that everyone uses (sklearn's KFold without shuffling)."""
    parts = np.array_split(np.arange(num_pairs), NUM_FOLDS)
    return np.concatenate([np.full(len(part), fold) for fold, part in enumerate(parts)])


def balanced_folds(is_same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Returns folds with equal shares of both kinds, contiguous within each kind."""
    folds = np.empty(len(is_same), np.int64)
    for kind in (is_same, ~is_same):
        folds[kind] = fold_numbers(int(kind.sum()))
    return folds


def _folds_of_groups(
    path: Path, is_same: npt.NDArray[np.bool_], groups: list[str]
) -> npt.NDArray[np.int64]:
    """Folds each group on its own. Raises UserError if one is too small for that."""
    names = np.array(groups)
    folds = np.empty(len(names), np.int64)
    for name in np.unique(names):
        part = is_same[names == name]
        if min(part.sum(), (~part).sum()) < NUM_FOLDS:
            raise UserError(f"{path}: group {name}: fewer than {NUM_FOLDS} pairs of a kind")
        folds[names == name] = balanced_folds(part)
    return folds


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields number and words of each line that is not empty.

    Raises:
        UserError: missing, no text, or too long.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if number > MAX_LINES:
                    raise UserError(f"{path}: more than {MAX_LINES} lines")
                if words := line.split():
                    yield number, words
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no readable text file ({error}); fetch it again") from error


def inside(folder: Path, name: str, where: str) -> Path:
    """Returns folder/name. Raises UserError, beginning with `where`, if that leaves the folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name:
        raise UserError(f"{where}: path {name!r} leaves {folder}; mend the list")
    path, home = folder / parts, _resolved(folder)
    try:
        real = path.resolve() if path.is_symlink() else _resolved(path.parent) / path.name
    except (OSError, RuntimeError) as error:  # too long, or a link to itself
        raise UserError(f"{where}: path {name[:80]!r} cannot be followed; mend the list") from error
    if not real.is_relative_to(home):
        raise UserError(f"{where}: path {name!r} leads out of {folder} by a link; mend the list")
    return path


@lru_cache(maxsize=65536)
def _resolved(folder: Path) -> Path:
    """Follows the links of a folder once, not once for each of its images."""
    return folder.resolve()


def read_pair_list(path: Path, *, with_groups: bool = False) -> PairList:
    """Reads lines `path1 path2 0|1`, or `path1 path2 0|1 group`; folds hold equal shares.

    Raises:
        UserError: a line is wrong, a path leaves the folder or an image is missing; names the line.
    """
    made = _Builder(path, path.parent)
    groups = []
    for number, words in read_lines(path):
        if len(words) != 3 + with_groups or words[2] not in ("0", "1"):
            form = "path1 path2 0|1" + " group" * with_groups
            raise UserError(f"{path}:{number}: expected `{form}`, found {' '.join(words)[:80]!r}")
        made.add(number, words[0], words[1], is_same=words[2] == "1")
        groups += words[3:]
    is_same = made.labels()
    names = groups or ["all"] * len(is_same)
    folds = _folds_of_groups(path, is_same, names)
    return PairList(*made.arrays(), is_same, folds, None, groups or None)


def read_lfw_pairs(path: Path) -> PairList:
    """Reads LFW's pairs.txt: `folds pairs`, then in each fold same, then different pairs.

    Raises:
        UserError: see `read_pair_list`; or there are more or fewer lines than the first one says.
    """
    lines = read_lines(path)
    head = next(lines, (1, []))[1]
    if len(head) != 2 or not all(word.isdecimal() and len(word) < 7 for word in head):
        raise UserError(f"{path}:1: expected `folds pairs`, e.g. `10 300`, found {head[:4]}")
    num_folds, num_pairs = map(int, head)
    made = _Builder(path, path.parent)
    for number, words in lines:
        place = len(made.same) % (2 * num_pairs) if num_pairs else 0
        if len(words) != (3 if place < num_pairs else 4):
            kind = "name i j" if place < num_pairs else "name1 i name2 j"
            raise UserError(f"{path}:{number}: expected `{kind}`, found {' '.join(words)[:80]!r}")
        made.add_people(number, words)
    found = len(made.same)
    if num_folds < 2 or found != 2 * num_folds * num_pairs:
        raise UserError(
            f"{path}: {found} pairs, but its first line says 2 x {num_folds} x {num_pairs}"
        )
    folds = np.arange(found) // max(1, 2 * num_pairs)
    return PairList(*made.arrays(), made.labels(), folds, made.people())


def read_rfw(folder: Path) -> PairList:
    """Reads RFW: txts/<group>/<group>_pairs.txt without a head, data/<group>/<person>/<image>.

    Raises:
        UserError: no such list, or as `read_pair_list`.
    """
    lists = sorted((folder / "txts").glob("*/*_pairs.txt"))
    if len(lists) < 2:
        raise UserError(f"{folder}: no two lists `txts/<group>/<group>_pairs.txt`, as RFW has")
    made = _Builder(folder, folder)
    groups: list[str] = []
    for path in lists:
        made.path, made.folder = path, folder / "data" / path.parent.name
        for number, words in read_lines(path):
            if len(words) not in (3, 4):
                raise UserError(f"{path}:{number}: expected `name i j` or `name1 i name2 j`")
            made.add_people(number, words)
        groups += [path.parent.name] * (len(made.same) - len(groups))
    is_same = made.labels()
    folds = _folds_of_groups(folder, is_same, groups)
    return PairList(*made.arrays(), is_same, folds, made.people(), groups)


class _Builder:
    """Collects pairs; finds each image once."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.rows: dict[Path, int] = {}
        self.pairs = array("q")
        self.same = array("b")
        self._stems: dict[Path, str] = {}

    def add(self, number: int, first: str, second: str, *, is_same: bool) -> None:
        """Adds a pair of images named by path."""
        where = f"{self.path}:{number}"
        self.pairs.extend((self._row(where, first), self._row(where, second)))
        self.same.append(is_same)

    def add_people(self, number: int, words: list[str]) -> None:
        """Adds `name i j` (same) or `name1 i name2 j` (different): name/name_0001.jpg and so on."""
        people = [words[0], words[-2]] if len(words) == 4 else [words[0]] * 2
        where = f"{self.path}:{number}"
        names = []
        for person, digits in zip(people, (words[1], words[-1]), strict=True):
            if not digits.isdecimal() or len(digits) > 8:
                raise UserError(f"{where}: {digits[:20]!r} is no image number")
            names.append(self._find(where, person, int(digits)))
        if len(words) == 4 and people[0] == people[1]:
            raise UserError(f"{where}: a different pair names {people[0]!r} twice")
        self.add(number, *names, is_same=len(words) == 3)

    def _find(self, where: str, person: str, image: int) -> str:
        """Returns the file's name, in the form its person's other images have."""
        stem = f"{person}/{person}_{image:04d}"
        folder = inside(self.folder, person, where)
        suffix = self._stems.get(folder, _SUFFIXES[0])
        for candidate in (suffix, *_SUFFIXES):
            if inside(self.folder, stem + candidate, where).is_file():
                self._stems[folder] = candidate
                return stem + candidate
        raise UserError(f"{where}: no image {self.folder / stem}.jpg (nor .png, .pgm)")

    def _row(self, where: str, name: str) -> int:
        path = inside(self.folder, name, where)
        if path not in self.rows and not path.is_file():
            raise UserError(f"{where}: no image {path}")
        return self.rows.setdefault(path, len(self.rows))

    def labels(self) -> npt.NDArray[np.bool_]:
        """Returns is_same; both kinds must occur in numbers that fill the folds."""
        is_same = np.array(self.same, dtype=bool)
        if min(is_same.sum(), (~is_same).sum()) < NUM_FOLDS:
            raise UserError(f"{self.path}: fewer than {NUM_FOLDS} same or different pairs")
        return is_same

    def arrays(self) -> tuple[list[Path], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns the images and both columns of the pairs."""
        pairs = np.array(self.pairs, np.int64).reshape(-1, 2)
        return list(self.rows), pairs[:, 0].copy(), pairs[:, 1].copy()

    def people(self) -> npt.NDArray[np.int64]:
        """Returns the person of each image: its folder."""
        folders: dict[Path, int] = {}
        return np.array([folders.setdefault(p.parent, len(folders)) for p in self.rows])
