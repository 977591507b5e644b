"""Verification and identification figures, plain or with a weight per pair; a tie never helps.

Letters: g genuine pairs, i impostor pairs, r weightings (rows), f false-accept rates, n pairs,
p probes, q gallery images, d embedding dimensions, k folds, t thresholds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

IntArray = npt.NDArray[np.integer[Any]]

FOLD_THRESHOLDS: npt.NDArray[np.float64] = np.arange(0, 4, 0.01)
"""The squared distances (of unit vectors) that 10-fold accuracy chooses among."""

_PROBES_PER_BLOCK = 1024


@dataclass(frozen=True)
class RankedScores:
    """Scores of genuine and impostor pairs, sorted once and then weighed many times."""

    genuine_order: Int[np.ndarray, "g"]
    """Positions of the genuine pairs among those given, highest score first."""
    impostor_order: Int[np.ndarray, "i"]
    """The same for the impostor pairs."""
    impostor_scores: Float[np.ndarray, "i"]
    """Impostor scores, highest first."""
    genuine_above: Int[np.ndarray, "i"]
    """For each impostor, highest first: the number of genuine scores strictly above it."""


@dataclass(frozen=True)
class OperatingPoint:
    """A true-accept rate with the threshold that gives it."""

    tar: float
    """Share of genuine pairs accepted, in [0, 1]."""
    threshold: float
    """A pair is accepted if and only if its score lies strictly above; -inf accepts all."""
    false_accepts: int
    """Number of impostor pairs accepted at that threshold."""


def rank_scores(genuine: Float[np.ndarray, "g"], impostor: Float[np.ndarray, "i"]) -> RankedScores:
    """Sorts both kinds of scores (higher = more alike).

    Raises:
        ValueError: a kind is empty or a score is not finite.
    """
    if not len(genuine) or not len(impostor):
        raise ValueError(f"{len(genuine)} genuine and {len(impostor)} impostor pairs: need both")
    if not (np.isfinite(genuine).all() and np.isfinite(impostor).all()):
        raise ValueError("a score is NaN or infinite")
    genuine_order = np.argsort(-genuine, kind="stable")
    impostor_order = np.argsort(-impostor, kind="stable")
    impostor_scores = impostor[impostor_order]
    ascending = genuine[genuine_order[::-1]]
    genuine_above = len(genuine) - np.searchsorted(ascending, impostor_scores, side="right")
    return RankedScores(genuine_order, impostor_order, impostor_scores, genuine_above)


def cumulate(weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, "r n"]:
    """Returns the running share of the total weight along each row; with equal weights k / n."""
    shares = np.cumsum(weights, axis=1, dtype=np.float64)
    shares /= shares[:, -1:].copy()
    return shares


def _share_above(genuine_shares: Float[np.ndarray, "r g"]) -> Float[np.ndarray, "r g+1"]:
    """Puts a column of zeros first, so that column c is the share of the c best genuine pairs."""
    return np.concatenate([np.zeros((len(genuine_shares), 1)), genuine_shares], axis=1)


def tars_at_fars(
    ranked: RankedScores,
    genuine_shares: Float[np.ndarray, "r g"],
    impostor_shares: Float[np.ndarray, "r i"],
    fars: Float[np.ndarray, "f"],
) -> tuple[Float[np.ndarray, "r f"], Int[np.ndarray, "r f"]]:
    """Largest true-accept rate whose false-accept rate is at most the target, per row of weights.

    Accepting all scores strictly above v has the false-accept rate "share of impostors above v".
    The lowest admissible v is the highest impostor score whose inclusion would exceed the target;
    impostors tied with it are all rejected, so a tie never helps.

    Args:
        ranked: the sorted scores.
        genuine_shares: `cumulate` of genuine weights in `ranked.genuine_order`.
        impostor_shares: `cumulate` of impostor weights in `ranked.impostor_order`.
        fars: targets in [0, 1].

    Returns:
        The true-accept rates, and the position (highest first) of the first impostor that the
        target shuts out; it equals i, the number of impostors, where all are accepted.
    """
    stops = np.stack([np.searchsorted(row, fars, side="right") for row in impostor_shares])
    accepted = np.append(ranked.genuine_above, genuine_shares.shape[1])[stops]
    return np.take_along_axis(_share_above(genuine_shares), accepted, axis=1), stops


def equal_error_rates(
    ranked: RankedScores,
    genuine_shares: Float[np.ndarray, "r g"],
    impostor_shares: Float[np.ndarray, "r i"],
) -> Float[np.ndarray, "r"]:
    """Smallest rate that false accepts and false rejects both stay within at one threshold.

    min over thresholds v of max(FAR(v), FRR(v)); it is enough to look at impostor scores v.
    """
    false_rejects = 1 - _share_above(genuine_shares)[:, ranked.genuine_above]
    np.maximum(false_rejects[:, 1:], impostor_shares[:, :-1], out=false_rejects[:, 1:])
    return np.asarray(false_rejects.min(axis=1))


def tar_at_far(
    genuine: Float[np.ndarray, "g"],
    impostor: Float[np.ndarray, "i"],
    far: float,
    genuine_weights: Float[np.ndarray, "g"] | None = None,
    impostor_weights: Float[np.ndarray, "i"] | None = None,
) -> OperatingPoint:
    """Largest TAR with FAR <= `far`, the threshold, and the number of impostors it accepts.

    Raises:
        ValueError: no genuine or no impostor pair, or a score that is not finite.
    """
    ranked = rank_scores(genuine, impostor)
    weights_g = np.ones(len(genuine)) if genuine_weights is None else genuine_weights
    weights_i = np.ones(len(impostor)) if impostor_weights is None else impostor_weights
    tars, stops = tars_at_fars(
        ranked,
        cumulate(weights_g[None, ranked.genuine_order]),
        cumulate(weights_i[None, ranked.impostor_order]),
        np.array([far]),
    )
    return operating_point(ranked, float(tars[0, 0]), int(stops[0, 0]))


def operating_point(ranked: RankedScores, tar: float, stop: int) -> OperatingPoint:
    """Adds threshold and achieved false accepts to one entry of what `tars_at_fars` returns."""
    scores = ranked.impostor_scores
    if stop == len(scores):
        return OperatingPoint(tar, float("-inf"), len(scores))
    above = int(np.searchsorted(-scores, -scores[stop], side="left"))
    return OperatingPoint(tar, float(scores[stop]), above)


def ten_fold_accuracy(
    distances: Float[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
    folds: Int[np.ndarray, "n"],
) -> Float[np.ndarray, "k"]:
    """Accuracy on each fold at the threshold that is best on all the other folds (LFW protocol).

    A pair counts as the same person if and only if its squared distance is below the threshold;
    of several best thresholds in `FOLD_THRESHOLDS` the first is taken. As everyone reports it:
    the mean over folds, with the population standard deviation.

    Args:
        distances: squared distances of L2-normalised embeddings, in [0, 4].
        is_same: whether both images show one person.
        folds: fold of each pair; any number of folds >= 2 serves.
    """
    names, best, correct, sizes = _best_thresholds(distances, is_same, folds)
    return np.asarray(correct[np.arange(len(names)), best] / sizes)


def fold_thresholds(
    distances: Float[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
    folds: Int[np.ndarray, "n"],
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """Returns the folds, ascending, and which of `FOLD_THRESHOLDS` each gets from the others."""
    return _best_thresholds(distances, is_same, folds)[:2]


def _best_thresholds(
    distances: Float[np.ndarray, "n"], is_same: Bool[np.ndarray, "n"], folds: Int[np.ndarray, "n"]
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Folds, their thresholds, pairs judged rightly at each threshold, pairs."""
    names = np.unique(folds)
    correct = np.empty((len(names), len(FOLD_THRESHOLDS)), dtype=np.int64)
    sizes = np.empty(len(names), dtype=np.int64)
    for row, name in enumerate(names):
        same = np.sort(distances[(folds == name) & is_same].astype(np.float64))
        different = np.sort(distances[(folds == name) & ~is_same].astype(np.float64))
        sizes[row] = len(same) + len(different)
        correct[row] = np.searchsorted(same, FOLD_THRESHOLDS, side="left") + len(different)
        correct[row] -= np.searchsorted(different, FOLD_THRESHOLDS, side="left")
    best = np.argmax(correct.sum(axis=0) - correct, axis=1)
    return names, best, correct, sizes


