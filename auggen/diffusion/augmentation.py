"""Non-leaking augmentation (EDM appendix F.2): the network is told what was done to an image.

A vector of `NUM_AUGMENTS` numbers describes the change, in units of each change's usual size; it
goes to the network as a condition, and all zeros means untouched. Sampling with zeros therefore
draws untouched faces, while training sees far more images than there are, and copies fewer.

Dimensions: n images, c channels, h x w pixels, a augmentation parameters.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

_KINDS = (
    ("flip", 1.0),  # mirror left-right: 0 or 1
    ("zoom", 0.15),  # log2 of the magnification
    ("stretch", 0.10),  # log2 of width over height
    ("rotation", math.radians(10.0)),  # radians
    ("shift_x", 0.12),  # half image widths
    ("shift_y", 0.12),  # half image heights
    ("brightness", 0.15),  # added to pixels in [-1, 1]
    ("contrast", 0.25),  # log2 of the pixel gain
)
NUM_AUGMENTS = len(_KINDS)
_SIZES = [size for _, size in _KINDS]


def draw_augmentations(
    count: int, probability: float, generator: torch.Generator
) -> Float[Tensor, "n a"]:
    """Draws augmentation vectors: each kind is active with `probability`, else exactly 0.

    The mirror is active in half the images whenever `probability` is not 0; other kinds are
    standard normal, cut at two.
    """
    normal = torch.randn(count, NUM_AUGMENTS, generator=generator).clamp(-2.0, 2.0)
    active = torch.rand(count, NUM_AUGMENTS, generator=generator)
    vectors = torch.where(active < probability, normal, 0.0)
    vectors[:, 0] = (active[:, 0] < (0.5 if probability > 0 else 0.0)).float()
    return vectors


def augment_images(
    images: Float[Tensor, "n c h w"], vectors: Float[Tensor, "n a"]
) -> Float[Tensor, "n c h w"]:
    """Applies the vectors. Images whose vector is 0 come back unchanged, bit for bit."""
    sizes = torch.tensor(_SIZES, device=vectors.device)
    flip, zoom, stretch, angle, shift_x, shift_y, brightness, contrast = (vectors * sizes).unbind(1)
    mirrored = torch.where(flip.bool()[:, None, None, None], images.flip(3), images)
    scale_x = torch.exp2(-zoom - stretch / 2)
    scale_y = torch.exp2(-zoom + stretch / 2)
    cos, sin = angle.cos(), angle.sin()
    rows = [scale_x * cos, -scale_x * sin, shift_x, scale_y * sin, scale_y * cos, shift_y]
    theta = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = nn.functional.grid_sample(
        mirrored, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    geometric = (vectors[:, 1:6] != 0).any(dim=1)[:, None, None, None]
    result = torch.where(geometric, moved, mirrored)
    gain, offset = torch.exp2(contrast)[:, None, None, None], brightness[:, None, None, None]
    return result * gain + offset
