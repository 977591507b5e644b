"""Alignment by five landmarks: least-squares similarity, bilinear, black outside.

Dimensions: c channels, h height, w width, s target size in pixels, k points, a x b
places. Coordinates are (x, y) in pixels, (0, 0) in the centre of the top left one.
"""

import math

import numpy as np
import torch
from jaxtyping import Complex128, Float64, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from auggen.core.errors import UserError

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Left eye, right eye (as seen), nose, left and right corner of the mouth at 112x112 (ArcFace)."""
_TEMPLATE_SIZE = 112
_LARGEST = 1 << 22  # values of a box that are float64 at once


def align_face(
    image: UInt8[Tensor, "c h w"], points: Float64[np.ndarray, "5 2"], size: int
) -> UInt8[Tensor, "c s s"]:
    """Turns, scales and moves an image so that its landmarks come to lie on the template.

    Each new pixel is the bilinear mix of four old ones, rounded half up; those outside are 0.

    Raises:
        UserError: landmarks that are all one point.
    """
    scale, shift = fit_similarity(points, TEMPLATE * (size / _TEMPLATE_SIZE))
    turn, start = 1 / scale, -shift / scale  # back to the old image
    steps = np.arange(size)
    return _sample(image, start + turn * steps, 1j * turn * steps)


def fit_similarity(
    points: Float64[np.ndarray, "k 2"], targets: Float64[np.ndarray, "k 2"]
) -> tuple[complex, complex]:
    """Returns a, b of the map z -> a z + b, z = x + iy, nearest to taking points to targets.

    The linear least-squares solution, a = sum conj(z - mean z) (t - mean t) / sum |z - mean z|^2;
    it never mirrors (Umeyama 1991 gives the same unless the points are mirrored).

    Raises:
        UserError: the points are all one, or so are the targets.
    """
    z, t = (pair[:, 0] + 1j * pair[:, 1] for pair in (points, targets))
    centred = z - z.mean()
    spread = np.vdot(centred, centred).real
    scale = complex(np.vdot(centred, t - t.mean()) / spread) if spread > 0 else 0j
    if not abs(scale) > 0 or not np.isfinite(1 / abs(scale)):
        raise UserError(f"landmarks {points.tolist()} fit no face; correct them")
    return scale, complex(t.mean() - scale * z.mean())


def _sample(
    image: UInt8[Tensor, "c h w"],
    across: Complex128[np.ndarray, " b"],
    down: Complex128[np.ndarray, " a"],
) -> UInt8[Tensor, "c a b"]:
    """Bilinear values at the places across[b] + down[a], two straight lines; black outside.

    Only the box around the places is made float64; a large one is gone through in parts.
    """
    corners = np.add.outer(across[[0, -1]], down[[0, -1]])
    left, right = _span(corners.real, image.shape[2])
    top, bottom = _span(corners.imag, image.shape[1])
    box = image[:, top:bottom, left:right]
    if box.numel() > _LARGEST and len(across) > 1 and len(across) >= len(down):
        return torch.cat([_sample(image, part, down) for part in np.array_split(across, 2)], 2)
    if box.numel() > _LARGEST and len(down) > 1:
        return torch.cat([_sample(image, across, part) for part in np.array_split(down, 2)], 1)
    places = np.stack(
        [
            _to_unit(across.real, down.real, left, right),
            _to_unit(across.imag, down.imag, top, bottom),
        ]
    )
    grid = torch.from_numpy(places).permute(1, 2, 0)
    mixed = grid_sample(box[None].double(), grid[None], align_corners=False)[0]
    return mixed.add_(0.5).to(torch.uint8)


def _span(places: Float64[np.ndarray, "..."], length: int) -> tuple[int, int]:
    """First pixel that the places mix and the one after the last; at least one, in 0..length."""
    low, high = (math.floor(min(max(value, -2), length)) for value in (places.min(), places.max()))
    first = min(max(low, 0), length - 1)
    return first, min(max(high + 2, first + 1), length)


def _to_unit(
    across: Float64[np.ndarray, " b"], down: Float64[np.ndarray, " a"], first: int, end: int
) -> Float64[np.ndarray, "a b"]:
    """Places so that the outer edges of the pixels first..end-1 are -1 and 1, as torch has them."""
    count = end - first
    return np.add.outer(down * (2 / count), (across * 2 + (1 - 2 * first)) / count - 1).clip(-3, 3)
