"""The stage train_generator, in this process."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from auggen.core.errors import UserError
from auggen.faces.shards import write_face_set
from stages.train_generator import app
from tests.conftest import ROOT

SECTION = """\
train_generator:
  patch_size: 1
  channels:
  - 4
  - 4
  layers_per_block: 1
  attention_levels: 0
  dropout: 0.1
  p_mean: -1.2
  p_std: 1.2
  sigma_data: 0.5
  condition_dropout: 0.1
  augment_probability: 0.15
  steps: 2
  batch_size: 4
  micro_batch_size: 3
  optimizer: muon
  learning_rate: 1e-3
  warmup_steps: 1
  ema_decay: 0.9
  max_grad_norm: 1.0
  precision: fp32
  checkpoint_every: 1
  seed: 0
"""


def write_params(section: str, mix_ratio: float = 0.0) -> None:
    """Writes params.yaml: what two people allow, and the section."""
    params = yaml.safe_load((ROOT / "presets" / "toy.yaml").read_text())
    del params["train_generator"]
    params |= {"mix_ratio": mix_ratio}
    params["synthesize"] |= {"num_classes": 1}
    params["search"] |= {"num_pairs": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params) + section)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with params.yaml and a face set `real`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_params(SECTION)
    Path("real").mkdir()
    images = torch.randint(
        0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    write_face_set(
        Path("real"), list(images), [0, 0, 1, 1], list("wxyz"), identities=["a", "b"],
        source_digest="0",
    )  # fmt: skip
    return tmp_path


def _invoke(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False).output


def test_trains_on_colour_and_says_so(project: Path) -> None:
    output = _invoke("real", "models/generator")
    assert output.startswith("train_generator: ")
    assert len(output.splitlines()) == 1
    assert (project / "models/generator/model.safetensors").is_file()
    assert (project / "models/generator/samples.png").is_file()


def test_dry_run_prints_the_settings_and_writes_nothing(project: Path) -> None:
    output = _invoke("real", "models/generator", "--dry-run")
    assert json.loads(output)["learning_rate"] == 0.001
    assert {path.name for path in project.iterdir()} == {"params.yaml", "real"}


def test_dry_run_checks_the_inputs(project: Path) -> None:
    write_params(SECTION.replace("  - 4\n  - 4\n", "  - 4\n" * 5))
    with pytest.raises(UserError, match="multiple of 16 pixels, but they are 8"):
        _invoke("real", "out", "--dry-run")
    with pytest.raises(UserError, match="nowhere"):
        _invoke("nowhere", "out", "--dry-run")
    write_params(SECTION, mix_ratio=3.0)
    with pytest.raises(UserError, match="`mix_ratio` 3 asks for 4 identities"):
        _invoke("real", "out")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps: 2", "steps: many", r"train_generator\.steps` is 'many'"),
        ("dropout: 0.1\n  p", "dropout: 1.5\n  p", r"train_generator\.dropout` is 1\.5"),
        ("  seed: 0\n", "  seed: 0\n  sede: 1\n", r"train_generator\.sede` is 1"),
        ("  seed: 0\n", "", r"train_generator\.seed"),
        ("precision: fp32", "precision: fp64", r"train_generator\.precision` is 'fp64'"),
    ],
)
def test_wrong_params_are_named(project: Path, old: str, new: str, message: str) -> None:
    assert old in SECTION
    write_params(SECTION.replace(old, new))
    with pytest.raises(UserError, match=message):
        _invoke("real", "out")
