"""Cropping and resizing. Dimensions: c channels, h height, w width, s target size in pixels."""

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

_ROWS = 256  # of an image that are float64 at once


def crop_and_resize(image: UInt8[Tensor, "c h w"], size: int) -> UInt8[Tensor, "c s s"]:
    """Cuts the largest centred square out and brings it to size x size.

    Shrinking averages over the exact area of each new pixel; enlarging is bicubic. When the
    margin is odd, the smaller part is cut at the top or left.
    """
    _, height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[:, top : top + side, left : left + side]
    if side == size:
        return square.contiguous()
    return shrink(square, size) if side > size else enlarge(square, size)


def shrink(image: UInt8[Tensor, "c h h"], size: int) -> UInt8[Tensor, "c s s"]:
    """Area average, rounded half up: integers below 2^53 in float64, so the same on any machine."""
    weights = _overlaps(image.shape[-1], size)
    total = torch.zeros(image.shape[0], size, size, dtype=torch.float64)
    for rows, part in zip(
        torch.split(image, _ROWS, 1), torch.split(weights, _ROWS, 1), strict=True
    ):
        total += part @ (rows.double() @ weights.T)
    area = image.shape[-1] ** 2
    return ((total + area // 2) / area).floor().to(torch.uint8)


def _overlaps(length: int, size: int) -> Float64[Tensor, "s h"]:
    """Overlap of new pixel i, [i length, (i+1) length), with old pixel j, [j size, (j+1) size)."""
    new = torch.arange(size, dtype=torch.float64)[:, None] * length
    old = torch.arange(length, dtype=torch.float64)[None, :] * size
    return (torch.minimum(new + length, old + size) - torch.maximum(new, old)).clamp(min=0)


def enlarge(image: UInt8[Tensor, "c h h"], size: int) -> UInt8[Tensor, "c s s"]:
    """Bicubic interpolation, rounded."""
    large = interpolate(image[None].double(), size=(size, size), mode="bicubic")[0]
    return large.round().clamp(0, 255).to(torch.uint8)


def reduce_and_restore(image: UInt8[Tensor, "c s s"], pixels: int) -> UInt8[Tensor, "c s s"]:
    """What a camera with pixels x pixels on the face would have seen, at the size it came in."""
    return enlarge(shrink(image, pixels), image.shape[-1])
