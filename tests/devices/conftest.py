"""A project small enough to be run in several processes over and over."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from auggen.diffusion.checkpoint import save_generator
from auggen.diffusion.network import Architecture, build_denoiser
from auggen.faces.shards import write_face_set
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from tests.devices.launch import CORES, ROOT

PEOPLE, IMAGES = 5, 3
SIDE = 20
"""Pixels. Some layers of this size round differently if several threads share them."""
CHANGES: dict[str, dict[str, Any]] = {
    "train_generator": {
        "channels": [8, 8],
        "dropout": 0.0,
        "steps": 6,
        "checkpoint_every": 4,
        "micro_batch_size": 3,
    },
    "search": {"mode": "fixed", "num_pairs": 2},
    # 21 images: five whole batches and one of a single image
    "synthesize": {
        "pair_rule": "distant",
        "num_classes": 5,
        "images_per_class": 3,
        "anew_images": 6,
        "start_sigma": 2.0,
        "batch_size": 4,
    },
    "score": {"batch_size": 4},
    "select": {
        "rule": "random",
        "images_per_class": 2,
        "anew_ratio": 0.4,
        "batch_share": 0.5,
        "loss_weight": 0.5,
    },
    "train_fr": {"steps": 6, "batch_size": 12, "checkpoint_every": 4, "precision": "fp32"},
}

Invoke = Callable[..., str]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a stage in this process alone, with the cores that several processes would share."""

    def invoke(app: typer.Typer, folder: Path, *arguments: str) -> str:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.delenv("DVC_ROOT", raising=False)
            patch.setattr(os, "sched_getaffinity", lambda process: set(range(CORES)), raising=False)
            output = CliRunner().invoke(app, list(arguments), catch_exceptions=False).output
            assert torch.get_num_threads() == CORES
            return output

    return invoke


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Params, training and held-out people, an untrained generator and recogniser."""
    folder = tmp_path_factory.mktemp("untrained")
    params = yaml.safe_load((ROOT / "presets/toy.yaml").read_text())
    for section, changes in CHANGES.items():
        params[section] |= changes
    params["mix_ratio"] = 0.5
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    _write_people(folder / "real", PEOPLE)
    _write_people(folder / "validation", PEOPLE - 1)
    size = {"channels": 1, "image_size": SIDE, "width": 8, "embedding_size": 16, "dropout": 0.0}
    (folder / "fr").mkdir()
    save_recogniser(
        folder / "fr", build_backbone("small", **size, seed=0), {"kind": "small", **size}
    )
    architecture = Architecture(
        image_size=SIDE, image_channels=1, num_classes=PEOPLE, patch_size=1, channels=[8, 8],
        layers_per_block=1, attention_levels=1, dropout=0.0, sigma_data=0.5,
    )  # fmt: skip
    (folder / "generator").mkdir()
    save_generator(folder / "generator", build_denoiser(architecture, seed=0))
    return folder


@pytest.fixture
def project(untrained: Path, tmp_path: Path) -> Path:
    """A copy of `untrained` that a test may write to."""
    shutil.copytree(untrained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def _write_people(folder: Path, people: int) -> None:
    folder.mkdir()
    count = people * IMAGES
    random = torch.Generator().manual_seed(people)
    images = torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=random).to(torch.uint8)
    write_face_set(
        folder, list(images), [k // IMAGES for k in range(count)],
        [f"{k}.png" for k in range(count)], identities=[f"s{k}" for k in range(people)],
        source_digest="0",
    )  # fmt: skip
