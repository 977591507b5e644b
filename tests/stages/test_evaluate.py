"""The three commands of the stage, in this process, on untrained recognisers."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.faces.shards import write_face_set
from auggen.ingest.benchmarks import write_benchmarks
from auggen.ingest.config import PrepareConfig
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from stages.evaluate import app

PARAMS: dict[str, Any] = {
    "seeds": [0, 1],
    "evaluate": {
        "identities": "validation",
        "batch_size": 8,
        "flip": True,
        "benchmarks": [
            {"name": name, "protocol": name, "headline": True}
            for name in ("pairs", "templates", "lowres")
        ],
    },
    "compare": {"num_replicates": 100, "seed": 0},
}
PREPARE = PrepareConfig(
    source="unused",
    image_size=16,
    channels=1,
    min_images=4,
    max_images=0,
    split_seed=0,
    validation=8,
    test=15,
    validation_identities=[],
    images_per_template=2,
    lowres_pixels=6,
    landmarks="none",
    exclude=os.devnull,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out people, four models and params."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 1, 16, 16), generator=random).to(torch.uint8)
    labels = [row // 4 for row in range(24)]
    data = folder / "validation"
    data.mkdir()
    paths = [f"{row}.png" for row in range(24)]
    names = [f"s{person}" for person in range(6)]
    manifest = write_face_set(data, images, labels, paths, identities=names, source_digest="x")
    write_benchmarks(data, manifest, paths, PREPARE)
    size = {"channels": 1, "image_size": 16, "width": 4, "embedding_size": 8}
    for seed, key in enumerate(("real-0", "real-1", "mixed-0", "mixed-1")):
        model = build_backbone("small", **size, dropout=0.0, seed=seed)
        save_recogniser(folder / "models" / key, model, {"kind": "small", **size, "dropout": 0.0})
    return folder


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def run_evaluate(
    project: Path, key: str, out: Path, *options: str, data: Path | None = None
) -> str:
    """`project / "train"` is not there: without test sets of the field nobody reads it."""
    where = (data or project / "validation", project / "train", project / "models" / key, out)
    return invoke("evaluate", *where, "--params", project / "params.yaml", *options)


def test_evaluate_compare_show(project: Path, tmp_path: Path) -> None:
    results, metrics = tmp_path / "results", tmp_path / "metrics"
    for key in ("real-0", "real-1", "mixed-0", "mixed-1"):
        line = run_evaluate(project, key, results / key)
        assert line.startswith("evaluate: ")
        assert line.count("\n") == 1
    compare = ("compare", results, metrics, "--params", project / "params.yaml")
    printed = invoke(*compare)
    assert "warning: `pairs` is a headline" in printed
    assert printed.endswith(invoke("show", metrics))
    assert len(json.loads((metrics / "compare.json").read_text())) == 3
    first = digest_files(metrics, results)
    run_evaluate(project, "real-1", results / "real-1")
    invoke(*compare)
    assert digest_files(metrics, results) == first


def test_nothing_written_depends_on_where_it_lies(project: Path, tmp_path: Path) -> None:
    for place in ("a", "b/c"):
        run_evaluate(project, "real-0", tmp_path / place)
    assert digest_files(tmp_path / "a") == digest_files(tmp_path / "b" / "c")


def test_dry_runs_print_the_config_and_write_nothing(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "real-0"
    assert json.loads(run_evaluate(project, "real-0", out, "--dry-run")) == PARAMS["evaluate"]
    assert not out.parent.exists()
    for key in ("real-0", "real-1", "mixed-0", "mixed-1"):
        run_evaluate(project, key, tmp_path / "results" / key)
    where = ("compare", tmp_path / "results", tmp_path / "metrics")
    printed = invoke(*where, "--params", project / "params.yaml", "--dry-run")
    assert json.loads(printed) == PARAMS["compare"] | {"seeds": [0, 1]}
    assert not (tmp_path / "metrics").exists()


def test_missing_inputs_are_named(project: Path, tmp_path: Path) -> None:
    params = ("--params", str(project / "params.yaml"))
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"absent.*missing"):
        run_evaluate(project, "real-0", out, data=tmp_path / "absent")
    with pytest.raises(UserError, match=r"absent.*no such checkpoint"):
        run_evaluate(project, "absent", out)
    with pytest.raises(UserError, match="results: missing; run `dvc repro`"):
        invoke("compare", tmp_path / "results", out, *params)
    with pytest.raises(UserError, match=r"operating_points\.csv: missing"):
        invoke("show", tmp_path)
    assert not out.exists()


def test_a_failure_leaves_nothing_behind(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("auggen.protocols.evaluate.write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        run_evaluate(project, "real-0", tmp_path / "results" / "real-0")
    assert list((tmp_path / "results").iterdir()) == []
