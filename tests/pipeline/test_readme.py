"""Every command that the README shows runs, at toy size, in the order of the text."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.pipeline.project import Project

pytestmark = pytest.mark.pipeline

README = Path(__file__).parents[2] / "README.md"
NOT_HERE = {"make pilot", "make test"}  # the whole set-up; `.ci/run` runs the second


def commands(text: str) -> list[str]:
    """Commands of a text's ```bash blocks; a backslash joins lines, comments are dropped."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines]
    return [line for line in bare if line]


def test_commands_are_found() -> None:
    text = "x\n```bash\nmake pilot  # all\n\n# note\na \\\n  b\n```\n```\nc\n```\n```bash\nd\n```\n"
    assert commands(text) == ["make pilot", "a    b", "d"]


@pytest.mark.usefixtures("forced")
def test_readme_commands(project: Project) -> None:
    """A folder of people lies at `data/raw/mine`, and .venv is where `make` puts it."""
    shown = commands(README.read_text())
    assert set(shown) >= NOT_HERE
    todo = [command for command in shown if command not in NOT_HERE]
    assert len(todo) >= 3
    assert any(command.startswith("dvc exp run -S mix_ratio=") for command in todo)
    (project.folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(project.folder / "data/raw/orl", project.folder / "data/raw/mine")
    project.run("bash", "-euo", "pipefail", "-x", "-c", "\n".join(todo))
