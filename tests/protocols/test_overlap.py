"""Planted overlap is found by each of its signs, and nothing else is."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet, read_face_set, write_face_set
from auggen.protocols.__main__ import main
from auggen.protocols.external import TestSet, open_test_sets
from auggen.protocols.overlap import find_overlap, write_findings
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
    names = ["p-3", "someone", "a", "b"]
    folder.mkdir()
    paths = [f"{number}.png" for number in range(5)]
    write_face_set(folder, images, [0, 1, 1, 2, 3], paths, identities=names, source_digest="x")
    return read_face_set(folder)


@pytest.fixture
def sets(tmp_path: Path) -> list[TestSet]:
    return open_test_sets(configure("lfw_pairs", write_lfw(tmp_path / "lfw")), MANIFEST)


def test_planted_overlap_is_found(sets: list[TestSet], tmp_path: Path) -> None:
    training = training_set(tmp_path / "train")
    found = find_overlap(training, sets, embed, 0.99)
    shown = {Path(name).name for name in sets[0].images.names}
    expected = {("P_3", "name", "p-3", "")} if "P_3" in sets[0].people else set()
    if "P_5_0002.png" in shown:
        expected.add(("P_5_0002.png", "pixels", "someone", "1.png"))
    if "P_5_0003.png" in shown:
        expected.add(("P_5_0003.png", "embedding", "someone", "2.png"))
    assert len(expected) > 1
    assert {(Path(f.image).name, f.sign, f.identity, f.training_image) for f in found} == expected
    write_findings(tmp_path / "overlap.csv", found)
    table = pd.read_csv(tmp_path / "overlap.csv")
    assert len(table) == len(found)
    assert list(table.columns) == [
        "benchmark", "image", "sign", "identity", "training_image", "cosine",
    ]  # fmt: skip


def test_the_command_writes_the_list(
    sets: list[TestSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training_set(tmp_path / "train")
    size = {"channels": 1, "image_size": SIDE, "width": 4, "embedding_size": 8}
    model = build_backbone("small", **size, dropout=0.0, seed=0)
    save_recogniser(tmp_path / "model", model, {"kind": "small", **size, "dropout": 0.0})
    params = tmp_path / "params.yaml"
    config = configure("lfw_pairs", sets[0].row.path).model_dump_json()
    params.write_text(f'{{"evaluate": {config}}}')
    names = ["train", "model", "overlap.csv"]
    main([*(str(tmp_path / name) for name in names), "--params", str(params)])
    assert capsys.readouterr().out.startswith("x: ")
    assert "name" in (tmp_path / "overlap.csv").read_text()
    held_out = {"name": "pairs", "protocol": "pairs", "headline": True}
    params.write_text(
        f'{{"evaluate": {{"identities": "test", "batch_size": 8, "flip": true, '
        f'"benchmarks": [{str(held_out).replace("True", "true")}]}}}}'
    )
    with pytest.raises(UserError, match="names no test set"):
        main([*(str(tmp_path / name) for name in names), "--params", str(params)])
