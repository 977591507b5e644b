"""Real against mixed: means over seeds, gains, and intervals over people and seeds.

Letters: r replicates, p people, s seeds.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int

from auggen.core.errors import UserError
from auggen.measures.verification import operating_point
from auggen.protocols.bootstrap import (
    FARS,
    MEAN_TAR,
    Figures,
    arm_replicates,
    draw_seeds,
    identification_figures,
    mean_points,
    person_weights,
    plain_tars,
    tar_name,
    verification_figures,
)
from auggen.protocols.compare_external import external_points
from auggen.protocols.config import Benchmark, CompareConfig, EvaluateConfig
from auggen.protocols.pairs import ACCURACY_STD
from auggen.protocols.point import Point
from auggen.protocols.results import ARMS, Results
from auggen.protocols.trials import Trials

HEADLINES = {"pairs": MEAN_TAR, "templates": tar_name(1e-2), "lowres": "rank_1"}
"""The figure of each protocol that is its headline."""
LOWEST_FARS = {"pairs": 1e-3, "templates": 1e-2}
"""The lowest false-accept rate in the headline of a protocol."""
MIN_FALSE_ACCEPTS = 10.0
"""Impostors that must be expected to pass at a headline's operating point."""
MIN_SEEDS = 3
"""With fewer, a bootstrap over seeds understates how much trainings differ."""
HELD_OUT = {"validation": "validation people", "test": "test people"}
"""Whose figures those of a benchmark without a test set are, by `evaluate.identities`."""
_TOO_FEW = "too few people to publish, fine for development"
_MORE_PEOPLE = (
    "hold out more people (`prepare.test`) or set `headline: false` for it in "
    "`evaluate.benchmarks` of params.yaml"
)
ROC_FARS: npt.NDArray[np.float64] = np.logspace(-3, 0, 61)


@dataclass(frozen=True)
class Comparison:
    """Everything that `compare` publishes."""

    points: list[Point]
    roc: pd.DataFrame
    """log10_far, then the mean TAR of each benchmark and arm, `<benchmark>_<arm>`."""
    people: str
    """On whom the other benchmarks were run: `test people` or `validation people`."""
    conditions: dict[str, str]
    """How each test set of the field was run, and what of the training set is in it."""
    warnings: list[str]
    """Why a headline is too thin to publish."""
    overlap: dict[str, dict[str, int]] = field(default_factory=dict)
    """The same as counts by sign, see `overlap`."""


def compare_models(
    results: Results, seeds: list[int], evaluate: EvaluateConfig, config: CompareConfig
) -> Comparison:
    """Computes every figure for every seed, its means over seeds, the gains and the intervals.

    Values are plain: no weights. Intervals come from replicates that share one weight a person
    among all models and draw seeds with replacement, each arm on its own.

    Raises:
        UserError: a headline on test people expects fewer than 10 false accepts.
    """
    warnings = [
        message
        for benchmark in evaluate.held_out
        if (message := _too_few_people(benchmark, results, evaluate.identities == "test"))
    ]
    if len(seeds) < MIN_SEEDS:
        warnings.append(
            f"`seeds` lists {len(seeds)}: an interval from fewer than {MIN_SEEDS} is too narrow "
            "where trainings differ a lot"
        )
    num_people = len(results.people)
    weights = person_weights(num_people, config.num_replicates, config.seed)
    draws = {arm: draw_seeds(len(seeds), config.num_replicates, config.seed, arm) for arm in ARMS}
    points: list[Point] = []
    roc = {"log10_far": np.log10(ROC_FARS)}
    for benchmark in evaluate.held_out:
        models = results.trials[benchmark.name]
        for arm in ARMS:
            for seed, trials in zip(seeds, models[arm], strict=True):
                points += _seed_points(benchmark, arm, str(seed), trials, num_people)
        points += _mean_points(benchmark, models, weights, draws)
        if all(trials.verification is not None for arm in ARMS for trials in models[arm]):
            roc |= {f"{benchmark.name}_{arm}": _mean_roc(models[arm]) for arm in ARMS}
    points += external_points(evaluate.external, results.external, seeds, config)
    conditions, overlap = results.conditions(), results.overlap()
    people = HELD_OUT[evaluate.identities]
    return Comparison(points, pd.DataFrame(roc), people, conditions, warnings, overlap)


def all_figures(trials: Trials, weights: Float[np.ndarray, "r p"]) -> Figures:
    """Returns the figures of one model that person weights act on, by name."""
    figures: Figures = {}
    if trials.verification is not None:
        figures |= verification_figures(trials.verification, weights)
    if trials.identification is not None:
        figures |= identification_figures(trials.identification, weights)
    return figures


def plain_figures(trials: Trials, num_people: int) -> dict[str, float]:
    """Returns all unweighted figures of one model; those without an interval come last."""
    equal = np.ones((1, num_people))
    figures = {name: float(value[0]) for name, value in all_figures(trials, equal).items()}
    return figures | trials.figures


