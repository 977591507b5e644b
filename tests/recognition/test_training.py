"""The training loop: it learns, resumes bit for bit, and mixes change nothing when absent."""

from itertools import pairwise

import pytest
import torch
from accelerate.state import AcceleratorState
from pydantic import ValidationError

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.errors import UserError
from auggen.recognition import training
from auggen.recognition.checkpoint import load_recogniser
from auggen.recognition.config import TrainConfig
from auggen.recognition.training import build_recogniser, learning_rate_factor, train_recogniser


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def _bits(folder):
    return (folder / "model.safetensors").read_bytes()


def test_same_seed_same_bits_and_another_seed_differs(tmp_path, real_data, config, real_folder):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_recogniser(real_data, config, seed, tmp_path / name, real_folder)
    assert _bits(tmp_path / "a") == _bits(tmp_path / "b")
    assert _bits(tmp_path / "a") != _bits(tmp_path / "c")
    assert not list((tmp_path / ".checkpoints").iterdir())


def test_a_killed_run_goes_on_to_the_same_bits(
    tmp_path, mixed_data, config, real_folder, monkeypatch
):
    train_recogniser(mixed_data, config, 0, tmp_path / "straight", real_folder)
    make = training._Batches.make

    def dies_at_step_5(self, step, device):
        if step == 5:
            raise KeyboardInterrupt
        return make(self, step, device)

    with monkeypatch.context() as patch:
        patch.setattr(training._Batches, "make", dies_at_step_5)
        with pytest.raises(KeyboardInterrupt):
            train_recogniser(mixed_data, config, 0, tmp_path / "killed", real_folder)
    assert not (tmp_path / "killed").exists()
    (state,) = (tmp_path / ".checkpoints").glob("*/state.safetensors")
    assert load_tensors(state)[1]["step"] == 4
    steps_made = []

    def counts(self, step, device):
        steps_made.append(step)
        return make(self, step, device)

    monkeypatch.setattr(training._Batches, "make", counts)
    train_recogniser(mixed_data, config, 0, tmp_path / "killed", real_folder)
    assert steps_made == [4, 5]
    assert _bits(tmp_path / "straight") == _bits(tmp_path / "killed")
    assert (tmp_path / "straight/loss.csv").read_text() == (
        tmp_path / "killed/loss.csv"
    ).read_text()


def test_changed_params_do_not_resume_foreign_state(
    tmp_path, real_data, config, real_folder, monkeypatch
):
    def dies(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "atomic_directory", dies)
        with pytest.raises(KeyboardInterrupt):
            train_recogniser(real_data, config, 0, tmp_path / "a", real_folder)
    changed = config.model_copy(update={"learning_rate": 0.01})
    train_recogniser(real_data, changed, 0, tmp_path / "b", real_folder)
    for folder in (tmp_path / ".checkpoints").iterdir():
        for file in folder.glob("*") if folder.is_dir() else ():
            file.unlink()
    train_recogniser(real_data, changed, 0, tmp_path / "c", real_folder)
    assert _bits(tmp_path / "b") == _bits(tmp_path / "c")


def test_mixed_classes_leave_backbone_and_real_head_as_they_start(config, real_data, mixed_data):
    real, _ = build_recogniser(config, real_data, 0)
    mixed, _ = build_recogniser(config, mixed_data, 0)
    assert torch.equal(real.head.weight, mixed.head.weight[:3])
    for a, b in zip(real.backbone.parameters(), mixed.backbone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_it_learns(tmp_path, real_data, config, real_folder):
    easy = real_data.images.clone()
    for k in range(12):
        easy[k] = torch.roll(torch.arange(256, dtype=torch.uint8).view(1, 16, 16), k % 3 * 5, 1)
    data = training.TrainingData(**{**vars(real_data), "images": easy})
    longer = config.model_copy(update={"steps": 60, "dropout": 0.0})
    result = train_recogniser(data, longer, 0, tmp_path / "m", real_folder)
    first = float((tmp_path / "m/loss.csv").read_text().splitlines()[1].split(",")[1])
    assert result["loss"] < 0.7 * first
    embeddings = load_recogniser(tmp_path / "m")(torch.zeros(2, 1, 16, 16))
    assert embeddings.shape == (2, 8)


@pytest.fixture
def forget_precision():
    """Else accelerate would give bf16 to a later test that does not ask for a precision."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("head", ["cosface", "arcface", "arcface_detached", "adaface"])
@pytest.mark.usefixtures("forget_precision")
def test_bf16_starts_like_fp32_with_every_head(tmp_path, mixed_data, config, real_folder, head):
    losses = []
    for precision in ("fp32", "bf16"):
        changed = config.model_copy(update={"head": head, "precision": precision, "steps": 2})
        out = tmp_path / precision
        losses.append(train_recogniser(mixed_data, changed, 0, out, real_folder)["loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_loss_that_is_not_finite_stops_with_the_remedy(tmp_path, real_data, config, real_folder):
    wild = config.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(UserError, match=r"lower train_fr\.learning_rate"):
        train_recogniser(real_data, wild, 0, tmp_path / "m", real_folder)
    assert not (tmp_path / "m").exists()


def test_rate_warms_up_then_falls_to_zero():
    rates = [learning_rate_factor(step, 100, 10) for step in range(100)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(rates[10], abs=0.03)
    assert rates[-1] < 0.001
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_truncated_or_foreign_models_are_named(tmp_path, real_data, config, real_folder):
    train_recogniser(real_data, config, 0, tmp_path / "m", real_folder)
    file = tmp_path / "m/model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"model\.safetensors: truncated"):
        load_recogniser(tmp_path / "m")
    with pytest.raises(UserError, match="no such checkpoint"):
        load_recogniser(tmp_path / "nowhere")
    save_tensors(file, {}, {"backbone": {"kind": "small"}})
    with pytest.raises(UserError, match=r"do not fit its own description .*run `dvc repro`"):
        load_recogniser(tmp_path / "m")


@pytest.mark.parametrize(("batch_size", "world"), [(9, 2), (2, 2)])
def test_every_process_has_two_images_or_more(real_data, config, batch_size, world):
    odd = config.model_copy(update={"batch_size": batch_size})
    with pytest.raises(UserError, match=rf"batch_size is {batch_size}: make it a multiple of"):
        training._Batches(real_data, odd, 0, 6, 0, world)


def test_a_warm_up_as_long_as_the_training_is_refused(config):
    with pytest.raises(ValidationError, match="`warmup_steps` is 6 of 6 updates"):
        TrainConfig.model_validate(config.model_dump() | {"warmup_steps": 6})
