"""Figures of listed pairs and groups: against a loop over replicates, and in little memory."""

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from auggen.measures.verification import tar_at_far
from auggen.protocols import listed_pairs
from auggen.protocols.groups import run_groups
from auggen.protocols.listed_pairs import (
    FARS,
    fold_correct,
    run_listed_pairs,
    squared_distances,
)
from auggen.protocols.outcome import unit_weights

Array = npt.NDArray[Any]
People = tuple[Array, Array] | None


def simulate(num_pairs: int, num_people: int = 100) -> tuple[Array, Array, Array, Any]:
    """Distances, is_same and folds of pairs in a tenth of which both images show one person."""
    draw = np.random.default_rng(num_pairs)
    is_same = np.arange(num_pairs) % 10 < 1 + num_pairs % 10
    first = draw.integers(num_people, size=num_pairs)
    second = np.where(is_same, first, (first + draw.integers(1, num_people)) % num_people)
    distances = np.clip(np.where(is_same, 0.9, 1.7) + draw.normal(0, 0.4, num_pairs), 0, 4).round(2)
    return distances, is_same, np.arange(num_pairs) * 10 // num_pairs, (first, second)


def slow_weights(people: People, is_same: Array, num_replicates: int) -> Array:
    """The weight of every pair in every replicate [r n], all at once."""
    if people is None:
        return unit_weights("x", len(is_same), num_replicates)
    weights = unit_weights("x", 1 + int(max(map(np.max, people))), num_replicates)
    return weights[:, people[0]] * np.where(is_same, 1.0, weights[:, people[1]])


def test_interval_over_people_holds_the_value() -> None:
    """Though pairs of two people weigh little."""
    draw = np.random.default_rng(0)
    is_same = np.tile(np.repeat([True, False], 30), 10)
    first = draw.integers(100, size=600)
    second = np.where(is_same, first, 100 + draw.integers(100, size=600))
    # a quarter of the genuine pairs is far, no impostor is near
    distances = np.where(is_same & (draw.random(600) > 0.26), 0.5, 1.5)
    folds = np.repeat(np.arange(10), 60)
    outcome = run_listed_pairs("lfw", distances, is_same, folds, (first, second), 500)
    low, high = np.percentile(outcome.replicates["accuracy"], [2.5, 97.5])
    assert low < outcome.figures["accuracy"] < high
    assert high - low < 0.08


@pytest.fixture(params=[1, 2500, 500_000])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one replicate, of a few and of all."""
    monkeypatch.setattr(listed_pairs, "_ELEMENTS_PER_BLOCK", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("named", [True, False])
def test_listed_pairs_agree_with_a_loop(named: bool) -> None:
    distances, is_same, folds, both = simulate(600)
    people = both if named else None
    found = run_listed_pairs("x", distances, is_same, folds, people, 23).replicates
    correct = fold_correct(distances, is_same, folds)
    for row, own in enumerate(slow_weights(people, is_same, 23)):
        slow = sum(
            kind.mean() * own[kind & correct].sum() / own[kind].sum()
            for kind in (is_same, ~is_same)
        )
        assert found["accuracy"][row] == pytest.approx(slow, abs=1e-12)
        for far, name in zip(FARS, ("1e-3", "1e-2", "1e-1"), strict=True):
            scores = -distances[is_same], -distances[~is_same]
            point = tar_at_far(*scores, far, own[is_same], own[~is_same])
            assert found[f"tar_at_far_{name}"][row] == point.tar


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("named", [True, False])
def test_groups_agree_with_a_loop(named: bool) -> None:
    distances, is_same, folds, both = simulate(600)
    people = both if named else None
    groups = np.array([f"g{k}" for k in np.arange(600) // 10 % 3])
    outcome = run_groups("x", distances, is_same, folds, groups.tolist(), people, 0.1, 23)
    accepted = distances < -float(outcome.facts["threshold"])
    for row, own in enumerate(slow_weights(people, is_same, 23)):
        fairness = 1.0
        for kind, chosen, wrong in (("fmr", ~is_same, accepted), ("fnmr", is_same, ~accepted)):
            rates = []
            for group in ("g0", "g1", "g2"):
                part = chosen & (groups == group)
                rates.append(own[part & wrong].sum() / own[part].sum())
                found = outcome.replicates[f"{kind}.{group}"][row]
                assert found == pytest.approx(rates[-1], abs=1e-12)
            fairness -= (max(rates) - min(rates)) / 2
        assert outcome.replicates["fdr"][row] == pytest.approx(fairness, abs=1e-12)


@pytest.mark.parametrize("named", [True, False])
def test_memory_does_not_grow_with_replicates(named: bool) -> None:
    distances, is_same, folds, both = simulate(50_000, 2000)
    people = both if named else None
    groups = [f"g{k // 10 % 2}" for k in range(50_000)]
    tracemalloc.start()
    run_listed_pairs("x", distances, is_same, folds, people, 200)
    run_groups("x", distances, is_same, folds, groups, people, 0.1, 200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000 * 200 * 8 / 2  # half of one table of weights


def test_distances_of_many_pairs_take_no_table_of_differences() -> None:
    draw = np.random.default_rng(0)
    embeddings = torch.from_numpy(draw.normal(size=(50, 64)).astype(np.float32))
    first, second = draw.integers(50, size=(2, 40_000))
    tracemalloc.start()
    found = squared_distances(embeddings, first, second)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000 * 64 * 8  # one such table
    unit = embeddings.numpy().astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    assert (found == np.square(unit[first] - unit[second]).sum(axis=1)).all()
