"""Which experiment serves which, how values reach DVC, what a failure says."""

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from auggen.core.errors import UserError
from studies.config import Experiment
from studies.experiments import Done, _hydra, _last_line, serves
from tests.conftest import ROOT

PARAMS = {"seeds": [0, 1], "mix_ratio": 2.0, "train_fr": {"steps": 9}, "select": {"rule": "random"}}


def entry(deps: dict[str, str], outs: dict[str, str], *params: str) -> dict[str, Any]:
    return {
        "deps": [{"path": path, "md5": md5} for path, md5 in deps.items()],
        "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()],
        "params": {"params.yaml": {key: PARAMS[key] for key in params}},
    }


EXCLUDE = "data/exclude.csv"
LOCK = {
    "prepare": entry(
        {"auggen/core": "c", EXCLUDE: hashlib.md5((ROOT / EXCLUDE).read_bytes()).hexdigest()},
        {"data/train/real": "r"},
    ),
    "select": entry({"auggen/core": "c"}, {"data/train/mixed": "m"}, "mix_ratio", "select"),
    **{
        f"train_fr@{data}-{seed}": entry(
            {"auggen/core": "c", f"data/train/{data}": data[0]},
            {f"models/fr/{data}-{seed}": f"{data}{seed}"},
            "train_fr",
        )
        for data in ("real", "mixed")
        for seed in (0, 1)
    },
    **{
        f"evaluate@{data}-{seed}": entry(
            {f"models/fr/{data}-{seed}": f"{data}{seed}"}, {f"results/{data}-{seed}": "r"}
        )
        for data in ("real", "mixed")
        for seed in (0, 1)
    },
}


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_changed_data_count(tmp_path: Path) -> None:
    """Data that no stage makes are asked for their present hash, in the project or out of it."""
    photographs = tmp_path / "faces.tar"
    photographs.write_bytes(b"faces")
    lock = copy.deepcopy(LOCK)
    inside, outside = lock["prepare"]["deps"][1], {"path": str(photographs)}
    lock["prepare"]["deps"].append(outside | {"md5": hashlib.md5(b"faces").hexdigest()})
    assert serves(Done("abc", [0], lock), experiment(["real"], seeds=[0]))
    inside["md5"] = "other"
    assert not serves(Done("abc", [0], lock), experiment(["real"], seeds=[0]))
    inside["md5"] = LOCK["prepare"]["deps"][1]["md5"]
    lock["prepare"]["deps"][2]["md5"] = "other"
    assert not serves(Done("abc", [0], lock), experiment(["real"], seeds=[0]))
    lock["prepare"]["deps"][2] |= {"path": str(tmp_path / "gone.tar")}
    with pytest.raises(UserError, match=r"gone\.tar: missing"):
        serves(Done("abc", [0], lock), experiment(["real"], seeds=[0]))


def experiment(models: list[Any], **changes: Any) -> Experiment:
    return Experiment("study-x-y-0", 0, {}, PARAMS | changes, models)


def test_a_finished_experiment_serves_all_that_it_holds() -> None:
    done = Done("abc", [0, 1], LOCK)
    assert serves(done, experiment(["real", "mixed"]))
    assert serves(done, experiment(["mixed"], seeds=[0]))
    assert not serves(done, experiment(["real"], seeds=[0, 2]))
    assert not serves(done, experiment(["mixed"], seeds=[1, 0])), "another real model judges"


def test_other_params_count_where_the_wanted_models_use_them() -> None:
    done = Done("abc", [0, 1], LOCK)
    assert serves(done, experiment(["real"], mix_ratio=1.0))
    assert not serves(done, experiment(["mixed"], mix_ratio=1.0))
    assert not serves(done, experiment(["real"], train_fr={"steps": 10}))


@pytest.mark.parametrize("stage", ["select", "train_fr@mixed-1"])
def test_what_the_lock_has_from_another_run_does_not_count(stage: str) -> None:
    """A lock entry whose product is not what the next stage took is left from the base commit."""
    lock = copy.deepcopy(LOCK)
    lock[stage]["outs"][0]["md5"] = "other"
    done = Done("abc", [0, 1], lock)
    assert not serves(done, experiment(["mixed"]))
    assert serves(done, experiment(["real"]))
    del lock[stage]
    assert not serves(done, experiment(["mixed"], seeds=[0, 1, 2]))


@pytest.mark.parametrize(
    "value",
    [1, 0.25, 1e-5, True, "pixel", "true", "a folder, (1)/it's $x", [], [0, 3], ["s1", "s 2"]],
)
def test_values_reach_dvc_as_they_are(value: Any) -> None:
    read = OverridesParser.create().parse_override(f"a.b={_hydra(value)}").value()
    assert read == value
    assert type(read) is type(value)


def test_a_failure_is_told_by_the_stage_s_own_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Running\nerror: params.yaml: `x` is wrong\nERROR: failed to reproduce\n\n")
    assert _last_line(log) == "error: params.yaml: `x` is wrong"
    log.write_text("one\nERROR: failed\n")
    assert _last_line(log) == "ERROR: failed"
    log.write_text("")
    assert _last_line(log) == "(nothing printed)"
