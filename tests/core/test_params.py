"""Strict reading of params: YAML 1.2 as DVC reads it, one clear error for each fault."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import dvc.api
import pytest
from pydantic import Field

from auggen.core.errors import UserError
from auggen.core.params import Section, load_params, read_params

ROOT = Path(__file__).parents[2]
TRICKY = """\
small: 1e-05
large: 1E6
plain: 0.00001
signed: -1.5e+3
bare: .5
whole: 3
zero: 0
negative: -7
point: 3.
on: on
yes: yes
no: no
y: y
flag: true
unset: False
text: 1e
version: 1.2.3
date: "2024-01-01"
infinite: .inf
list:
- 1e-4
- 2
- on
nested:
  deep:
    rate: 5e-4
"""


class Sampler(Section):
    num_steps: Annotated[int, Field(ge=1)]


class Model(Section):
    rate: Annotated[float, Field(gt=0)]
    name: str
    sampler: Sampler


GOOD = "model:\n  rate: 1\n  name: a\n  sampler:\n    num_steps: 3\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def dvc_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dvc")
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def typed(value: object) -> object:
    """The value with its types spelt out, so that 1 differs from 1.0 and from true."""
    if isinstance(value, dict):
        return {str(key): typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, value


@pytest.mark.parametrize("source", ["tricky", "params.yaml", "presets/toy.yaml"])
def test_reads_as_dvc_does(source: str, dvc_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TRICKY if source == "tricky" else (ROOT / source).read_text()
    path = write(dvc_project, text)
    monkeypatch.chdir(dvc_project)
    ours, theirs = load_params(path), dvc.api.params_show("params.yaml", repo=str(dvc_project))
    assert len(ours) > 5
    assert typed(ours) == typed(theirs)


def test_tricky_numbers(tmp_path: Path) -> None:
    read = load_params(write(tmp_path, TRICKY))
    assert read["small"] == 1e-5
    assert read["list"] == [1e-4, 2, "on"]
    assert read["version"] == "1.2.3"
    assert read["infinite"] == float("inf")
    assert (read["yes"], read["flag"], read["unset"]) == ("yes", True, False)


def test_a_good_section(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    model = read_params(path, "model", Model)
    assert (model.rate, model.sampler.num_steps) == (1.0, 3)
    assert isinstance(model.rate, float)
    assert read_params(path, "model.sampler.num_steps", int) == 3
    with pytest.raises(ValueError, match="frozen"):
        model.rate = 2.0  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rate: 1", "rate: fast", ["model.rate", "'fast'", "valid number"]),
        ("rate: 1", "rate: '1'", ["model.rate", "'1'", "valid number"]),
        ("rate: 1", "rate: -1", ["model.rate", "-1", "greater than 0"]),
        ("rate: 1", "rate: true", ["model.rate", "True"]),
        ("rate: 1", "rates: 1", ["model.rates", "Extra inputs", "model.rate`"]),
        ("name: a", "name: 3", ["model.name", "3", "valid string"]),
        ("num_steps: 3", "num_steps: 0", ["model.sampler.num_steps", "greater than or equal"]),
        ("num_steps: 3", "num_steps: 3.5", ["model.sampler.num_steps", "3.5"]),
        ("num_steps: 3", "num_steps: 3\n    x: 1", ["model.sampler.x", "Extra inputs"]),
        ("model:", "modell:", ["`model` is missing"]),
        (GOOD, "- 1\n", ["key: value", "list"]),
        (GOOD, "a: [1\n", ["not valid YAML"]),
        (GOOD, "", ["key: value", "NoneType"]),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(UserError) as caught:
        read_params(path, "model", Model)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_params_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("source: José\n".encode("latin-1"))
    with pytest.raises(UserError, match="not valid YAML in UTF-8"):
        load_params(path)


def test_no_params_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no-such.yaml: no such file"):
        load_params(tmp_path / "no-such.yaml")
