"""One toy-size run of the whole pipeline, shared by the tier; tests work in copies of it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.project import Project, copy_project

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The finished toy-size project, committed, and what its `dvc repro` printed."""
    params = (ROOT / "presets" / "toy.yaml").read_text()
    for none, some in (("anew_images: 0\n", "anew_images: 51\n"), ("ratio: 0.0\n", "ratio: 0.2\n")):
        assert params.count(none) == 1
        params = params.replace(none, some)  # of the training people drawn anew too
    project = copy_project(ROOT, tmp_path_factory.mktemp("toy") / "project", params)
    output = project.run("dvc", "repro")
    project.commit("Its results")
    return project, output


@pytest.fixture(scope="session")
def forced(
    toy: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], tuple[Project, str]]]:
    """A forced rerun in a copy, begun here and awaited by calling the fixture.

    Tests that take long ask for it to begin, since it runs well beside them.
    """
    project = Project(tmp_path_factory.mktemp("forced") / "project")
    shutil.copytree(toy[0].folder, project.folder, symlinks=True)
    with (project.folder.parent / "log").open("w+") as log:
        begun = subprocess.Popen(
            ["dvc", "repro", "--force"],
            cwd=project.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def wait() -> tuple[Project, str]:
            code = begun.wait()
            log.seek(0)
            output = log.read()
            assert code == 0, output
            return project, output

        try:
            yield wait
        finally:
            if begun.poll() is None:
                os.killpg(begun.pid, signal.SIGKILL)
                begun.wait()


@pytest.fixture
def project(toy: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the finished toy-size project that a test may change."""
    shutil.copytree(toy[0].folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
