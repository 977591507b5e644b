"""Gains and intervals on simulated recognisers: against a loop, and how often they cover 0."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from auggen.measures.verification import rank_k, tar_at_far
from auggen.protocols.bootstrap import FARS, draw_seeds, verification_figures
from auggen.protocols.config import Benchmark
from auggen.protocols.trials import Trials
from studies.figures import (
    MAX_THRESHOLDS,
    NUM_REPLICATES,
    Measured,
    compute_gains,
    measure_model,
    person_weights,
    reported_keys,
    weighed_tars,
)
from tests.protocols.conftest import BENCHMARKS, Faces

BOTH = [Benchmark.model_validate(item) for item in BENCHMARKS if item["name"] != "templates"]
PAIRS = BOTH[:1]
SPLITS = [["ann", "bob", "cid", "dora"], ["dora", "eve", "bob", "fay", "gus"]]
ALL = [*SPLITS[0], *SPLITS[1]]


def one_model(faces: Faces) -> dict[str, Trials]:
    trials = faces.trials(faces.train(), search=True)
    return {"pairs": trials, "lowres": Trials(None, trials.identification)}


def measure(
    models: dict[str, list[list[dict[str, Trials]]]],
    weights: dict[str, Any],
    benchmarks: list[Benchmark],
    people: list[list[str]],
) -> dict[str, list[list[Measured]]]:
    return {
        arm: [
            [measure_model(names, trials, benchmarks, weights) for trials in seeds]
            for names, seeds in zip(people, splits, strict=True)
        ]
        for arm, splits in models.items()
    }


def slow_value(trials: dict[str, Trials], weights: list[float], metric: str) -> float:
    if metric == "rank_1":
        table = trials["lowres"].identification
        assert table is not None
        own = np.array([weights[person] for person in table["person"]])
        return rank_k(table["rank"].to_numpy(), 1, own)
    table = trials["pairs"].verification
    assert table is not None
    scores, same = table["score"].to_numpy(dtype=float), table["is_same"].to_numpy()
    pairs = zip(table["person_a"], table["person_b"], same, strict=True)
    own = np.array([weights[a] if is_same else weights[a] * weights[b] for a, b, is_same in pairs])
    fars = FARS if metric == "mean_tar" else [float(metric.removeprefix("tar_at_far_"))]
    tars = [tar_at_far(scores[same], scores[~same], far, own[same], own[~same]).tar for far in fars]
    return float(np.mean(tars))


def test_gains_agree_with_a_loop_over_replicates() -> None:
    """Two splits that share two people, two arms, three seeds."""
    worlds = [Faces(len(names), 4, seed) for seed, names in enumerate(SPLITS)]
    models = {
        arm: [[one_model(faces) for _ in range(3)] for faces in worlds] for arm in ("real", "new")
    }
    weights = person_weights(ALL, 25)
    assert list(weights) == sorted({name for names in SPLITS for name in names})
    gains = compute_gains(measure(models, weights, BOTH, SPLITS), "real", BOTH)
    assert list(gains["new"]) == reported_keys(BOTH)
    for key, gain in gains["new"].items():
        slow: dict[str, list[float]] = {}
        for arm, splits in models.items():
            slow[arm] = []
            for replicate in range(25):
                total = 0.0
                for split, seeds in enumerate(splits):
                    own = [weights[name][replicate] for name in SPLITS[split]]
                    chosen = draw_seeds(3, 25, 0, f"{arm}-{split}")[replicate]
                    values = [slow_value(seeds[seed], own, key[1]) for seed in chosen]
                    total += sum(values) / 3
                slow[arm].append(total / 2)
        differences = np.array(slow["new"]) - np.array(slow["real"])
        low, high = np.percentile(differences, [2.5, 97.5])
        assert (gain.low, gain.high) == pytest.approx((low, high), abs=1e-12), key
        equal = [
            [
                np.mean([slow_value(trials, [1.0] * 9, key[1]) for trials in models[arm][split]])
                for split in (0, 1)
            ]
            for arm in ("new", "real")
        ]
        per_split = np.subtract(*equal)
        assert gain.mean == pytest.approx(np.mean(equal[0]))
        assert gain.gain == pytest.approx(per_split.mean())
        assert gain.spread == pytest.approx(abs(per_split[0] - per_split[1]) / np.sqrt(2))
    for gain in gains["real"].values():
        assert (gain.gain, gain.low, gain.high, gain.spread) == (0, 0, 0, 0)


def test_counting_by_threshold_changes_nothing() -> None:
    faces = Faces(9, 5, seed=2)
    table = faces.trials(faces.train()).verification
    assert table is not None
    table["score"] = table["score"].round(2)  # ties
    weights = np.stack([*person_weights([str(i) for i in range(9)], 150).values()], axis=1)
    exact = verification_figures(table, weights)
    for name, values in weighed_tars(table.sample(frac=1, random_state=0), weights).items():
        np.testing.assert_allclose(values, exact[name], atol=1e-12)


def test_counting_block_by_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = Faces(9, 5, seed=2)
    table = faces.trials(faces.train()).verification
    assert table is not None
    table["score"] = table["score"].round(2)
    weights = np.stack([*person_weights([str(i) for i in range(9)], 150).values()], axis=1)
    whole = weighed_tars(table, weights)
    for size in (1, 700):
        monkeypatch.setattr("studies.figures._WEIGHTS_PER_BLOCK", size)
        for name, values in weighed_tars(table, weights).items():
            np.testing.assert_allclose(values, whole[name], atol=1e-12)


def test_memory_does_not_grow_with_pairs_of_people() -> None:
    people = 90
    faces = Faces(people, 3, seed=4)
    table = faces.trials(faces.train()).verification
    assert table is not None
    weights = np.stack([*person_weights([str(i) for i in range(people)], 20).values()], axis=1)
    tracemalloc.start()
    weighed_tars(table, weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (
        peak < people * (people - 1) / 2 * MAX_THRESHOLDS * 8 / 4
    )  # a quarter of a table of counts


def test_fewer_thresholds_change_little_and_never_for_the_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces = Faces(9, 20, seed=3)
    table = faces.trials(faces.train()).verification
    assert table is not None
    weights = np.stack([*person_weights([str(i) for i in range(9)], 50).values()], axis=1)
    exact = weighed_tars(table, weights)
    monkeypatch.setattr("studies.figures.MAX_THRESHOLDS", 1000)
    for name, values in weighed_tars(table, weights).items():
        assert (values <= exact[name] + 1e-12).all()
        assert values == pytest.approx(exact[name], abs=0.02)
        assert np.abs(values - exact[name]).mean() < 0.003


def test_weights_of_a_split_are_dirichlet_and_a_person_keeps_its_own() -> None:
    weights = person_weights(ALL)
    own = np.stack([weights[name] for name in SPLITS[1]], axis=1)
    assert own.shape == (NUM_REPLICATES, 5)
    shares = own / own.sum(axis=1, keepdims=True)
    assert shares.mean(axis=0) == pytest.approx([0.2] * 5, abs=0.02)
    assert shares.var() == pytest.approx(4 / (25 * 6), rel=0.1)
    assert person_weights(SPLITS[0] + SPLITS[1])["dora"] is not weights["dora"]
    assert (person_weights(SPLITS[1] + SPLITS[0])["dora"] == weights["dora"]).all()


@pytest.mark.parametrize(("num_splits", "num_seeds"), [(3, 1), (2, 3)])
def test_real_against_real_on_other_seeds_covers_zero(num_splits: int, num_seeds: int) -> None:
    covered, repeats = 0, 30
    for repeat in range(repeats):
        worlds = [Faces(10, 4, seed=100 * repeat + split) for split in range(num_splits)]
        people = [[f"{3 * split + i}" for i in range(10)] for split in range(num_splits)]
        weights = person_weights([name for names in people for name in names], 100)
        models = {
            arm: [[one_model(faces) for _ in range(num_seeds)] for faces in worlds]
            for arm in ("real", "again")
        }
        gain = compute_gains(measure(models, weights, PAIRS, people), "real", PAIRS)
        found = gain["again"]["pairs", "mean_tar"]
        covered += found.low <= 0 <= found.high
        assert found.high - found.low < 0.4, "covers by being empty of content"
    assert covered >= 0.9 * repeats


def test_a_better_recogniser_is_seen() -> None:
    faces = Faces(12, 4, seed=1)
    worse = faces.photographs + 1.5 * faces.random.normal(size=faces.photographs.shape)
    models = {
        "real": [[{"pairs": faces.trials(worse)}]],
        "better": [[{"pairs": faces.trials(faces.photographs)}]],
    }
    people = [[str(person) for person in range(12)]]
    measured = measure(models, person_weights(people[0], 200), PAIRS, people)
    assert compute_gains(measured, "real", PAIRS)["better"]["pairs", "mean_tar"].low > 0
