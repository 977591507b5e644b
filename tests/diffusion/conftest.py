"""Small face sets in memory and on disk, and a network that trains in moments."""

from pathlib import Path

import pytest
import torch

from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.network import Architecture
from auggen.faces.shards import FaceSet, read_face_set, write_face_set

NUM_CLASSES = 3


@pytest.fixture(params=["adam", "muon"])
def config(request: pytest.FixtureRequest) -> GeneratorConfig:
    return GeneratorConfig(
        patch_size=1, channels=[4, 8], layers_per_block=1, attention_levels=1, dropout=0.1,
        p_mean=-1.2, p_std=1.2, sigma_data=0.5, condition_dropout=0.1, augment_probability=0.3,
        steps=6, batch_size=4, micro_batch_size=0, optimizer=request.param, learning_rate=0.01,
        warmup_steps=2, ema_decay=0.9, max_grad_norm=1.0, precision="fp32", checkpoint_every=2,
        seed=0,
    )  # fmt: skip


@pytest.fixture
def architecture() -> Architecture:
    return Architecture(
        image_size=16, image_channels=1, num_classes=NUM_CLASSES, patch_size=1, channels=[4, 8],
        layers_per_block=1, attention_levels=1, dropout=0.1, sigma_data=0.5,
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A face set of 3 identities x 4 random 16x16 grey images."""
    folder = tmp_path / "real"
    folder.mkdir()
    shape = (12, 1, 16, 16)
    images = torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    write_face_set(
        folder, list(images), [k % NUM_CLASSES for k in range(12)],
        [f"{k}.png" for k in range(12)], identities=["a", "b", "c"], source_digest="0",
    )  # fmt: skip
    return folder


@pytest.fixture
def faces(source: Path) -> FaceSet:
    return read_face_set(source)
