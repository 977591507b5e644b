"""The lists of the field's test sets: read whole, joined by name, refused with their line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.protocols import ijb_lists
from auggen.protocols.ijb_lists import read_images, read_pairs, read_searches
from auggen.protocols.pair_lists import (
    balanced_folds,
    fold_numbers,
    inside,
    read_lfw_pairs,
    read_pair_list,
    read_rfw,
)
from auggen.protocols.tinyface import NOBODY, read_tinyface
from tests.protocols.layouts import Ijb, write_lfw, write_pair_list, write_rfw, write_tinyface


def test_folds_are_contiguous_blocks() -> None:
    assert fold_numbers(23).tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [
        fold for fold in range(3, 10) for _ in range(2)
    ]
    is_same = np.array([True] * 30 + [False] * 20)
    folds = balanced_folds(is_same)
    assert np.bincount(folds[is_same]).tolist() == [3] * 10
    assert np.bincount(folds[~is_same]).tolist() == [2] * 10


def test_lfw_pairs(tmp_path: Path) -> None:
    found = read_lfw_pairs(write_lfw(tmp_path))
    assert found.people is not None
    lines = (tmp_path / "pairs.txt").read_text().splitlines()[1:]
    assert len(lines) == len(found.is_same) == 40
    assert found.folds.tolist() == [fold for fold in range(10) for _ in range(4)]
    for row, line in enumerate(lines):
        words = line.split()
        a, b = found.images[found.first[row]], found.images[found.second[row]]
        assert a.name == f"{words[0]}_{int(words[1]):04d}.png"
        assert b.name == f"{words[-2] if len(words) == 4 else words[0]}_{int(words[-1]):04d}.png"
        assert found.is_same[row] == (len(words) == 3)
        same = found.people[found.first[row]] == found.people[found.second[row]]
        assert found.is_same[row] == same


def test_pair_lists_rebuild_their_folds(tmp_path: Path) -> None:
    found = read_pair_list(write_pair_list(tmp_path))
    assert found.is_same.tolist() == [True] * 12 + [False] * 12
    for kind in (found.is_same, ~found.is_same):
        assert set(found.folds[kind]) == set(range(10))
    grouped = read_pair_list(write_pair_list(tmp_path / "g", ("x", "y")), with_groups=True)
    assert grouped.groups == ["x"] * 24 + ["y"] * 24


def test_rfw(tmp_path: Path) -> None:
    found = read_rfw(write_rfw(tmp_path))
    assert found.groups == ["African"] * 24 + ["Asian"] * 24
    assert len(found.images) == 48
    assert found.is_same.tolist() == [True, False] * 24


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("im/0_1.png im/0_2.png", r"list\.txt:2: expected `path1 path2 0\|1`"),
        ("im/0_1.png im/0_2.png 2", r"list\.txt:2: expected"),
        ("../x.png im/0_2.png 1", r"list\.txt:2: path '\.\./x\.png' leaves"),
        ("/etc/passwd im/0_2.png 1", r"list\.txt:2: path '/etc/passwd' leaves"),
        ("im/absent.png im/0_2.png 1", r"list\.txt:2: no image .*absent\.png"),
        ("link/0_1.png im/0_2.png 1", r"list\.txt:2: path 'link/0_1\.png' leads out .* by a link"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = write_pair_list(tmp_path / "set")
    write_pair_list(tmp_path / "elsewhere")
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere" / "im")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(UserError, match=message):
        read_pair_list(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["10 x", *lines[1:]], r"pairs\.txt:1: expected `folds pairs`"),
        (lambda lines: lines[:-1], "39 pairs, but its first line says 2 x 10 x 2"),
        (
            lambda lines: [*lines[:3], "P_1 1", *lines[4:]],
            r"pairs\.txt:4: expected `name1 i name2 j`",
        ),
        (
            lambda lines: [*lines[:3], "P_1 1 P_1 2", *lines[4:]],
            r":4: a different pair names 'P_1'",
        ),
        (lambda lines: [lines[0], "P_1 1 9", *lines[2:]], r":2: no image .*P_1_0009\.jpg"),
        (lambda lines: [lines[0], "../P_1 1 2", *lines[2:]], r":2: path '\.\./P_1' leaves"),
        (lambda lines: [lines[0], "P_1 1 x", *lines[2:]], r":2: 'x' is no image number"),
        (lambda lines: [], r"pairs\.txt:1: expected `folds pairs`"),
    ],
)
def test_wrong_lfw_lines_are_named(
    change: Callable[[list[str]], list[str]], message: str, tmp_path: Path
) -> None:
    path = write_lfw(tmp_path)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(UserError, match=message):
        read_lfw_pairs(path)


def test_ijb_is_joined_by_name(tmp_path: Path) -> None:
    made = Ijb(tmp_path)
    images = read_images(tmp_path)
    assert len(images.paths) == len(made.rows)
    for row, (name, template, media, _) in enumerate(made.rows):
        assert images.paths[row].name == name
        assert images.names[images.templates[row]] == template
        assert images.media[row] == media
        np.testing.assert_allclose(images.points[row], made.points[name], atol=1e-4)
        assert images.scores[row] == pytest.approx(made.scores[name], abs=1e-6)
    pairs = read_pairs(tmp_path, images.names)
    names = images.names
    found = zip(names[pairs.first], names[pairs.second], pairs.is_same, strict=True)
    assert list(found) == made.pairs
    galleries, probes = read_searches(tmp_path, images.names)
    assert [names[g.templates].tolist() for g in galleries] == made.gallery
    assert names[probes.templates].tolist() == made.probes
    people = {made.person[t]: p for t, p in zip(made.probes, probes.people, strict=True)}
    for gallery in galleries:
        for template, person in zip(names[gallery.templates], gallery.people, strict=True):
            assert people[made.person[template]] == person


@pytest.mark.parametrize(
    ("ending", "number", "line", "message"),
    [
        ("face_tid_mid.txt", 3, "x.jpg 7 1", r"tid_mid\.txt:3: 'x\.jpg' has no line"),
        ("face_tid_mid.txt", 3, "1.jpg x 1", r"tid_mid\.txt:3: expected `image template media`"),
        ("face_tid_mid.txt", 3, "../1.jpg 7 1", r"tid_mid\.txt:3: path '\.\./1\.jpg' leaves"),
        (
            "face_tid_mid.txt",
            3,
            "",
            r"5pts_score\.txt: names '.*jpg', which .*tid_mid\.txt does not",
        ),
        ("name_5pts_score.txt", 2, "1.jpg 1 2", r"5pts_score\.txt:2: expected a name and 11"),
        ("name_5pts_score.txt", 2, "1.jpg" + " nan" * 11, r"5pts_score\.txt:2: .*no numbers|twice"),
        ("template_pair_label.txt", 4, "7 11 2", r"label\.txt:4: 2 is neither 0 nor 1"),
        ("template_pair_label.txt", 4, "7 8 0", r"label\.txt:4: template 8 has no image"),
        (
            "template_pair_label.txt",
            4,
            "7 99999999999 0",
            r"label\.txt:4: template 9+ has no image",
        ),
        ("template_pair_label.txt", 4, "7 x 0", r"label\.txt: expected lines"),
        ("template_pair_label.txt", 4, "7 11 0 1", r"label\.txt: expected"),
        ("1N_gallery_G1.csv", 2, "8,500,a", r"G1\.csv:2: template 8 has no image"),
        ("1N_gallery_G1.csv", 3, "7,501,a", r"G1\.csv:3: template 7 is of two people"),
        ("1N_gallery_G1.csv", 3, "7", r"G1\.csv:3: expected TEMPLATE_ID"),
        ("1N_probe_mixed.csv", 2, "11,999,a", r"probe_mixed\.csv:3: .*two people|neither gallery"),
    ],
)
def test_wrong_ijb_lines_are_named(
    ending: str, number: int, line: str, message: str, tmp_path: Path
) -> None:
    made = Ijb(tmp_path)
    path = made.path(ending)
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=message):
        read_all_ijb(tmp_path)


def read_all_ijb(folder: Path) -> None:
    images = read_images(folder)
    read_pairs(folder, images.names)
    read_searches(folder, images.names)


def test_missing_ijb_files_are_named(tmp_path: Path) -> None:
    made = Ijb(tmp_path)
    (tmp_path / "loose_crop" / "5.jpg").unlink()
    with pytest.raises(UserError, match=r"no image .*5\.jpg"):
        read_images(tmp_path)
    made.path("face_tid_mid.txt").unlink()
    with pytest.raises(UserError, match=r"0 files end in _face_tid_mid\.txt"):
        read_images(tmp_path)


def test_tinyface(tmp_path: Path) -> None:
    found = read_tinyface(write_tinyface(tmp_path))
    assert found.num_gallery == 12 + 9
    assert (found.people == NOBODY).sum() == 9
    assert found.people[found.num_gallery :].tolist() == [40 + 3 * (k // 2) for k in range(12)]
    assert {path.parent.name for path in found.paths[found.num_gallery :]} == {"Probe"}


def test_wrong_tinyface_files_are_named(tmp_path: Path) -> None:
    base = write_tinyface(tmp_path) / "Testing_Set"
    (base / "Probe" / "2_1.jpg").rename(base / "moved.jpg")
    with pytest.raises(UserError, match=r"probe_img_ID_pairs\.mat: entry 5: no image .*2_1\.jpg"):
        read_tinyface(tmp_path)
    (base / "moved.jpg").rename(base / "Probe" / "2_1.jpg")
    for path in (base / "Gallery_Distractor").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="Gallery_Distractor: holds no image"):
        read_tinyface(tmp_path)


def never_crashes(path: Path, read: Callable[[], object], rounds: int) -> int:
    """Damages a file in many ways; returns how many of them were refused."""
    whole, random, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(rounds):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(
            damaged[: random.integers(1, len(whole))] if random.random() < 0.3 else damaged
        )
        try:
            read()
        except UserError:
            refused += 1
    path.write_bytes(whole)
    return refused


def test_damaged_lists_raise_nothing_but_our_error(tmp_path: Path) -> None:
    lfw, listed = write_lfw(tmp_path / "lfw"), write_pair_list(tmp_path / "list")
    assert never_crashes(lfw, lambda: read_lfw_pairs(lfw), 60) > 30
    assert never_crashes(listed, lambda: read_pair_list(listed), 60) > 30
    made = Ijb(tmp_path / "ijb", people=4)
    for ending in (
        "face_tid_mid.txt", "name_5pts_score.txt", "template_pair_label.txt", "1N_probe_mixed.csv",
    ):  # fmt: skip
        path = made.path(ending)
        assert never_crashes(path, lambda: read_all_ijb(made.folder), 40) > 10
    base = write_tinyface(tmp_path / "tiny") / "Testing_Set"
    mat = base / "probe_img_ID_pairs.mat"
    assert never_crashes(mat, lambda: read_tinyface(tmp_path / "tiny"), 60) > 10


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.text(max_size=60)
    | st.lists(st.sampled_from(["10", "300", "a", "0", "1", "\n", " "])).map("".join)
)
def test_random_text_raises_nothing_but_our_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    for read in (read_lfw_pairs, read_pair_list):
        with pytest.raises(UserError):
            read(path)


def test_ids_of_absurd_length_are_refused() -> None:
    assert ijb_lists._is_id("7")
    assert not any(map(ijb_lists._is_id, ["0" * 12 + "9" * 25, "0" * 5000, "-1", "1.0"]))


def test_paths_that_cannot_be_followed(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "x" * 300 + "/a.jpg"):
        with pytest.raises(UserError, match=r"line 1: path .* cannot be followed"):
            inside(tmp_path, name, "line 1")
