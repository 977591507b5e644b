"""Figures of every model of a study, the arms' gains and their intervals.

A replicate gives every person, by name over all splits, one exponential weight: what Dirichlet(1)
weights are before they are normalised, so that the people of each split have Dirichlet weights and
a person has one weight wherever it is tested, under every arm. With several seeds, those of each
arm and split are drawn with replacement. An arm's value is the mean over splits and seeds.

Letters: r replicates, p people, k splits, s seeds, n trials.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import coo_array

from auggen.core.seeds import numpy_generator
from auggen.protocols.bootstrap import (
    FARS,
    MEAN_TAR,
    Figures,
    arm_replicates,
    draw_seeds,
    identification_figures,
    interval,
    tar_name,
)
from auggen.protocols.compare import plain_figures
from auggen.protocols.config import Benchmark
from auggen.protocols.trials import Trials

NUM_REPLICATES = 2000
MAX_THRESHOLDS = 16_384
"""Up to so many impostor pairs every threshold counts; of more, as many as this, see below."""
_REPLICATES_PER_BLOCK, _WEIGHTS_PER_BLOCK = 100, 5_000_000
_TARS = {name: name for name in map(tar_name, (1e-1, 1e-2, 1e-3))} | {"mean_tar": MEAN_TAR}
REPORTED = {"pairs": _TARS, "templates": _TARS, "lowres": {"rank_1": "rank_1"}}
"""The figures of a protocol that get an interval: name in JSON -> name in tables of figures."""

Key = tuple[str, str]
"""(benchmark, name in JSON)"""


@dataclass(frozen=True)
class Measured:
    """One model's figures."""

    plain: dict[str, dict[str, float]]
    """Every unweighted figure, by benchmark and name, as `compare` has them."""
    replicates: dict[Key, Float[np.ndarray, "r"]]
    """The reported ones under each replicate's weights."""


@dataclass(frozen=True)
class Gain:
    """One reported figure of one arm; fractions."""

    mean: float
    """Over splits and seeds."""
    gain: float
    """Mean minus that of the reference arm."""
    low: float
    """2.5 percentile of the gain over people and seeds."""
    high: float
    """97.5 percentile."""
    spread: float
    """Standard deviation of the gain over splits (n - 1); 0 for one split."""


def person_weights(
    people: list[str], num_replicates: int = NUM_REPLICATES
) -> dict[str, Float[np.ndarray, "r"]]:
    """Draws one exponential weight a replicate for each person, in the order of their names."""
    names = sorted(set(people))
    draws = numpy_generator(0, "people").exponential(size=(num_replicates, len(names)))
    return {name: draws[:, column] for column, name in enumerate(names)}


def measure_model(
    people: list[str],
    trials: dict[str, Trials],
    benchmarks: list[Benchmark],
    weights: dict[str, Float[np.ndarray, "r"]],
) -> Measured:
    """Computes all plain figures of a model and the reported ones under every replicate.

    Args:
        people: names of those it was tested on; trials name them by position.
        trials: by benchmark.
        benchmarks: which ones to measure.
        weights: of each person by name, as `person_weights` draws them.
    """
    own = np.stack([weights[name] for name in people], axis=1)
    own /= own.sum(axis=1, keepdims=True)
    plain: dict[str, dict[str, float]] = {}
    replicates: dict[Key, Float[np.ndarray, "r"]] = {}
    for benchmark in benchmarks:
        plain[benchmark.name] = plain_figures(trials[benchmark.name], len(people))
        weighed = _weighed_figures(trials[benchmark.name], own)
        for name, figure in REPORTED[benchmark.protocol].items():
            replicates[benchmark.name, name] = weighed[figure]
    return Measured(plain, replicates)


