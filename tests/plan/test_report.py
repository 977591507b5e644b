"""Tables of plans, and predicted against measured."""

import json
from pathlib import Path

import pytest

from auggen.core.errors import UserError
from auggen.plan.costs import StageCost
from auggen.plan.report import (
    Plan,
    as_dict,
    format_comparison,
    format_plan,
    plan_of,
    read_measured,
)

STAGES = [
    StageCost("prepare", 1, 90.0, 5e8, 2e6, 1),
    StageCost("train_fr@real", 3, 600.0, 4e9, 1e6, 4),
]


def make(**changes: object) -> Plan:
    values = {"params": "p.yaml", "people": 40, "images": 400, "device": "2 cores", "devices": 4}
    return Plan(**{**values, "scaled_from": "", "stages": STAGES, **changes})  # type: ignore[arg-type]


def write_times(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["stage,seconds,memory_bytes,disk_bytes", *lines]) + "\n")
    return path


def test_totals() -> None:
    plan = make()
    assert plan.seconds == 90 + 3 * 600
    assert plan.device_seconds == 90 + 3 * 600 * 4
    assert plan.disk_bytes == 2e6 + 3 * 1e6


def test_table() -> None:
    lines = format_plan(make()).splitlines()
    assert lines[2].split() == [
        "prepare",
        "1",
        "90.0",
        "s",
        "90.0",
        "s",
        "500.0",
        "MB",
        "2.0",
        "MB",
    ]
    assert lines[3].split()[:6] == ["train_fr@real", "3", "10.0", "min", "30.0", "min"]
    assert lines[4].split() == ["total", "31.5", "min", "4.0", "GB", "5.0", "MB"]
    assert len({len(line) for line in lines[:5]}) <= 2
    assert "2.02 device hours on 4 x 2 cores" in lines[5]


def test_an_extrapolation_says_so() -> None:
    assert "EXTRAPOLATED" not in format_plan(make())
    text = format_plan(make(scaled_from="params.yaml"))
    assert "EXTRAPOLATED: the networks of params.yaml" in text
    assert "no step of this run's networks was measured" in text


def test_seeds_are_added_up(tmp_path: Path) -> None:
    lines = ["prepare,100,6,7", "train_fr@real-0,500,1,2", "train_fr@real-12,700,3,2"]
    measured = read_measured(write_times(tmp_path / "times.csv", *lines))
    assert set(measured) == {"prepare", "train_fr@real"}
    real = measured["train_fr@real"]
    assert (real.seconds, real.memory_bytes, real.disk_bytes) == (1200, 3, 4)


def test_comparison(tmp_path: Path) -> None:
    path = write_times(tmp_path / "t.csv", "prepare,100,6e8,2e6", "train_fr@real-0,2000,3e9,3e6")
    lines = format_comparison(make(), read_measured(path)).splitlines()
    assert lines[2].split() == ["prepare", "1", "90.0", "100.0", "0.90", "500", "600"]
    assert lines[4].split() == ["total", "1890.0", "2100.0", "0.90", "4000", "3000"]
    assert lines[5] == "Disk: predicted 5.0 MB, measured 5.0 MB"


def test_other_stages_cannot_be_compared(tmp_path: Path) -> None:
    path = write_times(tmp_path / "t.csv", "prepare,100,6,7", "compare,1,1,1")
    with pytest.raises(UserError, match="compare, train_fr@real are predicted or measured"):
        format_comparison(make(), read_measured(path))


@pytest.mark.parametrize("line", ["prepare,soon,1,1", "prepare,1"])
def test_a_table_that_is_none(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"t\.csv: not a table of stages"):
        read_measured(write_times(tmp_path / "t.csv", line))
    with pytest.raises(UserError, match="no such table"):
        read_measured(tmp_path / "none.csv")


def test_json_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(as_dict(make())))
    assert plan_of(path) == make()
    path.write_text('{"total": 1}')
    with pytest.raises(UserError, match="not a plan"):
        plan_of(path)
