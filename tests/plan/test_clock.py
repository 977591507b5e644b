"""Timings on a clock that the test moves."""

import pytest

from auggen.plan import clock


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Clock:
    mine = Clock()
    monkeypatch.setattr(clock.time, "perf_counter", mine)
    return mine


@pytest.mark.parametrize(("once", "update"), [(3.0, 0.5), (0.1, 0.001), (0.0, 40.0)])
def test_an_update_and_what_a_training_costs_once(moved: Clock, once: float, update: float) -> None:
    calls: list[int] = []

    def train(steps: int) -> None:
        warming = 7.0 if not calls else 0.0
        calls.append(steps)
        moved.now += once + steps * update + warming

    assert clock.time_updates(train) == pytest.approx((once, update), abs=1e-6)
    assert max(calls) <= 60


def test_the_first_call_does_not_count(moved: Clock) -> None:
    durations = iter([9.0, 2.0, 1.0, 3.0, 9.0])

    def work() -> None:
        moved.now += next(durations)

    assert clock.time_call(work) == 2.0
