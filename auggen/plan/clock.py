"""How long things take: warm-up first, then enough repeats to be worth reading."""

import time
from collections.abc import Callable
from statistics import median

SECONDS = 4.0
"""About how long a measurement takes after its warm-up, unless one repeat takes longer."""
_SHORT = 2
_LONGER = 4
_MAX_REPEATS = 50


def time_once(work: Callable[[], object]) -> float:
    """Returns the seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def time_call(work: Callable[[], object]) -> float:
    """Returns the median seconds of a call, after one that is not counted."""
    work()
    times = [time_once(work)]
    while sum(times) < SECONDS and len(times) < _MAX_REPEATS:
        times.append(time_once(work))
    return median(times)


def time_updates(train: Callable[[int], object]) -> tuple[float, float]:
    """Times a training that is told its number of updates.

    A short and a longer training differ by whole updates alone, so their difference gives an
    update, and what is left of the short one is what a training costs once.

    Returns:
        Seconds once, seconds of an update.
    """
    train(_SHORT)
    short = time_once(lambda: train(_SHORT))
    extra = _LONGER if short < SECONDS * _LONGER else 1
    while True:
        longer = time_once(lambda: train(_SHORT + extra))  # noqa: B023  # called at once
        update = max(longer - short, 1e-6) / extra
        if longer - short > SECONDS / 2 or extra >= _MAX_REPEATS:
            return max(0.0, short - _SHORT * update), update
        extra = min(_MAX_REPEATS, max(2 * extra, round(SECONDS / update)))
