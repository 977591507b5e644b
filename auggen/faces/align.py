"""Alignment by five landmarks: least-squares similarity, bilinear, black outside.

Dimensions: c channels, h height, w width, s target size in pixels, k points. Coordinates are (x, y)
in pixels, (0, 0) in the centre of the top left one.
"""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

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


def align_face(
    image: UInt8[Tensor, "c h w"], points: Float64[np.ndarray, "5 2"], size: int
) -> UInt8[Tensor, "c s s"]:
    """Turns, scales and moves an image so that its landmarks come to lie on the template.

    Each new pixel is the bilinear mix of four old ones, rounded half up; those outside are 0.

    Raises:
        UserError: landmarks that are all one point.
    """
    scale, shift = fit_similarity(points, TEMPLATE * (size / _TEMPLATE_SIZE))
    grid = np.arange(size)
    old = (grid + 1j * grid[:, None] - shift) / scale
    return torch.from_numpy(_sample(image.numpy(), old.real, old.imag))


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
    image: npt.NDArray[np.uint8], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Bilinear values of an image [c h w] at places [s s], in a frame of one black pixel."""
    channels, height, width = image.shape
    framed = np.zeros((height + 2, width + 2, channels), np.uint8)
    framed[1:-1, 1:-1] = image.transpose(1, 2, 0)
    flat = framed.reshape(-1, channels)
    column, right = _split(x, width)
    row, below = _split(y, height)
    first = (row * (width + 2) + column).reshape(-1)
    right, below = right.reshape(-1, 1), below.reshape(-1, 1)
    top, bottom = (
        _mix(flat.take(first + step, 0), flat.take(first + step + 1, 0), right)
        for step in (0, width + 2)
    )
    mixed = top + (bottom - top) * below
    rounded = (mixed + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(rounded.reshape(*x.shape, channels).transpose(2, 0, 1))


def _split(
    place: npt.NDArray[np.float64], length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Whole part in the framed image and rest, of places that are first moved into the frame."""
    inside = np.clip(place, -1, length) + 1
    whole = np.minimum(inside.astype(np.int64), length)
    return whole, (inside - whole).astype(np.float32)


def _mix(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], share: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    first = one.astype(np.float32)
    return first + (other.astype(np.float32) - first) * share
