"""The two commands of the stage, in this process, on an untrained recogniser."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.faces.shards import write_face_set
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from stages.select import app

PARAMS: dict[str, Any] = {
    "mix_ratio": 0.5,
    "score": {"batch_size": 8},
    "select": {
        "rule": "between",
        "images_per_class": 2,
        "anew_ratio": 0.0,
        "max_real_similarity": 1.0,
        "batch_share": "proportional",
        "schedule": "switch_over",
        "switch_at": 0.5,
        "compete_with_sources": True,
        "margin_scale": 1.0,
        "loss_weight": 1.0,
        "seed": 0,
    },
}


def write_people(folder: Path, num_images: int, each: int, extra: pd.DataFrame | None) -> None:
    folder.mkdir()
    random = torch.Generator().manual_seed(num_images)
    images = torch.randint(0, 256, (num_images, 1, 16, 16), generator=random).to(torch.uint8)
    labels = [row // each for row in range(num_images)]
    paths = [f"{row}.png" for row in range(num_images)]
    names = [f"p{person}" for person in range(num_images // each)]
    write_face_set(folder, images, labels, paths, identities=names, source_digest="x", extra=extra)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 real people x 4 images, a pool of 14 mixed people x 3 images, scored."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    write_people(folder / "real", 24, 4, None)
    mixed = pd.Series([row // 3 for row in range(42)])
    sources = {"source_i": (mixed % 5).astype("int32"), "source_j": 5}
    write_people(folder / "pool", 42, 3, pd.DataFrame(sources))
    size = {"channels": 1, "image_size": 16, "width": 4, "embedding_size": 8}
    model = build_backbone("small", **size, dropout=0.0, seed=0)
    save_recogniser(folder / "fr", model, {"kind": "small", **size, "dropout": 0.0})
    line = run_score(folder, folder / "scores")
    assert line.startswith("score: ")
    assert line.count("\n") == 1
    return folder


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def run_score(project: Path, out: Path, *options: str) -> str:
    where = [project / name for name in ("real", "pool", "fr")]
    return invoke("score", *where, out, "--params", project / "params.yaml", *options)


def run_select(project: Path, out: Path, params: Path, *options: str) -> str:
    where = [project / name for name in ("real", "pool", "scores")]
    return invoke("select", *where, out, "--params", params, *options)


def changed(project: Path, folder: Path, **changes: Any) -> Path:
    params = yaml.safe_load((project / "params.yaml").read_text())
    for name, value in changes.items():
        target = params if name == "mix_ratio" else params["select"]
        target[name] = value
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def test_score_writes_the_same_twice(project: Path, tmp_path: Path) -> None:
    run_score(project, tmp_path / "scores")
    assert digest_files(tmp_path / "scores") == digest_files(project / "scores")


def test_select(project: Path, tmp_path: Path) -> None:
    line = run_select(project, tmp_path / "mixed", project / "params.yaml")
    assert "12 images of 6 mixed identities (rule between) and 0 of 0 real people" in line
    assert line.count("\n") == 1
    plan = json.loads((tmp_path / "mixed" / "selection.json").read_text())
    assert plan["batch_share"] == "proportional"
    assert plan["compete_with_sources"] is True


@pytest.mark.parametrize("kind", ["recordio", "folder", "parquet"])
def test_export(kind: str, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert invoke("export", project / "real", out, "--format", kind, "--dry-run") == ""
    assert not out.exists()
    line = invoke("export", project / "real", out, "--format", kind)
    assert line.startswith("export: ")
    assert line.endswith(f"24 real and 0 synthetic images of 6 identities as {kind}\n")
    with pytest.raises(UserError, match="is there already"):
        invoke("export", project / "real", out, "--format", kind)


@pytest.mark.parametrize("ratio", [1, 1.0])
def test_whole_numbers_serve_as_ratio(ratio: float, project: Path, tmp_path: Path) -> None:
    # 1 and 1.0 are one value to DVC, so they must give the same bytes
    run_select(project, tmp_path / "a", changed(project, tmp_path, mix_ratio=ratio, rule="random"))
    plan = (tmp_path / "a" / "selection.json").read_text()
    assert '"mix_ratio": 1.0' in plan


def test_dry_run_prints_config_and_writes_nothing(project: Path, tmp_path: Path) -> None:
    printed = run_select(project, tmp_path / "out", project / "params.yaml", "--dry-run")
    assert json.loads(printed)["mix_ratio"] == 0.5
    assert json.loads(run_score(project, tmp_path / "out", "--dry-run")) == {"batch_size": 8}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mix_ratio": -0.5}, "`mix_ratio` is -0.5"),
        ({"mix_ratio": "abc"}, "`mix_ratio` is 'abc'"),
        ({"mix_ratio": float("inf")}, "`mix_ratio` is inf"),
        ({"mix_ratio": 0.01}, "less than one identity"),
        ({"mix_ratio": 5.0}, "asks for 60 identities of 2 images, but the pool has"),
        ({"rule": "best"}, "`select.rule` is 'best'"),
        ({"batch_share": 1.5}, "`select.batch_share"),
        ({"max_real_similarity": -0.9}, "near-copies"),
        ({"images_per_class": 4}, "has 0 .14 of its 14 have fewer images; 0 images"),
    ],
)
def test_impossible_params(
    changes: dict[str, Any], message: str, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run_select(project, tmp_path / "out", changed(project, tmp_path, **changes))
    assert not (tmp_path / "out").exists()
