"""TinyFace: 3,728 low-resolution probes against 4,443 mates and 153,428 distractors.

`Testing_Set/{Gallery_Match,Probe,Gallery_Distractor}/`, `gallery_match_img_ID_pairs.mat` and
`probe_img_ID_pairs.mat`. A hit at k: a mate is among the k nearest. How faces are aligned is no
standard and decides the result, so the facts tell it: images are taken as they are.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from auggen.core.errors import UserError
from auggen.measures.identification import mate_ranks
from auggen.protocols.mat_file import read_mat
from auggen.protocols.outcome import Outcome, unit_weights
from auggen.protocols.pair_lists import inside
from auggen.protocols.trials import RETRAIN

RANKS = (1, 5, 20)
NOBODY = -1
_SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class TinyFaceImages:
    """All images: gallery with mates, then distractors, then probes."""

    paths: list[Path]
    """The files."""
    people: Int[np.ndarray, "m"]
    """Person of each; -1 for a distractor."""
    num_gallery: int
    """How many are no probes."""


def read_tinyface(folder: Path) -> TinyFaceImages:
    """Finds the images of the testing set and their people.

    Raises:
        UserError: a list or image is missing or wrong, a distractor folder is empty, or a probe
            has no mate; names the file and entry.
    """
    base = folder / "Testing_Set" if (folder / "Testing_Set").is_dir() else folder
    gallery = _read_mat(base / "gallery_match_img_ID_pairs.mat", "gallery", base / "Gallery_Match")
    probes = _read_mat(base / "probe_img_ID_pairs.mat", "probe", base / "Probe")
    distractors = base / "Gallery_Distractor"
    try:
        found = sorted(p for p in distractors.iterdir() if p.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise UserError(f"{distractors}: missing; TinyFace's test needs its distractors") from error
    if not found:
        raise UserError(f"{distractors}: holds no image")
    absent = set(probes[1]) - set(gallery[1])
    if absent:
        raise UserError(f"{base}: person {min(absent)} has probes but no image in the gallery")
    people = np.array([*gallery[1], *[NOBODY] * len(found), *probes[1]])
    paths = [*gallery[0], *found, *probes[0]]
    return TinyFaceImages(paths, people, len(gallery[0]) + len(found))


def _read_mat(path: Path, what: str, folder: Path) -> tuple[list[Path], list[int]]:
    """Returns images and people of a .mat file with <what>_set (names) and <what>_ids."""
    content = read_mat(path)
    names = next((content[key] for key in content if key.endswith("_set")), None)
    numbers = next((content[key] for key in content if key.endswith("_ids")), None)
    if not isinstance(names, list) or numbers is None or len(names) != len(numbers):
        raise UserError(f"{path}: needs `{what}_set`, a cell array, and as many `{what}_ids`")
    paths, people = [], []
    for row, (name, number) in enumerate(zip(names, numbers, strict=True), 1):
        while isinstance(name, list) and len(name) == 1:  # cells within cells
            name = name[0]
        while isinstance(number, list) and len(number) == 1:
            number = number[0]
        if not isinstance(name, str) or np.size(number) != 1 or not 0 <= number < 1 << 31:
            raise UserError(f"{path}: entry {row} is no name with a number")
        image = inside(folder, name, f"{path}: entry {row}")
        if not image.is_file():
            raise UserError(f"{path}: entry {row}: no image {image}")
        paths.append(image)
        people.append(int(number))
    if not paths:
        raise UserError(f"{path}: lists nothing")
    return paths, people


def run_tinyface(
    name: str, unit: Float[Tensor, "m d"], images: TinyFaceImages, num_replicates: int
) -> Outcome:
    """Returns rank-1, 5 and 20 of L2-normalised embeddings, with replicates over people."""
    size = images.num_gallery
    people = images.people[size:]
    ranks = mate_ranks(unit[size:], unit[:size], people, images.people[:size])
    _, owners = np.unique(people, return_inverse=True)
    weights = unit_weights(name, int(owners.max()) + 1, num_replicates)[:, owners]
    total = weights.sum(axis=1)
    return Outcome(
        {f"rank_{k}": float((ranks < k).mean()) for k in RANKS},
        {f"rank_{k}": weights @ (ranks < k) / total for k in RANKS},
        {
            "probes": len(ranks),
            "gallery": size,
            "distractors": int((images.people[:size] == NOBODY).sum()),
            "conditions": "images as published, not aligned",
        },
    )


def normalise_embeddings(embeddings: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    """L2-normalises in float32. Raises UserError if an embedding is zero or not finite."""
    norms = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
    if not bool(torch.isfinite(norms).all()) or bool((norms == 0).any()):
        raise UserError(f"the model gives embeddings that are zero, NaN or infinite: {RETRAIN}")
    return embeddings.div(norms)
