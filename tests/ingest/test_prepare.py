"""From photographs to three parts: what comes out, and that bad sources leave nothing behind."""

import errno
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from auggen.core.errors import UserError
from auggen.faces.decode import decode_image
from auggen.faces.images import StoredImages
from auggen.faces.manifest import read_manifest
from auggen.faces.resize import crop_and_resize, reduce_and_restore
from auggen.faces.shards import FaceSet, open_face_set, read_face_set
from auggen.ingest import prepare as module
from auggen.ingest.config import PrepareConfig
from auggen.ingest.prepare import prepare
from tests.faces.pngs import deep_png

COLUMNS = "benchmark,image,sign,identity,training_image,cosine"
MakeFolder = Callable[..., Path]
MakeConfig = Callable[..., PrepareConfig]


def run(source: Path, config: PrepareConfig, out: Path) -> dict[str, FaceSet]:
    parts = {name: out / name for name in ("train", "validation", "test")}
    prepare(source, config, **parts)
    return {name: read_face_set(path) for name, path in parts.items()}


def digests(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_parts_hold_the_photographs(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    parts = run(source, make_config(validation_identities=["p1"]), tmp_path / "out")
    people = [name for part in parts.values() for name in part.manifest.identities]
    assert sorted(people) == sorted(path.name for path in source.iterdir())
    assert "p1" in parts["validation"].manifest.identities
    for part in parts.values():
        for image, label, path in zip(part.images, part.labels, part.paths, strict=True):
            assert path.split("/")[0] == part.manifest.identities[label]
            photograph = decode_image(source / path, channels=1)
            assert torch.equal(image, crop_and_resize(photograph, 8))
        assert part.manifest.source_digest == parts["train"].manifest.source_digest
    assert not (tmp_path / "out" / "train" / "pairs.csv").exists()


def test_benchmarks_lie_beside_held_out_people(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    parts = run(make_folder(), make_config(), tmp_path / "out")
    for name in ("validation", "test"):
        folder, faces = tmp_path / "out" / name, parts[name]
        pairs = pd.read_csv(folder / "pairs.csv")
        assert pairs.columns.tolist() == ["fold", "a", "b", "is_same"]
        assert len(pairs) == 40
        templates = pd.read_csv(folder / "templates.csv")
        assert templates.columns.tolist() == ["image", "template", "identity", "role"]
        lowres = pd.read_csv(folder / "lowres.csv")
        probes = read_face_set(folder / "lowres")
        assert (lowres["role"] == "probe").sum() == len(probes.images) == 8
        assert lowres[lowres["role"] == "probe"]["image"].tolist() == list(range(8))
        assert probes.manifest.identities == faces.manifest.identities
        for image, label, path in zip(probes.images, probes.labels, probes.paths, strict=True):
            row = faces.paths.index(path)
            assert torch.equal(image, reduce_and_restore(faces.images[row], 4))
            assert label == faces.labels[row]
        for row in lowres[lowres["role"] == "gallery"]["image"]:
            assert faces.paths[row] not in probes.paths


def test_runs_are_identical_and_replace_old_outputs(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    run(source, make_config(), tmp_path / "out")
    before = digests(tmp_path / "out")
    (tmp_path / "out" / "train" / "old").write_text("x")
    run(source, make_config(), tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_tar_equals_folder(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(source, arcname="anything")
    run(source, make_config(), tmp_path / "a")
    run(tmp_path / "faces.tar", make_config(), tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_mixed_formats_in_colour(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    noise = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(source / "p0" / "7.JPG", "JPEG")
    Image.fromarray(noise[..., 0]).save(source / "p0" / "8.pgm")
    parts = run(source, make_config(channels=3), tmp_path / "out")
    assert sum(part.manifest.num_images for part in parts.values()) == 42
    assert all(part.images.shape[1:] == (3, 8, 8) for part in parts.values())


def test_bytes_are_kept_where_nothing_changes(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    """Right size and channels: own bytes. Another size, mode, depth or an EXIF turn: a new PNG."""
    source = make_folder()
    draw = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for person in source.iterdir():
        noise = draw.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(person / "10.jpg", "JPEG", quality=90, comment=b"kept")
        Image.fromarray(255 - noise).save(person / "11.png", compress_level=9)
        Image.fromarray(noise.T.copy()).convert("RGB").save(person / "12.jpg")
        Image.fromarray(noise[::-1].copy()).save(person / "13.jpg", exif=turned)
    parts = {name: tmp_path / "out" / name for name in ("train", "validation", "test")}
    prepare(source, make_config(), **parts)
    kept: set[str] = set()
    for out in parts.values():
        faces = open_face_set(out)
        assert isinstance(faces.images, StoredImages)
        for row, path in enumerate(faces.paths):
            photograph = (source / path).read_bytes()
            if faces.images.encoded(row) == photograph:
                kept.add(path.split("/")[1])
            else:
                assert faces.images.encoded(row).startswith(b"\x89PNG")
            seen = crop_and_resize(decode_image(photograph, channels=1), 8)
            assert torch.equal(faces.images[row], seen)
    assert kept == {"10.jpg", "11.png"}


def test_16_bits_are_not_kept(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    draw = np.random.default_rng(0)
    for person in source.iterdir():
        pixels = draw.integers(0, 1 << 16, (8, 8, 3))
        (person / "10.png").write_bytes(deep_png(pixels))
    parts = {name: tmp_path / "out" / name for name in ("train", "validation", "test")}
    prepare(source, make_config(channels=3), **parts)
    deep = 0
    for out in parts.values():
        faces = open_face_set(out)
        assert isinstance(faces.images, StoredImages)
        for row, path in enumerate(faces.paths):
            assert faces.images.encoded(row)[24] == 8  # bits a channel, as the header says
            photograph = decode_image(source / path, channels=3)
            assert torch.equal(faces.images[row], crop_and_resize(photograph, 8))
            deep += path.endswith("10.png")
    assert deep == len(list(source.iterdir()))


def test_images_are_read_one_by_one(
    make_folder: MakeFolder,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two decoded images the first has gone to the shard writer already."""
    events: list[str] = []
    write, decode = module.write_face_set, module.decode_image

    def watch_decode(*args: Any, **options: Any) -> Any:
        events.append("decode")
        return decode(*args, **options)

    def watch_write(folder: Path, images: Iterable[Any], *args: Any, **options: Any) -> Any:
        def stream() -> Iterator[Any]:
            for image in images:
                events.append("take")
                yield image

        return write(folder, stream(), *args, **options)

    monkeypatch.setattr(module, "decode_image", watch_decode)
    monkeypatch.setattr(module, "write_face_set", watch_write)
    run(make_folder(), make_config(), tmp_path / "out")
    assert events == ["decode", "take"] * 40


def test_repeated_files_of_one_person_count_once(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    shutil.copy(source / "p0" / "0.png", source / "p0" / "9.png")
    parts = {name: tmp_path / "out" / name for name in ("train", "validation", "test")}
    assert prepare(source, make_config(), **parts).endswith("; 1 repeated files left out")


def test_repeated_pixels_of_one_person_are_told(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    """Other bytes, same pixels: a person must look at them, for it may be a copy or a burst."""
    source = make_folder()
    for person in ("p1", "p0"):
        with Image.open(source / person / "0.png") as image:
            image.save(source / person / "9.pgm")
    parts = {name: tmp_path / "out" / name for name in ("train", "validation", "test")}
    told = prepare(source, make_config(), **parts).split("; ")
    assert told[1] == "0 repeated files left out"
    assert told[2].startswith("2 images have the pixels of another of their person")
    first, *lines = told[3].splitlines()
    assert first == "leave them out by lines of `prepare.exclude`:"
    assert sorted(lines) == [f",,pixels,,{person}/9.pgm," for person in ("p0", "p1")]


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_all_images_under_two_identities_are_told_at_once(
    suffix: str, make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    """As the same file and as the same pixels; the lines of the error let the next run pass."""
    source = make_folder(images=6)
    for person in range(7):
        earlier, later = source / f"p{person}" / "0.png", source / f"p{person + 1}" / f"9.{suffix}"
        shutil.copy(earlier, later) if suffix == "png" else Image.open(earlier).save(later)
    parts = {name: tmp_path / "out" / name for name in ("train", "validation", "test")}
    with pytest.raises(UserError, match="; and 2 pairs more are the same image") as caught:
        prepare(source, make_config(), **parts)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 14
    listed = tmp_path / "exclude.csv"
    listed.write_text("\n".join([COLUMNS, *lines]))
    prepare(source, make_config(exclude=str(listed)), **parts)


def test_all_unusable_images_are_told_at_once(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder()
    for person in range(7):
        path = source / f"p{person}" / "1.png"
        path.write_bytes(path.read_bytes()[: 100 + person])  # other bytes for each
    parts = {name: tmp_path / "out" / name for name in ("train", "validation", "test")}
    with pytest.raises(UserError) as caught:
        prepare(source, make_config(), **parts)
    message = str(caught.value)
    assert message.count("1.png: not a readable") == 5
    assert "; and 2 images more; or leave them out by lines of `prepare.exclude`:\n" in message
    lines = message.splitlines()[1:]
    assert sorted(lines) == [f",,pixels,,p{person}/1.png," for person in range(7)]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    listed = tmp_path / "exclude.csv"
    listed.write_text("\n".join([COLUMNS, *lines]) + "\n")
    assert "7 images of others left out" in prepare(
        source, make_config(exclude=str(listed)), **parts
    )


def few_images(source: Path) -> None:
    for path in sorted((source / "p3").iterdir())[:2]:
        path.unlink()


def repeats_alone(source: Path) -> None:
    for path in (source / "p3").iterdir():
        shutil.copy(source / "p3" / "0.png", path) if path.name != "0.png" else None


@pytest.mark.parametrize(("spoil", "repeats"), [(few_images, 0), (repeats_alone, 4)])
def test_people_with_few_images_are_left_out(
    make_folder: MakeFolder,
    make_config: MakeConfig,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    repeats: int,
) -> None:
    source = make_folder()
    spoil(source)
    out = tmp_path / "out"
    parts = {name: out / name for name in ("train", "validation", "test")}
    told = prepare(source, make_config(), **parts)
    few = "1 people with fewer than 4 images left out"
    assert told.endswith(f"; {repeats} repeated files left out; {few}")
    kept = [name for part in parts.values() for name in read_manifest(part).identities]
    assert sorted(kept) == [f"p{person}" for person in range(8) if person != 3]


def same_file(source: Path) -> None:
    shutil.copy(source / "p0" / "0.png", source / "p1" / "copy.png")


def same_picture(source: Path) -> None:
    Image.open(source / "p0" / "0.png").save(source / "p1" / "copy.pgm")


def truncated(source: Path) -> None:
    path = source / "p5" / "3.png"
    path.write_bytes(path.read_bytes()[:60])


def few_each(source: Path) -> None:
    for path in source.glob("*/[3-9].png"):
        path.unlink()


def one_person(source: Path) -> None:
    for person in range(1, 8):
        shutil.rmtree(source / f"p{person}")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (same_file, r"p0/0\.png and p1/copy\.png are the same image"),
        (same_picture, r"(p0/0\.png and p1/copy\.pgm|p1/copy\.pgm and p0/0\.png) are the same"),
        (truncated, r"p5/3\.png: not a readable"),
        (one_person, r"1 \('p0'\) of 1 identities have `prepare.min_images` 4"),
        (few_each, r"0 of 8 identities have `prepare.min_images` 4"),
        (lambda source: shutil.rmtree(source), "no such folder"),
    ],
)
def test_bad_source_leaves_nothing(
    make_folder: MakeFolder,
    make_config: MakeConfig,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    reason: str,
) -> None:
    source = make_folder()
    spoil(source)
    with pytest.raises(UserError, match=reason):
        run(source, make_config(), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*"))


def test_at_most_so_many_images_of_an_identity(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder(images=6)
    everything = run(source, make_config(), tmp_path / "all")
    few = run(source, make_config(max_images=4), tmp_path / "few")
    for name, part in few.items():
        assert part.manifest.identities == everything[name].manifest.identities
        assert torch.bincount(part.labels).tolist() == [4] * part.num_classes
        assert len(set(part.paths)) == len(part.paths)
        assert set(part.paths) < set(everything[name].paths)


def test_too_few_pairs_is_known_before_work(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(min_images=2, images_per_template=1)
    with pytest.raises(UserError, match="do not fill 10 folds"):
        run(make_folder(images=3), config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_full_disk_leaves_the_old_outputs(
    make_folder: MakeFolder,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_folder()
    run(source, make_config(), tmp_path / "out")
    before = digests(tmp_path / "out")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("auggen.ingest.benchmarks.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        run(source, make_config(split_seed=1), tmp_path / "out")
    assert digests(tmp_path / "out") == before
