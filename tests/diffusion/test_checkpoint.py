"""A saved generator comes back bit for bit; anything else is one clear error."""

from pathlib import Path

import pytest
import torch

from auggen.core.checkpoints import save_tensors
from auggen.core.errors import UserError
from auggen.core.files import read_json, write_json
from auggen.diffusion.checkpoint import load_generator, save_generator
from auggen.diffusion.network import Architecture, build_denoiser


@pytest.fixture
def folder(tmp_path: Path, architecture: Architecture) -> Path:
    save_generator(tmp_path, build_denoiser(architecture, 0))
    return tmp_path


def test_comes_back_bit_for_bit(folder: Path, architecture: Architecture) -> None:
    original, loaded = build_denoiser(architecture, 0).eval(), load_generator(folder)
    assert not loaded.training
    assert loaded.architecture == architecture
    x, sigma, condition = torch.randn(2, 1, 16, 16), torch.ones(2), torch.rand(2, 3)
    assert torch.equal(original(x, sigma, condition), loaded(x, sigma, condition))


def test_missing_and_truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors: truncated"):
        load_generator(folder)
    path.unlink()
    with pytest.raises(UserError, match="no such checkpoint"):
        load_generator(folder)
    (folder / "model.json").unlink()
    with pytest.raises(UserError, match=r"model\.json: missing"):
        load_generator(folder)


def test_another_architecture_than_the_weights(folder: Path) -> None:
    description = read_json(folder / "model.json")
    write_json(folder / "model.json", description | {"num_classes": 4})
    with pytest.raises(UserError, match=r"does not fit model\.json"):
        load_generator(folder)
    write_json(folder / "model.json", description | {"num_classes": "three"})
    with pytest.raises(UserError, match="not the description of a generator"):
        load_generator(folder)


def test_another_kind_of_weights(folder: Path) -> None:
    save_tensors(folder / "model.safetensors", {"a": torch.zeros(1)}, {"kind": "recogniser"})
    with pytest.raises(UserError, match="does not fit"):
        load_generator(folder)
