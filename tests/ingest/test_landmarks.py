"""Landmarks meet their images by name, from every kind of source."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from auggen.core.errors import UserError
from auggen.faces.align import align_face
from auggen.faces.decode import decode_image
from auggen.faces.shards import read_face_set
from auggen.ingest.config import PrepareConfig
from auggen.ingest.landmarks import read_landmarks
from auggen.ingest.prepare import prepare
from auggen.ingest.source import open_photos
from tests.ingest.writers import jpegs, old_layout, write_records

MakeFolder = Callable[..., Path]
FACE = np.array([[7.0, 9.0], [13.5, 9.25], [10.0, 13.0], [8.0, 16.5], [13.0, 16.0]])


def line(name: str, shift: float = 0.0) -> str:
    return f"{name} " + " ".join(str(value) for value in (FACE + shift).reshape(-1))


@pytest.fixture
def source(make_folder: MakeFolder) -> Path:
    folder = make_folder()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    lines = [line(name, shift / 10) for shift, name in enumerate(names)]
    (folder / "five.txt").write_text("\n".join(reversed(lines)) + "\n\n")
    return folder


def test_prepare_aligns(
    source: Path, make_config: Callable[..., PrepareConfig], tmp_path: Path
) -> None:
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.png"))
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(source, arcname="faces")
    for given, out in ((source, "a"), (tmp_path / "faces.tar", "b")):
        parts = {name: tmp_path / out / name for name in ("train", "validation", "test")}
        prepare(given, make_config(landmarks="five.txt", image_size=20, channels=3), **parts)
        for part in parts.values():
            faces = read_face_set(part)
            assert len(faces.paths) >= 10
            for image, path in zip(faces.images, faces.paths, strict=True):
                photograph = decode_image(source / path, channels=3)
                points = (FACE + names.index(path) / 10).astype(np.float32)
                assert torch.equal(image, align_face(photograph, points.astype(np.float64), 20))


@pytest.mark.parametrize("points", [FACE / 112, FACE + 1000])
def test_landmarks_that_are_no_pixels(
    source: Path, make_config: Callable[..., PrepareConfig], tmp_path: Path, points: np.ndarray
) -> None:
    names = [path.relative_to(source).as_posix() for path in source.rglob("*.png")]
    numbers = " ".join(map(str, points.ravel()))
    (source / "five.txt").write_text("".join(f"{name} {numbers}\n" for name in names))
    parts = {name: tmp_path / name for name in ("train", "validation", "test")}
    with pytest.raises(UserError, match=r"png: landmarks .* give them in pixels"):
        prepare(source, make_config(landmarks="five.txt"), **parts)


def test_records_by_label_and_key(tmp_path: Path) -> None:
    write_records(tmp_path, old_layout([5, 5, 3], jpegs(3)))
    lines = [line("5/1", 1), line("5/2", 2), line("3/3", 3)]
    (tmp_path / "five.txt").write_text("\r\n".join(lines))
    with open_photos(tmp_path) as photos:
        points = read_landmarks(photos, tmp_path, "five.txt")
    assert np.array_equal(points, np.stack([FACE + 3, FACE + 1, FACE + 2]).astype(np.float32))


def test_names_with_spaces(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "1 2.png").write_bytes(b"x")
    (tmp_path / "five.txt").write_text(line("a b/1 2.png"))
    with open_photos(tmp_path) as photos:
        assert read_landmarks(photos, tmp_path, "five.txt").shape == (1, 5, 2)


def drop(lines: list[str]) -> list[str]:
    return [text for text in lines if not text.startswith("p3/2.png")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop, r"no landmarks of p3/2\.png"),
        (lambda lines: [*lines, line("p9/0.png")], r"p9/0\.png is no image of the source"),
        (lambda lines: [*lines, line("../p0/0.png")], r"\.\./p0/0\.png is no image"),
        (lambda lines: [*lines, lines[0]], "twice"),
        (lambda lines: [lines[0], lines[1][:-9]], "line 2: .* and 10 numbers"),
        (lambda lines: [lines[0], "p0/0.png 1 2"], "line 2: .* and 10 numbers"),
        (lambda lines: [*lines[1:], "p0/0.png" + " nan" * 10], r"p0/0\.png: landmarks infinite"),
        (lambda lines: [*lines[1:], "p0/0.png" + " 1e99" * 10], r"p0/0\.png: landmarks infinite"),
        (lambda lines: [*lines[1:], "p0/0.png" + " 7" * 10], r"p0/0\.png: .* all alike"),
        (lambda lines: [], r"no landmarks of p0/0\.png"),
    ],
)
def test_what_does_not_fit_is_named(
    source: Path, change: Callable[[list[str]], list[str]], reason: str
) -> None:
    lines = sorted((source / "five.txt").read_text().split("\n"))[2:]
    (source / "five.txt").write_text("\n".join(change(lines)))
    with (
        open_photos(source) as photos,
        pytest.raises(UserError, match=rf"five\.txt: .*{reason}"),
    ):
        read_landmarks(photos, source, "five.txt")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_missing_or_no_text(source: Path, content: bytes | None) -> None:
    (source / "five.txt").unlink()
    if content is not None:
        (source / "five.txt").write_bytes(content)
    with open_photos(source) as photos, pytest.raises(UserError, match=r"five\.txt: unreadable"):
        read_landmarks(photos, source, "five.txt")
