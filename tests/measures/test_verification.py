"""The fast figures against slow, independent ones in plain loops."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auggen.measures.verification import (
    best_mate_ranks,
    cumulate,
    equal_error_rates,
    rank_k,
    rank_scores,
    tar_at_far,
    tars_at_fars,
    ten_fold_accuracy,
)

Array = npt.NDArray[np.float64]

# Few distinct scores, so that ties abound; weights whose sums are exact in binary.
SCORES = st.lists(st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=12)
WEIGHTS = st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=12, max_size=12)
FARS = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 1.0])


def slow_rates(
    genuine: Array, impostor: Array, w_g: Array, w_i: Array
) -> list[tuple[float, float, float]]:
    """(FAR, TAR, threshold) at every threshold that makes a difference; accept above it."""
    rates = []
    for threshold in [-np.inf, *sorted({*genuine, *impostor})]:
        far = sum(w for s, w in zip(impostor, w_i, strict=True) if s > threshold) / sum(w_i)
        tar = sum(w for s, w in zip(genuine, w_g, strict=True) if s > threshold) / sum(w_g)
        rates.append((float(far), float(tar), float(threshold)))
    return rates


@settings(max_examples=200, deadline=None)
@given(SCORES, SCORES, WEIGHTS, WEIGHTS, FARS)
def test_tar_at_far_is_the_best_admissible_threshold(
    genuine: list[float], impostor: list[float], w_g: list[float], w_i: list[float], far: float
) -> None:
    g, i = np.array(genuine), np.array(impostor)
    weights = np.array(w_g[: len(g)]), np.array(w_i[: len(i)])
    slow = [(t, f) for f, t, _ in slow_rates(g, i, *weights) if f <= far]
    point = tar_at_far(g, i, far, *weights)
    assert point.tar == max(tar for tar, _ in slow)
    assert point.false_accepts == (i > point.threshold).sum()
    assert weights[1][i > point.threshold].sum() / weights[1].sum() <= far
    assert weights[0][g > point.threshold].sum() / weights[0].sum() == point.tar


@settings(max_examples=200, deadline=None)
@given(SCORES, SCORES, WEIGHTS, WEIGHTS)
def test_equal_error_rate_is_the_least_that_both_errors_stay_within(
    genuine: list[float], impostor: list[float], w_g: list[float], w_i: list[float]
) -> None:
    g, i = np.array(genuine), np.array(impostor)
    weights = np.array(w_g[: len(g)]), np.array(w_i[: len(i)])
    slow = min(max(far, 1 - tar) for far, tar, _ in slow_rates(g, i, *weights))
    ranked = rank_scores(g, i)
    fast = equal_error_rates(
        ranked,
        cumulate(weights[0][None, ranked.genuine_order]),
        cumulate(weights[1][None, ranked.impostor_order]),
    )
    assert fast[0] == pytest.approx(slow, abs=1e-15)


def test_every_row_of_weights_gets_its_own_threshold() -> None:
    generator = np.random.default_rng(0)
    g, i = generator.normal(1, 1, 40), generator.normal(0, 1, 90)
    w_g, w_i = generator.exponential(size=(5, 40)), generator.exponential(size=(5, 90))
    fars = np.array([0.01, 0.05, 0.3])
    ranked = rank_scores(g, i)
    shares = cumulate(w_g[:, ranked.genuine_order]), cumulate(w_i[:, ranked.impostor_order])
    tars, stops = tars_at_fars(ranked, *shares, fars)
    assert len({*stops[:, 1]}) > 1
    for row in range(5):
        for column, far in enumerate(fars):
            slow = max(t for f, t, _ in slow_rates(g, i, w_g[row], w_i[row]) if f <= far)
            assert tars[row, column] == pytest.approx(slow, abs=1e-12)


def test_a_target_that_is_met_exactly_is_admissible() -> None:
    impostor = np.arange(100.0)
    for far in (0.01, 0.07, 0.29, 0.57):
        assert tar_at_far(np.array([1000.0]), impostor, far).false_accepts == round(100 * far)


def test_a_constant_embedding_scores_nothing() -> None:
    same = np.zeros(10)
    assert tar_at_far(same, same, 0.5).tar == 0
    points = np.ones((4, 3))
    labels = np.array([0, 0, 1, 1])
    assert (best_mate_ranks(points, points, labels, labels) > 0).all()


@pytest.mark.parametrize(
    "genuine, impostor", [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])]
)
def test_missing_or_broken_scores_are_refused(genuine: list[float], impostor: list[float]) -> None:
    with pytest.raises(ValueError):
        tar_at_far(np.array(genuine), np.array(impostor), 0.1)


def slow_ten_fold(
    distances: Array, is_same: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]
) -> list[float]:
    """The protocol as everyone writes it: every threshold on every pair."""
    thresholds = np.arange(0, 4, 0.01)
    accuracies = []
    for fold in sorted(set(folds.tolist())):
        others = folds != fold
        best_threshold, best = 0.0, -1.0
        for threshold in thresholds:
            accuracy = float(np.mean((distances < threshold)[others] == is_same[others]))
            if accuracy > best:
                best_threshold, best = threshold, accuracy
        accuracies.append(float(np.mean((distances < best_threshold)[~others] == is_same[~others])))
    return accuracies


@pytest.mark.parametrize("seed", range(6))
def test_ten_fold_accuracy_is_bit_identical_to_the_slow_protocol(seed: int) -> None:
    generator = np.random.default_rng(seed)
    is_same = np.tile([True] * 6 + [False] * 6, 10)
    distances = np.clip(np.where(is_same, 1.0, 1.5) + generator.normal(0, 0.4, 120), 0, 4)
    if seed % 2:  # distances on the thresholds themselves: many ties
        distances = np.round(distances, 1 + seed // 4)
    folds = np.repeat(np.arange(10), 12)
    fast = ten_fold_accuracy(distances, is_same, folds)
    assert fast.tolist() == slow_ten_fold(distances, is_same, folds)


def test_perfect_distances_give_perfect_accuracy() -> None:
    is_same = np.tile([True, False], 20)
    accuracy = ten_fold_accuracy(np.where(is_same, 0.1, 3.0), is_same, np.repeat(np.arange(10), 4))
    assert accuracy.tolist() == [1.0] * 10


def test_ranks_agree_with_a_loop_with_ties_and_absent_mates() -> None:
    generator = np.random.default_rng(0)
    probes = generator.integers(-1, 2, (60, 3)).astype(np.float64)
    gallery = generator.integers(-1, 2, (15, 3)).astype(np.float64)
    probe_labels, gallery_labels = generator.integers(0, 6, 60), generator.integers(0, 5, 15)
    fast = best_mate_ranks(probes, gallery, probe_labels, gallery_labels)
    looked_at = {"tie": 0, "absent": 0}
    for row, (probe, label) in enumerate(zip(probes, probe_labels, strict=True)):
        scores = [float(np.dot(probe, face)) for face in gallery]
        mates = [s for s, other in zip(scores, gallery_labels, strict=True) if other == label]
        others = [s for s, other in zip(scores, gallery_labels, strict=True) if other != label]
        slow = sum(s >= max(mates) for s in others) if mates else len(gallery)
        looked_at["absent"] += not mates
        looked_at["tie"] += bool(mates) and max(mates) in others
        assert fast[row] == slow
    assert min(looked_at.values()) > 3


def test_ranks_do_not_depend_on_the_number_of_probes() -> None:
    generator = np.random.default_rng(0)
    probes, gallery = generator.normal(size=(2500, 4)), generator.normal(size=(10, 4))
    labels, names = np.arange(2500) % 10, np.arange(10)
    ranks = best_mate_ranks(probes, gallery, labels, names)
    one = best_mate_ranks(probes[2000:2001], gallery, labels[2000:2001], names)
    assert ranks[2000] == one[0]


def test_rank_k_weighs_probes() -> None:
    ranks = np.array([0, 1, 4, 5])
    assert rank_k(ranks, 1, np.ones(4)) == 0.25
    assert rank_k(ranks, 5, np.ones(4)) == 0.75
    assert rank_k(ranks, 5, np.array([1.0, 1, 1, 5])) == 3 / 8
