"""Real against mixed on the test sets of the field, out of the replicates `evaluate` left.

Letters: r replicates, s seeds.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from auggen.protocols.bootstrap import arm_replicates, draw_seeds, mean_points
from auggen.protocols.config import CompareConfig, ExternalRow, PairsRow
from auggen.protocols.listed_pairs import ACCURACY
from auggen.protocols.outcome import Outcome
from auggen.protocols.pairs import ACCURACY_STD
from auggen.protocols.point import Point

HEADLINES = {
    "bin": ACCURACY,
    "lfw_pairs": ACCURACY,
    "pair_list": ACCURACY,
    "groups": "fdr",
    "ijb": "tar_at_far_1e-6",
    "ijb_1n": "rank_1",
    "tinyface": "rank_1",
}
"""The figure of each protocol that is its headline."""
AVG_H = ("lfw", "cfp_fp", "cplfw", "agedb_30", "calfw")
"""The rows whose mean accuracy the papers call Avg-H."""
_AVG_H_NAME = "avg_h"

Arms = Mapping[str, list[Outcome]]


def external_points(
    rows: list[ExternalRow], outcomes: Mapping[str, Arms], seeds: list[int], config: CompareConfig
) -> Iterator[Point]:
    """Yields the figures of every seed, then means and gains with intervals; last avg_h.

    Args:
        rows: the test sets.
        outcomes: by row, then arm, one a seed.
        seeds: of both arms.
        config: the seed of the draws of seeds.
    """
    for row in rows:
        headline = HEADLINES[row.protocol] if row.headline else None
        yield from _points(row.name, outcomes[row.name], seeds, config, headline)
    by_name = {row.name for row in rows if isinstance(row, PairsRow)}
    if set(AVG_H) <= by_name:
        yield from _points(_AVG_H_NAME, _average(outcomes), seeds, config, None)


def _average(outcomes: Mapping[str, Arms]) -> dict[str, list[Outcome]]:
    """The mean accuracy of the five sets, model by model."""
    arms: dict[str, list[Outcome]] = {}
    for arm in outcomes[AVG_H[0]]:
        models = zip(*(outcomes[name][arm] for name in AVG_H), strict=True)
        arms[arm] = [_average_of(sets) for sets in models]
    return arms


def _average_of(sets: tuple[Outcome, ...]) -> Outcome:
    size = min(len(one.replicates[ACCURACY]) for one in sets)
    replicates = np.mean([one.replicates[ACCURACY][:size] for one in sets], axis=0)
    value = float(np.mean([one.figures[ACCURACY] for one in sets]))
    return Outcome({ACCURACY: value}, {ACCURACY: replicates})


def _points(
    name: str, arms: Arms, seeds: list[int], config: CompareConfig, headline: str | None
) -> Iterator[Point]:
    every = [one for models in arms.values() for one in models]
    shared = [key for key in every[0].figures if all(key in one.figures for one in every)]
    for arm, models in arms.items():
        for seed, one in zip(seeds, models, strict=True):
            for key in shared:
                count = one.facts.get(f"false_accepts.{key}")
                achieved = count if isinstance(count, int) else None
                is_headline = key == headline
                yield Point(
                    name, key, is_headline, arm, str(seed), one.figures[key],
                    false_accepts=achieved,
                )  # fmt: skip
    for key in shared:
        if key == ACCURACY_STD:
            continue
        values: dict[str, float] = {}
        spread: dict[str, Float[np.ndarray, "r"]] = {}
        for arm, models in arms.items():
            values[arm] = float(np.mean([one.figures[key] for one in models]))
            if all(key in one.replicates for one in models):
                table = np.stack([one.replicates[key] for one in models])
                draws = draw_seeds(len(models), table.shape[1], config.seed, arm)
                spread[arm] = arm_replicates(table, draws)
        yield from mean_points(name, key, values, spread, is_headline=key == headline)
