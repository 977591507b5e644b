"""Alignment of a face by five points: eyes, nose, corners of the mouth. c h w image, s its size."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from auggen.core.errors import UserError

TEMPLATE_SIZE = 112
TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
"""Where the points (x, y) lie in an aligned image of 112x112 (insightface's template)."""


def similarity_to_template(points: Float[np.ndarray, "5 2"], size: int) -> Float[np.ndarray, "2 3"]:
    """Returns the least-squares rotation, scale and shift of the points to the template.

    Closed form of Umeyama (1991) in the plane: with centred points z, t as complex numbers the
    factor is sum(t conj(z)) / sum(|z|^2); it never mirrors.

    Raises:
        UserError: all points coincide or one is not finite.
    """
    source = points.astype(np.float64) @ np.array([1, 1j])
    target = TEMPLATE * (size / TEMPLATE_SIZE) @ np.array([1, 1j])
    centre = source.mean()
    spread = float(np.square(np.abs(source - centre)).sum())
    if not np.isfinite(spread) or spread < 1e-9:
        raise UserError("the five points coincide or are no numbers")
    factor = (target * np.conj(source - centre)).sum() / spread
    if not 1e-6 < abs(factor) < 1e6:
        raise UserError("the five points do not look like a face")
    shift = target.mean() - factor * centre
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def warp_face(
    image: UInt8[Tensor, "c h w"], points: Float[np.ndarray, "5 2"], size: int
) -> UInt8[Tensor, "c s s"]:
    """Brings a face to the template: bilinear, black outside of the image.

    Pixel centres have integer coordinates, as the points do. Raises UserError as above.
    """
    matrix = similarity_to_template(points, size)
    linear = np.linalg.inv(matrix[:, :2])
    shift = -linear @ matrix[:, 2]
    shift += 0.5 - linear.sum(axis=1) / 2  # Pillow's pixel centres lie at halves
    data = [linear[0, 0], linear[0, 1], shift[0], linear[1, 0], linear[1, 1], shift[1]]
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels)
    warped = picture.transform(
        (size, size), Image.Transform.AFFINE, data, resample=Image.Resampling.BILINEAR
    )
    return torch.from_numpy(np.array(warped).reshape(size, size, len(image))).permute(2, 0, 1)
