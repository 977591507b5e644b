"""Tensors survive a round trip; damaged and foreign files are refused; resume state is keyed."""

import io
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from auggen.core.checkpoints import load_tensors, resume_folder, save_tensors
from auggen.core.errors import UserError

TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
    "step": torch.tensor(7),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
}


def test_round_trip_is_exact(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", TENSORS, {"config": {"width": 3}, "rates": [0.1]})
    tensors, meta = load_tensors(tmp_path / "a.safetensors")
    assert meta == {"config": {"width": 3}, "rates": [0.1]}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensor.dtype == tensors[name].dtype
        assert torch.equal(tensor, tensors[name])


def test_same_content_is_the_same_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", TENSORS, {"b": 1, "a": 2})
    save_tensors(tmp_path / "b", TENSORS, {"a": 2, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {})
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:20], b"", b"\x80\x04pickle"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a.safetensors: truncated or not one of our"):
            load_tensors(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not one of our checkpoints"):
        load_tensors(path)
    with pytest.raises(UserError, match=r"b.safetensors: no such checkpoint"):
        load_tensors(tmp_path / "b.safetensors")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a").write_text("1")
    return tmp_path


def interrupted(project: Path, config: Any, content: bytes | None = None) -> list[str]:
    """Starts a run that is stopped half-way; returns the state that it found."""
    found: list[str] = []

    def run() -> None:
        with resume_folder("train", config, project / "input") as folder:
            found.extend(path.read_text() for path in folder.glob("[!.]*"))
            if content is not None:
                (folder / "state").write_bytes(content)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    return found


def test_state_survives_a_stop_and_goes_at_the_end(project: Path) -> None:
    assert interrupted(project, {"lr": 0.1}, b"half") == []
    assert interrupted(project, {"lr": 0.1}) == ["half"]
    with resume_folder("train", {"lr": 0.1}, project / "input") as folder:
        assert folder.parent == project / ".checkpoints"
    assert list((project / ".checkpoints").iterdir()) == []


def test_state_of_other_params_or_inputs_is_not_met(project: Path) -> None:
    interrupted(project, {"lr": 0.1}, b"half")
    assert interrupted(project, {"lr": 0.2}) == []
    (project / "input" / "a").write_text("2")
    assert interrupted(project, {"lr": 0.1}) == []
    (project / "input" / "a").write_text("1")
    assert interrupted(project, {"lr": 0.1}) == ["half"]


def test_two_checkouts_do_not_meet(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(project, {"lr": 0.1}, b"half")
    shutil.copytree(project / "input", project / "other" / "input")
    with resume_folder("train", {"lr": 0.1}, project / "input"):  # held meanwhile
        monkeypatch.setenv("DVC_ROOT", str(project / "other"))
        assert interrupted(project / "other", {"lr": 0.1}, b"other") == []
        assert interrupted(project / "other", {"lr": 0.1}) == ["other"]


def test_superseded_state_goes_with_the_next_success(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the same DVC stage of the same checkout supersedes, and only what nobody holds."""

    def names() -> set[str]:
        return {path.name for path in (project / ".checkpoints").iterdir()}

    def leave(stage: str, config: int) -> set[str]:
        before = names() if (project / ".checkpoints").exists() else set()
        monkeypatch.setenv("DVC_STAGE", stage)
        interrupted(project, config, b"half")
        return names() - before

    old = leave("train@0", 1)
    other_stage = leave("train@1", 2)
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(elsewhere)
        other_checkout = leave("train@0", 3)
    assert len(old) == len(other_stage) == len(other_checkout) == 2  # folder and lock file
    monkeypatch.setenv("DVC_STAGE", "train@0")
    with resume_folder("train", 4, project / "input"):
        with resume_folder("train", 5, project / "input"):
            held = names() - old - other_stage - other_checkout
        assert old & names() == set()
        assert len(held & names()) == 2
    assert names() == other_stage | other_checkout
    (project / ".checkpoints" / "train-00.lock").touch()  # of a run killed as it began
    with resume_folder("train", 4, project / "input"):
        pass
    assert names() == other_stage | other_checkout


def test_second_run_waits_for_the_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    warned = io.StringIO()  # capsys could lose what is printed while it is read
    monkeypatch.setattr(sys, "stderr", warned)

    def run(name: str) -> None:
        with resume_folder("train", 1, project / "input") as folder:
            order.append(f"{name} finds {[path.name for path in folder.glob('[!.]*')]}")
            (folder / name).touch()
            begun.set()
            assert finish.wait(20)

    begun, finish = Event(), Event()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run, "first")
        assert begun.wait(20)
        second, third = pool.submit(run, "second"), pool.submit(run, "third")
        stop = time.monotonic() + 15
        while warned.getvalue().count("waiting") < 2 and time.monotonic() < stop:
            time.sleep(0.01)
        assert warned.getvalue().count("waiting") == 2
        assert order == ["first finds []"]
        finish.set()
        for run_done in (first, second, third):
            run_done.result()
    assert sorted(order) == ["first finds []", "second finds []", "third finds []"]
    assert list((project / ".checkpoints").iterdir()) == []


def test_other_ranks_neither_lock_nor_remove(project: Path) -> None:
    inputs = project / "input"
    with resume_folder("train", 1, inputs) as main:
        (main / "state").write_text("x")
        with resume_folder("train", 1, inputs, is_main=False) as other:
            assert other == main
        assert (main / "state").is_file()
    assert not main.exists()
