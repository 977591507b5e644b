"""Images of benchmarks from outside, by row, at a model's size. n images, m asked for, c h w."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from auggen.faces.align import align_face
from auggen.faces.decode import decode_image
from auggen.faces.images import ImageRows
from auggen.faces.resize import crop_and_resize

MAX_PIXELS = 1 << 24
"""Height times width of the largest image that is decoded."""


class ExternalImages(ImageRows):
    """Encoded images, in memory or in files, aligned by five points or cut square and resized."""

    def __init__(
        self,
        sources: Sequence[bytes | Path],
        *,
        names: Sequence[str],
        channels: int,
        image_size: int,
        points: Float[np.ndarray, "n 5 2"] | None = None,
    ) -> None:
        self._sources, self._points = sources, points
        self.names = list(names)
        """What errors and lists call each image."""
        self.shape = (len(sources), channels, image_size, image_size)

    @property
    def on_disk(self) -> bool:
        """Whether they are files."""
        return any(isinstance(source, Path) for source in self._sources[:1])

    def take(self, rows: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        """Decodes the images of some rows. Raises UserError naming one that cannot be decoded."""
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for place, image in enumerate(self._threads.map(self._read, rows.tolist())):
            images[place] = image
        return images

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        usable = getattr(os, "sched_getaffinity", None)  # Linux only
        return ThreadPoolExecutor(len(usable(0)) if usable else os.cpu_count())

    def _read(self, row: int) -> Tensor:
        _, channels, size, _ = self.shape
        image = decode_image(
            self._sources[row], channels=channels, name=self.names[row], max_pixels=MAX_PIXELS
        )
        if self._points is None:
            return crop_and_resize(image, size)
        return align_face(image, self._points[row], size)
