"""Augmentation: off means untouched, a row is its own, and each kind does what it says."""

import pytest
import torch

from auggen.recognition.augmentation import augment, draw_augmentation
from auggen.recognition.config import AugmentConfig

OFF = {"flip": 0.0, "crop": 0.0, "affine": 0.0, "photometric": 0.0, "lowres": 0.0, "erase": 0.0}


def _images(n=6, c=1, side=16):
    return torch.rand(n, c, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _draws(n=6):
    return draw_augmentation(n, torch.Generator().manual_seed(2))


def test_nothing_asked_nothing_done():
    images = _images()
    got = augment(images, _draws(), AugmentConfig(**OFF))
    torch.testing.assert_close(got, images, atol=1e-5, rtol=0)


def test_flip_mirrors():
    images = _images()
    got = augment(images, _draws(), AugmentConfig(**{**OFF, "flip": 1.0}))
    torch.testing.assert_close(got, images.flip(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", sorted(OFF))
@pytest.mark.parametrize("channels", [1, 3])
def test_each_kind_changes_images_within_range(kind, channels):
    images = _images(c=channels)
    got = augment(images, _draws(), AugmentConfig(**{**OFF, kind: 1.0}))
    assert not torch.allclose(got, images, atol=1e-3)
    assert got.min() >= -1.0001
    assert got.max() <= 1.0001


def test_a_row_depends_on_its_own_image_and_draws_alone():
    config = AugmentConfig(**dict.fromkeys(OFF, 0.7))
    images, draws = _images(), _draws()
    together = augment(images, draws, config)
    for k in range(len(images)):
        alone = augment(images[k : k + 1], draws[k : k + 1], config)
        torch.testing.assert_close(alone[0], together[k], atol=1e-6, rtol=0)
