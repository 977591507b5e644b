"""Face sets survive the disk, and a damaged one never passes for whole."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces import shards
from auggen.faces.decode import decode_image, encode_png
from auggen.faces.images import StoredImages
from auggen.faces.manifest import read_manifest
from auggen.faces.shards import open_face_set, read_face_set, write_face_set

LABELS = [0, 0, 0, 1, 1, 2, 2]


def test_round_trip(face_set: Path, images: Tensor) -> None:
    found = read_face_set(face_set)
    assert torch.equal(found.images, images)
    assert found.labels.tolist() == LABELS
    assert found.paths == [f"{row}.png" for row in range(7)]
    assert found.extra["seed"].tolist() == list(range(7))
    assert list(found.extra) == ["seed", "alpha", "mixing"]
    assert found.num_classes == 3
    assert found.manifest == read_manifest(face_set)
    assert found.manifest.identities == ["s1", "s2", "s10"]
    assert found.manifest.images_per_identity == [3, 2, 2]
    assert [shard.rows for shard in found.manifest.shards] == [3, 3, 1]
    assert (found.manifest.image_size, found.manifest.channels) == (8, 1)


def test_opening_leaves_the_images_on_disk(face_set: Path, images: Tensor) -> None:
    found, whole = open_face_set(face_set), read_face_set(face_set)
    assert isinstance(found.images, StoredImages)
    assert isinstance(whole.images, Tensor)
    assert torch.equal(found.images[:], images)
    assert torch.equal(found.labels, whole.labels)
    assert found.paths == whole.paths
    assert found.extra.equals(whole.extra)


def test_sets_beyond_the_budget_stay_on_disk(
    face_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = 7 * 8 * 8
    for budget, stays in ((pixels - 1, True), (pixels, False)):
        monkeypatch.setattr(shards, "_MEMORY_BUDGET", budget)
        assert isinstance(read_face_set(face_set).images, StoredImages) == stays


def test_images_are_found_across_pages(tmp_path: Path) -> None:
    """Noise of 5 MB in pages of 1 MB, with small images between large ones."""
    size = (300, 3, 80, 80)
    images = torch.randint(256, size, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[::7] = 0
    labels, names = [0] * 300, [str(row) for row in range(300)]
    write_face_set(tmp_path, images, labels, names, identities=["a"], source_digest="d")
    assert (tmp_path / "shard-00000.parquet").stat().st_size > 4 << 20
    assert torch.equal(open_face_set(tmp_path).images[:], images)


def test_provenance_keeps_its_types(face_set: Path) -> None:
    extra = open_face_set(face_set).extra
    assert [str(kind) for kind in extra.dtypes[:2]] == ["int64", "float64"]
    assert extra.index.tolist() == list(range(7))


def test_no_provenance_columns(tmp_path: Path, images: Tensor) -> None:
    write_face_set(tmp_path, images, LABELS, ["x"] * 7, identities=list("abc"), source_digest="d")
    assert read_face_set(tmp_path).extra.shape == (7, 0)


def test_colour(tmp_path: Path) -> None:
    images = torch.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8).to(torch.uint8)
    labels = torch.tensor([0, 1])
    write_face_set(tmp_path, images, labels, ["a", "b"], identities=["a", "b"], source_digest="d")
    assert torch.equal(read_face_set(tmp_path).images, images)


def test_other_tools_open_shards(face_set: Path) -> None:
    table = pq.read_table(face_set / "shard-00000.parquet")
    assert table.column_names == ["image", "label", "seed", "alpha", "mixing"]
    assert str(table.schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert str(table.schema.field("label").type) == "int32"
    assert table.column("image")[0].as_py()["bytes"].startswith(b"\x89PNG")


def test_same_input_same_bytes(tmp_path: Path, face_set: Path, images: Tensor) -> None:
    again = tmp_path / "again"
    again.mkdir()
    found = read_face_set(face_set)
    write_face_set(
        again,
        images,
        found.labels,
        found.paths,
        identities=found.manifest.identities,
        source_digest="abc",
        extra=found.extra,
        rows_per_shard=3,
    )
    for file in sorted(face_set.iterdir()):
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_writing_holds_one_shard_in_memory(
    tmp_path: Path, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []
    drawn = 0

    def stream() -> Iterator[Tensor]:
        nonlocal drawn
        for image in images:
            drawn += 1
            yield image

    write_shard = shards._write_shard

    def watch(path: Path, table: Any) -> Any:
        alive.append(drawn)
        return write_shard(path, table)

    monkeypatch.setattr(shards, "_write_shard", watch)
    write_face_set(
        tmp_path,
        stream(),
        LABELS,
        ["x"] * 7,
        identities=list("abc"),
        source_digest="d",
        rows_per_shard=2,
    )
    assert alive == [2, 4, 6, 7]


@pytest.mark.parametrize(
    ("count", "labels", "identities"),
    [
        (6, LABELS, list("abc")),
        (7, LABELS[:6], list("abc")),
        (7, LABELS, list("ab")),
        (7, LABELS, list("aba")),
        (7, [-1, *LABELS[1:]], list("abc")),
    ],
)
def test_writing_what_disagrees(
    tmp_path: Path, images: Tensor, count: int, labels: list[int], identities: list[str]
) -> None:
    with pytest.raises(ValueError):
        write_face_set(
            tmp_path,
            images[:count],
            labels,
            [str(k) for k in range(7)],
            identities=identities,
            source_digest="d",
        )


def test_writing_too_many_images_or_other_shapes(tmp_path: Path, images: Tensor) -> None:
    with pytest.raises(ValueError, match="one image for each"):
        write_face_set(tmp_path, images, [0], ["x"], identities=["a"], source_digest="d")
    mixed = [images[0], torch.zeros(1, 9, 9, dtype=torch.uint8)]
    with pytest.raises(ValueError, match="shape"):
        write_face_set(tmp_path, mixed, [0, 0], ["x", "y"], identities=["a"], source_digest="d")


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "missing"),
        (flip_byte, "digest"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "digest"),
    ],
)
def test_damaged_shard_is_named(
    face_set: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(face_set / "shard-00001.parquet")
    with pytest.raises(UserError, match=rf"shard-00001\.parquet: .*{reason}"):
        read_face_set(face_set)


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 2}, "format_version"),
        ({"num_images": 8}, "disagree"),
        ({"num_classes": 4}, "disagree"),
        ({"identities": ["a", "b", "b"]}, "disagree"),
        ({"channels": 2}, "channels"),
        ({"extra": 1}, "extra"),
        ({"shards": [{"file": "../x.parquet", "rows": 7, "sha256": "0" * 64}]}, "shards.0.file"),
    ],
)
def test_wrong_manifest_is_named(face_set: Path, changes: dict[str, object], reason: str) -> None:
    edit_manifest(face_set, **changes)
    with pytest.raises(UserError, match=rf"manifest\.json: .*{reason}"):
        read_manifest(face_set)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_size": 9}, "shape"),
        ({"images_per_identity": [2, 3, 2]}, "images_per_identity"),
        ({"identities": ["a"], "num_classes": 1, "images_per_identity": [7]}, "label"),
    ],
)
def test_manifest_that_disagrees_with_shards(
    face_set: Path, changes: dict[str, object], reason: str
) -> None:
    edit_manifest(face_set, **changes)
    with pytest.raises(UserError, match=reason):
        read_face_set(face_set)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: missing"):
        read_face_set(tmp_path)


@pytest.mark.parametrize("replace", [lambda _: b"no parquet", lambda c: c])
def test_shard_with_a_right_digest_but_wrong_content(
    face_set: Path, replace: Callable[[bytes], bytes]
) -> None:
    """As a faulty writer would leave it: not Parquet, or rows of another count."""
    content = replace((face_set / "shard-00002.parquet").read_bytes())
    (face_set / "shard-00000.parquet").write_bytes(content)
    manifest = json.loads((face_set / "manifest.json").read_text())
    manifest["shards"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    (face_set / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"shard-00000\.parquet: corrupt"):
        read_face_set(face_set)


def test_shards_of_another_writer(face_set: Path) -> None:
    """Compressed images cannot be read one by one, so the file is refused."""
    path = face_set / "shard-00000.parquet"
    pq.write_table(pq.read_table(path), path, compression="zstd")
    manifest = json.loads((face_set / "manifest.json").read_text())
    manifest["shards"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (face_set / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"shard-00000\.parquet: corrupt .*compressed"):
        open_face_set(face_set)


def jpeg(seed: int, size: int = 8) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


def test_bytes_are_stored_as_they_are(tmp_path: Path, images: Tensor) -> None:
    mixed = [jpeg(0), images[1], encode_png(images[2]), jpeg(3)]
    write_face_set(tmp_path, mixed, [0] * 4, list("abcd"), identities=["x"], source_digest="d")
    found = open_face_set(tmp_path).images
    assert isinstance(found, StoredImages)
    assert found.encoded(0) == mixed[0]
    assert found.encoded(1) == encode_png(images[1])
    assert found.encoded(2) == mixed[2]
    assert found.encoded(3) == mixed[3]
    assert torch.equal(found[1], images[1])
    assert torch.equal(found[3], decode_image(jpeg(3), channels=1))
    assert torch.equal(read_face_set(tmp_path).images, found[:])


@pytest.mark.parametrize("content", [b"words", jpeg(0, size=9)])
def test_bytes_of_another_kind_or_shape(tmp_path: Path, images: Tensor, content: bytes) -> None:
    pair = [images[0], content]
    with pytest.raises(ValueError, match="shape"):
        write_face_set(tmp_path, pair, [0, 0], ["x", "y"], identities=["a"], source_digest="d")
