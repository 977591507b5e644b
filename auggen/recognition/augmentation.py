"""Batched augmentation of training images; every draw comes from one named random stream.

Letters: n images, c channels, h = w pixels.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from auggen.recognition.config import AugmentConfig

NUM_DRAWS = 21


def draw_augmentation(num: int, generator: torch.Generator) -> Float[Tensor, "n u"]:
    """Returns the uniform [0, 1) numbers that decide everything done to each of `num` images."""
    return torch.rand(num, NUM_DRAWS, generator=generator)


def augment(
    images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n u"], config: AugmentConfig
) -> Float[Tensor, "n c h w"]:
    """Augments images in [-1, 1]; row k depends on image k and draws[k] alone."""
    images = _photometric(images, draws, config.photometric)
    images = _geometric(images, draws, config)
    images = _lowres(images, draws, config.lowres)
    return _erase(images, draws, config.erase)


def _between(draw: Float[Tensor, " n"], low: float, high: float) -> Float[Tensor, " n"]:
    return low + (high - low) * draw


def _photometric(
    images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n u"], probability: float
) -> Float[Tensor, "n c h w"]:
    """Contrast about the image's mean, brightness, and a linear light gradient across the face."""
    active = (draws[:, 0] < probability).float()
    contrast = 1 + active * (_between(draws[:, 1], 0.6, 1.4) - 1)
    brightness = active * _between(draws[:, 2], -0.3, 0.3)
    slope = active * _between(draws[:, 3], 0.0, 0.4)
    angle = 2 * math.pi * draws[:, 4]
    axis = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    ramp = (slope * angle.cos())[:, None, None] * axis + (slope * angle.sin())[
        :, None, None
    ] * axis[:, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    out = (images - mean) * contrast[:, None, None, None] + mean
    return (out + brightness[:, None, None, None] + ramp[:, None]).clamp(-1, 1)


def _geometric(
    images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n u"], config: AugmentConfig
) -> Float[Tensor, "n c h w"]:
    """Mirror, random window and affine map as one bilinear resampling (border replicated)."""
    mirror = torch.where(draws[:, 5] < config.flip, -1.0, 1.0)
    cropped = (draws[:, 6] < config.crop).float()
    window = 1 + cropped * (_between(draws[:, 7], 0.6, 1.0) - 1)
    shift_x = (1 - window) * _between(draws[:, 8], -1.0, 1.0)
    shift_y = (1 - window) * _between(draws[:, 9], -1.0, 1.0)
    moved = (draws[:, 10] < config.affine).float()
    angle = moved * _between(draws[:, 11], -1.0, 1.0) * math.radians(12)
    zoom = window * (1 + moved * _between(draws[:, 12], -0.1, 0.1))
    shift_x = shift_x + moved * _between(draws[:, 13], -0.16, 0.16)
    shift_y = shift_y + moved * _between(draws[:, 14], -0.16, 0.16)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    row_x = torch.stack([cos * mirror, -sin, shift_x], dim=1)
    row_y = torch.stack([sin * mirror, cos, shift_y], dim=1)
    grid = F.affine_grid(
        torch.stack([row_x, row_y], dim=1), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _lowres(
    images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n u"], probability: float
) -> Float[Tensor, "n c h w"]:
    """Area reduction to 25, 37.5, 50 or 75 % of the side, bilinear back."""
    out, side = images.clone(), images.shape[-1]
    choice = (draws[:, 16] * 4).long()
    for index, fraction in enumerate((0.25, 0.375, 0.5, 0.75)):
        rows = ((draws[:, 15] < probability) & (choice == index)).nonzero()[:, 0]
        if len(rows):
            small = F.interpolate(images[rows], size=max(1, round(side * fraction)), mode="area")
            out[rows] = F.interpolate(small, size=side, mode="bilinear", align_corners=False)
    return out


def _erase(
    images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n u"], probability: float
) -> Float[Tensor, "n c h w"]:
    """Sets a rectangle of 15 to 45 % of each side to mid grey."""
    axis = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    half = _between(draws[:, 17], 0.075, 0.225)[:, None]
    inside_x = (axis - draws[:, 18][:, None]).abs() < half
    inside_y = (axis - draws[:, 19][:, None]).abs() < half
    hit = draws[:, 20] < probability
    mask = hit[:, None, None] & inside_y[:, :, None] & inside_x[:, None, :]
    return images.masked_fill(mask[:, None], 0.0)
