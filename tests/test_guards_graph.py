"""dvc.yaml against the code: what a stage imports is what it depends on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = ["unpack", "prepare", "train_generator", "train_fr", "search", "synthesize", "score"]
NAMES += ["select", "evaluate", "compare"]
SCRIPTS = sorted({s["cmd"].partition("-m stages.")[2].split()[0] for s in STAGES.values()})


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import between modules but those of `plan`: it may stop a run and makes nothing."""
    graph = grimp.build_graph("auggen", "stages", cache_dir=None)
    for module in [name for name in graph.modules if name.startswith("auggen.plan")]:
        graph.remove_module(module)
    return graph


def script(stage: str) -> str:
    """The module that a stage runs, e.g. `stages.select`."""
    return "stages." + STAGES[stage]["cmd"].partition("-m stages.")[2].split()[0]


def code_deps(stage: str) -> set[str]:
    """Deps of a stage that are code: rooms of the library and the script."""
    return {dep for dep in STAGES[stage]["deps"] if dep.startswith(("auggen/", "stages/"))}


def test_the_ten_stages_are_there() -> None:
    assert sorted(STAGES) == sorted(NAMES)
    assert len(SCRIPTS) == 6


@pytest.mark.parametrize("stage", NAMES)
def test_imports_are_deps(stage: str, graph: grimp.ImportGraph) -> None:
    """No more (needless reruns) and no fewer (stale results) than the script's import closure."""
    own = script(stage)
    imported = graph.find_upstream_modules(own)
    rooms = {"/".join(name.split(".")[:2]) for name in imported if name.startswith("auggen.")}
    assert "auggen/core" in rooms
    assert code_deps(stage) == {*rooms, own.replace(".", "/") + ".py"}


@pytest.mark.parametrize("package", ["auggen", "stages"])
def test_packages_themselves_hold_no_code(package: str) -> None:
    """No stage depends on these two files, so they may hold a docstring only."""
    import ast

    body = ast.parse((ROOT / package / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


@pytest.mark.parametrize("stage", NAMES)
def test_paths_are_written_once_and_here(stage: str) -> None:
    """Every data path of a command is a dep or an out, and each stage tells what it is for."""
    entry = STAGES[stage]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in entry["outs"]]
    metrics = [next(iter(out)) for out in entry.get("metrics", [])]
    paths = [word for word in entry["cmd"].split() if "/" in word]
    assert set(paths) <= {*entry["deps"], *outs, *metrics}
    assert entry["desc"]


def test_cached_outs_are_ignored_by_git_and_the_rest_is_not() -> None:
    def ignored(path: str) -> bool:
        command = ["git", "check-ignore", "-q", "--no-index", path]
        return subprocess.run(command, cwd=ROOT).returncode == 0

    outs = [out for entry in STAGES.values() for out in entry["outs"] if isinstance(out, str)]
    outs = [out.replace("${key}", "real-0") for out in outs]
    assert len(outs) > 10
    assert [out for out in outs if not ignored(out)] == []
    kept = ["metrics/compare.json", "metrics/plots/roc.csv", "data/raw/mine.dvc", "dvc.lock"]
    assert [path for path in kept if ignored(path)] == []


def test_stage_code_knows_no_data_path() -> None:
    roots = ("data/", "models/", "results/", "metrics/")
    found = []
    scripts = sorted((ROOT / "stages").glob("[a-z]*.py"))
    for path in scripts:
        found += [f"{path.name}: {r}" for r in roots if f'"{r}' in path.read_text()]
    assert len(scripts) == 6
    assert found == []


def test_help(tmp_path: Path) -> None:
    """As a module: `python stages/select.py` would shadow the standard library's select."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    runs = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"stages.{name}", "--help"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in SCRIPTS
    }
    printed = {name: run.communicate()[0] for name, run in runs.items()}
    for name, run in runs.items():
        assert run.returncode == 0, printed[name]
        assert "--help" in printed[name]
    assert list(tmp_path.iterdir()) == []
