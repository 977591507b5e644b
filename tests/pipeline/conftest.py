"""One toy-size run of the whole pipeline, shared by the tier; tests work in copies of it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.project import Project

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("dvc.lock", "metrics/")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The finished toy-size project, committed, and what its `dvc repro` printed."""
    project = Project(tmp_path_factory.mktemp("toy") / "project")
    project.folder.mkdir()
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if not name.startswith(LEFT_OUT) and (ROOT / name).is_file():
            (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project.folder / name)
    shutil.copy2(ROOT / "presets" / "toy.yaml", project.folder / "params.yaml")
    project.run("git", "init", "-q", "-b", "main")
    project.commit("The project at toy size")
    output = project.run("dvc", "repro")
    project.commit("Its results")
    return project, output


@pytest.fixture
def copy_of_toy(toy: tuple[Project, str], tmp_path: Path) -> Callable[[], Project]:
    """Makes a copy that a test may change."""

    def copy() -> Project:
        shutil.copytree(toy[0].folder, tmp_path / "project", symlinks=True)
        return Project(tmp_path / "project")

    return copy


@pytest.fixture
def project(copy_of_toy: Callable[[], Project]) -> Project:
    """A copy of the finished toy-size project that a test may change."""
    return copy_of_toy()
