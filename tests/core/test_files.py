"""Files are whole or absent; digests see names, sizes and bytes."""

import errno
import json
from pathlib import Path

import pytest

from auggen.core.errors import UserError
from auggen.core.files import (
    atomic_directory,
    digest_files,
    read_json,
    write_bytes,
    write_json,
)


def test_directory_replaces_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_directory(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    with atomic_directory(out) as folder:
        (folder / "b").write_text("2")
        assert (out / "a").is_file()
    assert [path.name for path in out.iterdir()] == ["b"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_failure_leaves_the_old_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic_directory(out) as folder:
        (folder / "a").write_text("1")

    def fail() -> None:
        with atomic_directory(out) as folder:
            (folder / "b").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_a_file_in_the_way_leaves_no_debris(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(NotADirectoryError), atomic_directory(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_debris_of_a_kill_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half").write_text("x")
    with atomic_directory(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The write itself fails, as on a full disk: the half-written file is the full device."""
    path = tmp_path / "file"
    write_bytes(path, b"old")
    (tmp_path / ".file.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_bytes(path, bytes(100_000))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_full_disk_leaves_the_old_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic_directory(out) as folder:
        (folder / "a").write_text("old")

    def fill() -> None:
        with atomic_directory(out) as folder:
            (folder / "b").symlink_to("/dev/full")
            (folder / "b").write_bytes(bytes(100_000))

    with pytest.raises(OSError, match="No space left on device") as caught:
        fill()
    assert caught.value.filename == str(out)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_json_round_trip_and_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 0.1]})
    assert read_json(path) == {"b": [1, 0.1]}
    assert path.read_text().endswith("}\n")
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, float("nan"))
    path.write_text(json.dumps({"b": 1})[:-1])
    with pytest.raises(UserError, match=r"a.json: not valid JSON"):
        read_json(path)
    with pytest.raises(UserError, match=r"b.json: missing"):
        read_json(tmp_path / "b.json")


def test_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    def digest(files: dict[str, str]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return digest_files(folder)

    base = digest({"a": "1", "b/c": "2"})
    assert digest({"b/c": "2", "a": "1"}) == base
    others = [{"a": "1", "b/d": "2"}, {"a": "1", "b/c": "3"}, {"a": "1"}, {"a": "12", "b/c": ""}]
    assert len({base, *map(digest, others)}) == 5
    assert digest_files(tmp_path / "0", pattern="a") == digest_files(tmp_path / "0" / "a")
