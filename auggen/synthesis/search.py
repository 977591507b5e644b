"""The grid of mixing weights (alpha, beta), judged by M_orig.

The paper (arXiv 2503.11544) maximises m_total = m_s + m_d; the formulas of both are ours and stand
in `auggen.measures.identity`. Small weights meet a condition that the generator saw as "nobody in
particular" (condition dropout), so it draws OTHER real people: far from both sources, which
flatters m_d. Hence the rejection rule of `is_rejected`.
Dimensions: n images, k real classes, g grid points, p pairs, r images a pair, d embedding size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import derive_seed
from auggen.measures.embeddings import Images, normalise
from auggen.measures.identity import (
    class_centres,
    consistency,
    nearest_similarity,
    separation,
    total,
)
from auggen.synthesis.config import SearchConfig
from auggen.synthesis.generation import Recipe
from auggen.synthesis.pairs import count_pairs, sample_identity_pairs

REFERENCE_QUANTILE = 0.95
_PICTURE_PAIRS = 8


@dataclass(frozen=True)
class RealPeople:
    """What the judge knows of real people."""

    centres: Float[Tensor, "k d"]
    """L2-normalised class centres of the training people."""
    held_out: Float[Tensor, " n"]
    """Similarity of each held-out (validation) person's image to its nearest training class."""

    @property
    def limit(self) -> float:
        """The 95th percentile of `held_out`."""
        return float(torch.quantile(self.held_out, REFERENCE_QUANTILE))


@dataclass(frozen=True)
class SearchResult:
    """The judged grid and the chosen weights."""

    grid: pd.DataFrame
    """One row a point: alpha, beta, m_s, m_d, m_total, similarities, rejected, chosen."""
    alpha: float
    """Chosen weight of the first source."""
    beta: float
    """Chosen weight of the second source."""
    pictures: UInt8[Tensor, "p r c h w"]
    """The images of the chosen point."""
    held_out_mean: float
    """Mean similarity of held-out people to their nearest training class."""
    limit: float
    """Largest mean similarity to a non-source class that is not rejected."""


def meet_people(
    embed: Callable[[Images], Tensor],
    images: Images,
    labels: Int64[Tensor, " n"],
    num_classes: int,
    held_out_images: Images,
) -> RealPeople:
    """Embeds training and held-out people (uint8 [n c h w]) and compares them."""
    centres = class_centres(normalise(embed(images)), labels, num_classes)
    held_out, _ = nearest_similarity(normalise(embed(held_out_images)), centres)
    return RealPeople(centres, held_out)


def grid_points(config: SearchConfig) -> list[tuple[float, float]]:
    """Returns the points (alpha <= beta) to judge; the one point of params if `mode` is fixed."""
    if config.mode == "fixed":
        return [(config.alpha, config.beta)]
    values = sorted(set(config.grid))
    return [(a, b) for a in values for b in values if a <= b]


def search_pairs(config: SearchConfig, num_classes: int) -> Int64[Tensor, "p 2"]:
    """Returns the source pairs, the same for every point; fixed weights get a few, for a picture.

    Raises:
        UserError: `search.num_pairs` exceeds the number of distinct pairs.
    """
    count = config.num_pairs
    if config.mode == "fixed":
        count = min(count, _PICTURE_PAIRS, count_pairs(num_classes))
    return sample_identity_pairs(
        count,
        num_classes,
        "random",
        config.seed,
        field="search.num_pairs",
    )


def plan_search(config: SearchConfig, pairs: Int64[Tensor, "p 2"]) -> Recipe:
    """Lists the images of all points, [g p r] flattened; noise depends on (pair, image) alone."""
    weights = torch.tensor(grid_points(config), dtype=torch.float32)
    points, each = len(weights), len(pairs) * config.images_per_pair
    sources = pairs.repeat_interleave(config.images_per_pair, 0).repeat(points, 1)
    seeds = torch.tensor([derive_seed(config.seed, "search", k) for k in range(each)])
    alpha, beta = weights.repeat_interleave(each, 0).T
    return Recipe(sources[:, 0], sources[:, 1], alpha, beta, seeds.repeat(points))


def search_mixing_weights(
    config: SearchConfig,
    people: RealPeople,
    pairs: Int64[Tensor, "p 2"],
    drawn: UInt8[Tensor, "n c h w"],
    embed: Callable[[Images], Tensor],
) -> SearchResult:
    """Judges every grid point and chooses the best m_total among those that draw nobody else.

    Args:
        config: section `search`.
        people: what the judge knows of real people.
        pairs: source pairs, the same for every point.
        drawn: the images of `plan_search`.
        embed: M_orig: uint8 images -> embeddings [n d], of any length.

    Raises:
        UserError: every point of the grid is rejected.
    """
    points = grid_points(config)
    images = drawn.reshape(len(points), -1, *drawn.shape[1:])
    judged = [
        {"alpha": alpha, "beta": beta} | judge_point(normalise(embed(part)), people, pairs)
        for (alpha, beta), part in zip(points, images, strict=True)
    ]
    grid = pd.DataFrame(judged)
    searching = config.mode == "grid"
    grid["rejected"] = (
        is_rejected(grid["nearest_other_similarity"], people.limit) if searching else False
    )
    if grid["rejected"].all():
        raise UserError(
            f"search: each of the {len(points)} points of `search.grid` draws other real people "
            f"(mean similarity to the nearest non-source class at least "
            f"{grid['nearest_other_similarity'].min():.3f}, held-out people's limit "
            f"{people.limit:.3f}); add larger weights to `search.grid`, train the generator longer "
            "(`train_generator.steps`), or set `search.mode` to fixed"
        )
    best = int(np.where(grid["rejected"], -np.inf, grid["m_total"]).argmax())
    grid["chosen"] = grid.index == best
    alpha, beta = points[best]
    pictures = images[best].reshape(len(pairs), -1, *drawn.shape[1:])
    return SearchResult(grid, alpha, beta, pictures, float(people.held_out.mean()), people.limit)


def judge_point(
    embeddings: Float[Tensor, "n d"], people: RealPeople, pairs: Int64[Tensor, "p 2"]
) -> dict[str, float]:
    """Returns the measures of one grid point, means over pairs (m_s, m_d) or images.

    Args:
        embeddings: L2-normalised, [p r] flattened.
        people: what the judge knows of real people.
        pairs: source classes of each group of r images.
    """
    samples = embeddings.reshape(len(pairs), -1, embeddings.shape[1])
    m_s = consistency(samples)
    m_d = separation(samples, people.centres[pairs[:, 0]], people.centres[pairs[:, 1]])
    sources = pairs.repeat_interleave(samples.shape[1], 0)
    nearest, _ = nearest_similarity(embeddings, people.centres)
    other, _ = nearest_similarity(embeddings, people.centres, leave_out=sources)
    return {
        "m_s": float(m_s.mean()),
        "m_d": float(m_d.mean()),
        "m_total": float(total(m_s, m_d).mean()),
        "nearest_similarity": float(nearest.mean()),
        "nearest_other_similarity": float(other.mean()),
    }


def is_rejected(nearest_other_similarity: "pd.Series[float]", limit: float) -> "pd.Series[bool]":
    """Says which points draw other real people.

    Rule: the images' mean similarity to the nearest real class that is NOT one of their sources
    exceeds the 95th percentile of what images of held-out people show to their nearest real class
    (all training people are strangers to them, so this is how alike strangers look to M_orig).
    """
    return nearest_other_similarity > limit
