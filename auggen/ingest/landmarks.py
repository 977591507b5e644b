"""Five landmarks of every image, from a text file in the source."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Float32, Int64

from auggen.core.errors import UserError
from auggen.ingest.photos import Photos

NO_LANDMARKS = "none"
_NUMBERS = 10


def read_landmarks(photos: Photos, source: Path, name: str) -> Float32[np.ndarray, "n 5 2"]:
    """Returns the landmarks of each photograph, in pixels of the upright image.

    One line an image, columns apart by white space: `name x1 y1 x2 y2 x3 y3 x4 y4 x5 y5`: eye, eye,
    nose, corners of the mouth, the left one as seen first. The name is `<identity>/<image>`; in
    RecordIO `<label>/<key>`, in Parquet `<class>/<row>`. Lines may be in any order.

    Raises:
        UserError: the file is missing; an unreadable line, with its number; a photograph without
            landmarks or landmarks without a photograph.
    """
    path = source / name
    try:
        lines = photos.read_beside(name).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: unreadable ({error}); see `prepare.landmarks`") from error
    values = np.empty((len(lines), _NUMBERS), np.float32)
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        columns = line.rsplit(maxsplit=_NUMBERS)
        try:
            if len(columns) <= _NUMBERS:
                raise ValueError(f"{len(columns)} columns")
            with np.errstate(over="ignore"):
                values[len(names)] = [float(text) for text in columns[1:]]
        except ValueError as error:
            raise UserError(
                f"{path}: line {number}: {error}; expected a name and {_NUMBERS} numbers"
            ) from error
        names.append(columns[0].strip())
    values = values[: len(names)]
    points = values.reshape(-1, 5, 2)
    one = (points == points[:, :1]).all(axis=(1, 2))
    wrong = np.flatnonzero(one | ~np.isfinite(values).all(axis=1))
    if len(wrong):
        raise UserError(f"{path}: {names[wrong[0]]}: landmarks infinite or all alike; correct them")
    ordered: Float32[np.ndarray, "n 5 2"] = points[_match(photos, names, path)]
    return ordered


def _match(photos: Photos, names: list[str], path: Path) -> Int64[np.ndarray, " n"]:
    """Returns the line of each photograph."""
    wanted = pa.array((photo.name for photo in photos), pa.string())
    given = pa.array(names, pa.string())
    lines = pa.compute.index_in(wanted, given)
    if lines.null_count:
        missing = wanted.filter(lines.is_null())[0]
        raise UserError(f"{path}: no landmarks of {missing}; add its line")
    if len(names) != len(photos):
        spare = given.filter(pa.compute.invert(pa.compute.is_in(given, wanted)))
        what = f"{spare[0]} is no image of the source" if len(spare) else "a name is there twice"
        raise UserError(f"{path}: {what}; remove its line")
    return np.asarray(lines.to_numpy(), np.int64)
