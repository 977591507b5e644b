"""A list of people and photographs is left out of every kind of source, or refused."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from auggen.core.errors import UserError
from auggen.faces.shards import read_face_set
from auggen.ingest.config import PrepareConfig
from auggen.ingest.exclude import read_excluded
from auggen.ingest.prepare import prepare
from auggen.ingest.source import open_photos
from tests.ingest.test_parquet import table
from tests.ingest.writers import jpegs, old_layout, write_records

MakeFolder = Callable[..., Path]
MakeConfig = Callable[..., PrepareConfig]
HEAD = "benchmark,image,sign,identity,training_image,cosine"


def write_list(folder: Path, *lines: str) -> str:
    path = folder / "list.csv"
    path.write_text("\n".join([HEAD, *lines, ""]))
    return str(path)


def run(source: Path, config: PrepareConfig, out: Path) -> tuple[str, set[str], set[str]]:
    """The printed line, the people and the photographs of all three parts."""
    parts = {name: out / name for name in ("train", "validation", "test")}
    line = prepare(source, config, **parts)
    sets = [read_face_set(path) for path in parts.values()]
    people = {name for part in sets for name in part.manifest.identities}
    return line, people, {path for part in sets for path in part.paths}


def test_people_and_images_are_left_out(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = make_folder(identities=9)
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(folder, arcname="faces")
    list_path = write_list(
        tmp_path,
        "lfw,P 3,name,p3,,1.0000",
        "lfw,/a/x.jpg,pixels,p5,p5/2.png,1.0000",
        'ijbc,"a, b.jpg",embedding,p5,p5/2.png,0.8000',
        "ijbc,c.jpg,embedding,p6,p6/0.png,0.8000",
        "lfw,P 3,pixels,p3,p3/0.png,1.0000",
    )
    _, all_people, all_photos = run(folder, make_config(), tmp_path / "all")
    gone = {f"p3/{number}.png" for number in range(5)} | {"p5/2.png", "p6/0.png"}
    for source, out in ((folder, "a"), (tmp_path / "faces.tar", "b")):
        line, people, photos = run(source, make_config(exclude=list_path), tmp_path / out)
        assert people == all_people - {"p3"}
        assert photos == all_photos - gone
        assert line.endswith(f"; {list_path}: 1 people and 2 images of others left out")


def test_paths_of_records_and_parquet(tmp_path: Path) -> None:
    write_records(tmp_path / "records", old_layout([5, 5, 3], jpegs(3)))
    (tmp_path / "p").mkdir()
    pq.write_table(table([1, 0, 1], jpegs(3), ["x, y", "z"]), tmp_path / "p" / "a.parquet")
    for source, name, image, row in (
        ("records", "3", "5/2", 2),
        ("p", "z", '"x, y/1"', 0),
    ):
        with open_photos(tmp_path / source) as photos:
            lines = (f"lfw,a,name,{name},,1", f"lfw,b,pixels,,{image},1")
            found = read_excluded(photos, tmp_path, Path(write_list(tmp_path, *lines)))
        assert found.people == {name}
        assert found.rows == [row]


def test_an_image_goes_with_its_copies(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    """Else the copy, a repeat until now, would take its place; copies of other people go too."""
    source = make_folder()
    shutil.copy(source / "p0" / "0.png", source / "p0" / "9.png")
    shutil.copy(source / "p0" / "0.png", source / "p1" / "9.png")
    path = write_list(tmp_path, "lfw,a,pixels,p0,p0/0.png,1")
    line, _, photos = run(source, make_config(exclude=path), tmp_path / "out")
    assert not photos & {"p0/0.png", "p0/9.png", "p1/9.png"}
    assert len(photos) == 39
    assert "; 0 repeated files left out; " in line
    assert line.endswith("0 people and 3 images of others left out")


def test_a_person_with_too_few_images_left_goes_too(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    source = make_folder(identities=9)
    lines = [f"lfw,a,pixels,p3,p3/{number}.png,1" for number in range(5)]
    for line in ([], ["lfw,P 3,name,p3,,1"], lines):
        path = write_list(tmp_path, *lines[:2], *line)
        told, people, _ = run(source, make_config(exclude=path), tmp_path / "out")
        assert "p3" not in people
        assert ("1 people with fewer than 4 images left out" in told) == (not line)


def test_nobody_left_is_an_error(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    path = write_list(tmp_path, *(f"lfw,P,name,p{number},,1" for number in range(9)))
    with pytest.raises(UserError, match=r"nobody is left by .*\.csv; shorten the list"):
        run(make_folder(identities=9), make_config(exclude=path), tmp_path / "out")


def no_sign(text: str) -> str:
    return text.replace("sign", "Sign")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_sign, r"csv: line 1: no column `sign`, found benchmark, image, Sign, .*overlap\.csv"),
        (lambda text: "\n" + text, r"csv: line 1: no column `sign`"),
        (lambda text: text + "lfw,P 3,face,p3,,1\n", r"line 3: sign 'face' is none of name, pix"),
        (lambda text: text + "lfw,P 3\n", r"line 3: sign None is none of"),
        (lambda text: text + "lfw,P 3,name,p99,,1\n", r"line 3: identity 'p99' is not in .*faces"),
        (lambda text: text + "lfw,P 3,name\n", r"line 3: identity '' is not in .*; correct it or"),
        (lambda text: text + "lfw,a,pixels,p3,3.png,1\n", r"line 3: training_image '3\.png' is no"),
        (
            lambda text: text + "a,b,pixels,,p3/O, x.png,1\n",
            r"line 3: more columns .*double quotes",
        ),
        (lambda text: text + "lfw,a,embedding,p3,,1\n", r"line 3: training_image '' is not in"),
        (lambda text: text.replace("p3", "\udcff"), r"csv: unreadable .*`prepare\.exclude`"),
    ],
)
def test_a_wrong_list_is_refused_before_any_image_is_read(
    make_folder: MakeFolder,
    make_config: MakeConfig,
    tmp_path: Path,
    spoil: Callable[[str], str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path(write_list(tmp_path, "lfw,P 3,name,p3,,1"))
    path.write_bytes(spoil(path.read_text()).encode(errors="surrogateescape"))
    source = make_folder()
    monkeypatch.setattr("auggen.ingest.prepare._read", None)
    with pytest.raises(UserError, match=reason):
        run(source, make_config(exclude=str(path)), tmp_path / "out")
    path.unlink()
    with pytest.raises(UserError, match=r"list\.csv: unreadable .*No such file.*names nobody"):
        run(source, make_config(exclude=str(path)), tmp_path / "out")


def test_a_list_saved_by_a_spreadsheet(
    make_folder: MakeFolder, make_config: MakeConfig, tmp_path: Path
) -> None:
    path = Path(write_list(tmp_path, "lfw,P 3,name,p3,,1"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    source = make_folder(identities=9)
    Image.open(source / "p0" / "0.png").save(source / "p0" / "same.pgm")
    _, people, photos = run(source, make_config(exclude=str(path)), tmp_path / "out")
    assert "p3" not in people
    assert {"p0/0.png", "p0/same.pgm"} <= photos
