"""`evaluate` writes what a test set shares with the training set, `prepare` leaves it out."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from auggen.faces.manifest import read_manifest
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from tests.conftest import ROOT
from tests.protocols.layouts import SIDE, write_face, write_lfw
from tests.stages.test_evaluate import PARAMS, PREPARE
from tests.stages.test_evaluate import invoke as run_evaluate
from tests.stages.test_prepare import invoke as run_prepare

PEOPLE, NAMED, EACH = 30, 12, 5
NOBODY = PREPARE.exclude


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LFW, a recogniser, and people: 12 of LFW's names, 30 with one of LFW's images each."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    write_lfw(tmp_path / "lfw", people=NAMED)
    for person in range(PEOPLE + NAMED):
        name = f"s{person}" if person < PEOPLE else f"p-{person - PEOPLE}"
        for image in range(EACH):
            write_face(tmp_path / "faces" / name / f"{image}.png", 100 + person, image)
    for person in range(PEOPLE):
        write_face(tmp_path / "faces" / f"s{person}" / "lfw.png", person // 3, person % 3 + 1)
    size = {"channels": 1, "image_size": SIDE, "width": 4, "embedding_size": 8}
    model = build_backbone("small", **size, dropout=0.0, seed=0)
    save_recogniser(tmp_path / "model", model, {"kind": "small", **size, "dropout": 0.0})
    return tmp_path


def prepare_and_evaluate(folder: Path, exclude: str) -> tuple[str, str, pd.DataFrame]:
    """What both stages print, and the list."""
    row = {"name": "lfw", "protocol": "lfw_pairs", "path": str(folder / "lfw" / "pairs.txt")}
    held_out = [entry | {"headline": False} for entry in PARAMS["evaluate"]["benchmarks"][:2]]
    rows = [*held_out, row | {"headline": True, "num_replicates": 100}]
    params = yaml.safe_load((ROOT / "presets" / "toy.yaml").read_text())
    params |= {
        "prepare": PREPARE.model_dump() | {"exclude": exclude},
        "evaluate": PARAMS["evaluate"] | {"benchmarks": rows},
    }
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    parts = [folder / name for name in ("train", "validation", "test")]
    prepared = run_prepare("prepare", folder / "faces", *parts, "--params", path)
    results = folder / "results" / "real-0"
    where = [parts[1], parts[0], folder / "model", results]
    evaluated = run_evaluate("evaluate", *where, "--params", path)
    table = pd.read_csv(results / "overlap.csv", keep_default_na=False)
    return prepared, evaluated, table


def test_what_evaluate_lists_prepare_leaves_out(folder: Path) -> None:
    _, line, found = prepare_and_evaluate(folder, NOBODY)
    before = [read_manifest(folder / part) for part in ("train", "validation", "test")]
    people = before[0].identities
    names, twins = (found[found["sign"] == sign] for sign in ("name", "pixels"))
    assert set(names["identity"]) == {name for name in people if name.startswith("p-")}
    assert set(twins["training_image"]) <= {f"{name}/lfw.png" for name in people}
    assert len(names) > 1
    assert len(twins) > 1
    counts = f"lfw: shared with the training set: {len(names)} by name, {len(twins)} by pixels, "
    assert line.startswith(counts)

    chosen = found[found["sign"].isin(["name", "pixels"])]
    kept = folder / "reviewed.csv"
    chosen.to_csv(kept, index=False)
    prepared, line, found = prepare_and_evaluate(folder, str(kept))
    told = f"{len(names)} people and {len(twins)} images of others left out"
    assert prepared.endswith(f"; {kept}: {told}\n")
    assert line.startswith("lfw: shared with the training set: 0 by name, 0 by pixels, ")
    assert not set(found["sign"]) & {"name", "pixels"}
    after = [read_manifest(folder / part) for part in ("train", "validation", "test")]
    assert after[0].num_images == before[0].num_images - EACH * len(names) - len(twins)
    assert [part.shards for part in after[1:]] == [part.shards for part in before[1:]]


def test_a_test_set_without_a_training_set_is_refused(folder: Path) -> None:
    prepare_and_evaluate(folder, NOBODY)
    shutil.rmtree(folder / "train")
    where = [folder / name for name in ("validation", "train", "model", "out")]
    with pytest.raises(Exception, match=r"train.manifest\.json: missing; run `dvc repro`"):
        run_evaluate("evaluate", *where, "--params", folder / "params.yaml")
