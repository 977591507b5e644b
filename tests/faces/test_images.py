"""Images fetched by row are those of the tensor, whatever the index, thread or order."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.images import ImageRows, JoinedImages, make_batches
from auggen.faces.shards import open_face_set

ORDER = torch.tensor([6, 0, 3, 3, 2])


@pytest.fixture
def stored(face_set: Path) -> ImageRows:
    images = open_face_set(face_set).images
    assert isinstance(images, ImageRows)
    return images


@pytest.fixture
def joined(stored: ImageRows, images: Tensor) -> JoinedImages:
    return JoinedImages(images, stored, ORDER)


INDICES = [
    0, -1, 6, torch.tensor(4), slice(None), slice(2, 5), slice(-2, None), slice(5, 99),
    slice(3, 3), torch.tensor([5, 0, 5]), torch.tensor([-1, 0]),
    torch.tensor([2], dtype=torch.int32),
    torch.tensor([], dtype=torch.int64), torch.tensor([True, False, True] + [False] * 4),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES)
def test_indexed_like_a_tensor(index: Any, stored: ImageRows, images: Tensor) -> None:
    assert torch.equal(stored[index], images[index])


def test_shape_length_and_iteration(stored: ImageRows, images: Tensor) -> None:
    assert tuple(stored.shape) == tuple(images.shape)
    assert len(stored) == 7
    assert torch.equal(torch.stack(list(stored)), images)
    for row in (7, -8):
        with pytest.raises(IndexError):
            stored[row]


def test_joined_rows_keep_the_order_asked_for(joined: JoinedImages, images: Tensor) -> None:
    whole = torch.cat([images, images[ORDER]])
    assert tuple(joined.shape) == tuple(whole.shape)
    for index in (slice(None), 3, 9, torch.tensor([11, 2, 7, 0, 11]), torch.tensor([1, 4])):
        assert torch.equal(joined[index], whole[index])
    assert joined.on_disk
    assert not JoinedImages(images, images, ORDER).on_disk


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(bytes(999))]
)
def test_damage_after_opening_names_file_and_row(
    damage: Callable[[Path], None], stored: ImageRows, face_set: Path
) -> None:
    damage(face_set / "shard-00001.parquet")
    assert len(stored[:3]) == 3
    with pytest.raises(UserError, match=r"shard-00001\.parquet: row 1 is corrupt.*dvc repro"):
        stored[torch.tensor([0, 4])]


def test_batches_are_made_ahead_only_for_images_on_disk(stored: ImageRows, images: Tensor) -> None:
    for source, ahead in ((images, 0), (stored, 2)):
        made: list[int] = []
        threads = set()

        def make(step: int, made: list[int] = made, threads: set[int] = threads) -> int:
            made.append(step)
            threads.add(threading.get_ident())
            return step * step

        batches = make_batches(make, range(5), source)
        assert next(batches) == 0
        assert list(batches) == [1, 4, 9, 16]
        assert made == [0, 1, 2, 3, 4]
        assert (threading.get_ident() in threads) == (ahead == 0)


def test_an_error_while_making_a_batch_reaches_the_trainer(stored: ImageRows) -> None:
    def make(step: int) -> int:
        if step == 3:
            raise UserError("broken")
        return step

    batches = make_batches(make, range(9), stored)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match="broken"):
        next(batches)
