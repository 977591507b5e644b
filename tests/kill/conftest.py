"""Two checkouts of one toy-size project run at once: one undisturbed, one killed again and again.

`AUGGEN_KILLS` and `AUGGEN_KILL_PARAMS` ask for other sizes: see test_stages.py.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.kill.killing import LONG_STAGES, Killer, repro
from tests.pipeline.project import Project, copy_project

ROOT = Path(__file__).parents[2]
NUM_KILLS = int(os.environ.get("AUGGEN_KILLS", "3"))
PARAMS = os.environ.get("AUGGEN_KILL_PARAMS")
LONGER = {
    "seeds": [0],
    "train_generator.steps": 200,
    "train_generator.checkpoint_every": 10,
    "train_fr.steps": 200,
    "train_fr.checkpoint_every": 10,
    "search.num_pairs": 8,
    "search.images_per_pair": 4,
    "synthesize.batch_size": 8,
    "synthesize.sampler.num_steps": 6,
}
"""Toy stages that keep state, stretched to seconds of work and many checkpoints."""


def set_params(project: Project, **values: object) -> None:
    """Changes params of a project; `__` descends."""
    path = project.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in values.items():
        *sections, name = key.split("__")
        place = params
        for section in sections:
            place = place[section]
        assert name in place
        place[name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project's sources with the params of this tier, committed."""
    params = ROOT / (PARAMS or "presets/toy.yaml")
    folder = tmp_path_factory.mktemp("sources") / "project"
    project = copy_project(ROOT, folder, params.read_text())
    if PARAMS is None:
        set_params(project, **{key.replace(".", "__"): value for key, value in LONGER.items()})
        project.commit("Longer stages")
    return project


@pytest.fixture(scope="session")
def begun(
    sources: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple["Future[Project]", "Future[tuple[Project, Killer]]"]]:
    """Both runs, begun. At another size than toy they run one after the other."""

    def checkout(name: str) -> Project:
        folder = tmp_path_factory.mktemp(name) / "project"
        shutil.copytree(sources.folder, folder, symlinks=True)
        return Project(folder)

    def run_undisturbed(project: Project) -> Project:
        repro(project)
        project.commit("Results")
        return project

    def run_killed(project: Project) -> tuple[Project, Killer]:
        killer = Killer(project, seed=0)
        for stage in LONG_STAGES:
            if stage.name == "train_generator":
                set_params(project, train_generator__learning_rate=0.0007)
                killer.kill_foreign(stage)
                project.run("git", "checkout", "-q", "params.yaml")
            killer.kill_stage(stage, NUM_KILLS)
        repro(project)
        return project, killer

    with ThreadPoolExecutor(max_workers=1 if PARAMS else 2) as pool:
        undisturbed = pool.submit(run_undisturbed, checkout("undisturbed"))
        yield undisturbed, pool.submit(run_killed, checkout("killed"))


@pytest.fixture(scope="session", autouse=True)
def _begin(begun: object) -> None:
    """The long runs begin with the tier's first test."""


@pytest.fixture(scope="session")
def undisturbed(begun: tuple["Future[Project]", object]) -> Project:
    """The checkout whose run nobody disturbed, done and committed."""
    return begun[0].result()


@pytest.fixture(scope="session")
def killed(begun: tuple[object, "Future[tuple[Project, Killer]]"]) -> tuple[Project, Killer]:
    """The checkout whose long stages were killed, done, and who killed them."""
    return begun[1].result()
