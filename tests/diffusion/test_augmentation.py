"""Labelled augmentation: nothing where the label is zero, and what the label says elsewhere."""

import pytest
import torch

from auggen.diffusion.augmentation import NUM_AUGMENTS, augment_images, draw_augmentations

FLIP, ZOOM, STRETCH, ROTATION, SHIFT_X, SHIFT_Y, BRIGHTNESS, CONTRAST = range(NUM_AUGMENTS)


def _vector(kind: int, value: float) -> torch.Tensor:
    vector = torch.zeros(1, NUM_AUGMENTS)
    vector[0, kind] = value
    return vector


@pytest.fixture
def image() -> torch.Tensor:
    """A bright square left of the middle and above it."""
    picture = torch.full((1, 1, 32, 32), -1.0)
    picture[:, :, 8:12, 4:8] = 1.0
    return picture


def _centre(picture: torch.Tensor) -> tuple[float, float]:
    mass = (picture[0, 0] + 1.0).clamp(min=0.0)
    steps = torch.arange(32.0)
    return float((mass.sum(1) * steps).sum() / mass.sum()), float(
        (mass.sum(0) * steps).sum() / mass.sum()
    )


def test_zero_vector_changes_nothing_bit_for_bit() -> None:
    images = torch.randn(5, 3, 12, 12)
    assert torch.equal(augment_images(images, torch.zeros(5, NUM_AUGMENTS)), images)


def test_untouched_rows_of_a_touched_batch_stay_bit_for_bit() -> None:
    images, vectors = torch.randn(6, 1, 12, 12), torch.zeros(6, NUM_AUGMENTS)
    vectors[::2] = torch.randn(3, NUM_AUGMENTS)
    changed = augment_images(images, vectors)
    assert torch.equal(changed[1::2], images[1::2])
    assert not torch.equal(changed[::2], images[::2])


def test_flip_is_the_mirror(image: torch.Tensor) -> None:
    assert torch.equal(augment_images(image, _vector(FLIP, 1.0)), image.flip(3))


@pytest.mark.parametrize("kind", [SHIFT_X, SHIFT_Y])
def test_shift_moves_the_centre_of_mass(kind: int, image: torch.Tensor) -> None:
    before, after = _centre(image), _centre(augment_images(image, _vector(kind, 0.5)))
    moved = [b - a for a, b in zip(before, after, strict=True)]
    along, across = (moved[1], moved[0]) if kind == SHIFT_X else moved
    assert along == pytest.approx(-0.5 * 0.12 * 16, abs=0.1)
    assert across == pytest.approx(0.0, abs=0.05)


def test_zoom_scales_the_area(image: torch.Tensor) -> None:
    middle = torch.roll(image, (6, 10), (2, 3))
    zoomed = augment_images(middle, _vector(ZOOM, 2.0))
    ratio = float((zoomed + 1).sum() / (middle + 1).sum())
    assert ratio == pytest.approx(2.0 ** (2 * 2 * 0.15), rel=0.05)


def test_stretch_keeps_the_area_and_rotation_the_distance(image: torch.Tensor) -> None:
    middle = torch.roll(image, (6, 10), (2, 3))
    stretched = augment_images(middle, _vector(STRETCH, 2.0))
    assert float((stretched + 1).sum()) == pytest.approx(float((middle + 1).sum()), rel=0.05)
    before, after = _centre(image), _centre(augment_images(image, _vector(ROTATION, 1.0)))

    def radius(point: tuple[float, float]) -> float:
        return ((point[0] - 15.5) ** 2 + (point[1] - 15.5) ** 2) ** 0.5

    assert before != pytest.approx(after, abs=0.5)
    assert radius(before) == pytest.approx(radius(after), abs=0.1)


def test_brightness_adds_and_contrast_multiplies(image: torch.Tensor) -> None:
    assert torch.allclose(augment_images(image, _vector(BRIGHTNESS, 1.0)), image + 0.15)
    assert torch.allclose(augment_images(image, _vector(CONTRAST, 1.0)), image * 2**0.25)


def test_draws_follow_the_probability() -> None:
    vectors = draw_augmentations(5000, 0.2, torch.Generator().manual_seed(0))
    share = (vectors != 0).float().mean(dim=0)
    assert share[FLIP] == pytest.approx(0.5, abs=0.03)
    assert share[1:].tolist() == pytest.approx([0.2] * (NUM_AUGMENTS - 1), abs=0.03)
    assert vectors[:, 1:].abs().max() <= 2.0
    assert not draw_augmentations(100, 0.0, torch.Generator().manual_seed(0)).any()
