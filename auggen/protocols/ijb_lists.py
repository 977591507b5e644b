"""The lists of IJB-B and IJB-C, joined by name and never by line number alone.

`meta/ijbc_face_tid_mid.txt` (image template media), `ijbc_template_pair_label.txt` (t1 t2 0|1),
`ijbc_name_5pts_score.txt` (image x1 y1 .. x5 y5 score), `ijbc_1N_gallery_G1.csv`, `_G2.csv` (S1, S2
for IJB-B) and `ijbc_1N_probe_mixed.csv`; images in `loose_crop/`.
Letters: m images, t templates, p pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Bool, Float, Int

from auggen.core.errors import UserError
from auggen.protocols.pair_lists import MAX_LINES, inside, read_lines

IMAGE_FOLDER = "loose_crop"
_MAX_ID = 1 << 31


@dataclass(frozen=True)
class IjbImages:
    """The images of IJB, in the order of face_tid_mid."""

    paths: list[Path]
    """The files."""
    templates: Int[np.ndarray, "m"]
    """Row of each image's template in `names`."""
    media: Int[np.ndarray, "m"]
    """Number of the photograph or video it comes from."""
    points: Float[np.ndarray, "m 5 2"]
    """Eyes, nose and corners of the mouth (x, y), pixels."""
    scores: Float[np.ndarray, "m"]
    """The detector's score."""
    names: Int[np.ndarray, "t"]
    """Number of each template, ascending."""


@dataclass(frozen=True)
class Search:
    """One search of IJB 1:N."""

    templates: Int[np.ndarray, "t"]
    """Rows of the templates."""
    people: Int[np.ndarray, "t"]
    """Their people."""


def meta_file(folder: Path, ending: str) -> Path:
    """Returns the one file `meta/*<ending>`. Raises UserError if there is none, or several."""
    found = sorted((folder / "meta").glob(f"*{ending}"))
    if len(found) != 1:
        raise UserError(
            f"{folder / 'meta'}: {len(found)} files end in {ending}, expected one "
            "(docs/benchmarks.md)"
        )
    return found[0]


def read_images(folder: Path) -> IjbImages:
    """Reads and joins the two lists of images.

    Raises:
        UserError: a list is missing, a line is wrong, the lists name different images or one image
            twice, an image is missing; names file and line.
    """
    path, points_path = meta_file(folder, "_face_tid_mid.txt"), meta_file(folder, "_5pts_score.txt")
    points: dict[str, list[float]] = {}
    for number, words in read_lines(points_path):
        if len(words) != 12:
            raise UserError(f"{points_path}:{number}: expected a name and 11 numbers")
        if words[0] in points:
            raise UserError(f"{points_path}:{number}: names {words[0][:80]!r} twice")
        points[words[0]] = _floats(points_path, number, words[1:])
    paths, numbers, values = [], [], []
    for number, words in read_lines(path):
        if len(words) != 3 or not all(map(_is_id, words[1:])):
            raise UserError(f"{path}:{number}: expected `image template media`")
        image = inside(folder / IMAGE_FOLDER, words[0], f"{path}:{number}")
        if words[0] not in points:
            raise UserError(
                f"{path}:{number}: {words[0]!r} has no line (left) in {points_path.name}; the "
                "lists are of different releases or name an image twice"
            )
        if not image.is_file():
            raise UserError(f"{path}:{number}: no image {image}")
        paths.append(image)
        numbers.append((int(words[1]), int(words[2])))
        values.append(points.pop(words[0]))
    if points or not paths:
        name = next(iter(points), "nothing")
        raise UserError(f"{points_path}: names {name!r}, which {path.name} does not")
    table, columns = np.array(values), np.array(numbers, dtype=np.int64)
    names, templates = np.unique(columns[:, 0], return_inverse=True)
    boxes = table[:, :10].reshape(-1, 5, 2)
    return IjbImages(paths, templates, columns[:, 1].copy(), boxes, table[:, 10].copy(), names)


def _floats(path: Path, number: int, words: list[str]) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [np.nan]
    if not np.isfinite(values).all():
        raise UserError(f"{path}:{number}: {' '.join(words)[:80]!r} are no numbers")
    return values


@dataclass(frozen=True)
class TemplatePairs:
    """The listed pairs of templates."""

    first: Int[np.ndarray, "p"]
    """Row of the first template."""
    second: Int[np.ndarray, "p"]
    """Row of the second."""
    is_same: Bool[np.ndarray, "p"]
    """Whether both are of one person."""


