"""Who an image shows, judged by embeddings: class centres, nearest classes, m_s, m_d, m_total.

Every function takes L2-normalised embeddings, so that a dot product is a cosine in [-1, 1].
Dimensions: n images, m references, k classes, p mixed conditions, r images of one condition,
s classes left out, d embedding size.
"""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from auggen.measures.embeddings import normalise

_BLOCK = 4096
LEAST_COSINE = -1.0


def class_sums(
    embeddings: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], num_classes: int
) -> Float64[Tensor, "k d"]:
    """Returns the sum of each class's embeddings in float64; zero for a class without images."""
    sums = torch.zeros(num_classes, embeddings.shape[1], dtype=torch.float64)
    return sums.index_add_(0, labels, embeddings.double())


def class_centres(
    embeddings: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], num_classes: int
) -> Float[Tensor, "k d"]:
    """Returns the L2-normalised mean embedding of each class."""
    return normalise(class_sums(embeddings, labels, num_classes)).to(embeddings.dtype)


def own_centre_similarity(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    sums: Float64[Tensor, "k d"],
    counts: Int64[Tensor, " k"],
) -> Float[Tensor, " n"]:
    """Returns each image's cosine to the centre of the OTHER images of its class (leave-one-out).

    An image alone in its class has no centre to compare with and gets 1.

    Args:
        embeddings: some of the images.
        labels: their classes.
        sums: `class_sums` of all images.
        counts: images of each class.
    """
    own = embeddings.double()
    others = sums[labels] - own
    alone = counts[labels] == 1
    cosine = (own * normalise(others)).sum(1)
    return cosine.masked_fill(alone, 1.0).to(embeddings.dtype)


def within_class_similarity(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    sums: Float64[Tensor, "k d"],
    counts: Int64[Tensor, " k"],
) -> Float[Tensor, " n"]:
    """Returns each image's mean cosine to the other images of its class; 1 for an only image.

    The arguments are those of `own_centre_similarity`.
    """
    own = embeddings.double()
    number = counts[labels]
    others = sums[labels] - own
    cosine = (own * others).sum(1) / (number - 1).clamp(min=1)
    return cosine.masked_fill(number == 1, 1.0).to(embeddings.dtype)


def nearest_similarity(
    embeddings: Float[Tensor, "n d"],
    references: Float[Tensor, "m d"],
    leave_out: Int64[Tensor, "n s"] | None = None,
) -> tuple[Float[Tensor, " n"], Int64[Tensor, " n"]]:
    """Returns the largest cosine to any reference and that reference's row.

    Args:
        embeddings: the images.
        references: class centres or other images.
        leave_out: rows of `references` that do not count for each image.

    Returns:
        Cosines and rows; -1 and row -1 for an image that has no reference left.
    """
    cosines, rows = [], []
    for start in range(0, len(embeddings), _BLOCK):
        part = slice(start, start + _BLOCK)
        table = embeddings[part] @ references.T
        if leave_out is not None:
            table.scatter_(1, leave_out[part], -torch.inf)
        best, row = table.max(1)
        nobody = best == -torch.inf
        cosines.append(best.masked_fill(nobody, LEAST_COSINE).clamp(-1, 1))
        rows.append(row.masked_fill(nobody, -1))
    return torch.cat(cosines), torch.cat(rows)


def source_similarities(
    embeddings: Float[Tensor, "n d"],
    centres: Float[Tensor, "k d"],
    source_i: Int64[Tensor, " n"],
    source_j: Int64[Tensor, " n"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Returns each image's cosines to the centres of its two source classes."""
    return (embeddings * centres[source_i]).sum(1), (embeddings * centres[source_j]).sum(1)


def consistency(samples: Float[Tensor, "p r d"]) -> Float[Tensor, " p"]:
    """Returns m_s of each mixed condition: how alike the r samples of one c_star are.

    m_s = 1 / (r (r - 1)) * sum over a != b of cos(z_a, z_b), in [-1, 1]; needs r >= 2.
    The AugGen paper (arXiv 2503.11544) describes m_s in words; this formula is ours.
    """
    count = samples.shape[1]
    table = samples @ samples.transpose(1, 2)
    own = table.diagonal(dim1=1, dim2=2).sum(1)
    return (table.sum((1, 2)) - own) / (count * (count - 1))


def separation(
    samples: Float[Tensor, "p r d"],
    centre_i: Float[Tensor, "p d"],
    centre_j: Float[Tensor, "p d"],
) -> Float[Tensor, " p"]:
    """Returns m_d of each mixed condition: how far its samples lie from BOTH source classes.

    m_d = 1 - 1/r * sum over a of max(cos(z_a, mu_i), cos(z_a, mu_j)), in [0, 2], where mu is
    the centre of a source class. The paper describes m_d in words; this formula is ours.
    """
    nearer = torch.maximum(
        (samples * centre_i[:, None]).sum(2), (samples * centre_j[:, None]).sum(2)
    )
    return 1 - nearer.mean(1)


def total(m_s: Float[Tensor, " p"], m_d: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Returns m_total = m_s + m_d (arXiv 2503.11544): alike to one another, unlike the sources."""
    return m_s + m_d
