"""The two commands of the stage, in this process."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auggen.core.errors import UserError
from auggen.faces.shards import read_face_set
from stages.prepare import app


@pytest.fixture
def params(tmp_path: Path, root: Path) -> Path:
    path = tmp_path / "params.yaml"
    toy = (root / "presets" / "toy.yaml").read_text()
    path.write_text(toy.replace("data/exclude.csv", os.devnull))
    return path


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def change(params: Path, old: str, new: str) -> None:
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))


def test_unpack_then_prepare(tmp_path: Path, params: Path) -> None:
    assert "AT&T Laboratories Cambridge" in invoke("unpack", tmp_path / "orl")
    outs = [tmp_path / "real", tmp_path / "validation", tmp_path / "test"]
    line = invoke("prepare", tmp_path / "orl", *outs, "--params", params)
    assert line.count("\n") == 1
    parts = [read_face_set(out) for out in outs]
    assert [part.num_classes for part in parts] == [17, 8, 15]
    assert {"s1", "s6"} <= set(parts[1].manifest.identities)
    assert "s8/10.png" in [path for part in parts for path in part.paths]


def test_dry_run_prints_config_and_writes_nothing(tmp_path: Path, params: Path) -> None:
    assert json.loads(invoke("unpack", tmp_path / "orl", "--dry-run")) == {}
    assert not (tmp_path / "orl").exists()
    invoke("unpack", tmp_path / "orl")
    outs = [tmp_path / "real", tmp_path / "validation", tmp_path / "test"]
    printed = invoke("prepare", tmp_path / "orl", *outs, "--params", params, "--dry-run")
    assert json.loads(printed)["lowres_pixels"] == 8
    assert not any(out.exists() for out in outs)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("image_size: 16", "image_size: big", r"`prepare\.image_size` is 'big'"),
        ("split_seed: 0", "split_sed: 0", r"`prepare\.split_sed`"),
        ("channels: 1", "channels: 4", r"`prepare\.channels` is 4"),
        ("lowres_pixels: 8", "lowres_pixels: 16", "below image_size 16"),
        ("prepare:", "other:", "`prepare` is missing"),
        (
            "mix_ratio:",
            "mix_ration: 1.0\nmix_ratio:",
            "unknown `mix_ration`; correct it to one of mix_r",
        ),
        ("head: cosface", "head: cosine", r"`train_fr\.head` is 'cosine'"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_wrong_params(
    tmp_path: Path, params: Path, old: str, new: str, reason: str, flags: list[str]
) -> None:
    change(params, old, new)
    outs = [tmp_path / "real", tmp_path / "validation", tmp_path / "test"]
    with pytest.raises(UserError, match=reason):
        invoke("prepare", tmp_path, *outs, "--params", params, *flags)
    assert not any(out.exists() for out in outs)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("num_classes: 60", "num_classes: 137", "is 137, but 17 people to train on give 136 pairs"),
        ("mix_ratio: 0.5", "mix_ratio: 1.5", r"`mix_ratio` 1.5 asks for 85 .* the pool has 60"),
        ("num_pairs: 2", "num_pairs: 200", r"`search.num_pairs` is 200"),
        ("image_size: 16", "image_size: 17", "must be a multiple of 2 pixels, but they are 17"),
        ("protocol: lowres", "protocol: bin\n    path: no.bin", r"no\.bin: missing, but `lowres`"),
        ("protocol: lowres", "protocol: ijb\n    path: tests", r"tests/meta: 0 files end in _face"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_what_later_stages_would_refuse(
    tmp_path: Path, params: Path, old: str, new: str, reason: str, flags: list[str]
) -> None:
    change(params, old, new)
    invoke("unpack", tmp_path / "orl")
    outs = [tmp_path / "real", tmp_path / "validation", tmp_path / "test"]
    with pytest.raises(UserError, match=reason):
        invoke("prepare", tmp_path / "orl", *outs, "--params", params, *flags)
    assert not any(out.exists() for out in outs)


def test_too_few_test_people_are_told_while_validation_people_are_evaluated(
    tmp_path: Path, params: Path
) -> None:
    """Else whoever switches to the test people at the end would learn it then."""
    invoke("unpack", tmp_path / "orl")
    outs = [tmp_path / "real", tmp_path / "validation", tmp_path / "test"]
    arguments = ["prepare", tmp_path / "orl", *outs, "--params", params]
    change(params, "  test: 15", "  test: 14")
    with pytest.raises(UserError, match=r"`pairs` is .* only 9\.1 .*about 15 people\).*`prepare"):
        invoke(*arguments)
    change(params, "identities: test", "identities: validation")
    warning, line = invoke(*arguments).splitlines()
    assert warning.startswith("warning: the test people: `pairs` is a headline at FAR 0.001")
    assert "real 18 people x 180 images" in line
    assert "test 14 people x 140 images" in line


def test_dry_run_checks_the_source(tmp_path: Path, params: Path) -> None:
    arguments = ["prepare", tmp_path / "absent", "a", "b", "c", "--params", params, "--dry-run"]
    with pytest.raises(UserError, match="absent: no such folder or tar"):
        invoke(*arguments)


@pytest.mark.parametrize("command", [[], ["unpack"], ["prepare"]])
def test_help(command: list[str]) -> None:
    assert "Usage" in invoke(*command, "--help")