def weighed_tars(trials: pd.DataFrame, weights: Float[np.ndarray, "r p"]) -> Figures:
    """Returns TAR at each of `FARS` and their mean, as `verification_figures` does, but faster.

    All pairs of images of two people weigh the same, so counting them by threshold once makes
    each replicate a product of small matrices, however many images a person has. Thresholds are
    impostor scores: all of them, or from the highest down in steps of equal ratio of their rank;
    with millions of pairs the false-accept rate then stays at most 0.1 % of itself below the
    target.
    """
    is_same = trials["is_same"].to_numpy(dtype=bool)
    scores = trials["score"].to_numpy(dtype=np.float64)
    first, second = (trials[name].to_numpy() for name in ("person_a", "person_b"))
    num_people = weights.shape[1]
    ranked = np.sort(scores[~is_same])[::-1]
    if len(ranked) > MAX_THRESHOLDS:
        ranks = np.geomspace(1, len(ranked), MAX_THRESHOLDS).round().astype(np.int64)
        ranked = ranked[np.unique(ranks) - 1]
    thresholds = np.unique(ranked)[::-1]
    # The first threshold, highest first, that a score lies strictly above.
    passed = np.searchsorted(-thresholds, -scores, side="right")
    pair = np.minimum(first, second).astype(np.int64) * num_people + np.maximum(first, second)
    pairs, column = np.unique(pair[~is_same], return_inverse=True)
    genuine = _count(first[is_same], passed[is_same], num_people, len(thresholds))
    # A table of pairs of people by thresholds is nearly empty where there are many people.
    shape = (len(thresholds) + 1, len(pairs))
    impostor = coo_array((np.ones(len(column)), (passed[~is_same], column)), shape=shape).tocsr()
    tars = np.empty((len(weights), len(FARS)))
    most = max(1, min(_REPLICATES_PER_BLOCK, _WEIGHTS_PER_BLOCK // len(pairs)))
    for start in range(0, len(weights), most):
        block = weights[start : start + most]
        costs = block.T[pairs // num_people] * block.T[pairs % num_people]
        rates = np.ascontiguousarray((impostor @ costs).T).cumsum(axis=1)
        rates /= rates[:, -1:].copy()
        accepted = block @ genuine
        accepted /= accepted[:, -1:].copy()
        for row in range(len(block)):
            lowest = np.searchsorted(rates[row, :-1], FARS, side="right") - 1
            tars[start + row] = accepted[row, lowest]
    figures = {tar_name(far): tars[:, place] for place, far in enumerate(FARS)}
    return figures | {MEAN_TAR: tars.mean(axis=1)}


def reported_keys(benchmarks: list[Benchmark]) -> list[Key]:
    """Returns the figures with an interval, in the order of reports."""
    return [(item.name, name) for item in benchmarks for name in REPORTED[item.protocol]]


def compute_gains(
    arms: dict[str, list[list[Measured]]], reference: str, benchmarks: list[Benchmark]
) -> dict[str, dict[Key, Gain]]:
    """Compares every arm with the reference.

    Args:
        arms: by arm, then split, then seed; every arm has the same splits and number of seeds.
        reference: one of the arms; its own gains are 0.
        benchmarks: which ones to report.
    """
    gains: dict[str, dict[Key, Gain]] = {arm: {} for arm in arms}
    for key in reported_keys(benchmarks):
        values = {arm: _plain_values(splits, key, benchmarks) for arm, splits in arms.items()}
        drawn = {arm: _replicates(arm, splits, key) for arm, splits in arms.items()}
        for arm in arms:
            differences = (values[arm] - values[reference]).mean(axis=1)
            low, high = interval(drawn[arm] - drawn[reference])
            gains[arm][key] = Gain(
                mean=float(values[arm].mean()),
                gain=float(differences.mean()),
                low=low,
                high=high,
                spread=float(differences.std(ddof=1)) if len(differences) > 1 else 0.0,
            )
    return gains


def _weighed_figures(trials: Trials, weights: Float[np.ndarray, "r p"]) -> Figures:
    figures: Figures = {}
    if trials.verification is not None:
        figures |= weighed_tars(trials.verification, weights)
    if trials.identification is not None:
        figures |= identification_figures(trials.identification, weights)
    return figures


def _count(
    rows: Int[np.ndarray, "n"], passed: Int[np.ndarray, "n"], num_rows: int, num_thresholds: int
) -> Float[np.ndarray, "_ _"]:
    """Counts the trials of each row above each threshold; the last column counts all."""
    width = num_thresholds + 1
    counts = np.bincount(rows * width + passed, minlength=num_rows * width)
    return counts.reshape(num_rows, width).cumsum(axis=1).astype(np.float64)


def _plain_values(
    splits: list[list[Measured]], key: Key, benchmarks: list[Benchmark]
) -> Float[np.ndarray, "k s"]:
    name, metric = key
    protocol = next(item.protocol for item in benchmarks if item.name == name)
    figure = REPORTED[protocol][metric]
    return np.array([[measured.plain[name][figure] for measured in seeds] for seeds in splits])


def _replicates(arm: str, splits: list[list[Measured]], key: Key) -> Float[np.ndarray, "r"]:
    """Returns the arm's value in each replicate: seeds drawn split by split, then the mean."""
    means = []
    for split, seeds in enumerate(splits):
        figures = np.stack([measured.replicates[key] for measured in seeds])
        draws = draw_seeds(len(seeds), figures.shape[1], 0, f"{arm}-{split}")
        means.append(arm_replicates(figures, draws))
    return np.asarray(np.mean(means, axis=0))
