"""Real against mixed on simulated recognisers."""

from typing import Any

import numpy as np
import pytest

from auggen.core.errors import UserError
from auggen.protocols.bootstrap import FARS, MEAN_TAR, tar_name
from auggen.protocols.compare import Comparison, compare_models
from auggen.protocols.config import CompareConfig, EvaluateConfig
from auggen.protocols.point import MEAN, Point
from auggen.protocols.results import Results
from tests.protocols.conftest import BENCHMARKS, Faces

CONFIG = CompareConfig(num_replicates=100, seed=0)


def settings(identities: str = "validation", **changes: Any) -> EvaluateConfig:
    content = {"identities": identities, "batch_size": 8, "flip": True, "benchmarks": BENCHMARKS}
    return EvaluateConfig.model_validate(content | changes)


def two_arms(num_seeds: int = 2) -> Results:
    faces = Faces(8, 4, seed=0)
    return faces.results(
        {arm: [faces.train() for _ in range(num_seeds)] for arm in ("real", "mixed")}
    )


def compare(results: Results, **changes: Any) -> Comparison:
    num_seeds = len(results.trials["pairs"]["real"])
    return compare_models(results, list(range(num_seeds)), settings(**changes), CONFIG)


def find(comparison: Comparison, benchmark: str, metric: str, arm: str, seed: str) -> Point:
    (point,) = [
        point
        for point in comparison.points
        if (point.benchmark, point.metric, point.arm, point.seed) == (benchmark, metric, arm, seed)
    ]
    return point


def test_every_model_arm_and_gain_has_every_figure() -> None:
    comparison = compare(two_arms())
    tars = [tar_name(far) for far in FARS]
    metrics = {
        "pairs": [*tars, MEAN_TAR, "eer", "accuracy_10_fold"],
        "templates": [*tars, MEAN_TAR, "eer", "rank_1", "rank_5"],
        "lowres": ["rank_1", "rank_5"],
    }
    expected = {
        (benchmark, metric, arm, seed)
        for benchmark, names in metrics.items()
        for metric in names
        for arm, seeds in (
            ("real", ("0", "1", MEAN)),
            ("mixed", ("0", "1", MEAN)),
            ("gain", (MEAN,)),
        )
        for seed in seeds
    }
    expected |= {("pairs", "accuracy_std", arm, s) for arm in ("real", "mixed") for s in "01"}
    found = [(p.benchmark, p.metric, p.arm, p.seed) for p in comparison.points]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_means_are_plain_and_the_gain_is_their_difference() -> None:
    comparison = compare(two_arms())
    for point in comparison.points:
        if point.seed != MEAN or point.arm == "gain":
            continue
        where = (comparison, point.benchmark, point.metric)
        seeds = [find(*where, point.arm, seed).value for seed in ("0", "1")]
        assert point.value == np.mean(seeds)
        arms = [find(*where, arm, MEAN).value for arm in ("mixed", "real")]
        gain = find(*where, "gain", MEAN)
        assert gain.value == arms[0] - arms[1]
        if point.metric != "accuracy_10_fold":
            assert gain.low is not None
            assert gain.high is not None
            assert gain.low <= gain.high


def test_headlines_are_one_figure_of_each_benchmark_that_says_so() -> None:
    two = [*BENCHMARKS[:2], BENCHMARKS[2] | {"headline": False}]
    comparison = compare(two_arms(), benchmarks=two)
    headlines = {(p.benchmark, p.metric) for p in comparison.points if p.headline}
    assert headlines == {("pairs", MEAN_TAR), ("templates", "tar_at_far_1e-2")}
    assert ("lowres", "rank_1") in {
        (p.benchmark, p.metric) for p in compare(two_arms()).points if p.headline
    }


def test_operating_points_say_what_they_let_pass() -> None:
    results = two_arms()
    comparison = compare(results)
    table = results.trials["pairs"]["real"][0].verification
    assert table is not None
    impostors = table.loc[~table["is_same"], "score"].to_numpy(dtype=np.float64)
    for far in FARS:
        point = find(comparison, "pairs", tar_name(far), "real", "0")
        assert point.expected_false_accepts == pytest.approx(far * len(impostors))
        assert point.false_accepts == (impostors > point.threshold).sum()
        assert point.false_accepts <= point.expected_false_accepts


def test_the_same_models_in_both_arms_gain_exactly_nothing() -> None:
    faces = Faces(8, 4, seed=0)
    models = [faces.train() for _ in range(3)]
    comparison = compare(faces.results({"real": models, "mixed": models}))
    gains = [point for point in comparison.points if point.arm == "gain"]
    assert len(gains) > 20
    assert all(point.value == 0 for point in gains)
    assert all(point.low <= 0 <= point.high for point in gains if point.low is not None)


def test_the_same_single_model_has_an_empty_interval_and_a_warning() -> None:
    faces = Faces(8, 4, seed=0)
    models = [faces.train()]
    comparison = compare(faces.results({"real": models, "mixed": models}))
    gains = [point for point in comparison.points if point.arm == "gain"]
    assert {(point.low, point.high) for point in gains} == {(0.0, 0.0), (None, None)}
    assert any("`seeds` lists 1" in warning for warning in comparison.warnings)


def test_better_models_gain() -> None:
    faces = Faces(12, 4, seed=0)
    arms = {"real": [faces.train() for _ in range(3)]}
    arms["mixed"] = [0.3 * model + 0.7 * faces.photographs for model in arms["real"]]
    point = find(compare(faces.results(arms)), "pairs", MEAN_TAR, "gain", MEAN)
    assert point.value > 0
    assert point.low is not None
    assert point.low > 0


def test_the_roc_is_the_mean_over_seeds() -> None:
    results = two_arms()
    comparison = compare(results)
    roc = comparison.roc
    arms = ["pairs_real", "pairs_mixed", "templates_real", "templates_mixed"]
    assert list(roc.columns) == ["log10_far", *arms]
    assert (roc[arms].diff().dropna() >= 0).all(axis=None)
    assert (roc[arms].iloc[-1] == 1).all()
    at_1e_2 = roc[np.isclose(roc["log10_far"], -2)]["pairs_mixed"].item()
    assert at_1e_2 == find(comparison, "pairs", "tar_at_far_1e-2", "mixed", MEAN).value


def test_a_headline_on_too_few_test_people_is_refused() -> None:
    with pytest.raises(UserError, match=r"`pairs`.* FAR 0\.001.* only 0\.448 .*`headline: false`"):
        compare(two_arms(), identities="test")


def test_on_validation_too_few_people_are_a_warning() -> None:
    warnings = compare(two_arms(num_seeds=3)).warnings
    assert len(warnings) == 2
    assert "`templates` is a headline at FAR 0.01, where only 4.48" in warnings[1]


def test_what_is_no_headline_needs_no_number_of_people() -> None:
    benchmarks = [item | {"headline": item["name"] == "lowres"} for item in BENCHMARKS]
    results = two_arms(num_seeds=3)
    assert not compare(results, identities="test", benchmarks=benchmarks).warnings


def test_enough_test_people_pass() -> None:
    faces = Faces(30, 5, seed=0)  # 10,875 impostor pairs
    results = faces.results({arm: [faces.train()] * 3 for arm in ("real", "mixed")})
    assert not compare(results, identities="test").warnings
