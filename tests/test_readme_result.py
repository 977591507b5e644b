"""README and evidence show what the committed metrics hold; the README's map names real files."""

import json
import re
from pathlib import Path

import pytest

from auggen.protocols.report import format_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EVIDENCE = (ROOT / "docs" / "evidence.md").read_text()
CONFIRMED = json.loads((ROOT / "metrics" / "studies" / "default.json").read_text())
MARKS = {"orl": "orl", "pie68_32": "pie", "gt50_40x30": "gt50"}
OTHERS = (("pairs", "tar_at_far_1e-3"), ("templates", "tar_at_far_1e-2"), ("lowres", "rank_1"))
OF_RIVALS = (("pairs", "mean_tar"), ("templates", "mean_tar"), ("lowres", "rank_1"))
RIVALS = (
    "real", "real_twice", "real_wide", "classical", "pixel", "mixed_alone", "anew_alone",
    "anew_twice", "d_repro", "scoremix", "scoremix_photograph",
)  # fmt: skip
NAMES = {"mean_tar": "mean TAR", "rank_1": "rank 1"}


def cells(figure: dict[str, float]) -> tuple[str, str, str, str]:
    """real, mixed, gain and interval of a figure of default.json, as they are printed."""
    real, mixed, gain, low, high = (
        100 * figure[key] for key in ("real", "mixed", "gain", "gain_low", "gain_high")
    )
    return f"{real:.1f}", f"{mixed:.1f}", f"{gain:+.1f}", f"[{low:+.1f}, {high:+.1f}]"


def test_the_table_is_that_of_the_committed_metrics() -> None:
    block = README.split("<!-- result -->")[1].split("<!-- /result -->")[0]
    assert format_table(ROOT / "metrics") in block


def test_every_confirmed_set_is_a_row_of_the_readme() -> None:
    assert set(CONFIRMED) == set(MARKS)
    block = README.split("<!-- sets -->")[1].split("<!-- /sets -->")[0]
    rows = [line for line in block.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(CONFIRMED)
    for row, name in zip(rows, MARKS, strict=True):
        result = CONFIRMED[name]
        real, mixed, *_ = cells(result["pairs"]["mean_tar"])
        shown = [result[benchmark][metric] for benchmark, metric in OTHERS]
        gains = (" ".join(cells(figure)[2:]) for figure in (result["pairs"]["mean_tar"], *shown))
        expected = [f"{real} -> {mixed}", *gains]
        assert row.strip("| ").split(" | ")[2:] == expected


@pytest.mark.parametrize("name", MARKS)
def test_every_confirmed_figure_is_a_row_of_the_evidence(name: str) -> None:
    mark = MARKS[name]
    block = EVIDENCE.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0]
    for benchmark in ("pairs", "templates", "lowres"):
        for metric, figure in CONFIRMED[name][benchmark].items():
            label = NAMES.get(metric) or f"TAR at {metric.rpartition('_')[2]}"
            assert f"| `{benchmark}` {label} | {' | '.join(cells(figure))} |" in block


def test_every_rival_is_a_row_of_the_evidence() -> None:
    block = EVIDENCE.split("<!-- rivals -->")[1].split("<!-- /rivals -->")[0]
    rows = [line for line in block.splitlines() if line.startswith("| ")][1:]
    files = [ROOT / "metrics" / "studies" / f"rivals{name}.json" for name in (".pie68_32", "")]
    arms = [json.loads(file.read_text())["arms"] for file in files]
    assert {*arms[0], *arms[1]} == {"mixed", *RIVALS}
    for row, name in zip(rows, RIVALS, strict=True):
        shown = [
            " ".join(cells({"real": 0, "mixed": 0} | found[name][benchmark][metric])[2:])
            if name in found
            else "-"
            for found in arms
            for benchmark, metric in OF_RIVALS
        ]
        assert row.strip("| ").split(" | ")[1:] == shown


@pytest.mark.parametrize("study", ["around", "rules"])
def test_every_change_of_the_default_is_a_row_of_the_evidence(study: str) -> None:
    block = EVIDENCE.split(f"<!-- {study} -->")[1].split(f"<!-- /{study} -->")[0]
    rows = [line for line in block.splitlines() if line.startswith("| ")][1:]
    arms = json.loads((ROOT / "metrics" / "studies" / f"{study}.pie68_32.json").read_text())["arms"]
    shown = (("pairs", "mean_tar"), OTHERS[0], ("templates", "mean_tar"), OTHERS[2])
    assert [row.strip("| ").split(" | ") for row in rows] == [
        [
            name,
            *(" ".join(cells({"real": 0, "mixed": 0} | arm[one][two])[2:]) for one, two in shown),
        ]
        for name, arm in arms.items()
        if name != "mixed"
    ]
    assert len(rows) == len(arms) - 1 > 5


def test_the_map_from_paper_to_code_names_existing_files() -> None:
    rows = [line for line in README.splitlines() if line.startswith("|") and "`" in line]
    names = [name for row in rows for name in re.findall(r"[\w/]+\.py", row)]
    for name in names:
        places = (name, f"auggen/{name}", f"auggen/recognition/{name}")
        assert any((ROOT / place).is_file() for place in places), name
    assert len(names) > 15


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize(
    ("study", "arm", "texts"),
    [
        ("rivals_real", "real_wide", [EVIDENCE, README]),
        ("width", "real_wide", [EVIDENCE]),
        ("width", "mixed", [EVIDENCE]),
        ("width", "mixed_wide", [EVIDENCE]),
    ],
)
def test_the_wider_network_is_that_of_the_studies(study: str, arm: str, texts: list[str]) -> None:
    path = ROOT / "metrics" / "studies" / f"{study}.pie68_32.json"
    gain = json.loads(path.read_text())["arms"][arm]["pairs"]["mean_tar"]
    shown = " ".join(cells({"real": 0, "mixed": 0} | gain)[2:])
    assert all(shown in text for text in texts)
