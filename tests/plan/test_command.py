"""`python -m auggen.plan`, with made-up rates."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auggen.core.errors import UserError
from auggen.plan import __main__ as command
from auggen.plan.costs import Work
from auggen.plan.settings import Settings, Sizes
from tests.plan.conftest import priced

TOY = ["--params", "presets/toy.yaml"]
SIZE = ["--people", "40", "--images", "400"]


@pytest.fixture
def asked(free: Work, monkeypatch: pytest.MonkeyPatch, root: Path) -> list[object]:
    """Runs from the root; what would have been measured."""
    seen: list[object] = []

    def measure(target: tuple[Settings, Sizes], base: object, devices: int) -> Work:
        seen.append((target[1], base, devices))
        work = replace(free, settings=target[0], sizes=target[1], devices=devices)
        return priced(work, generator_update=2.0)

    monkeypatch.setattr(command, "_measure", measure)
    monkeypatch.chdir(root)
    return seen


def run(*words: str) -> str:
    done = CliRunner().invoke(command.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_plan_before_there_are_data(asked: list[object], sizes: Sizes) -> None:
    text = run(*TOY, *SIZE, "--devices", "2")
    assert asked == [(sizes, None, 2)]
    assert "presets/toy.yaml: 40 people, 400 images; 0.02 device hours on 2 x " in text


def test_json(asked: list[object]) -> None:
    content = json.loads(run(*TOY, *SIZE, "--json"))
    assert content["total"]["seconds"] == 40.0
    assert content["stages"][2]["stage"] == "train_generator"
    assert asked


def test_against_measured(asked: list[object], tmp_path: Path) -> None:
    stages = [stage["stage"] for stage in json.loads(run(*TOY, *SIZE, "--json"))["stages"]]
    times = tmp_path / "times.csv"
    rows = [f"{stage},10,1,1" for stage in stages]
    times.write_text("\n".join(["stage,seconds,memory_bytes,disk_bytes", *rows]) + "\n")
    text = run(*TOY, *SIZE, "--against", str(times))
    assert "40.0        10.0   4.00" in text
    assert "0.33" in text.splitlines()[-2]
    assert len(asked) == 2


def test_a_comparison_is_no_json(asked: list[object]) -> None:
    with pytest.raises(UserError, match="leave out --json, or --against"):
        run(*TOY, *SIZE, "--json", "--against", "times.csv")
    assert asked == []


def test_half_a_size(asked: list[object]) -> None:
    with pytest.raises(UserError, match="belong together"):
        run(*TOY, "--people", "40")
    assert asked == []
