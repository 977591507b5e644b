"""Every pool image judged by M_orig, once; rules read nothing but this table.

All similarities are cosines of L2-normalised embeddings, in [-1, 1].
Dimensions: n pool images, m real images, k real classes, q pool classes, c channels, h height,
w width, d embedding size.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet
from auggen.measures.embeddings import normalise
from auggen.measures.identity import (
    class_centres,
    nearest_similarity,
    own_centre_similarity,
    source_similarities,
    within_class_similarity,
)

PLACES = ("row", "label", "source_i", "source_j", "nearest_real")
"""Columns that are no measures."""
_THUMBNAIL = 16
_BLOCK = 4096


def score_pool(real: FaceSet, pool: FaceSet, embed: Callable[[Tensor], Tensor]) -> pd.DataFrame:
    """Returns one row a pool image, in the pool's order.

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
        embed: M_orig: uint8 [n c h w] -> embeddings [n d], of any length.

    Raises:
        UserError: the pool has no provenance, or other people or pictures than `real`.
    """
    source_i, source_j = _sources(real, pool)
    real_embeddings = normalise(embed(real.images))
    embeddings = normalise(embed(pool.images))
    centres = class_centres(real_embeddings, real.labels, real.num_classes)
    classes = (embeddings, pool.labels, pool.num_classes)
    own_centre = own_centre_similarity(*classes)
    within = within_class_similarity(*classes)
    sim_i, sim_j = source_similarities(embeddings, centres, source_i, source_j)
    sources = torch.stack([source_i, source_j], 1)
    nearest_other, _ = nearest_similarity(embeddings, centres, leave_out=sources)
    rival, _ = nearest_similarity(
        embeddings, class_centres(*classes), leave_out=pool.labels[:, None]
    )
    real_similarity, nearest_real = nearest_similarity(embeddings, real_embeddings)
    columns = {
        "own_centre": own_centre,
        "sim_i": sim_i,
        "sim_j": sim_j,
        "source_max": torch.maximum(sim_i, sim_j),
        "source_min": torch.minimum(sim_i, sim_j),
        "balance": (sim_i - sim_j).abs(),
        "nearest_other": nearest_other,
        "real_similarity": real_similarity,
        "pixel_correlation": pixel_likeness(pool.images, real.images),
        "within": within,
        "diversity": 1 - within,
        "difficulty": difficulty(own_centre, rival, nearest_other),
    }
    places = {
        "row": np.arange(len(embeddings)),
        "label": pool.labels.to(torch.int32).numpy(),
        "source_i": source_i.to(torch.int32).numpy(),
        "source_j": source_j.to(torch.int32).numpy(),
        "nearest_real": nearest_real.numpy(),
    }
    return pd.DataFrame(places | {name: column.numpy() for name, column in columns.items()})


def difficulty(
    own_centre: Float[Tensor, " n"],
    nearest_mixed: Float[Tensor, " n"],
    nearest_other: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """Returns how hard an image is for M_orig: the similarity margin by which it fails.

    difficulty = max(cos to the nearest other pool centre, cos to the nearest non-source real
    centre) - cos to its own centre (leave-one-out), in [-2, 2]; above 0 M_orig takes the image
    for somebody else. Our formula, after the margins of semi-hard mining (arXiv 1503.03832).
    """
    return torch.maximum(nearest_mixed, nearest_other) - own_centre


def pixel_likeness(
    images: UInt8[Tensor, "n c h w"], references: UInt8[Tensor, "m c h w"]
) -> Float[Tensor, " n"]:
    """Returns each image's largest pixel correlation with any reference or its mirror image.

    Pearson correlation of thumbnails of at most 16 x 16 pixels (area means): 1 is a copy up to
    brightness and contrast. It is reported, not a reason to drop: faces cropped alike correlate
    highly without being copies, while a copy of the pixels is also a copy in M_orig's space.
    """
    mirrored = torch.cat([references, references.flip(-1)])
    return nearest_similarity(_thumbnails(images), _thumbnails(mirrored))[0]


def _thumbnails(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """Returns area-reduced images as vectors of mean 0 and length 1."""
    side = min(_THUMBNAIL, images.shape[-1])
    parts = [
        torch.nn.functional.adaptive_avg_pool2d(images[k : k + _BLOCK].float(), side).flatten(1)
        for k in range(0, len(images), _BLOCK)
    ]
    pixels = torch.cat(parts)
    return normalise(pixels - pixels.mean(1, keepdim=True))


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
