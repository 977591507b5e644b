"""The training loop: learns, resumes bit for bit, shares a batch among processes, stops on NaN."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from auggen.core.checkpoints import load_tensors, save_tensors
from auggen.core.devices import start_accelerator
from auggen.core.errors import UserError
from auggen.diffusion import training
from auggen.diffusion.checkpoint import load_generator
from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.network import build_denoiser
from auggen.diffusion.state import TrainingState
from auggen.diffusion.training import (
    architecture_of,
    draw_batch,
    fit,
    learning_rate_at,
    train_generator,
)
from auggen.faces.shards import FaceSet


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(training, "draw_samples_sheet", _draws_nothing)


def _draws_nothing(*arguments: object) -> None:
    path = arguments[-1]
    assert isinstance(path, Path)
    path.write_bytes(b"")


def _run(config: GeneratorConfig, faces: FaceSet, source: Path, out: Path) -> dict[str, bytes]:
    train_generator(config, faces, source, out)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def _dies_at(step_of_death: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(
        faces: FaceSet, config: GeneratorConfig, step: int, rank: int, ranks: int
    ) -> training.Batch:
        if step == step_of_death:
            raise KeyboardInterrupt
        return draw_batch(faces, config, step, rank, ranks)

    monkeypatch.setattr(training, "draw_batch", dies)


def test_outputs(config: GeneratorConfig, faces: FaceSet, source: Path, tmp_path: Path) -> None:
    line = train_generator(config, faces, source, tmp_path / "out")
    assert line is not None
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.safetensors", "model.json", "loss.csv", "samples.png"}
    rows = (tmp_path / "out/loss.csv").read_text().splitlines()
    assert rows[0] == "step,loss"
    assert [int(row.split(",")[0]) for row in rows[1:]] == [1, 2, 3, 4, 5, 6]
    assert "6 updates of 4 images (2 epochs)" in line
    assert load_generator(tmp_path / "out").num_classes == 3
    assert not list((tmp_path / ".checkpoints").iterdir())


def test_a_killed_run_ends_in_the_same_bits(
    config: GeneratorConfig,
    faces: FaceSet,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    straight = _run(config, faces, source, tmp_path / "straight")
    with monkeypatch.context() as patch:
        _dies_at(5, patch)
        with pytest.raises(KeyboardInterrupt):
            _run(config, faces, source, tmp_path / "resumed")
    (state,) = (tmp_path / ".checkpoints").glob("*/state.safetensors")
    assert load_tensors(state)[1]["step"] == 4
    assert not (tmp_path / "resumed").exists()
    with monkeypatch.context() as patch:
        _dies_at(0, patch)  # proves that it does not start again
        assert _run(config, faces, source, tmp_path / "resumed") == straight


def test_saving_and_the_random_state_outside_do_not_matter(
    config: GeneratorConfig, faces: FaceSet, source: Path, tmp_path: Path
) -> None:
    first = _run(config, faces, source, tmp_path / "a")
    torch.manual_seed(99)
    rarely = config.model_copy(update={"checkpoint_every": 5})
    assert _run(rarely, faces, source, tmp_path / "b") == first
    other = config.model_copy(update={"seed": 1})
    assert _run(other, faces, source, tmp_path / "c") != first


def test_processes_share_one_batch(config: GeneratorConfig, faces: FaceSet) -> None:
    whole = draw_batch(faces, config, 3)
    parts = [draw_batch(faces, config, 3, rank, 2) for rank in range(2)]
    for name, value in vars(whole).items():
        assert torch.equal(value, torch.cat([vars(part)[name] for part in parts])), name
    assert not torch.equal(whole.noise, draw_batch(faces, config, 4).noise)


def test_parts_of_a_batch_add_up_to_it(
    config: GeneratorConfig, faces: FaceSet, tmp_path: Path
) -> None:
    """Parts of 3 and 1 of a batch of 4: the weights of a whole batch, but for rounding."""
    plain = config.model_copy(update={"dropout": 0.0})
    batch = draw_batch(faces, plain, 0)
    assert [len(part.sigma) for part in batch.split(3)] == [3, 1]
    assert [len(part.sigma) for part in batch.split(0)] == [4]
    ends = []
    for rows in (0, 3, 4):
        denoiser = build_denoiser(architecture_of(plain, faces), 0)
        seen: list[int] = []
        denoiser.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(len(args[0])))
        asked = plain.model_copy(update={"micro_batch_size": rows})
        state = fit(denoiser, faces, asked, start_accelerator("fp32"), tmp_path / "none")
        assert seen[:2] == ([3, 1] if rows == 3 else [4, 4])
        ends.append((torch.cat([p.flatten() for p in denoiser.parameters()]), state.curve))
    (whole, curve), (added, other), (same, _) = ends
    assert torch.equal(whole, same)
    assert (added - whole).abs().max() < 1e-3 * (whole.abs().max())
    assert [loss for _, loss in other] == pytest.approx([loss for _, loss in curve], rel=1e-3)


def test_batch_agrees_with_the_face_set(config: GeneratorConfig, faces: FaceSet) -> None:
    plain = config.model_copy(
        update={"augment_probability": 0.0, "condition_dropout": 0.0, "batch_size": 64}
    )
    batch = draw_batch(faces, plain, 0)
    pixels = faces.images.float() / 127.5 - 1.0
    for image, condition in zip(batch.clean(), batch.condition, strict=True):
        distance = (pixels - image).abs().amax(dim=(1, 2, 3))
        assert distance.min() < 1e-6
        assert int(condition.argmax()) == int(faces.labels[distance.argmin()])
    dropped = draw_batch(faces, plain.model_copy(update={"condition_dropout": 0.5}), 0)
    assert 0.2 < float((dropped.condition.sum(dim=1) == 0).float().mean()) < 0.8


def test_it_learns(config: GeneratorConfig, faces: FaceSet, tmp_path: Path) -> None:
    longer = config.model_copy(update={"steps": 60, "batch_size": 16, "dropout": 0.0})
    flat = FaceSet(
        torch.full_like(faces.images, 200), faces.labels, faces.paths, faces.extra, faces.manifest
    )
    denoiser = build_denoiser(architecture_of(longer, flat), 0)
    state = fit(denoiser, flat, longer, start_accelerator("fp32"), tmp_path / "state.safetensors")
    losses = [loss for _, loss in state.curve]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_not_a_number_stops_with_the_remedy(
    config: GeneratorConfig, faces: FaceSet, source: Path, tmp_path: Path
) -> None:
    wild = config.model_copy(update={"learning_rate": 1e30, "warmup_steps": 0, "steps": 20})
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at update .*learning_rate"):
        train_generator(wild, faces, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for state in (tmp_path / ".checkpoints").glob("*/state.safetensors"):
        tensors, _ = load_tensors(state)
        assert tensors["loss_sum"].isfinite()


def test_a_foreign_or_truncated_state_is_named(
    config: GeneratorConfig, faces: FaceSet, tmp_path: Path
) -> None:
    state = TrainingState(build_denoiser(architecture_of(config, faces), 0), config)
    path = tmp_path / "state.safetensors"
    save_tensors(path, {"loss_sum": torch.zeros(())}, {"step": 1, "curve": []})
    with pytest.raises(UserError, match="not the resume state of this generator"):
        state.restore(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="truncated"):
        state.restore(path)


def test_learning_rate_rises_then_falls_to_zero(config: GeneratorConfig) -> None:
    longer = config.model_copy(update={"steps": 100, "warmup_steps": 10})
    rates = [learning_rate_at(step, longer) for step in range(101)]
    assert rates[0] == pytest.approx(0.001)
    assert rates[9] == rates[10] == 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.0)
    with pytest.raises(ValidationError, match="`warmup_steps` is 6 of 6 updates"):
        GeneratorConfig.model_validate(config.model_dump() | {"warmup_steps": 6})


def test_a_batch_that_does_not_divide_is_refused(
    config: GeneratorConfig,
    faces: FaceSet,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class ThreeProcesses:
        num_processes = 3

    monkeypatch.setattr(training, "start_accelerator", lambda precision: ThreeProcesses())
    with pytest.raises(UserError, match="batch_size is 4, which does not divide among 3"):
        train_generator(config, faces, source, tmp_path / "out")
