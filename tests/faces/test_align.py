"""Alignment against least squares by numpy and a loop over pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import grid_sample

from auggen.core.errors import UserError
from auggen.faces import align
from auggen.faces.align import TEMPLATE, align_face, fit_similarity
from benchmarks.decode_align import _warp, umeyama

brief = settings(deadline=None, max_examples=12)


def fit_by_lstsq(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Matrix [2 3] of u = p x - q y + r, v = q x + p y + t."""
    rows, values = [], []
    for (x, y), (u, v) in zip(points, targets, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    p, q, r, t = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([[p, -q, r], [q, p, t]])


def align_by_loop(image: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Float values [c s s], pixel by pixel."""
    matrix = fit_by_lstsq(points, TEMPLATE * size / 112)
    back = np.linalg.inv(matrix[:, :2])
    channels, height, width = image.shape
    found = np.zeros((channels, size, size))
    for v in range(size):
        for u in range(size):
            x, y = back @ (np.array([u, v]) - matrix[:, 2])
            for column in (math.floor(x), math.floor(x) + 1):
                for row in (math.floor(y), math.floor(y) + 1):
                    if 0 <= column < width and 0 <= row < height:
                        share = (1 - abs(x - column)) * (1 - abs(y - row))
                        found[:, v, u] += share * image[:, row, column]
    return found


def points_of(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    angle, scale = draw.uniform(-3, 3), draw.uniform(0.1, 0.6)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = draw.uniform(0, 30, 2)
    return (TEMPLATE - 56) @ turn.T + centre + draw.normal(0, 1.5, (5, 2))


@brief
@given(st.integers(0, 9999))
def test_fit_is_least_squares(seed: int) -> None:
    points = points_of(seed)
    scale, shift = fit_similarity(points, TEMPLATE)
    matrix = fit_by_lstsq(points, TEMPLATE)
    ours = [[scale.real, -scale.imag, shift.real], [scale.imag, scale.real, shift.imag]]
    assert np.allclose(ours, matrix, atol=1e-9)


def test_fit_never_mirrors() -> None:
    scale, _ = fit_similarity(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det([[scale.real, -scale.imag], [scale.imag, scale.real]]) > 0


@brief
@given(
    st.integers(0, 9999), st.sampled_from([1, 3]), st.integers(3, 30), st.integers(3, 30),
    st.integers(8, 24),
)  # fmt: skip
def test_against_the_loop(seed: int, channels: int, height: int, width: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (channels, height, width), dtype=np.uint8)
    points = points_of(seed)
    found = align_face(torch.from_numpy(image), points, size).numpy()
    exact = align_by_loop(image, points, size)
    near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-3
    assert (np.abs(found - exact) <= 0.501).all()
    assert np.array_equal(found[~near_half], np.floor(exact + 0.5)[~near_half])


def test_a_large_box_is_gone_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (3, 60, 50), dtype=np.uint8)
    points = points_of(1)
    whole = align_face(torch.from_numpy(image), points, 24)
    assert np.abs(whole.numpy() - align_by_loop(image, points, 24)).max() <= 0.501
    boxes = []

    def watched(box: torch.Tensor, *places: torch.Tensor, **options: bool) -> torch.Tensor:
        boxes.append(box.numel())
        return grid_sample(box, *places, **options)

    monkeypatch.setattr(align, "grid_sample", watched)
    monkeypatch.setattr(align, "_LARGEST", 40)
    assert torch.equal(align_face(torch.from_numpy(image), points, 24), whole)
    assert len(boxes) > 4
    assert max(boxes) <= 40


def test_far_away_is_black() -> None:
    white = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    for points in (TEMPLATE * 1e30, TEMPLATE + 1e12, TEMPLATE * [1e15, 1] + 1e15):
        assert align_face(white, points, 16).max() == 0


@pytest.mark.parametrize("size", [112, 224, 56])
def test_an_aligned_face_stays(size: int) -> None:
    image = torch.arange(3 * 224 * 224).reshape(3, 224, 224).mul(7).to(torch.uint8)
    image = image[:, :size, :size].contiguous()
    assert torch.equal(align_face(image, TEMPLATE * size / 112, size), image)


def test_black_outside() -> None:
    white = torch.full((1, 20, 20), 255, dtype=torch.uint8)
    moved = align_face(white, TEMPLATE - [200, 0], 112)
    assert moved.max() == 0
    half = align_face(torch.full((1, 112, 112), 200, dtype=torch.uint8), TEMPLATE - [0.5, 0], 112)
    assert half[0, :, 0].tolist() == [100] * 112
    assert (half[0, :, 1:] == 200).all()


def test_one_point_is_refused() -> None:
    with pytest.raises(UserError, match="fit no face"):
        fit_similarity(np.full((5, 2), 7.0), TEMPLATE)


def test_the_benchmarks_peer_does_the_same() -> None:
    points = TEMPLATE * 1.3 + 20 + np.random.default_rng(0).normal(0, 3, (5, 2))
    matrix = umeyama(points, TEMPLATE)
    assert np.allclose(matrix[:2], fit_by_lstsq(points, TEMPLATE))
    smooth = np.add.outer(np.arange(200), np.arange(200))[..., None] // np.array([2, 3, 4])
    image = torch.from_numpy(smooth.astype(np.uint8)).permute(2, 0, 1)
    theirs = _warp(smooth / 255.0, np.linalg.inv(matrix))
    ours = align_face(image, points, 112).permute(1, 2, 0).numpy()
    assert np.abs(ours.astype(int) - theirs).max() <= 1
