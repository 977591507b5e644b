"""Planted overlap is found by each of its signs, and nothing else is."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet, read_face_set, write_face_set
from auggen.measures.embeddings import normalise
from auggen.protocols.__main__ import main
from auggen.protocols.embedding_cache import EmbeddingCache
from auggen.protocols.external import TestSet, open_test_sets
from auggen.protocols.overlap import (
    Finding,
    count_signs,
    find_overlap,
    tell_counts,
    write_findings,
)
from auggen.recognition.backbones import build_backbone
from auggen.recognition.checkpoint import save_recogniser
from tests.protocols.layouts import SIDE, draw_face, write_lfw
from tests.protocols.test_external import MANIFEST, configure, embed


def training_set(folder: Path) -> FaceSet:
    """Person 3 by name, person 5 by one of its images and by an altered one, and two others."""
    images = [
        draw_face(3, 50),
        draw_face(5, 2),
        draw_face(5, 3),
        draw_face(90, 1),
        draw_face(91, 1),
    ]
    images[2] = (images[2].int() + torch.arange(SIDE) % 3).clamp(0, 255).to(torch.uint8)
    images += [images[1], draw_face(92, 1)]  # a second encoding of one, another of its name
    names = ["p-3", "someone", "a", "b", "P 3"]
    labels = [0, 1, 1, 2, 3, 3, 4]
    folder.mkdir()
    paths = [f"{number}.png" for number in range(len(images))]
    write_face_set(folder, images, labels, paths, identities=names, source_digest="x")
    return read_face_set(folder)


def compare(
    training: FaceSet, one: TestSet, folder: Path, batch_size: int = 8, **options: float
) -> list[Finding]:
    """The findings of the projection in `embed`, from caches in a folder."""
    run, caches = Accelerator(cpu=True), []
    for name, images in (("training", training.images), ("test", one.images)):
        caches.append(EmbeddingCache(folder / name, len(images), batch_size))
        caches[-1].fill(images, embed, run)
    return find_overlap(training, caches[0], one, caches[1], **options)


@pytest.fixture
def sets(tmp_path: Path) -> list[TestSet]:
    return open_test_sets(configure("lfw_pairs", write_lfw(tmp_path / "lfw")), MANIFEST)


def test_planted_overlap_is_found(sets: list[TestSet], tmp_path: Path) -> None:
    training = training_set(tmp_path / "train")
    found = compare(training, sets[0], tmp_path / "caches", least_cosine=0.99)
    shown = {Path(name).name for name in sets[0].images.names}
    assert {"P_5_0002.png", "P_5_0003.png"} <= shown
    expected = {
        ("P_3", "name", "p-3", ""),
        ("P_3", "name", "P 3", ""),
        ("P_5_0002.png", "pixels", "someone", "1.png"),
        ("P_5_0002.png", "pixels", "b", "5.png"),
        ("P_5_0003.png", "embedding", "someone", "2.png"),
    }
    assert {(Path(f.image).name, f.sign, f.identity, f.training_image) for f in found} == expected
    write_findings(tmp_path / "overlap.csv", found)
    counts = count_signs(found)
    assert counts == {"name": 1, "pixels": 1, "embedding": 1}
    assert tell_counts(counts).endswith("training set: 1 by name, 1 by pixels, 1 by embedding")
    table = pd.read_csv(tmp_path / "overlap.csv")
    assert len(table) == len(found)
    assert list(table.columns) == [
        "benchmark", "image", "sign", "identity", "training_image", "cosine",
    ]  # fmt: skip


def test_parts_do_not_matter_and_a_loop_finds_the_same(
    sets: list[TestSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, one = training_set(tmp_path / "train"), sets[0]
    whole = compare(training, one, tmp_path / "whole", least_cosine=0.1)
    monkeypatch.setattr("auggen.protocols.embedding_cache._BATCHES_PER_PART", 1)
    parts = compare(training, one, tmp_path / "parts", batch_size=2, least_cosine=0.1)
    assert len(list((tmp_path / "parts" / "training").iterdir())) == 4
    assert [(f.image, f.sign) for f in parts] == [(f.image, f.sign) for f in whole]
    table = normalise(embed(one.images)) @ normalise(embed(training.images)).T
    told = {f.image: f for f in parts if f.sign == "embedding"}
    for name, row in zip(one.images.names, table, strict=True):
        if any(f.image == name and f.sign == "pixels" for f in parts):
            continue
        assert (name in told) == bool(row.max() >= 0.1)
        if name in told:
            assert told[name].cosine == pytest.approx(float(row.max()), abs=1e-5)
            nearest = row[training.paths.index(told[name].training_image)]
            assert nearest.item() == pytest.approx(float(row.max()), abs=1e-5)


def test_the_command_writes_the_list(
    sets: list[TestSet],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    training_set(tmp_path / "train")
    size = {"channels": 1, "image_size": SIDE, "width": 4, "embedding_size": 8}
    model = build_backbone("small", **size, dropout=0.0, seed=0)
    save_recogniser(tmp_path / "model", model, {"kind": "small", **size, "dropout": 0.0})
    params = tmp_path / "params.yaml"
    config = configure("lfw_pairs", sets[0].row.path).model_dump_json()
    params.write_text(f'{{"evaluate": {config}}}')
    names = ["train", "model", "overlap.csv"]
    main([*(str(tmp_path / name) for name in names), "--params", str(params)])
    assert capsys.readouterr().out.startswith("x: shared with the training set: 1 by name, ")
    assert "name" in (tmp_path / "overlap.csv").read_text()
    held_out = {"name": "pairs", "protocol": "pairs", "headline": True}
    params.write_text(
        f'{{"evaluate": {{"identities": "test", "batch_size": 8, "flip": true, '
        f'"benchmarks": [{str(held_out).replace("True", "true")}]}}}}'
    )
    with pytest.raises(UserError, match="names no test set"):
        main([*(str(tmp_path / name) for name in names), "--params", str(params)])
