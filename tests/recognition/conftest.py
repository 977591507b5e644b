"""A small training set in memory and on disk."""

import pytest
import torch

from auggen.faces.shards import read_face_set, write_face_set
from auggen.recognition.config import AugmentConfig, TrainConfig
from auggen.recognition.mixing_plan import MixingPlan
from auggen.recognition.training_data import TrainingData


@pytest.fixture
def plan():
    return MixingPlan(
        mix_ratio=1.0, anew_ratio=0.0, rule="random", num_classes=2, num_images=8, batch_share=0.25,
        schedule="constant", switch_at=0.5, compete_with_sources=False, margin_scale=1.0,
        loss_weight=1.0,
    )  # fmt: skip


@pytest.fixture
def config():
    return TrainConfig(
        backbone="small", width=8, embedding_size=8, head="cosface", scale=16.0, margin=0.2,
        steps=6, epochs=0.0, batch_size=8, learning_rate=0.05, momentum=0.9, weight_decay=5e-4,
        warmup_steps=1, dropout=0.1, ema_decay=0.9, precision="fp32", checkpoint_every=2,
        augment=AugmentConfig(flip=0.5, crop=0.5, affine=0.5, photometric=0.5, lowres=0.2,
                              erase=0.2),
    )  # fmt: skip


def _pixels(n, seed):
    shape = (n, 1, 16, 16)
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


@pytest.fixture
def real_data():
    own = torch.arange(3)
    return TrainingData(
        _pixels(12, 0), torch.arange(12) % 3, 12, 3, torch.stack([own, own], dim=1), None
    )


@pytest.fixture
def mixed_data(real_data, plan):
    return TrainingData(
        torch.cat([real_data.images, _pixels(8, 1)]),
        torch.cat([real_data.labels, torch.tensor([3, 3, 3, 3, 4, 4, 4, 4])]),
        12, 3,
        torch.cat([real_data.sources, torch.tensor([[0, 1], [1, 2]])]),
        plan,
    )  # fmt: skip


@pytest.fixture
def real_folder(tmp_path, real_data):
    folder = tmp_path / "real"
    folder.mkdir()
    write_face_set(
        folder, list(real_data.images), real_data.labels.tolist(),
        [f"{k}.png" for k in range(12)], identities=["a", "b", "c"], source_digest="0",
    )  # fmt: skip
    assert read_face_set(folder).num_classes == 3
    return folder
