"""The files of a study whose models were measured elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auggen.core.params import load_params
from auggen.protocols.bootstrap import MEAN_TAR
from auggen.protocols.config import Benchmark
from studies.config import Experiment, Plan, Study
from studies.costs import count_compute, evaluations_per_image
from studies.figures import REPORTED, Measured, compute_gains
from studies.report import Outcome, append_log, log_entry, markdown_table, write_outcome
from tests.protocols.conftest import BENCHMARKS

ALL = [Benchmark.model_validate(item) for item in BENCHMARKS]
STUDY = {
    "name": "confirm",
    "about": "Does it help?",
    "params": {},
    "splits": [0, 1],
    "seeds": [5],
    "reference": "real",
    "confirm": True,
    "arms": {"real": {"model": "real", "set": {}}, "mixed": {"model": "mixed", "set": {}}},
}


def measured(value: float) -> Measured:
    """A model with one value in every figure, and replicates around it."""
    names = {item.name: set(REPORTED[item.protocol].values()) for item in ALL}
    plain = {name: dict.fromkeys(sorted(figures), value) for name, figures in names.items()}
    spread = np.linspace(-0.1, 0.1, 101) * (value + 1)
    keys = [(item.name, metric) for item in ALL for metric in REPORTED[item.protocol]]
    return Measured(plain, dict.fromkeys(keys, value + spread))


@pytest.fixture
def outcome(root: Path) -> Outcome:
    params = load_params(root / "params.yaml")
    experiments = [
        Experiment(f"study-confirm-real-{split}", split, {}, params, ["real", "mixed"])
        for split in (0, 1)
    ]
    study = Study.model_validate(STUDY)
    plan = Plan(study, "orl", experiments, {"real": experiments, "mixed": experiments})
    values = {"real": [[measured(0.4)], [measured(0.6)]]}
    values["mixed"] = [[measured(0.5)], [measured(0.9)]]
    return Outcome(plan, values, compute_gains(values, "real", ALL))


def test_files_of_a_study(outcome: Outcome, tmp_path: Path) -> None:
    write_outcome(outcome, tmp_path)
    table = pd.read_csv(tmp_path / "confirm.csv")
    assert list(table) == ["arm", "split", "seed", "benchmark", "metric", "value"]
    assert len(table) == 2 * 2 * (4 + 4 + 1)
    row = table[(table["arm"] == "mixed") & (table["split"] == 1)].iloc[0]
    assert (row["seed"], row["value"]) == (5, 0.9)
    assert MEAN_TAR in set(table["metric"])
    summary = json.loads((tmp_path / "confirm.json").read_text())
    figures = summary["arms"]["mixed"]["pairs"]["mean_tar"]
    assert figures == {
        "mean": 0.7,
        "gain": 0.2,
        "gain_low": pytest.approx(0.181, abs=1e-6),
        "gain_high": pytest.approx(0.219, abs=1e-6),
        "spread": pytest.approx(np.std([0.1, 0.3], ddof=1), abs=1e-6),
    }
    assert summary["arms"]["real"]["compute"]["evaluations"] == 0
    assert (tmp_path / "confirm.png").read_bytes().startswith(b"\x89PNG")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_outcome(outcome, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_confirmed_result_joins_those_of_other_data(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "default.json"
    path.write_text('{"faces": {"num_splits": 1}}')
    write_outcome(outcome, tmp_path)
    content = json.loads(path.read_text())
    assert content["faces"] == {"num_splits": 1}
    entry = content["orl"]
    assert (entry["num_splits"], entry["num_seeds"]) == (2, 1)
    tars = ["tar_at_far_1e-1", "tar_at_far_1e-2", "tar_at_far_1e-3", "mean_tar"]
    assert {name: list(entry[name]) for name in ("pairs", "templates", "lowres")} == {
        "pairs": tars,
        "templates": tars,
        "lowres": ["rank_1"],
    }
    assert list(entry["lowres"]["rank_1"]) == ["real", "mixed", "gain", "gain_low", "gain_high"]


def test_curve_of_arms_with_x(outcome: Outcome, tmp_path: Path) -> None:
    arms: dict[str, Any] = STUDY["arms"]  # type: ignore[assignment]
    by_arm = outcome.plan.by_arm | {"more": outcome.plan.by_arm["mixed"]}
    measured = outcome.measured | {"more": outcome.measured["mixed"]}
    gains = outcome.gains | {"more": outcome.gains["mixed"]}
    pictures = set()
    for x in ({}, {"x": 2.0}):
        added = dict.fromkeys(("mixed", "more"), arms["mixed"] | x)
        study = Study.model_validate(STUDY | {"confirm": False, "arms": arms | added})
        plan = Plan(study, "orl", outcome.plan.experiments, by_arm)
        write_outcome(Outcome(plan, measured, gains), tmp_path)
        pictures.add((tmp_path / "confirm.png").read_bytes())
    assert len(pictures) == 2


def test_sets_with_other_figures_share_a_picture(outcome: Outcome, tmp_path: Path) -> None:
    write_outcome(outcome, tmp_path)
    alone = (tmp_path / "default.png").read_bytes()
    assert alone.startswith(b"\x89PNG")
    known = json.loads((tmp_path / "default.json").read_text())
    other = {"num_splits": 1, "lowres": {"rank_5": known["orl"]["lowres"]["rank_1"]}}
    (tmp_path / "default.json").write_text(json.dumps({"faces": other}))
    write_outcome(outcome, tmp_path)
    assert (tmp_path / "default.png").read_bytes() != alone


def test_texts(outcome: Outcome, tmp_path: Path) -> None:
    table = markdown_table(outcome).splitlines()
    assert table[2].startswith("| real | 50.0 | 50.0 |")
    assert "| 70.0, +20.0 [+18.1, +21.9] ± 14.1 |" in table[3]
    params = outcome.plan.experiments[0].params
    settings = params["synthesize"]
    pool = settings["num_classes"] * settings["images_per_class"] + settings["anew_images"]
    updates = params["train_fr"]["steps"]
    assert table[3].endswith(f"| {updates} | 10, {10 * pool} | - |")
    log = tmp_path / "LOG.md"
    log.write_text("# Log\n")
    append_log(log, log_entry(outcome, "python -m studies run studies/confirm.yaml"))
    text = log.read_text()
    assert text.startswith("# Log\n\n## 20")
    assert "2 splits x 1 seed" in text
    assert text.endswith("| - |\n")


@pytest.mark.parametrize(
    ("sampler", "mixing", "expected"),
    [
        ({}, "condition", 10),
        ({"kind": "heun"}, "condition", 19),
        ({"guidance": 2.0}, "condition", 20),
        ({}, "score", 20),
        ({}, "pixel", 0),
    ],
)
def test_evaluations_per_image(root: Path, sampler: Any, mixing: str, expected: int) -> None:
    params = load_params(root / "params.yaml")
    params["synthesize"] |= {"sampler": params["synthesize"]["sampler"] | sampler, "mixing": mixing}
    assert evaluations_per_image(params) == expected
    params["synthesize"] |= {"num_classes": 7, "images_per_class": 3, "anew_images": 4}
    asked = Experiment("x", 0, {}, params, ["mixed"])
    anew = expected // 2 if mixing == "score" else expected
    assert count_compute(asked, "mixed")["evaluations"] == expected * 21 + anew * 4
    assert count_compute(asked, "real")["evaluations"] == 0
