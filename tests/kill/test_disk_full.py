"""No room for a checkpoint or a shard: one line that names the file, nothing half-written.

A limit on the size of files, which any user may set, makes real writes fail half-way.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kill.conftest import set_params
from tests.kill.killing import BY_NAME, POLL, Run, debris, progress, states
from tests.pipeline.project import Project

pytestmark = pytest.mark.kill
GENERATOR = ("stages.train_generator", "data/train/real", "models/generator")
SYNTHESIZE = (
    *("stages.synthesize", "synthesize", "data/train/real", "models/generator"),
    *("models/fr/real-0", "data/search", "data/pool"),
)


def run_limited(project: Project, num_blocks: int, *command: str) -> str:
    """Runs a stage that may write no longer files (in blocks of 512 bytes); its last line."""
    limited = ["sh", "-c", f'ulimit -f {num_blocks}; exec "$@"', "sh", sys.executable, "-m"]
    done = subprocess.run([*limited, *command], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture
def project(undisturbed: Project, tmp_path: Path) -> Project:
    """A copy of the finished checkout."""
    shutil.copytree(undisturbed.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_checkpoint(project: Project) -> None:
    """A killed run's checkpoint outlives a run that finds the disk full, and serves the next."""
    stage = BY_NAME["train_generator"]
    shutil.rmtree(project.folder / "models" / "generator")
    run = Run(project, sys.executable, "-m", *GENERATOR)
    while run.process.poll() is None and not any(map(progress, states(project, stage))):
        time.sleep(POLL)
    run.kill()
    (folder,) = states(project, stage)
    before = {
        path.name: path.read_bytes() for path in folder.iterdir() if "partial" not in path.name
    }
    error = run_limited(project, 40, *GENERATOR)
    assert error.startswith(f"error: {Path('.checkpoints') / folder.name / 'state.safetensors'}: ")
    assert "File too large" in error
    assert "free some space" in error
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (project.folder / "models" / "generator").exists()
    project.run(sys.executable, "-m", *GENERATOR)
    assert debris(project) == []
    assert "up to date" in project.run("dvc", "status", "train_generator")


def test_shard(project: Project) -> None:
    """The images drawn so far are kept, the pool is not begun."""
    set_params(project, synthesize__seed=1)
    error = run_limited(project, 40, *SYNTHESIZE)
    assert re.match(r"error: data/\.pool\.partial/\S*shard-00000.parquet: no room", error)
    (folder,) = states(project, BY_NAME["synthesize"])
    assert progress(folder) == 30
    assert list((project.folder / "data").glob(".*.partial")) == []