def read_pairs(folder: Path, names: Int[np.ndarray, "t"]) -> TemplatePairs:
    """Reads the pairs; `names` are the templates that have images, ascending.

    Raises:
        UserError: missing, wrong, or a template has no images; names the line.
    """
    path = meta_file(folder, "_template_pair_label.txt")
    try:
        table = pd.read_csv(
            path, sep=r"\s+", header=None, names=[0, 1, 2], dtype=np.int64, nrows=MAX_LINES + 1
        )
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: expected lines `template template 0|1` ({error})") from error
    if len(table) > MAX_LINES or not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: expected `template template 0|1`, at most {MAX_LINES} lines")
    labels = table[2].to_numpy()
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if len(wrong):
        raise UserError(f"{path}:{wrong[0] + 1}: {labels[wrong[0]]} is neither 0 nor 1")
    first, second = (template_rows(path, table[c].to_numpy(), names, 1) for c in (0, 1))
    is_same = labels == 1
    if is_same.all() or not is_same.any():
        raise UserError(f"{path}: has no same or no different pair")
    return TemplatePairs(first, second, is_same)


def template_rows(
    path: Path, numbers: npt.NDArray[np.int64], names: Int[np.ndarray, "t"], first_line: int
) -> npt.NDArray[np.int32]:
    """Returns rows of templates. Raises UserError naming the line of one without images."""
    largest = max(int(names.max()), int(numbers.max()))
    if numbers.min() >= 0 and largest < 64 * len(names) + 1024:
        rows = np.full(largest + 1, -1, np.int32)
        rows[names] = np.arange(len(names), dtype=np.int32)
        found = rows[numbers]
    else:
        found = np.searchsorted(names, numbers).clip(max=len(names) - 1).astype(np.int32)
        found[names[found] != numbers] = -1
    absent = np.flatnonzero(found < 0)
    if len(absent):
        line = absent[0] + first_line
        raise UserError(f"{path}:{line}: template {numbers[absent[0]]} has no image")
    return found


def read_searches(folder: Path, names: Int[np.ndarray, "t"]) -> tuple[list[Search], Search]:
    """Reads both galleries and the mixed probes of 1:N.

    Raises:
        UserError: missing, wrong, a template of two people or without images, or a person who is
            twice in the galleries.
    """
    galleries = sorted((folder / "meta").glob("*_1N_gallery_[GS][12].csv"))
    if len(galleries) != 2:
        raise UserError(f"{folder / 'meta'}: expected two files *_1N_gallery_G1.csv and _G2.csv")
    people: dict[int, int] = {}
    found = [_read_search(path, names, people) for path in galleries]
    probes = _read_search(meta_file(folder, "_1N_probe_mixed.csv"), names, people)
    known = np.concatenate([gallery.people for gallery in found])
    if len(np.unique(known)) < len(known):
        raise UserError(f"{galleries[1]}: a person is twice in the galleries")
    if not np.isin(probes.people, known).all():
        raise UserError(f"{folder / 'meta'}: a probe's person is in neither gallery")
    return found, probes


def _read_search(path: Path, names: Int[np.ndarray, "t"], people: dict[int, int]) -> Search:
    person_of: dict[int, int] = {}
    for number, words in _csv_rows(path):
        if words is None:
            raise UserError(f"{path}:{number}: expected TEMPLATE_ID,SUBJECT_ID,...")
        template, subject = words
        person = people.setdefault(subject, len(people))
        if person_of.setdefault(template, person) != person:
            raise UserError(f"{path}:{number}: template {template} is of two people")
    if not person_of:
        raise UserError(f"{path}: lists nothing")
    templates = np.array(list(person_of), dtype=np.int64)
    rows = template_rows(path, templates, names, 2)
    return Search(rows, np.array(list(person_of.values()), dtype=np.int64))


def _csv_rows(path: Path) -> Iterator[tuple[int, tuple[int, int] | None]]:
    """Yields line number, template and subject of each row after the head; None if unreadable."""
    for number, words in read_lines(path):
        cells = " ".join(words).split(",")
        if number == 1 and not cells[0].isdecimal():
            continue
        good = len(cells) > 1 and all(map(_is_id, cells[:2]))
        yield number, (int(cells[0]), int(cells[1])) if good else None


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= 12 and int(text) < _MAX_ID
