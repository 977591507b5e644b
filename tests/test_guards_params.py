"""params.yaml and the presets: the same keys, each section accepted by its owner."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from auggen.core.params import load_params, read_params
from auggen.plan.settings import SECTIONS

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]


def keys(value: object) -> object:
    """The nested keys of a params file; lists count as values."""
    return {key: keys(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_there_are_presets() -> None:
    assert "toy.yaml" in {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_keys_are_those_of_params(path: Path) -> None:
    assert keys(load_params(path)) == keys(load_params(FILES[0]))
    assert list(load_params(path)) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_sections_are_accepted(path: Path, section: str) -> None:
    read_params(path, section, SECTIONS[section])


@pytest.mark.parametrize(
    "section", [name for name in SECTIONS if hasattr(SECTIONS[name], "model_fields")]
)
def test_every_field_is_documented(section: str) -> None:
    fields = SECTIONS[section].model_fields
    assert len(fields) >= 1
    assert [name for name, field in fields.items() if not field.description] == []


def test_mix_ratio_is_the_first_key() -> None:
    """The one knob to turn; its default leaves `-S mix_ratio=1.0` something to do."""
    text = FILES[0].read_text().splitlines()
    assert next(line for line in text if not line.startswith("#")).startswith("mix_ratio: ")
    assert load_params(FILES[0])["mix_ratio"] != 1.0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_written_as_dvc_rewrites(path: Path) -> None:
    """Lists not indented, no quotes, no nulls: then `-S` changes one line."""
    text = path.read_text()
    assert "'" not in text
    assert '"' not in text
    assert "null" not in text
    assert yaml.dump(load_params(path), sort_keys=False).count("\n- ") == text.count("\n- ")


def test_dvc_yaml_asks_for_params_that_exist() -> None:
    """And every section is read by a stage."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    asked = {name for stage in graph.values() for name in stage.get("params", [])}
    for name in asked:
        value: Any = load_params(FILES[0])
        for part in name.split("."):
            value = value[part]
    assert {name.split(".")[0] for name in asked} == set(SECTIONS)
