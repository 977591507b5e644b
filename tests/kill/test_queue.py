"""Experiments in temporary copies and from the queue keep their state in the original project."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from tests.kill.killing import LongStage, Run, debris, is_stage, progress, states
from tests.pipeline.project import Project

pytestmark = pytest.mark.kill
MIXED = LongStage("train_fr@mixed-0", ("stages.train_fr", "models/fr/mixed-0"), "train_fr")
NAMES = ("first", "second")


def wait_for(ready: Callable[[], bool], what: str) -> None:
    """Polls for at most three minutes."""
    end = time.monotonic() + 180
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def project(undisturbed: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of the finished checkout; ends the queue's workers that a failed test leaves."""
    shutil.copytree(undisturbed.folder, tmp_path / "project", symlinks=True)
    yield Project(tmp_path / "project")
    for process in inside(tmp_path):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def inside(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder."""
    found = psutil.process_iter(["cwd"])
    return [process for process in found if Path(process.info["cwd"] or "/").is_relative_to(folder)]


def trainings(project: Project) -> dict[str, psutil.Process]:
    """Processes of the stage, by the copy of the project that they work in."""
    found = [process for process in inside(project.folder) if is_stage(process, MIXED)]
    return {process.info["cwd"]: process for process in found}


def model_digest(project: Project, name: str) -> str:
    """DVC's digest of the mixed model in an experiment's commit."""
    ref = next(ref for ref in experiments(project) if ref.endswith(f"/{name}"))
    stages = yaml.safe_load(project.run("git", "show", f"{ref}:dvc.lock"))["stages"]
    return str(stages[MIXED.name]["outs"][0]["md5"])


def experiments(project: Project) -> list[str]:
    """References of finished experiments."""
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return [ref for ref in listed if ref.endswith(NAMES)]


def test_two_that_want_the_state_of_a_killed_one(project: Project) -> None:
    """A killed copy leaves a state; of two queued runs one goes on from it, the other waits."""
    run = Run(project, "dvc", "exp", "run", "--temp", "-S", "mix_ratio=1.0")
    assert run.await_stage(MIXED), run.output
    wait_for(lambda: any(map(progress, states(project, MIXED))), "no checkpoint")
    run.kill()
    (folder,) = states(project, MIXED)
    left = progress(folder)
    assert project.changes() == []

    for number, name in enumerate(NAMES):
        change = ("-S", "mix_ratio=1.0", "-S", f"compare.seed={number + 1}")
        project.run("dvc", "exp", "run", "--queue", "--name", name, *change)
    # to a file: the workers keep the stream open, and reading it to its end would wait for them
    assert Run(project, "dvc", "queue", "start", "-j", "2").wait()

    def owner() -> str:
        try:
            return (folder / ".owner").read_text().splitlines()[0]
        except FileNotFoundError:
            return ""

    wait_for(lambda: owner() in trainings(project), "nobody took the state")
    holder = trainings(project)[owner()]
    holder.send_signal(signal.SIGSTOP)
    assert left <= progress(folder) < 200

    def other_waits() -> bool:
        logs = (project.folder / ".dvc" / "tmp" / "exps" / "run").glob("*/*.out")
        return any("held by another run" in log.read_text() for log in logs)

    wait_for(other_waits, "the second run did not wait")
    assert len(trainings(project)) == 2
    holder.send_signal(signal.SIGCONT)
    wait_for(lambda: len(experiments(project)) == 2, "the queue did not finish")
    wait_for(lambda: not inside(project.folder), "the queue's workers did not end")
    assert model_digest(project, "first") == model_digest(project, "second")
    assert debris(project) == []
