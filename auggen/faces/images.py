"""Images by row that need not be in memory.

Dimensions: n images, m rows asked for, c channels, h = w pixels.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from auggen.core.devices import count_cores
from auggen.core.errors import UserError
from auggen.faces.decode import DECODE_ERRORS, decode_stored

T = TypeVar("T")
_AHEAD = 2


class ImageRows(ABC):
    """Images that are indexed like a tensor [n c h w], and fetched when they are."""

    shape: tuple[int, int, int, int]
    """Images, channels, height, width."""

    @abstractmethod
    def take(self, rows: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        """Returns the images of rows in [0, n)."""

    @property
    @abstractmethod
    def on_disk(self) -> bool:
        """Whether fetching reads files."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | Tensor) -> Tensor:
        """Returns one image [c h w], or those of a slice, of row numbers or of a mask [m c h w]."""
        if isinstance(rows, slice):
            return self.take(torch.arange(*rows.indices(len(self))))
        if isinstance(rows, Tensor) and rows.ndim:
            rows = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows.to(torch.int64)
            return self.take(torch.where(rows < 0, rows + len(self), rows))
        row = int(rows)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} images")
        return self.take(torch.tensor([row % len(self)]))[0]


@dataclass(frozen=True)
class ShardIndex:
    """Where the images of one shard lie in its file."""

    path: Path
    """The shard."""
    offsets: npt.NDArray[np.int64]
    """First byte of each image."""
    lengths: npt.NDArray[np.int32]
    """Number of bytes of each image."""


class StoredImages(ImageRows):
    """Images that stay in their shards: 12 bytes of memory an image, one short read each."""

    def __init__(self, shards: Sequence[ShardIndex], channels: int, image_size: int) -> None:
        self._shards = list(shards)
        self._ends = list(accumulate(len(shard.offsets) for shard in shards))
        self.shape = (self._ends[-1], channels, image_size, image_size)

    @property
    def on_disk(self) -> bool:
        """Always."""
        return True

    def take(self, rows: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        """Reads and decodes the images of some rows.

        Raises:
            UserError: a shard was removed or damaged since it was opened; names file and row.
        """
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        numbers = rows.tolist()
        decode = map if len(numbers) == 1 else self._threads.map
        for place, image in enumerate(decode(self._read, numbers)):
            images[place] = image
        return torch.from_numpy(images)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(count_cores())

    def encoded(self, row: int) -> bytes:
        """Returns the JPEG or PNG of row in [0, n), as it is stored.

        Raises:
            UserError: the shard was removed or cut since it was opened.
        """
        shard, place = self._find(row)
        try:
            with shard.path.open("rb", buffering=0) as stream:
                stream.seek(int(shard.offsets[place]))
                content = stream.read(int(shard.lengths[place]))
        except OSError as error:
            raise _corrupt(shard, place, error) from error
        if len(content) != shard.lengths[place]:
            raise _corrupt(shard, place, "cut short")
        return content

    def _find(self, row: int) -> tuple[ShardIndex, int]:
        number = int(np.searchsorted(self._ends, row, side="right"))
        shard = self._shards[number]
        return shard, row - (self._ends[number] - len(shard.offsets))

    def _read(self, row: int) -> npt.NDArray[np.uint8]:
        content = self.encoded(row)
        try:
            return decode_stored(content, self.shape[1:])
        except DECODE_ERRORS as error:
            raise _corrupt(*self._find(row), error) from error


def _corrupt(shard: ShardIndex, place: int, reason: object) -> UserError:
    return UserError(
        f"{shard.path}: row {place} is corrupt ({reason}); delete {shard.path.parent} and run "
        "`dvc repro` again"
    )


class JoinedImages(ImageRows):
    """All images of one collection, then chosen rows of another."""

    def __init__(
        self,
        first: Tensor | ImageRows,
        second: Tensor | ImageRows,
        rows: Int64[Tensor, " k"],
    ) -> None:
        self._first, self._second, self._rows = first, second, rows
        _, channels, height, width = first.shape
        self.shape = (len(first) + len(rows), channels, height, width)

    @property
    def on_disk(self) -> bool:
        """Whether either collection is."""
        return on_disk(self._first) or on_disk(self._second)

    def take(self, rows: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        """Returns images of both collections in the order asked for."""
        early = rows < len(self._first)
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        images[early] = self._first[rows[early]]
        images[~early] = self._second[self._rows[rows[~early] - len(self._first)]]
        return images


def on_disk(images: Tensor | ImageRows) -> bool:
    """Returns whether indexing these images reads files."""
    return not isinstance(images, Tensor) and images.on_disk


def make_batches(
    make: Callable[[int], T], steps: Iterable[int], images: Tensor | ImageRows
) -> Iterator[T]:
    """Yields make(step) of each step, in order; `make` may depend on the step alone.

    If the images it fetches are on disk, a thread makes the next batches meanwhile.
    """
    if not on_disk(images):
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(1) as thread:
        made: deque[Future[T]] = deque()
        for step in steps:
            made.append(thread.submit(make, step))
            if len(made) > _AHEAD:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()
