"""A small face set of random pixels."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from auggen.faces.shards import write_face_set

LABELS = [0, 0, 0, 1, 1, 2, 2]


@pytest.fixture
def images() -> Tensor:
    """Seven grey 8x8 images."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.fixture
def face_set(tmp_path: Path, images: Tensor) -> Path:
    """Folder of a face set: three classes, shards of 3, 3 and 1 rows, provenance columns."""
    folder = tmp_path / "set"
    folder.mkdir()
    extra = pd.DataFrame({"seed": range(7), "alpha": [0.5] * 7, "mixing": ["none"] * 7})
    write_face_set(
        folder,
        iter(images),
        LABELS,
        [f"{row}.png" for row in range(7)],
        identities=["s1", "s2", "s10"],
        source_digest="abc",
        extra=extra,
        rows_per_shard=3,
    )
    return folder
