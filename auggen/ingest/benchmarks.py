"""Three benchmarks made of held-out people, as lists over their face set.

The lists depend on the people and their images alone, not on the split seed. Rows of a face set
are sorted by identity, which all functions here rely on.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from auggen.core.errors import UserError
from auggen.core.files import write_bytes
from auggen.core.seeds import numpy_generator
from auggen.faces.manifest import Manifest
from auggen.faces.resize import reduce_and_restore
from auggen.faces.shards import open_face_set, write_face_set
from auggen.ingest.config import PrepareConfig

Rows = npt.NDArray[np.int64]
NUM_FOLDS = 10
PAIRS_PER_FOLD = 300


def write_benchmarks(
    folder: Path, manifest: Manifest, paths: Sequence[str], config: PrepareConfig
) -> None:
    """Adds `pairs.csv`, `templates.csv`, `lowres.csv` and the face set `lowres/` to a face set.

    `lowres.csv` has columns image (for a `gallery` row an index into the face set, for a `probe`
    row one into `lowres/`) and role.
    """
    counts = manifest.images_per_identity
    _write_table(folder / "pairs.csv", list_pairs(counts))
    _write_table(folder / "templates.csv", list_templates(counts, config.images_per_template))
    gallery, probes = list_lowres(counts)
    roles = {"image": [*gallery, *range(len(probes))]}
    roles |= {"role": ["gallery"] * len(gallery) + ["probe"] * len(probes)}
    _write_table(folder / "lowres.csv", pd.DataFrame(roles))
    images = open_face_set(folder).images
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    (folder / "lowres").mkdir()
    write_face_set(
        folder / "lowres",
        (reduce_and_restore(images[row], config.lowres_pixels) for row in probes),
        [labels[row] for row in probes],
        [paths[row] for row in probes],
        identities=manifest.identities,
        source_digest=manifest.source_digest,
    )


def list_pairs(counts: Sequence[int]) -> pd.DataFrame:
    """LFW-like pairs: ten contiguous folds, in each half the same person, then half different.

    As many as there are of the rarer kind (a multiple of ten), at most 300 + 300 a fold as in LFW;
    no pair comes twice.

    Args:
        counts: images of each identity.

    Returns:
        Columns fold (0..9), a, b (rows of the face set, a < b), is_same (0 or 1).

    Raises:
        UserError: fewer than ten pairs of either kind.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    sizes = np.diff(offsets)
    later = offsets[-1] - offsets[1:]
    num_same, num_different = int((sizes * (sizes - 1) // 2).sum()), int((sizes * later).sum())
    per_fold = min(num_same // NUM_FOLDS, num_different // NUM_FOLDS, PAIRS_PER_FOLD)
    if per_fold < 1:
        raise UserError(
            f"{num_same} same and {num_different} different pairs of held-out images do not fill "
            f"{NUM_FOLDS} folds; raise `prepare.validation` and `prepare.test`"
        )
    draw = numpy_generator("pairs")
    size = per_fold * NUM_FOLDS
    same = _same_pairs(offsets, draw.choice(num_same, size, replace=False))
    different = _different_pairs(offsets, draw.choice(num_different, size, replace=False))
    blocks = np.stack(
        [same.reshape(NUM_FOLDS, per_fold, 2), different.reshape(NUM_FOLDS, per_fold, 2)], axis=1
    )
    a, b = blocks.reshape(-1, 2).T
    fold = np.repeat(np.arange(NUM_FOLDS), 2 * per_fold)
    is_same = np.tile(np.repeat([1, 0], per_fold), NUM_FOLDS)
    return pd.DataFrame({"fold": fold, "a": a, "b": b, "is_same": is_same})


def _same_pairs(offsets: Rows, numbers: Rows) -> Rows:
    """Rows (a, b) of the same-person pairs with these numbers, counted person by person."""
    sizes = np.diff(offsets)
    ends = np.cumsum(sizes * (sizes - 1) // 2)
    person = np.searchsorted(ends, numbers, side="right")
    number = numbers - np.concatenate([[0], ends])[person]
    second = np.floor((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    first = number - second * (second - 1) // 2
    return np.stack([offsets[person] + first, offsets[person] + second], axis=1)


def _different_pairs(offsets: Rows, numbers: Rows) -> Rows:
    """Rows (a, b) of the two-person pairs with these numbers: a's person comes before b's."""
    later = offsets[-1] - offsets[1:]
    ends = np.cumsum(np.diff(offsets) * later)
    person = np.searchsorted(ends, numbers, side="right")
    number = numbers - np.concatenate([[0], ends])[person]
    width = later[person]
    return np.stack(
        [offsets[person] + number // width, offsets[person + 1] + number % width], axis=1
    )


def list_templates(counts: Sequence[int], images_per_template: int) -> pd.DataFrame:
    """IJB-like templates: each person's images in random order, cut into equal templates.

    Images that do not fill a template are left out.

    Returns:
        Columns image (row of the face set), template (0, 1, ...), identity (class in the face
        set), role (`gallery` for a person's first template, else `probe`).
    """
    rows: list[tuple[int, int, int, str]] = []
    template = 0
    for identity, (start, end) in enumerate(_spans(counts)):
        order = numpy_generator("templates", identity).permutation(np.arange(start, end))
        for number in range(len(order) // images_per_template):
            role = "probe" if number else "gallery"
            chosen = order[number * images_per_template : (number + 1) * images_per_template]
            rows += [(int(image), template, identity, role) for image in sorted(chosen)]
            template += 1
    return pd.DataFrame(rows, columns=["image", "template", "identity", "role"])


def list_lowres(counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """TinyFace-like lists: one random image of each person is the gallery, the others probes."""
    gallery = [
        int(numpy_generator("lowres", identity).integers(start, end))
        for identity, (start, end) in enumerate(_spans(counts))
    ]
    taken = set(gallery)
    return gallery, [row for row in range(sum(counts)) if row not in taken]


def _spans(counts: Sequence[int]) -> list[tuple[int, int]]:
    edges = np.concatenate([[0], np.cumsum(counts)]).tolist()
    return list(pairwise(edges))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())
