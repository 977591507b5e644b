"""One model on the test sets of the field: which reader, which images, which protocol.

Everything but the pixels is read before a model runs, so that a wrong path or list costs nothing.
Letters: m images, d embedding size.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.protocols.bin_file import read_bin
from auggen.protocols.config import (
    EvaluateConfig,
    ExternalRow,
    GroupsRow,
    PairsRow,
    TemplatesRow,
    TinyFaceRow,
)
from auggen.protocols.external_images import ExternalImages
from auggen.protocols.groups import run_groups
from auggen.protocols.ijb import pool_images, run_ijb, run_ijb_1n
from auggen.protocols.ijb_lists import read_images, read_pairs, read_searches
from auggen.protocols.listed_pairs import run_listed_pairs, squared_distances
from auggen.protocols.outcome import Outcome
from auggen.protocols.pair_lists import (
    PairList,
    fold_numbers,
    read_lfw_pairs,
    read_pair_list,
    read_rfw,
)
from auggen.protocols.tinyface import normalise_embeddings, read_tinyface, run_tinyface

Run = Callable[[Tensor], Outcome]

_LISTS = {".txt", ".csv", ".mat"}


@runtime_checkable
class Pixels(Protocol):
    """What the models were trained for: of a manifest, or of the params before there is one."""

    @property
    def channels(self) -> int:
        """1 grey, 3 RGB."""

    @property
    def image_size(self) -> int:
        """Height and width, pixels."""


@dataclass(frozen=True)
class TestSet:
    """A test set, read but for its pixels."""

    row: ExternalRow
    """Its line in params.yaml."""
    images: ExternalImages
    """Its images at the model's size."""
    read_digest: Callable[[], str]
    """Reads all its files: see `digest`."""
    run: Run
    """From raw embeddings [m d] to the outcome."""
    people: frozenset[str] = frozenset()
    """Names of its people: the folders of its images, where the layout has one for each."""

    __test__ = False  # it is not for pytest

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its lists and of its images, names and bytes."""
        return self.read_digest()


def open_test_sets(config: EvaluateConfig, size: Pixels) -> list[TestSet]:
    """Opens every test set that params.yaml names; none is required.

    Args:
        config: the rows.
        size: of the images that the models were trained for.

    Raises:
        UserError: a path is missing, or a list is wrong; names row, file and line.
    """
    check_paths(config)
    return [_open(row, config, size) for row in config.external]


def check_paths(config: EvaluateConfig) -> None:
    """Raises UserError if a test set is not where its row says."""
    for row in config.external:
        if not Path(row.path).exists():
            raise UserError(
                f"{row.path}: missing, but `{row.name}` of `evaluate.benchmarks` names it; mend "
                "the path or remove the row"
            )


def _open(row: ExternalRow, config: EvaluateConfig, size: Pixels) -> TestSet:
    match row:
        case PairsRow(protocol="bin"):
            return _open_bin(row, size)
        case PairsRow():
            read = read_lfw_pairs if row.protocol == "lfw_pairs" else read_pair_list
            return _open_pairs(row, read(Path(row.path)), size)
        case GroupsRow():
            path = Path(row.path)
            pairs = read_rfw(path) if path.is_dir() else read_pair_list(path, with_groups=True)
            return _open_pairs(row, pairs, size)
        case TemplatesRow():
            return _open_ijb(row, config.flip, size)
        case TinyFaceRow():
            found = read_tinyface(Path(row.path))

            def run(embeddings: Tensor) -> Outcome:
                unit = normalise_embeddings(embeddings)
                return run_tinyface(row.name, unit, found, row.num_replicates)

            return _of_files(row, found.paths, size, run)


def _open_bin(row: PairsRow, size: Pixels) -> TestSet:
    path = Path(row.path)
    content = read_bin(path)
    first = np.arange(0, len(content.images), 2)

    def run(embeddings: Tensor) -> Outcome:
        distances = squared_distances(embeddings, first, first + 1)
        folds = fold_numbers(len(first))
        return run_listed_pairs(
            row.name, distances, content.is_same, folds, None, row.num_replicates
        )

    names = [f"{path}: image {number}" for number in range(len(content.images))]
    images = _at_model_size(content.images, names, size)
    return TestSet(row, images, partial(digest_files, path), run)


def _open_pairs(row: PairsRow | GroupsRow, pairs: PairList, size: Pixels) -> TestSet:
    people = None
    if pairs.people is not None:
        people = (pairs.people[pairs.first], pairs.people[pairs.second])

    def run(embeddings: Tensor) -> Outcome:
        trials = (
            squared_distances(embeddings, pairs.first, pairs.second),
            pairs.is_same,
            pairs.folds,
        )
        if isinstance(row, PairsRow):
            return run_listed_pairs(row.name, *trials, people, row.num_replicates)
        groups = pairs.groups or []
        return run_groups(row.name, *trials, groups, people, row.far, row.num_replicates)

    return _of_files(row, pairs.images, size, run)


def _open_ijb(row: TemplatesRow, flip: bool, size: Pixels) -> TestSet:
    folder = Path(row.path)
    images = read_images(folder)
    flags = f"N{row.keep_norm:d} D{row.detector_score:d} F{flip:d}, five-point similarity"
    if row.protocol == "ijb":
        score = partial(run_ijb, row, pairs=read_pairs(folder, images.names), conditions=flags)
    else:
        galleries, probes = read_searches(folder, images.names)
        score = partial(run_ijb_1n, row, galleries=galleries, probes=probes, conditions=flags)

    def run(embeddings: Tensor) -> Outcome:
        return score(pool_images(embeddings, images, row))

    return _of_files(row, images.paths, size, run, images.points)


def _of_files(
    row: ExternalRow,
    paths: Sequence[Path],
    size: Pixels,
    run: Run,
    points: np.ndarray | None = None,
) -> TestSet:
    """A test set of image files."""

    def digest() -> str:
        content = hashlib.sha256()
        root = Path(row.path)
        found = [root] if root.is_file() else sorted(root.rglob("*"))
        lists = [path for path in found if path.suffix in _LISTS and path.is_file()]
        for path in [*lists, *paths]:
            name = path.relative_to(root.parent).as_posix()
            content.update(f"{name}\0{digest_files(path)}\0".encode())
        if points is not None:
            content.update(np.ascontiguousarray(points).tobytes())
        return content.hexdigest()

    images = _at_model_size(paths, [str(path) for path in paths], size, points)
    named = isinstance(row, GroupsRow) or row.protocol in ("lfw_pairs", "pair_list")
    people = frozenset(path.parent.name for path in paths) if named else frozenset()
    return TestSet(row, images, digest, run, people)


def _at_model_size(
    sources: Sequence[bytes | Path],
    names: Sequence[str],
    size: Pixels,
    points: np.ndarray | None = None,
) -> ExternalImages:
    shape = {"channels": size.channels, "image_size": size.image_size}
    return ExternalImages(sources, names=names, points=points, **shape)
