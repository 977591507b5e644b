"""RecordIO in every layout met in the field; what is broken is named with key and byte."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.faces.decode import decode_image, stored_shape
from auggen.ingest import recordio
from auggen.ingest.source import open_photos
from tests.ingest.writers import MAGIC, chunk, jpegs, old_layout, payload, record, write_records

brief = settings(deadline=None, max_examples=40)
LABELS = [0, 0, 1, 1, 10, 2]
IMAGES = jpegs(6)
SORTED = [("0", "0/1", 0), ("0", "0/2", 1), ("1", "1/3", 2), ("1", "1/4", 3)]
SORTED += [("2", "2/6", 5), ("10", "10/5", 4)]
EXPECTED = [(identity, name, IMAGES[row]) for identity, name, row in SORTED]


def listing(folder: Path) -> list[tuple[str, str, bytes]]:
    with open_photos(folder) as photos:
        return [(photo.identity, photo.name, bytes(photo.read())) for photo in photos]


def new_layout(labels: list[int], images: list[bytes], first: int = 1) -> dict[int, bytes]:
    rows = zip(labels, images, strict=True)
    return {first + row: payload(label, image) for row, (label, image) in enumerate(rows)}


@pytest.mark.parametrize("layout", [old_layout, new_layout])
def test_both_layouts(tmp_path: Path, layout: Callable[..., dict[int, bytes]]) -> None:
    assert listing(write_records(tmp_path, layout(LABELS, IMAGES))) == EXPECTED


def test_images_are_views_that_outlive_the_listing(tmp_path: Path) -> None:
    with open_photos(write_records(tmp_path, new_layout(LABELS, IMAGES))) as photos:
        first = photos.fetch(0)
    assert isinstance(first, memoryview)
    assert first.readonly
    assert first == IMAGES[0]
    pixels = decode_image(first, channels=1)
    assert torch.equal(pixels, decode_image(IMAGES[0], channels=1))
    assert stored_shape(first) == tuple(pixels.shape)


def test_new_layout_may_begin_at_key_0(tmp_path: Path) -> None:
    found = listing(write_records(tmp_path, new_layout(LABELS, IMAGES, first=0)))
    assert [image for _, _, image in found] == [image for _, _, image in EXPECTED]
    assert found[0][1] == "0/0"


def test_any_order_of_lines_and_records(tmp_path: Path) -> None:
    records = old_layout(LABELS, IMAGES)
    keys = list(records)
    np.random.default_rng(0).shuffle(keys)
    assert listing(write_records(tmp_path, dict(reversed(records.items())), keys)) == EXPECTED


def test_label_arrays_give_their_first(tmp_path: Path) -> None:
    records = {k: payload([label, 77.0], IMAGES[k]) for k, label in enumerate(LABELS)}
    found = listing(write_records(tmp_path, records))
    assert [identity for identity, _, _ in found] == ["0", "0", "1", "1", "2", "10"]
    assert found[-1][2] == IMAGES[4]


@brief
@given(st.lists(st.sampled_from([MAGIC, b"abcd", b"xyz", b"\xff\xd8"]), min_size=1, max_size=9))
def test_images_that_hold_the_magic(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    images = [b"".join(parts), MAGIC * 3, b"plain"]
    folder = write_records(tmp_path_factory.mktemp("split"), old_layout([0, 1, 1], images))
    assert [image for _, _, image in listing(folder)] == images


def test_magic_in_the_header(tmp_path: Path) -> None:
    number = int.from_bytes(MAGIC + MAGIC, "little")
    records = {1: payload(0, b"one", number), 2: payload([1, 0], b"two", number)}
    assert listing(write_records(tmp_path, records)) == [("0", "0/1", b"one"), ("1", "1/2", b"two")]


def test_more_records_than_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordio, "_BLOCK", 4)
    assert listing(write_records(tmp_path, old_layout(LABELS, IMAGES))) == EXPECTED


def test_counts_beyond_float32(tmp_path: Path) -> None:
    """The header says 16,777,220 for 16,777,221: the keys decide, no image is lost."""
    records = old_layout([0, 0, 1, 1, 1], IMAGES[:5], first=(1 << 24))
    told = struct.unpack("<2f", records[0][24:32])
    assert told[0] != (1 << 24) + 5
    assert len(listing(write_records(tmp_path, records))) == 5


@pytest.mark.parametrize(
    ("lines", "people"),
    [
        (["a/1.jpg 5", "a/2.jpg 5", "b/1.jpg 6"], ["5", "5", "6"]),
        (["1\ta/1.jpg\t5", "1\ta/2.jpg\t5", "1\tb 1.jpg\t6"], ["5", "5", "6"]),
        (["1\t5.000000\ta/1.jpg", "2\t5\ta/2.jpg", "", "3\t6\t../b.jpg"], ["5", "5", "6"]),
    ],
)
@pytest.mark.parametrize("name", ["list.txt", "train.lst"])
def test_equal_labels_need_a_list(
    tmp_path: Path, name: str, lines: list[str], people: list[str]
) -> None:
    write_records(tmp_path, new_layout([0, 0, 0], IMAGES[:3]))
    with pytest.raises(UserError, match=r"all 3 images have the label 0.*list\.txt or train\.lst"):
        listing(tmp_path)
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    assert [identity for identity, _, _ in listing(tmp_path)] == people


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["a 1", "b 2"], "2 lines for 3 images"),
        (["a 1", "b 2", "c 3", "d 4"], "4 lines for 3 images"),
        (["1\t5\ta", "3\t5\tb", "2\t6\tc"], r"list\.txt: line 2: .* not the line of image 2"),
        (["1\t5.5\ta"] * 3, "line 1: label '5.5' is no whole number"),
        (["a"] * 3, "line 1: 'a' is not the line"),
        (["0\ta.jpg\t7\t1\t2\t3\t4"] * 3, "line 1: .* not the line of image 1"),
        (["x" * 20_000], "too long"),
    ],
)
def test_wrong_lists(tmp_path: Path, lines: list[str], reason: str) -> None:
    write_records(tmp_path, new_layout([0, 0, 0], IMAGES[:3]))
    (tmp_path / "list.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=reason):
        listing(tmp_path)


@pytest.mark.parametrize("label", [0.5, -1.0, float("nan"), float("inf"), float(1 << 24)])
def test_labels_that_are_none(tmp_path: Path, label: float) -> None:
    records = {1: payload(0, b"a"), 2: payload(label, b"b"), 3: payload(2, b"c")}
    with pytest.raises(UserError, match=r"record 2 has the label .* list\.txt"):
        listing(write_records(tmp_path, records))


def test_a_header_that_counts_otherwise(tmp_path: Path) -> None:
    """As when the last lines of the index are lost."""
    folder = write_records(tmp_path, old_layout(LABELS, IMAGES))
    lines = (folder / "train.idx").read_text().splitlines()
    (folder / "train.idx").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match=r"record 0 at byte 0: it counts to 7 and 11, .* 7 and 10"):
        listing(folder)


def test_an_image_behind_the_identities(tmp_path: Path) -> None:
    records = old_layout(LABELS, IMAGES)
    records[max(records) + 1] = payload(1, b"late")
    with pytest.raises(UserError, match=r"record 11 at byte .* images end before"):
        listing(write_records(tmp_path, records))


WHOLE = record(payload(0, b"image"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes, no whole record"),
        (WHOLE * 2 + WHOLE[:-4], "record 3 at byte 80: cut short"),
        (WHOLE * 2 + WHOLE[:20], "record 3 at byte 80: no record fits"),
        (WHOLE + bytes(len(WHOLE)) + WHOLE, "record 2 at byte 40: .* magic"),
        (WHOLE + chunk(2, bytes(29)) + WHOLE, "record 2 at byte 40: it begins in the middle"),
        (WHOLE + chunk(1, bytes(29)) + WHOLE, "record 2 at byte 40: part 2 .* missing"),
        (WHOLE + chunk(0, bytes(20)) + bytes(12) + WHOLE, "record 2 .* shorter than its header"),
        (WHOLE * 2 + chunk(0, b"\x09" + bytes(28)), "record 3 .* fewer bytes than labels"),
        (WHOLE * 2 + chunk(0, bytes(24)) + bytes(8), "record 3 .* holds no image"),
    ],
)
def test_broken_records_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    assert len(WHOLE) == 40
    (tmp_path / "train.rec").write_bytes(content)
    (tmp_path / "train.idx").write_text("1\t0\n2\t40\n3\t80\n")
    with pytest.raises(UserError, match=rf"train\.rec: .*{reason}"):
        listing(tmp_path)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (None, "missing"),
        ("", "no lines"),
        ("1 0\n", "no lines"),
        ("1\t0\t0\n", "no lines"),
        ("one\t0\n", "no lines"),
        ("1\t\n2\t40\n", "without key or offset"),
        ("1\t0\n1\t40\n", "key 1 is negative or there twice"),
        ("-1\t0\n1\t40\n", "negative"),
    ],
)
def test_broken_index(tmp_path: Path, index: str | None, reason: str) -> None:
    (tmp_path / "train.rec").write_bytes(WHOLE * 2)
    if index is not None:
        (tmp_path / "train.idx").write_text(index)
    with pytest.raises(UserError, match=rf"train\.idx: .*{reason}"):
        listing(tmp_path)


@pytest.mark.parametrize("offset", ["-40", "4000000000000", "80", "2", "0"])
def test_offsets_that_lead_nowhere(tmp_path: Path, offset: str) -> None:
    (tmp_path / "train.rec").write_bytes(WHOLE * 2)
    (tmp_path / "train.idx").write_text(f"1\t0\n2\t{offset}\n")
    with pytest.raises(UserError, match=r"train\.rec: record \d at byte .*fits"):
        listing(tmp_path)


def test_caps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_records(tmp_path, old_layout(LABELS, [*IMAGES[:5], b"x" * 5000]))
    monkeypatch.setattr(recordio, "MAX_BYTES", 4999)
    with pytest.raises(UserError, match=r"record 6 at byte .* more than 4999 bytes"):
        listing(tmp_path)
    monkeypatch.setattr(recordio, "MAX_IMAGES", 5)
    with pytest.raises(UserError, match="limit is 5"):
        listing(tmp_path)


def test_source_is_the_folder(tmp_path: Path) -> None:
    write_records(tmp_path, old_layout(LABELS, IMAGES))
    with pytest.raises(UserError, match="is the folder that holds train"):
        listing(tmp_path / "train.rec")


def test_mutations_end_in_our_error(tmp_path: Path) -> None:
    """Bytes changed, cut out and put in, in the records and in the index."""
    images = [*IMAGES[:4], MAGIC * 5 + b"x", b"y" + MAGIC * 4]
    write_records(tmp_path, old_layout(LABELS, images))
    whole = {name: (tmp_path / name).read_bytes() for name in ("train.rec", "train.idx")}
    draw = np.random.default_rng(2)
    outcomes = {"read": 0, "refused": 0}
    for turn in range(600):
        name = "train.idx" if turn % 3 == 0 else "train.rec"
        content = bytearray(whole[name])
        for _ in range(int(draw.integers(1, 4))):
            at = int(draw.integers(len(content)))
            near = content.find(MAGIC, at) if draw.random() < 0.5 else at
            at = max(near, 0) + int(draw.integers(0, 40)) if near != at else at
            content[at : at + int(draw.integers(0, 5))] = draw.bytes(int(draw.integers(0, 5)))
        for other, old in whole.items():
            (tmp_path / other).write_bytes(bytes(content) if other == name else old)
        try:
            listing(tmp_path)
            outcomes["read"] += 1
        except UserError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes
