"""What the held-out loss of a generator counts."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from auggen.diffusion.network import Denoiser
from auggen.faces.decode import to_unit
from auggen.faces.shards import FaceSet, read_face_set, write_face_set
from benchmarks.held_out_loss import SIGMAS, losses_of, split_photographs


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    """People of 7, 5 and 4 images of 4x4."""
    labels = [0] * 7 + [1] * 5 + [2] * 4
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 1, 4, 4), dtype=torch.uint8, generator=generator)
    paths = [f"{row}.png" for row in range(16)]
    people = ["a", "b", "c"]
    write_face_set(tmp_path, images, labels, paths, identities=people, source_digest="0" * 64)
    return read_face_set(tmp_path)


def test_every_fifth_photograph_of_a_person_is_held_out(faces: FaceSet) -> None:
    known, held = split_photographs(faces)
    assert held.paths == ["4.png", "11.png"]
    assert held.labels.tolist() == [0, 1]
    assert known.paths == [f"{row}.png" for row in range(16) if row not in (4, 11)]
    assert torch.equal(held.images[torch.arange(2)], faces.images[torch.tensor([4, 11])])


def test_losses_by_hand(faces: FaceSet) -> None:
    truth = to_unit(faces.images[torch.arange(16)])

    def knows(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        return truth

    def does_nothing(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        return x

    assert losses_of(cast(Denoiser, knows), faces, 0.5) == [0.0] * len(SIGMAS)
    found = losses_of(cast(Denoiser, does_nothing), faces, 0.5)
    for sigma, loss in zip(SIGMAS, found, strict=True):  # lambda sigma^2 with unit noise
        assert loss == pytest.approx((sigma**2 + 0.25) / 0.25, rel=0.15)
