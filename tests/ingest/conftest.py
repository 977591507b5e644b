"""Sources of random photographs, and a config that fits them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from auggen.faces.decode import encode_png
from auggen.ingest.config import PrepareConfig

MakeFolder = Callable[..., Path]
MakeConfig = Callable[..., PrepareConfig]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes `root/p0/0.png`...: random grey 20x24 images, all different."""

    def make(identities: int = 8, images: int = 5, name: str = "faces") -> Path:
        generator = torch.Generator().manual_seed(0)
        for person in range(identities):
            (tmp_path / name / f"p{person}").mkdir(parents=True)
            for number in range(images):
                pixels = torch.randint(0, 256, (1, 20, 24), dtype=torch.uint8, generator=generator)
                path = tmp_path / name / f"p{person}" / f"{number}.png"
                path.write_bytes(encode_png(pixels))
        return tmp_path / name

    return make


@pytest.fixture
def make_config() -> MakeConfig:
    """A config for the default folder: 4 people for training, 2 for validation, 2 for test."""

    def make(**changes: object) -> PrepareConfig:
        section = {
            "source": "faces",
            "landmarks": "none",
            "exclude": os.devnull,
            "image_size": 8,
            "channels": 1,
            "min_images": 4,
            "max_images": 0,
            "split_seed": 0,
            "validation": 2,
            "test": 2,
            "validation_identities": [],
            "images_per_template": 2,
            "lowres_pixels": 4,
        }
        return PrepareConfig.model_validate({**section, **changes})

    return make
