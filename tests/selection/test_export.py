"""What is exported reads back byte by byte, with this project's readers and with plain ones."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from auggen.core.errors import UserError
from auggen.faces.images import StoredImages
from auggen.faces.shards import open_face_set, write_face_set
from auggen.ingest.source import open_photos
from auggen.selection import writers
from auggen.selection.export import ExportFormat, check_export, run_export
from auggen.selection.writers import write_folder, write_parquet, write_recordio
from tests.ingest.writers import MAGIC, jpegs

LABELS = [0, 0, 1, 1, 2, 2]
POOL = [0, 0, 1, 1, 2, 2]
CHOSEN = pd.DataFrame(
    {
        "row": [4, 5, 2, 0],
        "label": np.array([0, 0, 1, -2], np.int32),  # the last: person 1 drawn anew
        "pool_label": [2, 2, 1, 0],
        "source_i": [1, 1, 0, 1],
        "source_j": [2, 2, 1, 1],
    }
)
EXPECTED = [0, 0, 1, 1, 1, 2, 2, 3, 3, 4]
NAMES = ["s1", "s2", "s10", "s2/s10", "s1/s2"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """3 people x 2 images (JPEG), a pool of 3 x 2, 4 of them chosen."""
    folder = tmp_path / "mixed"
    (folder / "synthetic").mkdir(parents=True)
    paths = [f"s/{row}.jpg" for row in range(6)]
    write_face_set(folder, jpegs(6), LABELS, paths, identities=NAMES[:3], source_digest="d")
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 1, 8, 8), generator=draw).to(torch.uint8)
    extra = pd.DataFrame(
        {
            "source_i": np.array([1, 1, 0, 0, 1, 1], np.int32),
            "source_j": np.array([1, 1, 1, 1, 2, 2], np.int32),
            "alpha": np.array([0.7, 0.7, 1, 1, 1, 1], np.float32),
            "mixing": "condition",
            "seed": np.arange(6) + (1 << 60),
        }
    )
    write_face_set(
        folder / "synthetic",
        images,
        POOL,
        [f"m/{row}.png" for row in range(6)],
        identities=["s2", "s1/s2", "s2/s10"],
        source_digest="d",
        extra=extra,
    )
    CHOSEN.to_parquet(folder / "selection.parquet")
    return folder


def expected_images(mixed: Path) -> list[bytes]:
    real, pool = open_face_set(mixed).images, open_face_set(mixed / "synthetic").images
    assert isinstance(real, StoredImages)
    assert isinstance(pool, StoredImages)
    first = [real.encoded(row) for row in range(4)]
    middle = [pool.encoded(0), real.encoded(4), real.encoded(5)]
    return first + middle + [pool.encoded(row) for row in (4, 5, 2)]


@pytest.mark.parametrize("kind", list(ExportFormat))
def test_prepare_reads_it_back(mixed: Path, tmp_path: Path, kind: ExportFormat) -> None:
    line = run_export(mixed, tmp_path / "out", kind)
    assert line == f"6 real and 4 synthetic images of 5 identities as {kind.value}"
    by_label: dict[int, list[bytes]] = {label: [] for label in range(5)}
    for label, image in zip(EXPECTED, expected_images(mixed), strict=True):
        by_label[label].append(image)
    called = {
        ExportFormat.recordio: [str(label) for label in range(5)],
        ExportFormat.folder: ["s1", "s2", "s10", "s2+s10", "s1+s2"],
        ExportFormat.parquet: NAMES,
    }[kind]
    with open_photos(tmp_path / "out") as photos:
        found: dict[str, list[bytes]] = {}
        for photo in photos:
            found.setdefault(photo.identity, []).append(photo.read())
    assert found == {called[label]: images for label, images in by_label.items()}


@pytest.mark.parametrize("kind", [ExportFormat.recordio, ExportFormat.folder])
def test_provenance_is_beside_them(mixed: Path, tmp_path: Path, kind: ExportFormat) -> None:
    run_export(mixed, tmp_path / "out", kind)
    table = pd.read_csv(tmp_path / "out" / "provenance.csv", dtype={"seed": "Int64"})
    assert table["label"].tolist() == EXPECTED
    assert table["identity"].tolist() == [NAMES[label] for label in EXPECTED]
    assert table["synthetic"].tolist() == [
        label > 2 or row == 4 for row, label in enumerate(EXPECTED)
    ]
    synthetic = table[table["synthetic"]]
    assert synthetic["path"].tolist() == ["m/0.png", "m/4.png", "m/5.png", "m/2.png"]
    assert synthetic["seed"].tolist() == [k + (1 << 60) for k in (0, 4, 5, 2)]
    assert synthetic["alpha"].tolist() == [0.7, 1.0, 1.0, 1.0]
    assert table[~table["synthetic"]]["source_i"].isna().all()
    first = "1" if kind is ExportFormat.recordio else "s1/00000000.jpg"
    assert str(table["image"][0]) == first


def test_recordio_as_its_trainers_read_it(mixed: Path, tmp_path: Path) -> None:
    """Header, images, identities; walked record by record without the index."""
    run_export(mixed, tmp_path / "out", ExportFormat.recordio)
    content, at, records = (tmp_path / "out" / "train.rec").read_bytes(), 0, {}
    offsets = dict(
        map(int, line.split("\t"))  # type: ignore[misc]
        for line in (tmp_path / "out" / "train.idx").read_text().splitlines()
    )
    for key in range(16):
        assert offsets[key] == at
        magic, length = struct.unpack_from("<II", content, at)
        assert magic == 0xCED7230A
        flag, label, number, _ = struct.unpack_from("<IfQQ", content, at + 8)
        assert number == key
        more = struct.unpack_from(f"<{flag}f", content, at + 32)
        records[key] = (label, more, content[at + 32 + 4 * flag : at + 8 + length])
        at += 8 + length + -length % 4
    assert at == len(content)
    assert records[0] == (0.0, (11.0, 16.0), b"")
    assert [records[key][0] for key in range(1, 11)] == EXPECTED
    assert [records[key][2] for key in range(1, 11)] == expected_images(mixed)
    ranges = [records[key][1] for key in range(11, 16)]
    assert ranges == [(1, 3), (3, 6), (6, 8), (8, 10), (10, 11)]
    assert (tmp_path / "out" / "property").read_text() == "5,8,8\n"


@pytest.mark.parametrize(
    "image", [MAGIC, b"abcd" + MAGIC * 3, b"x" + MAGIC * 2, MAGIC + b"y", b"abc" + MAGIC + b"z"]
)
def test_recordio_of_images_that_hold_the_magic(tmp_path: Path, image: bytes) -> None:
    write_recordio(tmp_path, [image, b"two", image], [0, 1, 1], 8)
    content = (tmp_path / "train.rec").read_bytes()
    aligned = [at for at in range(0, len(content), 4) if content[at : at + 4] == MAGIC]
    lines = (tmp_path / "train.idx").read_text().splitlines()
    assert {int(line.split("\t")[1]) for line in lines} <= set(aligned)
    for at in aligned:  # each begins a record or a part of one
        assert at + 8 + (int.from_bytes(content[at + 4 : at + 8], "little") & 0x1FFFFFFF) <= len(
            content
        )
    with open_photos(tmp_path) as photos:
        assert [photo.read() for photo in photos] == [image, b"two", image]


def test_recordio_refuses_what_it_cannot_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "EXACT", 5)
    with pytest.raises(UserError, match=r"6 records: .* use --format parquet"):
        write_recordio(tmp_path, [b"a"] * 3, [0, 0, 1], 8)


def test_parquet_describes_itself(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_ROWS_PER_GROUP", 2)
    monkeypatch.setattr(writers, "_GROUPS_PER_FILE", 2)
    run_export(mixed, tmp_path / "out", ExportFormat.parquet)
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"train-0000{k}-of-00003.parquet" for k in range(3)]
    table = pq.read_table(tmp_path / "out")
    assert table.column_names[:3] == ["image", "label", "synthetic"]
    assert table["label"].to_pylist() == EXPECTED
    assert [image["bytes"] for image in table["image"].to_pylist()] == expected_images(mixed)
    assert table["image"][0].as_py()["path"] == "s/0.jpg"
    assert table["seed"].to_pylist()[-3:] == [k + (1 << 60) for k in (4, 5, 2)]
    assert table["source_i"].to_pylist()[:5] == [None, None, None, None, 1]
    assert table["alpha"].to_pylist()[:4] == [None] * 4
    features = json.loads(pq.read_schema(files[0]).metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names
    assert features["label"] == {"names": NAMES, "_type": "ClassLabel"}
    assert features["source_j"] == {"dtype": "int32", "_type": "Value"}
    assert features["alpha"]["dtype"] == "float32"
    assert features["mixing"]["dtype"] == "string"


@pytest.mark.parametrize("kind", list(ExportFormat))
def test_real_people_alone(mixed: Path, tmp_path: Path, kind: ExportFormat) -> None:
    (mixed / "selection.parquet").unlink()
    assert run_export(mixed, tmp_path / "out", kind).startswith("6 real and 0 synthetic images")
    with open_photos(tmp_path / "out") as photos:
        assert [photo.read() for photo in photos] == jpegs(6)


@pytest.mark.parametrize("name", ["", "..", ".x", "a\\b", "a\nb", "x" * 201, "s1/s2"])
def test_names_that_are_no_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="gives no folder name"):
        write_folder(tmp_path, [b"a", b"b"], [0, 1], ["s1+s2", name])


def test_many_folders_take_no_longer_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", lambda _: None)
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def replace(self, *_: object) -> "Name":  # type: ignore[override]
            return self

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    write_folder(Path("nowhere"), [], [], [Name(f"identity-{k}") for k in range(1000)])
    assert compared < 20_000


def test_used_folder_is_left_alone(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    check_export(mixed, tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        check_export(mixed, tmp_path / "link")
    (tmp_path / "out" / "mine").write_text("x")
    for write in (check_export, lambda *paths: run_export(*paths, ExportFormat.folder)):
        with pytest.raises(UserError, match="is there already"):
            write(mixed, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_one_name_for_two(mixed: Path, tmp_path: Path) -> None:
    manifest = json.loads((mixed / "manifest.json").read_text())
    manifest["identities"][0] = "s1/s2"
    (mixed / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"have one name, 's1/s2'; rename"):
        check_export(mixed, tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "not a readable Parquet file"),
        (lambda path: path.write_bytes(b"PAR1 and more"), "not a readable Parquet file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "not a readable Parquet file"),
        (lambda path: path.write_bytes(path.read_bytes()[60:]), "not a readable Parquet file"),
        (
            lambda path: CHOSEN.drop(columns="row").to_parquet(path),
            "with row, label, pool_label",
        ),
        (lambda path: CHOSEN.head(0).to_parquet(path), "empty, or a row, label or source"),
        (lambda path: CHOSEN.astype(str).to_parquet(path), "empty, or a row, label or source"),
        (lambda path: CHOSEN.assign(row=6).to_parquet(path), "beyond the 6 images"),
        (lambda path: CHOSEN.assign(pool_label=3).to_parquet(path), "and 3 classes of synthetic/"),
        (lambda path: CHOSEN.assign(label=-4).to_parquet(path), "empty, or a row, label or source"),
        (lambda path: CHOSEN.assign(source_j=3).to_parquet(path), "and the 3 real people"),
        (lambda path: CHOSEN.assign(label=5).to_parquet(path), "empty, or a row, label or source"),
    ],
)
def test_broken_selection(mixed: Path, tmp_path: Path, spoil: Any, reason: str) -> None:
    spoil(mixed / "selection.parquet")
    with pytest.raises(UserError, match=rf"selection\.parquet: .*{reason}.*dvc repro select"):
        check_export(mixed, tmp_path / "out")


def test_parquet_counts_images(tmp_path: Path) -> None:
    table = pd.DataFrame({"label": [0, 0], "identity": "a", "synthetic": False, "path": ["x", "y"]})
    with pytest.raises(ValueError, match="argument 2 is longer"):
        write_parquet(tmp_path, [b"one"], table, ["a"])
