"""The whole pipeline under the real DVC: it ends, is stable, and reruns no more than it must."""

import json
from collections.abc import Callable

import pytest
import yaml

from tests.pipeline.project import Project, ran
from tests.pipeline.test_stale import ALL

pytestmark = pytest.mark.pipeline

MIXED = {f"{stage}@mixed-{seed}" for stage in ("train_fr", "evaluate") for seed in (0, 1)}
OF_MIX_RATIO = MIXED | {"select", "compare"}


def headline(project: Project) -> dict[str, dict[str, float]]:
    """The metrics that git holds."""
    content = json.loads((project.folder / "metrics" / "compare.json").read_text())
    assert isinstance(content, dict)
    return content


def model_hashes(project: Project) -> dict[str, str]:
    """DVC's hash of every recogniser, by its folder's name."""
    stages = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    names = [name for name in stages if name.startswith("train_fr@")]
    return {name.partition("@")[2]: stages[name]["outs"][0]["md5"] for name in names}


def test_repro_runs_every_stage_once(toy: tuple[Project, str]) -> None:
    project, output = toy
    assert ran(output) == ALL
    assert project.changes() == []


def test_second_repro_is_up_to_date(toy: tuple[Project, str]) -> None:
    output = toy[0].run("dvc", "repro")
    assert ran(output) == set()
    assert "up to date" in output


def test_headline_is_short_and_whole(toy: tuple[Project, str]) -> None:
    metrics = headline(toy[0])
    assert list(metrics) == ["pairs", "templates", "lowres"]
    for benchmark in metrics.values():
        assert list(benchmark) == ["real", "mixed", "gain", "gain_low", "gain_high"]
        # three numbers, each rounded to six decimals
        assert benchmark["gain"] == pytest.approx(
            benchmark["mixed"] - benchmark["real"], abs=1.6e-6
        )
        assert benchmark["gain_low"] <= benchmark["gain_high"]
        assert all(abs(value) <= 1 for value in benchmark.values())


def test_git_holds_metrics_and_no_bulk(toy: tuple[Project, str]) -> None:
    files = toy[0].run("git", "ls-files").split()
    outputs = [name for name in files if name.startswith(("data", "models", "results", "metrics"))]
    assert {"metrics/compare.json", "metrics/operating_points.csv"} <= set(outputs)
    assert all(name.startswith("metrics/") for name in outputs if name != "data/exclude.csv")


def test_mix_ratio_reruns_what_it_touches(project: Project) -> None:
    before = model_hashes(project)
    output = project.run("dvc", "exp", "run", "-S", "mix_ratio=1.0")
    assert ran(output) == OF_MIX_RATIO
    after = model_hashes(project)
    assert {name for name in after if before[name] != after[name]} == {"mixed-0", "mixed-1"}
    diff = json.loads(project.run("dvc", "params", "diff", "--json"))
    assert diff == {"params.yaml": {"mix_ratio": {"old": 0.5, "new": 1.0, "diff": 0.5}}}
    assert set(project.changes()) <= {
        "params.yaml",
        "dvc.lock",
        *[path for path in project.changes() if path.startswith("metrics/")],
    }


def test_ratio_zero_in_a_temporary_copy_is_real(project: Project) -> None:
    zero = ("-S", "mix_ratio=0", "-S", "select.anew_ratio=0")
    output = project.run("dvc", "exp", "run", "--temp", "--name", "zero", *zero)
    assert ran(output) == OF_MIX_RATIO
    assert project.changes() == []
    project.run("dvc", "exp", "apply", "zero")
    hashes = model_hashes(project)
    assert hashes["mixed-0"] == hashes["real-0"]
    assert hashes["mixed-1"] == hashes["real-1"]
    assert hashes["real-0"] != hashes["real-1"]
    for benchmark in headline(project).values():
        assert benchmark["gain"] == 0.0
        assert benchmark["mixed"] == benchmark["real"]


def test_forced_rerun_changes_no_byte(forced: Callable[[], tuple[Project, str]]) -> None:
    project, output = forced()
    assert ran(output) == ALL
    assert project.changes() == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("mix_ratio=abc", ["mix_ratio", "'abc'"]),
        ("mix_ratio=50", ["mix_ratio", "50"]),
        ("select.rule=no_such_rule", ["select.rule", "'no_such_rule'"]),
    ],
)
def test_impossible_params_stop_at_once(project: Project, setting: str, words: list[str]) -> None:
    output = project.run("dvc", "exp", "run", "-S", setting, fails=True)
    assert ran(output) == {"select"}
    error = next(line for line in output.splitlines() if line.startswith("error: "))
    for word in words:
        assert word in error
