"""Every pool image judged by M_orig, once; rules read nothing but this table.

All similarities are cosines of L2-normalised embeddings, in [-1, 1].
Dimensions: n pool images, m real images, k real classes, q pool classes, c channels, t thumbnail
side, d embedding size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.errors import UserError
from auggen.core.progress import progress
from auggen.faces.shards import FaceSet
from auggen.measures.embeddings import normalise
from auggen.measures.identity import (
    nearest_similarity,
    own_centre_similarity,
    source_similarities,
    within_class_similarity,
)
from auggen.selection.features import FeatureFiles, Features, blocks_of, share_out

PLACES = ("row", "label", "source_i", "source_j", "nearest_real")
"""Columns that are no measures."""
_COLUMNS = (
    "nearest_real", "own_centre", "sim_i", "sim_j", "source_max", "source_min", "balance",
    "nearest_other", "real_similarity", "pixel_correlation", "within", "diversity", "difficulty",
)  # fmt: skip


@dataclass(frozen=True)
class _People:
    """What pool images are compared with."""

    real: FeatureFiles
    centres: Float[Tensor, "k d"]
    """Of the real classes."""
    pool_sums: Float64[Tensor, "q d"]
    """Sum of each pool class's embeddings."""
    pool_counts: Int64[Tensor, " q"]
    mixed: Float[Tensor, "x d"]
    """Centres of the mixed classes, then a row that stands for nobody."""
    place: Int64[Tensor, " q"]
    """Row of each pool class in `mixed`; the last one for real classes drawn anew."""


def score_pool(
    real: FaceSet,
    pool: FaceSet,
    embed: Callable[[Tensor], Tensor],
    *,
    batch_size: int,
    folder: Path,
    run: Accelerator,
) -> pd.DataFrame:
    """Returns one row a pool image, in the pool's order; with several processes on the main one.

    Columns:
        row, label, source_i, source_j: place in the pool, pool class, real classes mixed.
        own_centre: similarity to the centre of the other images of its class (leave-one-out).
        sim_i, sim_j: similarity to the centres of its source classes.
        source_max, source_min: the larger and the smaller of these.
        balance: |sim_i - sim_j|, 0 halfway between the sources.
        nearest_other: similarity to the nearest real class that is not a source.
        real_similarity, nearest_real: similarity to the nearest real image, and its row.
        pixel_correlation: likeness of pixels to the most alike real image (`pixel_likeness`).
        within: mean similarity to the other images of its class (m_s of an image).
        diversity: 1 - within.
        difficulty: see `difficulty`.

    Args:
        real: the training people.
        pool: mixed identities with provenance columns source_i and source_j.
        embed: M_orig: at most `batch_size` images, uint8 [n c h w] -> embeddings [n d], of any
            length.
        batch_size: images of an embedding call.
        folder: keeps what is done, for a run that is killed; all processes see it.
        run: the processes; they share out whole batches.

    Raises:
        UserError: the pool has no provenance, or other people or pictures than `real`.
    """
    source_i, source_j = _sources(real, pool)
    files = []
    for name, faces in (("real", real), ("pool", pool)):
        files.append(FeatureFiles(folder / name, len(faces.labels), batch_size))
        files[-1].compute(faces.images, embed, run)
    run.wait_for_everyone()
    sums, _ = _class_sums(files[0], real)
    pool_sums, counts = _class_sums(files[1], pool)
    mixed = _mixed_centres(pool_sums, pool.labels[source_i != source_j])
    people = _People(files[0], normalise(sums).float(), pool_sums, counts, *mixed)
    blocks = blocks_of(len(pool.labels))

    def path(number: int) -> Path:
        return folder / f"block-{number:06d}.safetensors"

    for number in progress(share_out(len(blocks), path, run), "compare", show=run.is_main_process):
        rows = blocks[number]
        part = (pool.labels[rows], source_i[rows], source_j[rows])
        save_tensors(path(number), _compare(files[1].read(rows), *part, people, run.device), {})
    run.wait_for_everyone()
    if not run.is_main_process:
        return pd.DataFrame()
    parts = [load_tensors(path(number))[0] for number in range(len(blocks))]
    return _join(parts, pool.labels, source_i, source_j)


def _join(parts: list[dict[str, Tensor]], *labels: Int64[Tensor, " n"]) -> pd.DataFrame:
    """Returns the measures of all blocks behind the columns that say which image it is."""
    places = {"row": np.arange(len(labels[0]))}
    for name, values in zip(("label", "source_i", "source_j"), labels, strict=True):
        places[name] = values.to(torch.int32).numpy()
    columns = {name: torch.cat([part[name] for part in parts]).numpy() for name in _COLUMNS}
    return pd.DataFrame(places | columns)


def _class_sums(
    files: FeatureFiles, faces: FaceSet
) -> tuple[Float64[Tensor, "k d"], Int64[Tensor, " k"]]:
    """Returns the sum of each class's embeddings, and its number of images."""
    sums = torch.zeros(0)
    for rows, features in files.blocks():
        if not len(sums):
            sums = torch.zeros(faces.num_classes, features.embeddings.shape[1]).double()
        sums.index_add_(0, faces.labels[rows], features.embeddings.double())
    return sums, torch.bincount(faces.labels, minlength=faces.num_classes)


