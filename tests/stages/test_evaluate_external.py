"""Test sets of the field through the stage: figures of every model, then gains with intervals."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.faces.shards import write_face_set
from tests.protocols.layouts import Ijb, draw_face, write_pair_list
from tests.stages.test_evaluate import PARAMS, invoke, project, run_evaluate

__all__ = ["project"]
KEYS = ("real-0", "real-1", "mixed-0", "mixed-1")


@pytest.fixture
def params(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Test sets beside the held-out people, one a headline; a training set that shares an image."""
    if not (project / "train").exists():
        (project / "train").mkdir()
        images, paths = [draw_face(0, 1), draw_face(901, 1)], ["p0/1.png", "p9/1.png"]
        write_face_set(
            project / "train", images, [0, 1], paths, identities=["p0", "p9"], source_digest="x"
        )
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    rows: list[dict[str, Any]] = [
        row | {"headline": row["name"] == "pairs"} for row in PARAMS["evaluate"]["benchmarks"]
    ]
    folder = tmp_path / "ijb"
    Ijb(folder)
    rows += [
        {"name": name, "protocol": protocol, "path": str(path), "headline": name == "ijbc"}
        | {"num_replicates": 100}
        for name, protocol, path in (
            ("ijbc", "ijb", folder),
            *(
                (name, "pair_list", write_pair_list(tmp_path / name))
                for name in ("lfw", "cfp_fp", "cplfw", "agedb_30", "calfw")
            ),
        )
    ]
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml.safe_dump(PARAMS | {"evaluate": PARAMS["evaluate"] | {"benchmarks": rows}})
    )
    return path


def test_every_model_then_gains(project: Path, params: Path, tmp_path: Path) -> None:
    results, metrics = tmp_path / "results", tmp_path / "metrics"
    for key in KEYS:
        line = run_evaluate(project, key, results / key, "--params", str(params))
        assert line.endswith("3 benchmarks, 6 test sets\n")
        assert line.count("\n") == 7
        assert "\nlfw: shared with the training set: 0 by name, 1 by pixels, " in line
        found = pd.read_csv(results / key / "overlap.csv")
        twins = found[found["sign"] == "pixels"].set_index("benchmark")
        assert set(twins.index) >= {"lfw", "calfw"}
        assert twins.loc["lfw", "image"].endswith("im/0_1.png")
        assert twins.loc["lfw", ["identity", "training_image"]].tolist() == ["p0", "p0/1.png"]
    once = digest_files(results)
    run_evaluate(project, "real-1", results / "real-1", "--params", str(params))
    assert digest_files(results) == once
    printed = invoke("compare", results, metrics, "--params", params)
    assert "avg_h" in printed
    assert list(json.loads((metrics / "compare.json").read_text())) == ["pairs", "ijbc"]
    counts = json.loads((metrics / "compare.json").read_text())["ijbc"]["overlap"]
    assert list(counts) == ["name", "pixels", "embedding"]
    table = pd.read_csv(metrics / "benchmarks.csv").set_index(["benchmark", "metric"])
    assert table.loc[("ijbc", "tar_at_far_1e-6"), "conditions"].startswith("N1 D1 F1")
    words = table.loc[("lfw", "accuracy"), "conditions"]
    assert "shared with the training set: 0 by name, 1 by pixels, " in words
    sets = ["lfw", "cfp_fp", "cplfw", "agedb_30", "calfw"]
    for arm in ("real", "mixed", "gain"):
        mean = sum(table.loc[(name, "accuracy"), arm] for name in sets) / 5
        assert table.loc[("avg_h", "accuracy"), arm] == pytest.approx(mean, abs=2e-6)
    low, high = table.loc[("avg_h", "accuracy"), ["gain_low", "gain_high"]]
    assert low <= table.loc[("avg_h", "accuracy"), "gain"] <= high
    lists = tmp_path / "lfw" / "list.txt"
    lists.write_text("\n".join(reversed(lists.read_text().splitlines())))
    run_evaluate(project, "mixed-1", results / "mixed-1", "--params", str(params))
    with pytest.raises(UserError, match=r"mixed-1: `lfw` is about another list"):
        invoke("compare", results, metrics, "--params", params)


def test_a_missing_set_stops_before_any_work(project: Path, params: Path, tmp_path: Path) -> None:
    (tmp_path / "ijb").rename(tmp_path / "moved")
    for option in ((), ("--dry-run",)):
        with pytest.raises(UserError, match=r"ijb: missing, but `ijbc` of `evaluate\.benchmarks`"):
            run_evaluate(
                project, "real-0", tmp_path / "results" / "x", "--params", str(params), *option
            )
    assert not (tmp_path / "results").exists()
