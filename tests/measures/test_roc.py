"""TAR at low FAR, in three definitions, against the plain way over all thresholds."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auggen.measures import roc
from auggen.measures.roc import tars_at_low_fars
from auggen.measures.verification import tar_at_far

Array = npt.NDArray[Any]
FARS = [1e-3, 1e-2, 1e-1, 0.3, 1.0]


def slow_curve(genuine: Array, impostor: Array) -> tuple[Array, Array]:
    """roc_curve as scikit-learn documents it: every distinct score, then without straight parts."""
    score = np.concatenate([genuine, impostor]).astype(np.float64)
    label = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    order = np.argsort(score, kind="stable")[::-1]
    score, label = score[order], label[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    hits = np.cumsum(label)[last]
    accepts = 1 + last - hits
    if len(accepts) > 2:
        corner = np.append(
            np.append(True, np.logical_or(np.diff(accepts, 2), np.diff(hits, 2))), True
        )
        accepts, hits = accepts[corner], hits[corner]
    accepts, hits = np.append(0, accepts), np.append(0, hits)
    return accepts / accepts[-1], hits / hits[-1]


def slow_nearest(genuine: Array, impostor: Array, far: float) -> float:
    """As the usual IJB scripts read the curve."""
    fpr, tpr = (np.flipud(values) for values in slow_curve(genuine, impostor))
    return float(tpr[min(zip(abs(fpr - far), range(len(fpr)), strict=True))[1]])


def slow_at_most(genuine: Array, impostor: Array, far: float) -> float:
    cuts = [np.inf, *impostor, -np.inf]
    return float(max(np.mean(genuine > cut) for cut in cuts if np.mean(impostor > cut) <= far))


def slow_interpolated(genuine: Array, impostor: Array, far: float) -> float:
    cuts = sorted({*genuine.tolist(), *impostor.tolist()}, reverse=True)
    points = [(0.0, 0.0)] + [
        (float(np.mean(impostor >= c)), float(np.mean(genuine >= c))) for c in cuts
    ]
    below = [point for point in points if point[0] <= far][-1]
    above = next((point for point in points if point[0] > far), below)
    width = above[0] - below[0]
    return below[1] + (far - below[0]) / width * (above[1] - below[1]) if width else below[1]


SLOW = {"nearest": slow_nearest, "at_most": slow_at_most, "interpolated": slow_interpolated}


@pytest.mark.parametrize("definition", SLOW)
@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_agrees_with_the_plain_way(definition: Any, decimals: int) -> None:
    random = np.random.default_rng(decimals)
    for _ in range(8):
        genuine = random.normal(1.5, 1, random.integers(1, 40)).round(decimals).astype(np.float32)
        impostor = random.normal(0, 1, random.integers(1, 120)).round(decimals).astype(np.float32)
        found = tars_at_low_fars(genuine, impostor, FARS, definition)
        for far, point in zip(FARS, found, strict=True):
            expected = SLOW[definition](genuine, impostor, far)
            assert point.tar == pytest.approx(expected, abs=1e-12), (
                far,
                len(genuine),
                len(impostor),
            )


@settings(max_examples=60, deadline=None)
@given(
    genuine=st.lists(st.integers(0, 8), min_size=1, max_size=12),
    impostor=st.lists(st.integers(-4, 6), min_size=1, max_size=30),
    far=st.sampled_from(FARS),
)
def test_agrees_under_many_ties(genuine: list[int], impostor: list[int], far: float) -> None:
    g, i = np.array(genuine, np.float32), np.array(impostor, np.float32)
    for definition, slow in SLOW.items():
        found = tars_at_low_fars(g, i, [far], definition)[0]  # type: ignore[arg-type]
        assert found.tar == pytest.approx(slow(g, i, far), abs=1e-12), definition
    at_most = tar_at_far(g.astype(np.float64), i.astype(np.float64), far)
    point = tars_at_low_fars(g, i, [far], "at_most")[0]
    assert (point.tar, point.false_accepts) == (at_most.tar, at_most.false_accepts)


@pytest.mark.parametrize("definition", SLOW)
def test_only_the_top_is_sorted(definition: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    genuine = random.normal(3, 1, 500).astype(np.float32)
    impostor = random.normal(0, 1, 200_000).astype(np.float32)
    sizes = []

    def note(scores: Array, size: int) -> Array:
        sizes.append(size)
        return top_scores(scores, size)

    top_scores = roc.top_scores
    monkeypatch.setattr(roc, "top_scores", note)
    fars = [1e-5, 1e-4, 1e-3]
    found = tars_at_low_fars(genuine, impostor, fars, definition)
    assert max(sizes) < 6000
    whole = tars_at_low_fars(genuine, impostor, [*fars, 1.0], definition)[:3]
    assert found == whole


def test_placeholders_are_no_impostors() -> None:
    genuine = np.array([0.5, 0.7], np.float32)
    impostor = np.array([0.6, -np.inf, 0.1, -np.inf, 0.2], np.float32)
    for far in FARS:
        left = tars_at_low_fars(genuine, impostor, [far], "at_most", num_impostors=3)
        right = tars_at_low_fars(genuine, impostor[[0, 2, 4]], [far], "at_most")
        assert left == right


@pytest.mark.parametrize(
    "genuine, impostor", [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan])]
)
def test_missing_or_broken_scores_are_refused(genuine: list[float], impostor: list[float]) -> None:
    with pytest.raises(ValueError):
        tars_at_low_fars(np.array(genuine), np.array(impostor), [0.1], "at_most")
