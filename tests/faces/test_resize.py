"""Crop and resize against a slow definition."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from auggen.faces.resize import _overlaps, crop_and_resize, enlarge, reduce_and_restore, shrink

brief = settings(deadline=None, max_examples=20)


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, height, width), dtype=torch.uint8, generator=generator)


def area_by_hand(image: Tensor, size: int) -> Tensor:
    """Pixel by pixel in exact fractions."""
    length = image.shape[-1]
    cut = Fraction(length, size)

    def overlap(new: int, old: int) -> Fraction:
        end, start = min((new + 1) * cut, old + 1), max(new * cut, old)
        return max(Fraction(0), Fraction(end - start))

    values = [
        [
            sum(
                overlap(y, row) * overlap(x, column) * int(image[0, row, column])
                for row in range(length)
                for column in range(length)
            )
            / cut**2
            for x in range(size)
        ]
        for y in range(size)
    ]
    return torch.tensor([[[int(v + Fraction(1, 2)) for v in row] for row in values]])


@brief
@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_shrinking_is_the_area_average(size: int, more: int, seed: int) -> None:
    image = random_image(size + more, size + more, seed)
    assert torch.equal(shrink(image, size).long(), area_by_hand(image, size))


def test_crop_is_centred() -> None:
    image = torch.arange(5 * 8).reshape(1, 5, 8).to(torch.uint8)
    assert torch.equal(crop_and_resize(image, 5), image[:, :, 1:6])
    assert torch.equal(crop_and_resize(image.transpose(1, 2), 5), image.transpose(1, 2)[:, 1:6])


def test_whole_factors_average_blocks() -> None:
    image = torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8)
    assert shrink(image, 1).item() == 1  # 0.5 rounds up
    large = random_image(12, 12)
    blocks = large.double().reshape(1, 4, 3, 4, 3).mean(dim=(2, 4))
    assert torch.equal(shrink(large, 4).double(), (blocks + 0.5).floor())


def test_blocks_of_rows_add_up() -> None:
    image = random_image(700, 700)
    weights = _overlaps(700, 9)
    exact = (weights @ image.double() @ weights.T / 700**2 + 0.5).floor()
    assert torch.equal(shrink(image, 9).double(), exact)


def test_a_large_photograph_is_never_float_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    double = Tensor.double

    def watched(self: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, self.numel())
        return double(self)

    monkeypatch.setattr(Tensor, "double", watched)
    crop_and_resize(random_image(2000, 2000), 16)
    assert 0 < largest < 2000 * 2000 / 4


def test_small_images_are_enlarged() -> None:
    flat = torch.full((3, 4, 6), 77, dtype=torch.uint8)
    assert torch.equal(crop_and_resize(flat, 9), torch.full((3, 9, 9), 77, dtype=torch.uint8))
    edge = torch.tensor([[[0, 0, 255, 255]] * 4], dtype=torch.uint8)
    row = enlarge(edge, 8)[0, 0].int()
    assert row[:3].max() < 30
    assert row[-3:].min() > 225


def test_low_resolution_loses_detail_and_keeps_size_and_brightness() -> None:
    image = random_image(16, 16)
    seen = reduce_and_restore(image, 4)
    assert seen.shape == image.shape
    assert seen.double().std() < image.double().std() / 2
    assert abs(seen.double().mean() - image.double().mean()) < 3
