"""From scores to the chosen images: pure, nested in mix_ratio."""

from dataclasses import dataclass

import pandas as pd

from auggen.core.errors import UserError
from auggen.selection.config import SelectConfig
from auggen.selection.rules import rate_images


@dataclass(frozen=True)
class Ranking:
    """All usable pool classes, best first, with the images that would be taken of each."""

    images: pd.DataFrame
    """images_per_class rows a class, in order of class rank, then of score; column `rating`."""
    num_classes: int
    """Usable classes."""
    num_pool_classes: int
    """Classes of the pool."""
    num_copies: int
    """Images dropped as near-copies of real ones."""
    num_dropped_classes: int
    """Classes dropped because fewer than images_per_class images were left."""


def rank_pool(scores: pd.DataFrame, config: SelectConfig) -> Ranking:
    """Drops near-copies, takes each class's best images, ranks classes by their mean rating.

    Ties go to the lower row and the lower label. mix_ratio has no say here, which makes
    selections nested.
    """
    rated = scores.assign(rating=rate_images(config.rule, scores, config.seed))
    usable = rated[rated["real_similarity"] <= config.max_real_similarity]
    best = usable.sort_values(["rating", "row"], ascending=[False, True], kind="stable")
    taken = best.groupby("label").head(config.images_per_class)
    counts = taken.groupby("label")["rating"].agg(["count", "mean"])
    full = counts[counts["count"] == config.images_per_class].sort_index()
    order = full.sort_values("mean", ascending=False, kind="stable").index
    rank = pd.Series(range(len(order)), index=order)
    kept = taken[taken["label"].isin(order)]
    kept = kept.assign(rank=kept["label"].map(rank).astype("int64"))
    kept = kept.sort_values(["rank", "rating", "row"], ascending=[True, False, True])
    num_pool_classes = scores["label"].nunique()
    return Ranking(
        kept.reset_index(drop=True),
        len(order),
        num_pool_classes,
        len(scores) - len(usable),
        num_pool_classes - len(order),
    )


def count_classes(mix_ratio: float, num_real: int, images_per_class: int) -> int:
    """Returns K = round(mix_ratio * real images / images_per_class).

    Raises:
        UserError: a mix_ratio above 0 that asks for less than one class.
    """
    count = round(mix_ratio * num_real / images_per_class)
    if mix_ratio > 0 and count == 0:
        raise UserError(
            f"`mix_ratio` is {mix_ratio:g}: less than one identity of {images_per_class} images "
            f"beside {num_real} real ones; set it to 0, to {images_per_class / num_real:.3g} or "
            "more, or lower `select.images_per_class`"
        )
    return count


def choose_images(
    ranking: Ranking, mix_ratio: float, num_real: int, config: SelectConfig
) -> pd.DataFrame:
    """Returns the images of the K best classes, `label` renumbered 0..K-1 in order of rank.

    A pool class with one source (source_i == source_j, a real identity drawn anew) gets the label
    -1 - source instead: more images of that real class, no class of its own.

    Raises:
        UserError: more classes asked for than are usable.
    """
    asked = count_classes(mix_ratio, num_real, config.images_per_class)
    if asked > ranking.num_classes:
        largest = ranking.num_classes * config.images_per_class / num_real
        raise UserError(
            f"`mix_ratio` {mix_ratio:g} asks for {asked} identities of {config.images_per_class} "
            f"images, but the pool has {ranking.num_classes} ({ranking.num_dropped_classes} of its "
            f"{ranking.num_pool_classes} were dropped: {ranking.num_copies} images are near-copies "
            f"of real ones); set it to {int(largest * 1000) / 1000:g} or less, raise "
            "`synthesize.num_classes`, `synthesize.images_per_class` or "
            "`select.max_real_similarity`, or lower `select.images_per_class`"
        )
    chosen = ranking.images[ranking.images["rank"] < asked]
    anew = chosen["source_i"] == chosen["source_j"]
    label = chosen["rank"].where(~anew, -1 - chosen["source_i"]).astype("int32")
    return chosen.assign(label=label, pool_label=chosen["label"]).drop(columns="rank")
