"""TAR under weights of people against a loop over sorted pairs."""

import numpy as np
import pytest

from auggen.protocols import ijb_bootstrap
from auggen.protocols.ijb_bootstrap import impostor_mass, people_of_templates, weighted_tars


def slow_tar(  # type: ignore[no-untyped-def]
    genuine, genuine_people, impostor, first, second, weights, far: float
) -> float:
    """The largest TAR over all cuts whose weighted FAR is at most the target."""
    costs = weights[first] * weights[second]
    own = weights[genuine_people]
    best = 0.0
    for cut in [*np.unique(impostor), -np.inf]:
        if costs[impostor > cut].sum() / costs.sum() <= far:
            best = max(best, float(own[genuine > cut].sum() / own.sum()))
    return best


@pytest.mark.parametrize("decimals", [1, 7])
@pytest.mark.parametrize("step", [3, 1024])
def test_agrees_with_a_loop(decimals: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ijb_bootstrap, "_PAIRS_PER_STEP", step)
    monkeypatch.setattr(ijb_bootstrap, "_PEOPLE_PER_BLOCK", 4)
    random = np.random.default_rng(decimals)
    genuine = random.normal(1.5, 1, 60).round(decimals).astype(np.float32)
    impostor = random.normal(0, 1, 900).round(decimals).astype(np.float32)
    people = random.integers(0, 9, 60)
    first, second = random.integers(0, 9, 900), random.integers(0, 9, 900)
    weights = random.dirichlet(np.ones(9), size=12)
    fars = (0.002, 0.01, 0.1, 0.7)
    found = weighted_tars(genuine, people, impostor, first, second, weights, fars)
    for row in range(12):
        for column, far in enumerate(fars):
            slow = slow_tar(genuine, people, impostor, first, second, weights[row], far)
            assert found[row, column] == pytest.approx(slow, abs=1e-12)


def test_mass_is_the_sum_over_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 10, 500), random.integers(0, 10, 500)
    weights = random.dirichlet(np.ones(10), size=4)
    slow = (weights[:, first] * weights[:, second]).sum(axis=1)
    for size in (3, 10, 1024):
        monkeypatch.setattr(ijb_bootstrap, "_PEOPLE_PER_BLOCK", size)
        np.testing.assert_allclose(impostor_mass(first, second, weights), slow, rtol=1e-12)


def test_genuine_pairs_tell_people_apart() -> None:
    first, second = np.array([0, 3, 5, 1]), np.array([3, 4, 6, 2])
    people = people_of_templates(first, second, np.array([True, True, True, False]), 8)
    assert people[0] == people[3] == people[4]
    assert people[5] == people[6]
    assert len(set(people)) == 5