def best_mate_ranks(
    probes: Float[np.ndarray, "p d"],
    gallery: Float[np.ndarray, "q d"],
    probe_labels: Int[np.ndarray, "p"],
    gallery_labels: Int[np.ndarray, "q"],
) -> Int[np.ndarray, "p"]:
    """Number of other people's gallery scores at or above the best mate's: 0 is a rank-1 hit.

    Scores are dot products. A tie counts against the probe (so a network that maps all faces to
    one point scores nothing); a probe without a mate has rank q, never a hit.
    """
    ranks = np.empty(len(probes), dtype=np.int64)
    for start in range(0, len(probes), _PROBES_PER_BLOCK):
        block = slice(start, start + _PROBES_PER_BLOCK)
        scores = probes[block] @ gallery.T
        mates = probe_labels[block, None] == gallery_labels
        best = np.where(mates, scores, -np.inf).max(axis=1, keepdims=True)
        others = ((scores >= best) & ~mates).sum(axis=1)
        ranks[block] = np.where(mates.any(axis=1), others, len(gallery))
    return ranks


def rank_k(ranks: Int[np.ndarray, "p"], k: int, weights: Float[np.ndarray, "p"]) -> float:
    """Weighted share of probes with fewer than k wrong gallery images at or above the best mate."""
    return float(weights[ranks < k].sum() / weights.sum())
