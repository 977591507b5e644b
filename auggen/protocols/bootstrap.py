"""Figures under weights of people, and intervals over people and seeds.

A replicate gives every person one Dirichlet(1) weight, shared by all models. A genuine pair of
person i weighs w_i, an impostor pair of i and j w_i w_j, a probe of i w_i; each model finds its
threshold anew. Pairs and images are never resampled: those of one person rise and fall together,
and treating them as independent gives intervals several times too narrow.

Limits, from simulated recognisers, real against real on other seeds: 0 is covered in 95 % of
repeats or more where trainings differ person by person. What a training does to all people alike
is a matter of seeds alone, and drawing s seeds from s shrinks its variance to (s - 1) / s: were
that the only difference, 2, 3 and 5 seeds would cover 0 in about 65, 80 and 85 % of repeats.

Letters: r replicates, p people, s seeds, f false-accept rates.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int

from auggen.core.seeds import numpy_generator
from auggen.measures.verification import (
    RankedScores,
    cumulate,
    equal_error_rates,
    rank_scores,
    tars_at_fars,
)
from auggen.protocols.point import MEAN, Point

FARS: npt.NDArray[np.float64] = np.logspace(-3, -1, 9)
"""The operating points: nine false-accept rates, evenly spaced on a log scale."""

MEAN_TAR = "mean_tar_at_far_1e-3_to_1e-1"
RANKS = (1, 5)
_ELEMENTS_PER_BLOCK = 500_000

Figures = dict[str, npt.NDArray[np.float64]]
"""One value a replicate for each figure, by name."""


def tar_name(far: float) -> str:
    """Returns the name of a true-accept rate, e.g. `tar_at_far_1e-3` or `tar_at_far_1.78e-3`."""
    mantissa, exponent = f"{far:.2e}".split("e")
    return f"tar_at_far_{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def person_weights(num_people: int, num_replicates: int, seed: int) -> Float[np.ndarray, "r p"]:
    """Draws Dirichlet(1) weights: the Bayesian bootstrap over people."""
    generator = numpy_generator(seed, "people")
    return generator.dirichlet(np.ones(num_people), size=num_replicates)


def draw_seeds(num_seeds: int, num_replicates: int, seed: int, arm: str) -> Int[np.ndarray, "r s"]:
    """Draws which of an arm's seeds a replicate averages over, with replacement."""
    generator = numpy_generator(seed, "seeds", arm)
    return generator.integers(num_seeds, size=(num_replicates, num_seeds))


def verification_figures(trials: pd.DataFrame, weights: Float[np.ndarray, "r p"]) -> Figures:
    """Returns TAR at each of `FARS`, their mean and the EER under each row of weights."""
    is_same = trials["is_same"].to_numpy(dtype=bool)
    scores = trials["score"].to_numpy(dtype=np.float64)
    ranked = rank_scores(scores[is_same], scores[~is_same])
    genuine = trials["person_a"].to_numpy()[is_same][ranked.genuine_order]
    first = trials["person_a"].to_numpy()[~is_same][ranked.impostor_order]
    second = trials["person_b"].to_numpy()[~is_same][ranked.impostor_order]
    tars, errors = [], []
    for block in _blocks(weights, len(trials)):
        shares = cumulate(block[:, genuine]), cumulate(block[:, first] * block[:, second])
        tars.append(tars_at_fars(ranked, *shares, FARS)[0])
        errors.append(equal_error_rates(ranked, *shares))
    values = np.concatenate(tars)
    figures = {tar_name(far): values[:, column] for column, far in enumerate(FARS)}
    return figures | {MEAN_TAR: values.mean(axis=1), "eer": np.concatenate(errors)}


def identification_figures(trials: pd.DataFrame, weights: Float[np.ndarray, "r p"]) -> Figures:
    """Returns rank-1 and rank-5 under each row of weights."""
    return rank_figures(trials["person"].to_numpy(), trials["rank"].to_numpy(), RANKS, weights)


def rank_figures(
    people: Int[np.ndarray, "n"],
    ranks: Int[np.ndarray, "n"],
    wanted: Sequence[int],
    weights: Float[np.ndarray, "r p"],
) -> Figures:
    """Returns rank-k for each wanted k, every probe weighed as its person, by row of weights."""
    probes = weights @ np.bincount(people, minlength=weights.shape[1])
    hits = {k: np.bincount(people[ranks < k], minlength=weights.shape[1]) for k in wanted}
    return {f"rank_{k}": weights @ hits[k] / probes for k in wanted}


def plain_tars(
    trials: pd.DataFrame, fars: Float[np.ndarray, "f"]
) -> tuple[RankedScores, Float[np.ndarray, "f"], Int[np.ndarray, "f"]]:
    """Returns unweighted TARs at any false-accept rates, as `tars_at_fars` does for one row."""
    is_same = trials["is_same"].to_numpy(dtype=bool)
    scores = trials["score"].to_numpy(dtype=np.float64)
    ranked = rank_scores(scores[is_same], scores[~is_same])
    genuine, impostor = (cumulate(np.ones((1, kind.sum()))) for kind in (is_same, ~is_same))
    tars, stops = tars_at_fars(ranked, genuine, impostor, fars)
    return ranked, tars[0], stops[0]


def arm_replicates(
    figures: Float[np.ndarray, "s r"], draws: Int[np.ndarray, "r s"]
) -> Float[np.ndarray, "r"]:
    """Returns the mean over the seeds drawn in each replicate."""
    return np.asarray(np.take_along_axis(figures.T, draws, axis=1).mean(axis=1))


def interval(replicates: Float[np.ndarray, "r"]) -> tuple[float, float]:
    """Returns the 2.5 and 97.5 percentiles."""
    low, high = np.percentile(replicates, [2.5, 97.5])
    return float(low), float(high)


def _blocks(
    weights: Float[np.ndarray, "r p"], num_trials: int
) -> Iterator[npt.NDArray[np.float64]]:
    """Cuts the replicates so that memory stays flat in their number."""
    rows = max(1, _ELEMENTS_PER_BLOCK // num_trials)
    for start in range(0, len(weights), rows):
        yield weights[start : start + rows]


def mean_points(
    benchmark: str,
    metric: str,
    means: Mapping[str, float],
    spread: Mapping[str, Float[np.ndarray, "r"]],
    *,
    is_headline: bool,
) -> Iterator[Point]:
    """Yields each arm's mean over seeds and the gain, with intervals where replicates are known.

    Args:
        benchmark: its name.
        metric: the figure.
        means: by arm, `real` and `mixed`.
        spread: replicates of the means, of both arms or of fewer.
        is_headline: whether the figure is its benchmark's headline.
    """
    values = {**means, "gain": means["mixed"] - means["real"]}
    drawn = dict(spread)
    if drawn.keys() == means.keys():
        drawn["gain"] = drawn["mixed"] - drawn["real"]
    for arm, value in values.items():
        low, high = interval(drawn[arm]) if arm in drawn else (None, None)
        yield Point(benchmark, metric, is_headline, arm, MEAN, value, low, high)
