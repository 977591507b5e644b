"""What scoring keeps of every image, on disk: its embedding by M_orig and its thumbnail.

Dimensions: n images, c channels, h height, w width, t thumbnail side, d embedding size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from jaxtyping import Float, UInt8
from torch import Tensor

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.progress import progress
from auggen.faces.images import ImageRows, make_batches
from auggen.measures.embeddings import normalise

_THUMBNAIL = 16
_BLOCK = 2048


class Features(NamedTuple):
    """Of the images of some rows."""

    embeddings: Float[Tensor, "n d"]
    """L2-normalised."""
    thumbnails: Float[Tensor, "n c t t"]
    """See `thumbnails`."""


@dataclass(frozen=True)
class FeatureFiles:
    """Features of a face set's images, one file a batch; a killed run goes on behind the last."""

    folder: Path
    """Where the files are."""
    num_images: int
    """Images of the face set."""
    batch_size: int
    """Images of a file; the last one may hold fewer."""

    def compute(
        self, images: Tensor | ImageRows, embed: Callable[[Tensor], Tensor], run: Accelerator
    ) -> None:
        """Computes this process's share of the files that are missing."""
        count = -(-self.num_images // self.batch_size)
        missing = share_out(count, self._path, run)

        def fetch(number: int) -> Tensor:
            return images[number * self.batch_size : (number + 1) * self.batch_size]

        batches = make_batches(fetch, missing, images)
        shown = progress(missing, f"embed {self.folder.name}", show=run.is_main_process)
        for number, batch in zip(shown, batches, strict=True):
            features = Features(normalise(embed(batch)), thumbnails(batch))
            save_tensors(self._path(number), features._asdict(), {})

    def blocks(self) -> Iterator[tuple[slice, Features]]:
        """Yields all rows with their features, a few thousand at a time."""
        for rows in blocks_of(self.num_images):
            yield rows, self.read(rows)

    def read(self, rows: slice) -> Features:
        """Returns the features of rows start..stop."""
        first = rows.start // self.batch_size
        files = range(first, -(-rows.stop // self.batch_size))
        tensors = [load_tensors(self._path(number))[0] for number in files]
        part = slice(rows.start - first * self.batch_size, rows.stop - first * self.batch_size)
        return Features(*(torch.cat([t[name] for t in tensors])[part] for name in Features._fields))

    def _path(self, number: int) -> Path:
        return self.folder / f"batch-{number:06d}.safetensors"


def blocks_of(num_images: int) -> list[slice]:
    """Returns the rows that are compared at a time, of a size that bounds the memory it takes."""
    starts = range(0, num_images, _BLOCK)
    return [slice(start, min(start + _BLOCK, num_images)) for start in starts]


def share_out(count: int, path: Callable[[int], Path], run: Accelerator) -> list[int]:
    """Returns which of `count` files this process has to make: its share, less what exists."""
    mine = range(run.process_index, count, run.num_processes)
    return [number for number in mine if not path(number).exists()]


def thumbnails(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c t t"]:
    """Returns images reduced to at most 16 x 16 area means, each of mean 0 and length 1."""
    side = min(_THUMBNAIL, images.shape[-1])
    small = torch.nn.functional.adaptive_avg_pool2d(images.float(), side)
    pixels = small.flatten(1)
    return normalise(pixels - pixels.mean(1, keepdim=True)).reshape(small.shape)
