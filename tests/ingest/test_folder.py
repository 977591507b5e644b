"""Folders and tars give the same photographs; what does not belong is named."""

import gc
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.ingest.photos import natural_key
from auggen.ingest.source import open_photos

brief = settings(deadline=None, max_examples=30)
MakeFolder = Callable[..., Path]


def listing(source: Path) -> list[tuple[str, str, bytes]]:
    with open_photos(source) as photos:
        return [(photo.identity, photo.name, photo.read()) for photo in photos]


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_natural_order(make_folder: MakeFolder) -> None:
    found = listing(make_folder(identities=11, images=11))
    assert list(dict.fromkeys(identity for identity, _, _ in found)) == [f"p{k}" for k in range(11)]
    assert [name for _, name, _ in found[:11]] == [f"p0/{k}.png" for k in range(11)]


@brief
@given(st.lists(st.text("s019é-", min_size=1), unique=True))
def test_natural_order_is_total(names: list[str]) -> None:
    assert sorted(names, key=natural_key) == sorted(set(names), key=natural_key)
    assert len({str(natural_key(name)) for name in names}) == len(names)


@pytest.mark.parametrize("prefix", ["", "./", "orl/", "./orl/"])
def test_tar_equals_folder(make_folder: MakeFolder, tmp_path: Path, prefix: str) -> None:
    folder = make_folder()
    files = {prefix + path.relative_to(folder).as_posix(): path for path in folder.rglob("*.png")}
    files_reversed = {name: path.read_bytes() for name, path in reversed(files.items())}
    tar = pack(tmp_path / "faces.tar", {prefix + "README": b"words", **files_reversed})
    assert listing(tar) == listing(folder)


def test_tar_with_folder_entries(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder()
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(folder, arcname="faces")
    assert listing(tmp_path / "faces.tar") == listing(folder)


def test_hidden_files_and_notes_are_left_out(make_folder: MakeFolder) -> None:
    folder = make_folder()
    before = listing(folder)
    for name in ("CREDIT.txt", ".DS_Store", "p0/.0.png.swp", "p0/._0.png", "p0/Thumbs.db"):
        (folder / name).write_text("x")
    assert listing(folder) == before


@pytest.mark.parametrize("name", ["p0/notes.txt", "p0/deep/1.png", "stray.png"])
def test_misplaced_file_is_named(make_folder: MakeFolder, name: str) -> None:
    folder = make_folder()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    with pytest.raises(UserError, match=f"faces: {name}: no <identity>/<image>"):
        listing(folder)


def test_misplaced_files_are_named_together(make_folder: MakeFolder) -> None:
    folder = make_folder()
    for number in range(7):
        (folder / "p0" / f"{number}.webp").write_text("x")
    (folder / "p0" / "Thumbs.db").write_text("x")
    with pytest.raises(UserError, match=r"[0-6]\.webp, .*\.webp and 2 more: no <identity>"):
        listing(folder)


@pytest.mark.parametrize("name", ["../p0/1.png", "/p0/1.png", "p0/../../1.png"])
def test_tar_names_that_leave(tmp_path: Path, name: str) -> None:
    tar = pack(tmp_path / "faces.tar", {"p0/0.png": b"x", name: b"x"})
    with pytest.raises(UserError, match="leaves the tar"):
        listing(tar)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_tar_links(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        member = tarfile.TarInfo("p0/0.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match=r"p0/0\.png .*no plain file"):
        listing(tmp_path / "faces.tar")


@pytest.mark.parametrize("place", ["p9", "p0/x.png"])
def test_folder_links_that_would_be_lost(make_folder: MakeFolder, place: str) -> None:
    """A link to an image is followed; one to a folder or to nothing must not vanish silently."""
    source = make_folder()
    (source / "p0" / "y.png").symlink_to(next((source / "p1").iterdir()))
    listing(source)
    (source / place).symlink_to(source / "p1" if place == "p9" else "nowhere")
    with pytest.raises(UserError, match=f"{place}: a link to"):
        listing(source)


def test_tar_member_of_negative_size(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("p0/0.png"))
        member = tarfile.TarInfo("p0/1.png")
        member.size = -512
        archive.addfile(member)
    with pytest.raises(UserError, match=r"impossible size|uncompressed tar"):
        listing(tmp_path / "faces.tar")


def test_names_that_are_not_utf_8(make_folder: MakeFolder) -> None:
    source = make_folder()
    (source / "p0" / "M\udcfc.png").write_bytes(b"x")
    with pytest.raises(UserError, match="not in UTF-8"):
        listing(source)


def test_tar_with_one_name_twice(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        for name in ("p0/0.png", "./p0/0.png"):
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match="twice"):
        listing(tmp_path / "faces.tar")


def test_compressed_truncated_or_no_tar(make_folder: MakeFolder, tmp_path: Path) -> None:
    tar = pack(tmp_path / "faces.tar", {"p0/0.png": bytes(99_999)})
    compressed = tmp_path / "faces.tar.gz"
    compressed.write_bytes(gzip.compress(tar.read_bytes()))
    with pytest.raises(UserError, match="decompress"):
        listing(compressed)
    tar.write_bytes(tar.read_bytes()[:50_000])
    with pytest.raises(UserError, match=r"faces\.tar"):
        listing(tar)
    tar.write_bytes(b"words")
    with pytest.raises(UserError, match="neither a folder nor an uncompressed tar"):
        listing(tar)


def test_missing_and_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent: no such folder or tar"):
        listing(tmp_path / "absent")
    with pytest.raises(UserError, match="no images"):
        listing(tmp_path)


def test_huge_file(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auggen.ingest.folder.MAX_BYTES", 10)
    with pytest.raises(UserError, match=r"p0/\d\.png has \d+ bytes, the limit is 10"):
        listing(make_folder())


def test_tar_cut_between_files(tmp_path: Path) -> None:
    """The library ends its list without a word, there as at a damaged header."""
    tar = pack(tmp_path / "faces.tar", {f"p{k}/0.png": b"x" for k in range(4)})
    whole = tar.read_bytes()
    for content in (whole[:2048], whole[:2048] + b"y" * 512 + whole[2560:]):
        tar.write_bytes(content)
        with pytest.raises(UserError, match="damaged at byte 2048, after 2 files"):
            listing(tar)


def test_mutated_tars_end_in_our_error(tmp_path: Path) -> None:
    long = "p1/" + "x" * 150 + ".png"
    tar = pack(tmp_path / "faces.tar", {"p0/0.png": b"zero", long: b"one", "p1/1.png": b"two"})
    whole = tar.read_bytes()
    draw = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(500):
        content = bytearray(whole[: draw.choice([len(whole), int(draw.integers(len(whole)))])])
        for _ in range(int(draw.integers(1, 4))):
            at = int(draw.integers(4096))
            content[at : at + 1] = draw.choice([b"\0", b"7", b"\x80", b"\xff", b"x", b""])
        tar.write_bytes(content)
        try:
            listing(tar)
            outcomes["read"] += 1
        except UserError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes


def test_listing_a_large_folder_keeps_little(tmp_path: Path) -> None:
    """Bytes of memory an image, names included: 10^6 images fit in 200 MB."""
    tar = tmp_path / "faces.tar"
    pack(tar, {f"person-{k // 20:06d}/{k:08d}.jpg": b"x" for k in range(4000)})
    with open_photos(tar):  # what is imported or compiled at the first call does not count
        pass
    tracemalloc.start()
    with open_photos(tar) as photos:
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        assert len(photos) == 4000
    tracemalloc.stop()
    assert held / 4000 < 200
