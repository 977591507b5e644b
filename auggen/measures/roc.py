"""TAR at FAR of very many pairs: only the impostors at the top are sorted.

Letters: g genuine pairs, i impostor pairs, f false-accept rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

TarDefinition = Literal["at_most", "nearest", "interpolated"]
"""Largest TAR with FAR at most the target; TAR of the ROC point nearest to the target, which may
exceed it (scikit-learn's `roc_curve` and argmin, as in the usual IJB scripts); or a straight line
between the two points around the target."""

_SPARE = 1.25
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RocPoint:
    """A true-accept rate and what it cost."""

    tar: float
    """Share of genuine pairs accepted, in [0, 1]."""
    false_accepts: int
    """Impostor pairs accepted there; of an interpolated point, those of the point below."""


def tars_at_low_fars(
    genuine: Float[np.ndarray, "g"],
    impostor: Float[np.ndarray, "i"],
    fars: Sequence[float],
    definition: TarDefinition,
    *,
    num_impostors: int | None = None,
) -> list[RocPoint]:
    """Returns the true-accept rate at each false-accept rate; a tie never helps.

    Args:
        genuine: scores, higher = more alike, in any order.
        impostor: the same; entries beyond `num_impostors` are -inf placeholders.
        fars: targets in [0, 1].
        definition: what "TAR at FAR" means.
        num_impostors: number of impostors, if `impostor` holds placeholders.

    Raises:
        ValueError: a kind is empty or a score is not a number.
    """
    total = len(impostor) if num_impostors is None else num_impostors
    if not len(genuine) or not total:
        raise ValueError(f"{len(genuine)} genuine and {total} impostor pairs: need both")
    if np.isnan(np.dot(genuine, genuine)) or np.isnan(impostor.max()):
        raise ValueError("a score is NaN")
    if definition == "at_most":
        return _at_most(np.sort(genuine), impostor, fars, total)
    size = min(total, int(max(fars) * total * _SPARE) + 1000)
    while True:
        top = np.sort(top_scores(impostor, size))
        accepts, hits = _roc_counts(np.sort(genuine), top, whole=size == total)
        points = [_pick(accepts, hits, far, total, len(genuine), definition) for far in fars]
        # A point beyond the sorted part could be nearer than the one found.
        reach = [abs(p.false_accepts / total - far) for p, far in zip(points, fars, strict=True)]
        known = accepts[-1] / total
        if size == total or all(far + r < known for far, r in zip(fars, reach, strict=True)):
            return points
        size = min(total, 2 * size)


def _at_most(
    genuine: npt.NDArray[Any], impostor: npt.NDArray[Any], fars: Sequence[float], total: int
) -> list[RocPoint]:
    """Accepts what lies strictly above the first impostor that would exceed the target."""
    allowed = [_whole_share(far, total) for far in fars]
    top = np.sort(top_scores(impostor, min(total, max(allowed) + 1)))
    points = []
    for count in allowed:
        threshold = top[len(top) - 1 - count] if count < total else -np.inf
        hits = len(genuine) - int(np.searchsorted(genuine, threshold, side="right"))
        accepts = len(top) - int(np.searchsorted(top, threshold, side="right"))
        points.append(RocPoint(hits / len(genuine), accepts))
    return points


def _whole_share(far: float, total: int) -> int:
    """Returns the largest k with k / total <= far, in float64 as everybody compares them."""
    count = min(total, int(far * total) + 1)
    while count / total > far:
        count -= 1
    return count


def top_scores(scores: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Returns the `size` largest scores in no order."""
    if size >= len(scores):
        return scores
    return np.partition(scores, len(scores) - size)[len(scores) - size :]


def _roc_counts(
    genuine: npt.NDArray[Any], top: npt.NDArray[Any], *, whole: bool
) -> tuple[Counts, Counts]:
    """Impostors and genuine pairs at or above each distinct score, from (0, 0) on.

    Both arrays are ascending. Unless `top` is the whole, its lowest score is left out: some of
    those tied with it may be missing.
    """
    merged = np.concatenate([genuine, top])
    merged.sort()
    thresholds = merged[np.append(True, merged[1:] != merged[:-1])][::-1]
    if not whole:
        thresholds = thresholds[thresholds > top[0]]
    accepts = len(top) - np.searchsorted(top, thresholds, side="left")
    hits = len(genuine) - np.searchsorted(genuine, thresholds, side="left")
    return np.append(0, accepts), np.append(0, hits)


def _pick(
    accepts: Counts, hits: Counts, far: float, total: int, num_genuine: int, how: TarDefinition
) -> RocPoint:
    below = int(np.searchsorted(accepts / total, far, side="right")) - 1
    if how == "interpolated":
        above = min(below + 1, len(accepts) - 1)
        # The highest point over the next false-accept count is not on the line: the first is.
        width = (accepts[above] - accepts[below]) / total
        part = (far - accepts[below] / total) / width if width else 0.0
        tar = (hits[below] + part * (hits[above] - hits[below])) / num_genuine
        return RocPoint(float(tar), int(accepts[below]))
    # roc_curve drops points on a straight line, and only then puts (0, 0) first.
    corners = np.ones(len(accepts), dtype=bool)
    corners[2:-1] = (np.diff(accepts[1:], 2) != 0) | (np.diff(hits[1:], 2) != 0)
    distance = np.abs(accepts[corners] / total - far)
    last = len(distance) - 1 - int(np.argmin(distance[::-1]))  # of equals the one accepting more
    return RocPoint(hits[corners][last] / num_genuine, int(accepts[corners][last]))
