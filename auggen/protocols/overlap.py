"""Who and what is in the training set and in a test set too.

Three signs: an identity of the same name, an image of the same pixels at the models' size, and
images so alike to a recogniser that somebody should look. The list has one line a finding:
benchmark, image, sign (name, pixels, embedding), identity and training_image of the training set
(empty for a name alone) and the cosine.
Letters: m images of the test set, n training images, d embedding size.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from auggen.core.files import write_bytes
from auggen.faces.images import ImageRows
from auggen.faces.shards import FaceSet
from auggen.measures.embeddings import Images, normalise
from auggen.measures.identity import nearest_similarity
from auggen.protocols.external import TestSet

_BLOCK = 512


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
    sets: list[TestSet],
    embed: Callable[[Images], Tensor],
    least_cosine: float,
) -> list[Finding]:
    """Compares the training set with each test set.

    Args:
        training: the face set that models train on.
        sets: see `open_test_sets`.
        embed: from uint8 images to raw embeddings.
        least_cosine: from which cosine on a pair of images is to be looked at, in (0, 1].
    """
    pixels: dict[bytes, int] = {}
    embeddings = []
    for start, batch in _batches(training.images):
        embeddings.append(normalise(embed(batch)))
        for row, image in enumerate(batch, start):
            pixels.setdefault(_digest(image), row)
    references = torch.cat(embeddings)
    found: list[Finding] = []
    for one in sets:
        found += _same_names(training, one)
        for start, batch in _batches(one.images):
            names = one.images.names[start : start + len(batch)]
            found += _alike(training, references, pixels, one, names, batch, embed, least_cosine)
    return found


def write_findings(path: Path, findings: list[Finding]) -> None:
    """Writes the list as CSV, the most alike first within each test set and sign."""
    columns = list(Finding.__dataclass_fields__)
    table = pd.DataFrame([asdict(finding) for finding in findings], columns=columns)
    table = table.sort_values(
        ["benchmark", "sign", "cosine", "image"], ascending=[True, True, False, True]
    )
    text = table.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    write_bytes(path, text.encode())


def _batches(images: Tensor | ImageRows) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(images), _BLOCK):
        yield start, images[start : start + _BLOCK]


def _digest(image: Tensor) -> bytes:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).digest()


def _same_names(training: FaceSet, one: TestSet) -> Iterator[Finding]:
    """People whose folder has the same name, case and separators aside."""
    known = {_plain(name): name for name in training.manifest.identities}
    for person in sorted(one.people):
        if _plain(person) in known:
            yield Finding(one.row.name, person, "name", known[_plain(person)], "", 1.0)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _alike(
    training: FaceSet,
    references: Float[Tensor, "n d"],
    pixels: dict[bytes, int],
    one: TestSet,
    names: list[str],
    batch: Tensor,
    embed: Callable[[Images], Tensor],
    least_cosine: float,
) -> Iterator[Finding]:
    cosines, rows = nearest_similarity(normalise(embed(batch)), references)
    for name, image, cosine, nearest in zip(
        names, batch, cosines.tolist(), rows.tolist(), strict=True
    ):
        row = pixels.get(_digest(image))
        if row is None and cosine < least_cosine:
            continue
        sign, score = ("embedding", cosine) if row is None else ("pixels", 1.0)
        row = nearest if row is None else row
        identity = training.manifest.identities[int(training.labels[row])]
        yield Finding(one.row.name, name, sign, identity, training.paths[row], score)
