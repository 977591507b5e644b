"""The README shows what the committed metrics hold, and names only files that exist."""

import re
from pathlib import Path

from auggen.protocols.report import format_table, read_points

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_is_that_of_the_committed_metrics() -> None:
    block = README.split("<!-- result -->")[1].split("<!-- /result -->")[0]
    assert format_table(read_points(ROOT / "metrics")) in block


def test_the_map_from_paper_to_code_names_existing_files() -> None:
    rows = [line for line in README.splitlines() if line.startswith("|") and "`" in line]
    names = [name for row in rows for name in re.findall(r"[\w/]+\.py", row)]
    for name in names:
        places = (name, f"auggen/{name}", f"auggen/recognition/{name}")
        assert any((ROOT / place).is_file() for place in places), name
    assert len(names) > 15


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120
