"""Who and what is in the training set and in a test set too.

Three signs: an identity of the same name, an image of the same pixels at the models' size, and
images so alike to a recogniser that somebody should look. The list has one line a finding:
benchmark, image, sign (name, pixels, embedding), identity and training_image of the training set
(empty for a name alone) and the cosine. `prepare.exclude` takes such a list.
Letters: m images of the test set, n training images, k of a part, d embedding size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import write_bytes
from auggen.faces.shards import FaceSet
from auggen.measures.embeddings import normalise
from auggen.measures.identity import LEAST_COSINE as LOWEST
from auggen.measures.identity import nearest_similarity
from auggen.protocols.embedding_cache import EmbeddingCache
from auggen.protocols.external import TestSet
from auggen.protocols.outcome import Fact

OVERLAP_NAME = "overlap.csv"
LEAST_COSINE = 0.7
"""From which cosine on `evaluate` asks for a look at two images."""
SIGNS = ("name", "pixels", "embedding")


@dataclass(frozen=True)
class Finding:
    """Something that both sets have."""

    benchmark: str
    """Row of `evaluate.benchmarks`."""
    image: str
    """Image of the test set; its person for the sign `name`."""
    sign: str
    """name, pixels or embedding."""
    identity: str
    """Identity of the training set."""
    training_image: str
    """Its image, by the path it had; empty for the sign `name`."""
    cosine: float
    """Between the embeddings; 1 for the other signs."""


def find_overlap(
    training: FaceSet,
    known: EmbeddingCache,
    one: TestSet,
    cache: EmbeddingCache,
    least_cosine: float = LEAST_COSINE,
) -> list[Finding]:
    """Compares the training set with a test set, a part of the training set at a time.

    Every training identity of a shared name and every training image of the same pixels is listed;
    by embedding the nearest one alone, for an image that no other has the pixels of.

    Args:
        training: the face set that models train on.
        known: its embeddings, filled.
        one: see `open_test_sets`.
        cache: the test set's embeddings, filled.
        least_cosine: from which cosine on a pair of images is to be looked at, in (0, 1].

    Raises:
        UserError: a damaged cache.
    """
    return [*_same_names(training, one), *_alike(training, known, one, cache, least_cosine)]


def count_signs(findings: list[Finding]) -> dict[str, int]:
    """Returns how many people (sign `name`) or images of a test set have each sign."""
    return {sign: len({f.image for f in findings if f.sign == sign}) for sign in SIGNS}


def overlap_facts(findings: list[Finding]) -> dict[str, Fact]:
    """Returns the counts as facts of an outcome, `overlap.<sign>`."""
    return {f"overlap.{sign}": count for sign, count in count_signs(findings).items()}


def read_facts(facts: Mapping[str, Fact]) -> dict[str, int]:
    """Returns the counts out of an outcome's facts; 0 where there are none."""
    return {sign: int(facts.get(f"overlap.{sign}", 0)) for sign in SIGNS}


def tell_counts(counts: Mapping[str, int]) -> str:
    """Returns the counts in words."""
    told = ", ".join(f"{count} by {sign}" for sign, count in counts.items())
    return f"shared with the training set: {told}"


def write_findings(path: Path, findings: list[Finding]) -> None:
    """Writes the list as CSV, the most alike first within each test set and sign."""
    columns = list(Finding.__dataclass_fields__)
    table = pd.DataFrame([asdict(finding) for finding in findings], columns=columns)
    table = table.sort_values(
        ["benchmark", "sign", "cosine", "image", "identity", "training_image"],
        ascending=[True, True, False, True, True, True],
    )
    text = table.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    write_bytes(path, text.encode())


def _same_names(training: FaceSet, one: TestSet) -> Iterator[Finding]:
    """People whose folder has the same name, case and separators aside."""
    known: dict[str, list[str]] = {}
    for name in training.manifest.identities:
        known.setdefault(_plain(name), []).append(name)
    for person in sorted(one.people):
        for name in known.get(_plain(person), []):
            yield Finding(one.row.name, person, "name", name, "", 1.0)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _alike(
    training: FaceSet,
    known: EmbeddingCache,
    one: TestSet,
    cache: EmbeddingCache,
    least_cosine: float,
) -> Iterator[Finding]:
    asked = normalise(cache.read())
    digests = [digest for _, _, part in cache.parts() for digest in _as_bytes(part)]
    same: dict[bytes, list[int]] = {digest: [] for digest in digests}
    best = torch.full((len(asked),), LOWEST)
    nearest = torch.zeros(len(asked), dtype=torch.int64)
    for start, embeddings, part in known.parts():
        if not embeddings.isfinite().all():
            raise UserError(
                f"{known.folder}: embeddings of training images are not finite; train the "
                "recogniser again with `train_fr.precision` fp32"
            )
        cosines, rows = nearest_similarity(asked, normalise(embeddings))
        nearest = torch.where(cosines > best, rows + start, nearest)
        best = torch.maximum(best, cosines)
        for row, digest in enumerate(_as_bytes(part), start):
            if digest in same:
                same[digest].append(row)
    for name, digest, cosine, row in zip(
        one.images.names, digests, best.tolist(), nearest.tolist(), strict=True
    ):
        for twin in same[digest]:
            yield _finding(training, one, name, "pixels", twin, 1.0)
        if not same[digest] and cosine >= least_cosine:
            yield _finding(training, one, name, "embedding", row, cosine)


def _as_bytes(digests: Tensor) -> list[bytes]:
    return [row.tobytes() for row in digests.numpy()]


def _finding(
    training: FaceSet, one: TestSet, image: str, sign: str, row: int, cosine: float
) -> Finding:
    identity = training.manifest.identities[int(training.labels[row])]
    return Finding(one.row.name, image, sign, identity, training.paths[row], cosine)