def _too_few_people(benchmark: Benchmark, results: Results, is_error: bool) -> str | None:
    """Returns a warning, or raises, if a headline rests on too few impostor pairs."""
    trials = results.trials[benchmark.name][ARMS[0]][0].verification
    if trials is None:
        return None
    message = _tell_accepts(benchmark, int((~trials["is_same"].to_numpy(dtype=bool)).sum()))
    if message and is_error:
        raise UserError(f"{message}; {_MORE_PEOPLE}")
    return f"{message}: {_TOO_FEW}" if message else None


def check_headlines(
    evaluate: EvaluateConfig, counts: Sequence[int], images_per_template: int
) -> str:
    """Refuses test people that `compare` would, from the number of images of each.

    Returns:
        What to warn of while validation people are evaluated; "" if nothing.

    Raises:
        UserError: headlines on test people that expect fewer than 10 false accepts; names all.
    """
    each = np.array(counts, dtype=np.int64)
    units = {"pairs": each, "templates": each // images_per_template}
    messages = [
        _tell_accepts(row, int(count.sum() ** 2 - (count**2).sum()) // 2, float(count.mean()))
        for row in evaluate.held_out
        if (count := units.get(row.protocol)) is not None
    ]
    found = "; ".join(message for message in messages if message)
    if found and evaluate.identities == "test":
        raise UserError(f"{found}; {_MORE_PEOPLE}")
    return f"the test people: {found}; {_MORE_PEOPLE}" if found else ""


def _tell_accepts(benchmark: Benchmark, impostors: int, each: float = 0.0) -> str | None:
    """Returns what is wrong if a headline rests on too few impostor pairs.

    With the mean number of images or templates of a person also how many people would do.
    """
    far = LOWEST_FARS.get(benchmark.protocol)
    if not benchmark.headline or far is None or far * impostors >= MIN_FALSE_ACCEPTS:
        return None
    return (
        f"`{benchmark.name}` is a headline at FAR {far:g}, where only {far * impostors:g} false "
        f"accepts are expected ({MIN_FALSE_ACCEPTS:g} are needed{_tell_people(far, each)})"
    )


def _tell_people(far: float, each: float) -> str:
    """Returns how many people of `each` images or templates expect false accepts enough."""
    if not each:
        return ""
    pairs = MIN_FALSE_ACCEPTS / far / each**2  # of people: n (n - 1) / 2
    return f": about {math.ceil(0.5 + math.sqrt(0.25 + 2 * pairs))} people"


def _seed_points(
    benchmark: Benchmark, arm: str, seed: str, trials: Trials, num_people: int
) -> Iterator[Point]:
    """Yields the figures of one model, with what happened at its operating points."""
    operating: dict[str, tuple[int, float, float]] = {}
    if trials.verification is not None:
        ranked, tars, stops = plain_tars(trials.verification, FARS)
        for far, tar, stop in zip(FARS, tars, stops, strict=True):
            achieved = operating_point(ranked, float(tar), int(stop))
            expected = float(far) * len(ranked.impostor_scores)
            operating[tar_name(far)] = (achieved.false_accepts, expected, achieved.threshold)
    for name, value in plain_figures(trials, num_people).items():
        yield Point(
            benchmark.name,
            name,
            _is_headline(benchmark, name),
            arm,
            seed,
            value,
            None,
            None,
            *operating.get(name, (None, None, None)),
        )


def _mean_points(
    benchmark: Benchmark,
    models: dict[str, list[Trials]],
    weights: Float[np.ndarray, "r p"],
    draws: dict[str, Int[np.ndarray, "r s"]],
) -> Iterator[Point]:
    """Yields each arm's mean over seeds and the gain, with intervals."""
    plain = {
        arm: [plain_figures(trials, weights.shape[1]) for trials in models[arm]] for arm in ARMS
    }
    replicates: dict[str, Figures] = {}
    for arm in ARMS:
        per_seed = [all_figures(trials, weights) for trials in models[arm]]
        replicates[arm] = {
            name: arm_replicates(np.stack([figures[name] for figures in per_seed]), draws[arm])
            for name in per_seed[0]
        }
    for name in (name for name in plain[ARMS[0]][0] if name != ACCURACY_STD):
        means = {arm: float(np.mean([figures[name] for figures in plain[arm]])) for arm in ARMS}
        spread = {arm: replicates[arm][name] for arm in ARMS if name in replicates[arm]}
        headline = _is_headline(benchmark, name)
        yield from mean_points(benchmark.name, name, means, spread, is_headline=headline)


def _is_headline(benchmark: Benchmark, metric: str) -> bool:
    return benchmark.headline and metric == HEADLINES[benchmark.protocol]


def _mean_roc(models: list[Trials]) -> Float[np.ndarray, "f"]:
    """Returns the mean over seeds of TAR at each of `ROC_FARS`."""
    tables = [trials.verification for trials in models if trials.verification is not None]
    return np.asarray(np.mean([plain_tars(table, ROC_FARS)[1] for table in tables], axis=0))
