"""From scores to the chosen images: pure, nested in mix_ratio and in anew_ratio."""

from dataclasses import dataclass

import pandas as pd

from auggen.core.errors import UserError
from auggen.selection.config import SelectConfig
from auggen.selection.rules import Rule, rate_images


@dataclass(frozen=True)
class Ranking:
    """All usable pool classes, best first, with the images that would be taken of each."""

    images: pd.DataFrame
    """images_per_class rows a class, in order of class rank, then of score; column `rating`."""
    anew: pd.DataFrame
    """Real people drawn anew: all usable rows, person by person, best first; column `rating`."""
    num_classes: int
    """Usable mixed classes."""
    num_pool_classes: int
    """Mixed classes of the pool."""
    num_people: int
    """Real people that the pool holds anew."""
    images_per_person: int
    """The least images of one of them, before near-copies are dropped."""
    num_copies: int
    """Images dropped as near-copies of real ones."""
    num_dropped_classes: int
    """Classes dropped because fewer than images_per_class images were left."""


def rank_pool(scores: pd.DataFrame, config: SelectConfig) -> Ranking:
    """Drops near-copies, takes each class's best images, ranks classes by their mean rating.

    Ties go to the lower row and the lower label. The ratios have no say here, which makes
    selections nested. Real people drawn anew are taken by lot: a rule that likes images far from
    the sources would take those that show somebody else.
    """
    is_anew = scores["source_i"] == scores["source_j"]
    mixed, anew = scores[~is_anew], scores[is_anew]
    best = _best_first(mixed, config.rule, config)
    taken = best.groupby("label").head(config.images_per_class)
    counts = taken.groupby("label")["rating"].agg(["count", "mean"])
    full = counts[counts["count"] == config.images_per_class].sort_index()
    order = full.sort_values("mean", ascending=False, kind="stable").index
    rank = pd.Series(range(len(order)), index=order)
    kept = taken[taken["label"].isin(order)]
    kept = kept.assign(rank=kept["label"].map(rank).astype("int64"))
    kept = kept.sort_values(["rank", "rating", "row"], ascending=[True, False, True])
    num_pool_classes = mixed["label"].nunique()
    per_person = anew.groupby("label").size()
    return Ranking(
        images=kept.reset_index(drop=True),
        anew=_best_first(anew, "random", config).sort_values("source_i", kind="stable"),
        num_classes=len(order),
        num_pool_classes=num_pool_classes,
        num_people=len(per_person),
        images_per_person=int(per_person.min()) if len(per_person) else 0,
        num_copies=len(mixed) - len(best),
        num_dropped_classes=num_pool_classes - len(order),
    )


def _best_first(scores: pd.DataFrame, rule: Rule, config: SelectConfig) -> pd.DataFrame:
    """Returns the images that are no near-copies of real ones, with their rating."""
    rated = scores.assign(rating=rate_images(rule, scores, config.seed))
    usable = rated[rated["real_similarity"] <= config.max_real_similarity]
    return usable.sort_values(["rating", "row"], ascending=[False, True], kind="stable")


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


def count_anew(anew_ratio: float, num_real: int, num_people: int) -> int:
    """Returns round(anew_ratio * real images / people): images of each person drawn anew.

    Raises:
        UserError: an anew_ratio above 0 that asks for less than one image a person.
    """
    count = round(anew_ratio * num_real / num_people)
    if anew_ratio > 0 and count == 0:
        raise UserError(
            f"`select.anew_ratio` is {anew_ratio:g}: less than one image of each of {num_people} "
            f"people; set it to 0, or to {num_people / num_real:.3g} or more"
        )
    return count


def choose_images(
    ranking: Ranking, mix_ratio: float, num_real: int, config: SelectConfig
) -> pd.DataFrame:
    """Returns the images of the K best classes, then those of real people drawn anew.

    `label` is the rank 0..K-1 of a mixed class; a real identity drawn anew (source_i == source_j)
    gets -1 - source: more images of that real class, no class of its own. Where near-copies were
    dropped a person may have fewer images than asked for, or none.

    Raises:
        UserError: more classes asked for than are usable, more images of a person than drawn, or
            nothing but near-copies of everybody.
    """
    asked = count_classes(mix_ratio, num_real, config.images_per_class)
    if asked > ranking.num_classes:
        raise UserError(
            f"`mix_ratio` {mix_ratio:g} asks for {asked} identities of {config.images_per_class} "
            f"images, but the pool has {ranking.num_classes} "
            f"({ranking.num_dropped_classes} of its {ranking.num_pool_classes} have fewer images; "
            f"{ranking.num_copies} images were dropped as near-copies of real ones); "
            f"{_tell_remedies(ranking, num_real, config)}"
        )
    mixed = ranking.images[ranking.images["rank"] < asked]
    if not config.anew_ratio:
        return _label(mixed)
    if not ranking.num_people:
        raise UserError(
            f"`select.anew_ratio` is {config.anew_ratio:g}, but the pool shows no real people "
            "anew; set it to 0, or `synthesize.anew_images` above 0"
        )
    each = count_anew(config.anew_ratio, num_real, ranking.num_people)
    if each > ranking.images_per_person:
        raise UserError(
            f"`select.anew_ratio` {config.anew_ratio:g} asks for {each} images of each person "
            f"drawn anew, but the pool has {ranking.images_per_person}; lower it or raise "
            "`synthesize.anew_images`"
        )
    if not len(ranking.anew):
        raise UserError(
            f"all images of the {ranking.num_people} people drawn anew are near-copies of real "
            "ones; raise `select.max_real_similarity`, or set `select.anew_ratio` to 0"
        )
    anew = ranking.anew.groupby("label").head(each)
    anew = anew.assign(rank=-1 - anew["source_i"])
    return _label(pd.concat([mixed, anew], ignore_index=True))


def _tell_remedies(ranking: Ranking, num_real: int, config: SelectConfig) -> str:
    """Returns what helps against a pool with too few usable classes."""
    found = []
    if ranking.num_classes:
        largest = ranking.num_classes * config.images_per_class / num_real
        found += [f"set it to {int(largest * 1000) / 1000:g} or less"]
        found += ["raise `synthesize.num_classes`"]
    if ranking.num_dropped_classes:
        found += ["lower `select.images_per_class`", "raise `synthesize.images_per_class`"]
    else:
        found += ["raise `select.images_per_class`"]
    if ranking.num_copies:
        found += ["raise `select.max_real_similarity`"]
    return f"{', '.join(found[:-1])} or {found[-1]}" if len(found) > 1 else found[0]


def _label(chosen: pd.DataFrame) -> pd.DataFrame:
    label = chosen["rank"].astype("int32")
    return chosen.assign(label=label, pool_label=chosen["label"]).drop(columns="rank")
