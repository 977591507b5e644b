"""The script that measures the pilot, and what docs/cost.md says of it."""

from pathlib import Path

import pytest

from auggen.plan.report import plan_of, read_measured
from benchmarks.pilot_cost import DOCS, PLAN, TIMES, StageWatch, fill, pilot_table

TOLERANCE = 0.25


def test_stages_are_timed_by_what_dvc_prints() -> None:
    watch = StageWatch()
    watch.see_memory(99)  # before the first stage: DVC itself
    watch.see_line("Running stage 'unpack':\n", 12.0)
    watch.see_line("> python -m stages.prepare unpack data/raw/orl\n", 12.1)
    watch.see_memory(7)
    watch.see_memory(5)
    watch.see_line("Running stage 'train_fr@real-0':\n", 15.0)
    watch.see_line("Updating lock file 'dvc.lock'\n", 18.0)
    rows = watch.rows(10.0, 20.0, {"unpack": 3})
    keys = ("stage", "seconds", "memory_bytes", "disk_bytes")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("unpack", 5.0, 7, 3),
        ("train_fr@real-0", 5.0, 0, 0),
    ]


def test_fill() -> None:
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert fill(text, "x", "new\n") == "a\n<!-- x -->\n```\nnew\n```\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="no place for y"):
        fill(text, "y", "new")


def test_docs_have_a_place_for_both_tables(root: Path) -> None:
    text = (root / DOCS).read_text()
    assert fill(fill(text, "pilot", "1"), "full", "2") != text
    assert len(text.splitlines()) <= 100


def test_the_pilot_is_predicted_within_a_quarter(root: Path) -> None:
    if not (root / TIMES).is_file():
        pytest.skip("not measured on a quiet machine yet: python -m benchmarks.pilot_cost")
    measured = sum(stage.seconds for stage in read_measured(root / TIMES).values())
    assert abs(plan_of(root / PLAN).seconds / measured - 1) <= TOLERANCE
    text = (root / DOCS).read_text()
    assert fill(text, "pilot", pilot_table(root)) == text
