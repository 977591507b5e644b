"""Parquet as other tools write it: any compression, order and number of files."""

import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auggen.core.errors import UserError
from auggen.ingest import parquet
from auggen.ingest.config import PrepareConfig
from auggen.ingest.prepare import plan
from auggen.ingest.source import open_photos
from tests.ingest.writers import jpegs

IMAGES = jpegs(6)
LABELS = [2, 0, 1, 0, 2, 1]
KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def listing(source: Path) -> list[tuple[str, str, bytes]]:
    with open_photos(source) as photos:
        return [(photo.identity, photo.name, photo.read()) for photo in photos]


def table(
    labels: Any = LABELS, images: Any = IMAGES, names: Any = None, kind: Any = KIND
) -> pa.Table:
    stored = [None if image is None else {"bytes": image, "path": "a.jpg"} for image in images]
    made = pa.table({"image": pa.array(stored, kind), "label": labels})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        made = made.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    return made


def expected(people: list[str], first: str = "") -> list[tuple[str, str, bytes]]:
    rows = [1, 3, 2, 5, 0, 4]
    names = [people[LABELS[row]] for row in rows]
    return [(name, f"{name}/{row}", IMAGES[row]) for name, row in zip(names, rows, strict=True)]


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_one_file(tmp_path: Path, compression: str, dictionary: bool) -> None:
    path = tmp_path / "train.parquet"
    options = {"compression": compression, "use_dictionary": dictionary}
    pq.write_table(table(), path, row_group_size=4, **options)
    assert listing(path) == listing(tmp_path) == expected(["0", "1", "2"])


def test_several_files_in_natural_order(tmp_path: Path) -> None:
    whole = table()
    for number, name in enumerate(["train-2.parquet", "train-10.parquet", "train-11.parquet"]):
        pq.write_table(whole.slice(2 * number, 2), tmp_path / name)
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / "._train-2.parquet").write_text("a file manager's note")
    assert listing(tmp_path) == expected(["0", "1", "2"])


def test_class_names(tmp_path: Path) -> None:
    pq.write_table(table(names=["ann", "bob/x", "cy"]), tmp_path / "a.parquet")
    assert listing(tmp_path) == expected(["ann", "bob/x", "cy"])


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_labels_that_are_names(tmp_path: Path, kind: pa.DataType) -> None:
    labels = pa.array([f"p{label}" for label in LABELS]).cast(kind)
    pq.write_table(table(labels), tmp_path / "a.parquet")
    assert listing(tmp_path) == expected(["p0", "p1", "p2"])


def test_batches_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BATCH", 2)
    pq.write_table(table(), tmp_path / "a.parquet", row_group_size=3)
    assert listing(tmp_path) == expected(["0", "1", "2"])


LARGE = pa.struct([("bytes", pa.large_binary())])


def test_large_binary(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": pa.array([{"bytes": i} for i in IMAGES], LARGE), "label": LABELS}),
        tmp_path / "a.parquet",
    )
    assert listing(tmp_path) == expected(["0", "1", "2"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (table([0, 0, None, 1, 1, 1]), "1 rows without a label"),
        (table(images=[*IMAGES[:3], None, *IMAGES[4:]]), "row 3 holds no image"),
        (table([0.5] * 6), "no column `label`"),
        (table(names=["a", "b"]), r"labels 0\.\.2 for 2 names"),
        (table(names=["a", "b", "a"]), "empty or repeated"),
        (table(names=["a", "b", ""]), "empty or repeated"),
        (table(names=7), "empty or repeated"),
        (table(["a", "a", "", "b", "b", "b"]), "'' is no name"),
        (table(pa.array([2**63] * 6, pa.uint64())), "no readable Parquet"),
        (pa.table({"image": IMAGES, "label": LABELS}), "no column `image`"),
        (pa.table({"label": LABELS}), "no column `image`"),
        (table([], []).cast(pa.schema([("image", KIND), ("label", pa.int64())])), "no images"),
        (table().replace_schema_metadata({"huggingface": "{"}), "no readable Parquet"),
        (table().replace_schema_metadata({"huggingface": "[]"}), "no readable Parquet"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, content: pa.Table, reason: str) -> None:
    pq.write_table(content, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=rf"a\.parquet: .*{reason}"):
        listing(tmp_path)


def test_files_that_disagree(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    pq.write_table(table(names=["a", "b", "c"]), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: other class names"):
        listing(tmp_path)
    pq.write_table(table([str(label) for label in LABELS]), tmp_path / "b.parquet")
    with pytest.raises(UserError, match="labels of several types"):
        listing(tmp_path)


def test_caps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    for name, cap, reason in (
        ("MAX_BYTES", 99, r"row 0 holds an image of \d+ bytes"),
        ("MAX_IMAGES", 5, "more than 5 images"),
        ("MAX_GROUP", 99, "a row group of"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(parquet, name, cap)
            with pytest.raises(UserError, match=reason):
                listing(tmp_path)


def test_mutations_end_in_our_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(names=["a", "b", "c"]), path)
    whole = path.read_bytes()
    draw = np.random.default_rng(3)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        content = bytearray(whole[: draw.choice([len(whole), int(draw.integers(4, len(whole)))])])
        for _ in range(int(draw.integers(1, 4))):
            at = int(draw.integers(4, len(content)))
            content[at : at + int(draw.integers(0, 4))] = draw.bytes(int(draw.integers(0, 4)))
        path.write_bytes(content)
        try:
            listing(path)
            outcomes["read"] += 1
        except UserError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 20, outcomes


def test_full_disk_is_no_unreadable_image(
    tmp_path: Path, make_config: Callable[..., PrepareConfig]
) -> None:
    """A limit on the size of files makes a real write fail half-way."""
    pq.write_table(table(images=jpegs(6, size=200)), tmp_path / "a.parquet")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_photos(tmp_path) as photos:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(UserError) as caught:
                plan(photos, tmp_path, make_config())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == (
        f"{tempfile.gettempdir()}: no room for the images of {tmp_path} (File too large); "
        "free some space there or set TMPDIR to a folder with more"
    )


def test_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"absent: no room for the images of .* set TMPDIR"):
        listing(tmp_path)
