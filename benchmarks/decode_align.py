"""From a JPEG of 250x250 and five landmarks to an aligned face of 112x112, one core.

The peer is the usual way re-created: PIL decodes, the similarity is estimated by Umeyama's method
(SVD of the covariance, as scikit-image's SimilarityTransform), the warp is bilinear in float64,
channel by channel, with 0 outside, by scipy's compiled affine_transform (as scikit-image's warp).
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from auggen.core.seeds import numpy_generator, torch_generator
from auggen.faces.align import TEMPLATE, align_face
from auggen.faces.decode import decode_image
from benchmarks.contenders import SEED, Contender

_IMAGES, _SIDE, _SIZE = 128, 250, 112


def _draw() -> tuple[list[bytes], np.ndarray]:
    """JPEGs of smooth blots, and landmarks as of upright faces in them."""
    generator = torch_generator(SEED, "photographs")
    encoded = []
    for _ in range(_IMAGES):
        coarse = torch.rand(1, 3, 24, 24, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, size=_SIDE, mode="bicubic").clamp(0, 1)
        stream = io.BytesIO()
        pixels = (smooth[0] * 255).to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(stream, "JPEG", quality=95)
        encoded.append(stream.getvalue())
    noise = numpy_generator(SEED, "landmarks").normal(0, 3, (_IMAGES, 5, 2))
    return encoded, TEMPLATE * 1.3 + 50 + noise


def _ours(scratch: Path) -> Contender:
    torch.set_num_threads(1)
    encoded, points = _draw()

    def run() -> int:
        for content, five in zip(encoded, points, strict=True):
            align_face(decode_image(content, channels=3), five, _SIZE)
        return _IMAGES

    return Contender(run)


def _usual_way(scratch: Path) -> Contender:
    torch.set_num_threads(1)
    encoded, points = _draw()

    def run() -> int:
        for content, five in zip(encoded, points, strict=True):
            with Image.open(io.BytesIO(content)) as picture:
                pixels = np.asarray(picture.convert("RGB")) / 255.0
            _warp(pixels, np.linalg.inv(umeyama(five, TEMPLATE)))
        return _IMAGES

    return Contender(run)


def umeyama(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Least-squares similarity [3 3] (Umeyama 1991, equations 40 to 43)."""
    mean, target_mean = points.mean(0), targets.mean(0)
    covariance = (targets - target_mean).T @ (points - mean) / len(points)
    u, spread, v = np.linalg.svd(covariance)
    sign = np.ones(2)
    if np.linalg.det(covariance) < 0:
        sign[1] = -1
    turn = u @ np.diag(sign) @ v
    scale = spread @ sign / (points - mean).var(axis=0).sum()
    matrix = np.eye(3)
    matrix[:2, :2] = scale * turn
    matrix[:2, 2] = target_mean - scale * turn @ mean
    return matrix


def _warp(pixels: np.ndarray, back: np.ndarray) -> np.ndarray:
    """uint8 [s s 3]; `back` takes (x, y) of the new image to the old."""
    rows_first = back[:2, :2][::-1, ::-1]
    warped = np.stack(
        [
            ndimage.affine_transform(
                pixels[..., channel], rows_first, back[:2, 2][::-1], (_SIZE, _SIZE), order=1
            )
            for channel in range(3)
        ],
        axis=-1,
    )
    return (warped * 255).round().astype(np.uint8)


CONTENDERS: dict[str, Callable[[Path], Contender]] = {"ours": _ours, "usual_way": _usual_way}
