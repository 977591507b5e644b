"""A study under the real DVC: shared work is done once, and a second call does nothing."""

import json

import pandas as pd
import pytest

from studies.experiments import LOG_DIR
from tests.pipeline.project import Project, ran

pytestmark = pytest.mark.pipeline

STUDY = """
name: tiny
about: Does a study run?
params: {evaluate.identities: validation}
splits: [0, 1]
seeds: [0]
reference: real
arms:
  real: {model: real, set: {}}
  quarter: {model: mixed, set: {mix_ratio: 0.25}}
"""


def test_a_study_shares_work_resumes_and_aggregates(project: Project) -> None:
    """The finished toy project is split 0 with the same generator: only split 1 trains one."""
    (project.folder / "studies" / "tiny.yaml").write_text(STUDY)
    command = ["python", "-m", "studies", "run", "studies/tiny.yaml"]
    printed = project.run(*command)
    assert "tiny: 4 experiments, 4 to run" in printed
    logs = sorted((project.folder / LOG_DIR).glob("*.log"))
    stages = {path.stem: ran(path.read_text()) for path in logs}
    assert list(stages) == [
        f"study-tiny-{arm}-{split}" for arm in ("quarter", "real") for split in (0, 1)
    ]
    for stage in ("train_generator", "train_fr@real-0", "prepare"):
        assert sum(stage in names for names in stages.values()) == 1, stage
    assert "train_generator" in stages["study-tiny-quarter-1"]
    assert stages["study-tiny-real-0"] == {"evaluate@real-0"}
    assert not any("mixed" in stage for stage in stages["study-tiny-real-1"])
    assert sum("train_fr@mixed-0" in names for names in stages.values()) == 2

    made = {name: project.folder / "metrics/studies" / f"tiny.{name}" for name in ("csv", "json")}
    before = {name: path.read_bytes() for name, path in made.items()}
    table = pd.read_csv(made["csv"])
    assert list(table) == ["arm", "split", "seed", "benchmark", "metric", "value"]
    refs = project.run("git", "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    commit = next(ref.split()[0] for ref in refs if ref.endswith("/study-tiny-quarter-1"))
    published = project.run("git", "show", f"{commit}:metrics/operating_points.csv")
    rows = [line.split(",") for line in published.splitlines()]
    values = {(row[0], row[1]): float(row[5]) for row in rows if row[3:5] == ["mixed", "0"]}
    own = table[(table["arm"] == "quarter") & (table["split"] == 1)]
    assert {(row.benchmark, row.metric): row.value for row in own.itertuples()} == values
    arm = json.loads(before["json"])["arms"]["quarter"]
    assert arm["pairs"]["mean_tar"]["gain_low"] <= arm["pairs"]["mean_tar"]["gain_high"]
    assert arm["compute"]["cpu_minutes"] > 0
    assert made["csv"].with_suffix(".png").is_file()

    again = project.run(*command, "--log")
    assert "tiny: 4 experiments, 0 to run" in again
    assert {name: path.read_bytes() for name, path in made.items()} == before
    assert "study `tiny`" in (project.folder / "LOG.md").read_text()


def test_a_study_asks_for_the_results_that_its_arms_share(project: Project) -> None:
    (project.folder / "studies" / "tiny.yaml").write_text(STUDY)
    project.run("git", "clone", "-q", ".", "fresh")
    fresh = Project(project.folder / "fresh")
    (fresh.folder / "studies" / "tiny.yaml").write_text(STUDY)
    printed = fresh.run("python", "-m", "studies", "run", "studies/tiny.yaml", fails=True)
    assert "not in DVC's cache; run `dvc repro`" in printed