def _mixed_centres(
    pool_sums: Float64[Tensor, "q d"], mixed_labels: Int64[Tensor, " n"]
) -> tuple[Float[Tensor, "x d"], Int64[Tensor, " q"]]:
    """Returns `mixed` and `place` of `_People`, from the labels of all mixed images."""
    is_mixed = torch.zeros(len(pool_sums), dtype=torch.bool)
    is_mixed[mixed_labels] = True
    centres = normalise(pool_sums[is_mixed]).float()
    place = torch.full((len(pool_sums),), len(centres))
    place[is_mixed] = torch.arange(len(centres))
    return torch.cat([centres, torch.zeros(1, pool_sums.shape[1])]), place


def _compare(
    features: Features,
    labels: Int64[Tensor, " n"],
    source_i: Int64[Tensor, " n"],
    source_j: Int64[Tensor, " n"],
    people: _People,
    device: torch.device,
) -> dict[str, Tensor]:
    """Returns the measures of some pool images; large products are computed on `device`."""
    own, centres = features.embeddings, people.centres
    classes = (own, labels, people.pool_sums, people.pool_counts)
    own_centre = own_centre_similarity(*classes)
    within = within_class_similarity(*classes)
    sim_i, sim_j = source_similarities(own, centres, source_i, source_j)
    near = own.to(device)
    sources = torch.stack([source_i, source_j], 1).to(device)
    nearest_other = nearest_similarity(near, centres.to(device), leave_out=sources)[0].cpu()
    own_class = people.place[labels]
    leave_out = torch.stack([own_class, torch.full_like(own_class, len(people.mixed) - 1)], 1)
    rival, _ = nearest_similarity(near, people.mixed.to(device), leave_out=leave_out.to(device))
    real_similarity, nearest_real, likeness = _nearest_real(features, people.real, device)
    return {
        "nearest_real": nearest_real,
        "own_centre": own_centre,
        "sim_i": sim_i,
        "sim_j": sim_j,
        "source_max": torch.maximum(sim_i, sim_j),
        "source_min": torch.minimum(sim_i, sim_j),
        "balance": (sim_i - sim_j).abs(),
        "nearest_other": nearest_other,
        "real_similarity": real_similarity,
        "pixel_correlation": likeness,
        "within": within,
        "diversity": 1 - within,
        "difficulty": difficulty(own_centre, rival.cpu(), nearest_other),
    }


def _nearest_real(
    features: Features, real: FeatureFiles, device: torch.device
) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Returns cosine and row of the nearest real image, and `pixel_likeness` to all of them."""
    near, small = (part.to(device) for part in features)
    best = torch.full((len(near),), -torch.inf, device=device)
    best_row = torch.full((len(near),), -1, device=device)
    likeness = best.clone()
    for rows, others in real.blocks():
        cosine, row = nearest_similarity(near, others.embeddings.to(device))
        better = cosine > best
        best = torch.where(better, cosine, best)
        best_row = torch.where(better, row + rows.start, best_row)
        likeness = likeness.maximum(pixel_likeness(small, others.thumbnails.to(device)))
    return best.cpu(), best_row.cpu(), likeness.cpu()


def difficulty(
    own_centre: Float[Tensor, " n"],
    nearest_mixed: Float[Tensor, " n"],
    nearest_other: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """Returns how hard an image is for M_orig: the similarity margin by which it fails.

    difficulty = max(cos to the nearest other mixed centre, cos to the nearest non-source real
    centre) - cos to its own centre (leave-one-out), in [-2, 2]; above 0 M_orig takes the image
    for somebody else. Our formula, after the margins of semi-hard mining (arXiv 1503.03832).
    """
    return torch.maximum(nearest_mixed, nearest_other) - own_centre


def pixel_likeness(
    images: Float[Tensor, "n c t t"], references: Float[Tensor, "m c t t"]
) -> Float[Tensor, " n"]:
    """Returns each image's largest pixel correlation with any reference or its mirror image.

    Pearson correlation of `thumbnails`: 1 is a copy up to brightness and contrast. It is
    reported, not a reason to drop: faces cropped alike correlate highly without being copies,
    while a copy of the pixels is also a copy in M_orig's space.
    """
    mirrored = torch.cat([references, references.flip(-1)])
    return nearest_similarity(images.flatten(1), mirrored.flatten(1))[0]


def _sources(real: FaceSet, pool: FaceSet) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    if not {"source_i", "source_j"} <= set(pool.extra.columns):
        raise UserError(
            "the pool has no columns `source_i` and `source_j`; make it with `dvc repro synthesize`"
        )
    if real.images.shape[1:] != pool.images.shape[1:]:
        raise UserError(
            f"pool images are {tuple(pool.images.shape[1:])}, real ones "
            f"{tuple(real.images.shape[1:])} (channels, pixels); run `dvc repro synthesize`"
        )
    columns = [torch.tensor(pool.extra[c].to_numpy(np.int64)) for c in ("source_i", "source_j")]
    if max(int(column.max()) for column in columns) >= real.num_classes:
        raise UserError(
            f"the pool names sources beyond the {real.num_classes} real identities: it was made "
            "from other data; run `dvc repro synthesize`"
        )
    return columns[0], columns[1]
