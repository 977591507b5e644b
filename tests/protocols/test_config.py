"""Params of `evaluate` and `compare` that cannot be meant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from auggen.core.errors import UserError
from auggen.core.params import read_params
from auggen.protocols.config import CompareConfig, EvaluateConfig, Seeds
from tests.protocols.conftest import BENCHMARKS

GOOD: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "evaluate": {"identities": "test", "batch_size": 64, "flip": True, "benchmarks": BENCHMARKS},
    "compare": {"num_replicates": 2000, "seed": 0},
}
KINDS: dict[str, Any] = {"seeds": Seeds, "evaluate": EvaluateConfig, "compare": CompareConfig}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def test_good_params_and_the_project_s_own_are_read(path: Path, root: Path) -> None:
    path.write_text(yaml.safe_dump(GOOD))
    for file in (path, root / "params.yaml", *(root / "presets").glob("*.yaml")):
        for key, kind in KINDS.items():
            read_params(file, key, kind)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("evaluate", {"identities": "train"}, "`evaluate.identities` is 'train'.*'test'"),
        ("evaluate", {"batch_size": 0}, "`evaluate.batch_size` is 0"),
        ("evaluate", {"batch_size": "64"}, "`evaluate.batch_size` is '64'"),
        ("evaluate", {"flop": True}, "`evaluate.flop`"),
        ("evaluate", {"benchmarks": []}, "`evaluate.benchmarks`"),
        ("evaluate", {"benchmarks": [BENCHMARKS[0]] * 2}, "share a name"),
        (
            "evaluate",
            {"benchmarks": [BENCHMARKS[0] | {"name": f"pairs{k}"} for k in range(4)]},
            "4 benchmarks have `headline: true`; mark at least one and at most 3",
        ),
        ("evaluate", {"benchmarks": [BENCHMARKS[0] | {"headline": False}]}, "0 benchmarks"),
        (
            "evaluate",
            {"benchmarks": [BENCHMARKS[0] | {"name": "../x"}]},
            r"benchmarks\.0\.pairs\.name",
        ),
        (
            "evaluate",
            {"benchmarks": [BENCHMARKS[0] | {"protocol": "lfw"}]},
            r"benchmarks\.0`.*protocol",
        ),
        ("compare", {"num_replicates": 10}, "`compare.num_replicates` is 10"),
        ("compare", {"seed": -1}, "`compare.seed` is -1"),
    ],
)
def test_wrong_params_name_the_field(
    path: Path, key: str, change: dict[str, Any], message: str
) -> None:
    path.write_text(yaml.safe_dump(GOOD | {key: GOOD[key] | change}))
    with pytest.raises(UserError, match=message):
        read_params(path, key, KINDS[key])


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1], ["0"], 3])
def test_wrong_seeds_are_refused(path: Path, seeds: object) -> None:
    path.write_text(yaml.safe_dump(GOOD | {"seeds": seeds}))
    with pytest.raises(UserError, match="`seeds"):
        read_params(path, "seeds", Seeds)
