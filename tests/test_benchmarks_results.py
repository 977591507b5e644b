"""benchmarks/results.json is what its README shows, and recording keeps other entries."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import side_by_side
from benchmarks.side_by_side import Turns, format_table, machine, record

ROOT = Path(__file__).parents[1]
SUITES = (
    "decode_align", "generator_training", "recogniser_training", "recordio_read", "synthesis",
)  # fmt: skip
PROTOCOLS = ("bootstrap_ijbc", "ijbc_1to1", "ijbc_1ton", "tinyface", "verification_10fold")
KINDS = {
    "ratio": float,
    "peak_gb": float,
    "peer_peak_gb": float,
    "ours_images_per_s": float,
    "peer_images_per_s": float,
    "compared": str,
    "peer": str,
    "torch": str,
    "machine": str,
    "command": str,
    "rounds": int,
    "threads": int,
}


measured = pytest.mark.skipif(
    not side_by_side.RESULTS.is_file(), reason=f"not measured yet: {side_by_side.COMMAND}"
)


@pytest.fixture
def results() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads(side_by_side.RESULTS.read_text())
    return content


@measured
def test_every_entry_has_a_ratio_and_its_memory(results: dict[str, dict[str, Any]]) -> None:
    assert set(results) == {*SUITES, *PROTOCOLS}
    for name, entry in results.items():
        assert entry["ratio"] > 0, name
        assert 0 < entry["peak_gb"] < 64, name


@measured
@pytest.mark.parametrize("suite", SUITES)
def test_the_suites_say_how_they_were_measured(
    suite: str, results: dict[str, dict[str, Any]]
) -> None:
    entry = results[suite]
    assert {key: type(entry[key]) for key in KINDS} == KINDS
    assert entry["rounds"] >= 3
    unpaired = entry["ours_images_per_s"] / entry["peer_images_per_s"]
    assert entry["ratio"] == pytest.approx(unpaired, rel=0.15)


@measured
def test_the_readme_shows_them(results: dict[str, dict[str, Any]]) -> None:
    assert format_table(results) in side_by_side.README.read_text()


def test_recording_keeps_other_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(side_by_side, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text("top\n<!-- results -->\nold\n<!-- /results -->\nend\n")
    record("b", {"ratio": 2.0, "peak_gb": 0.5, "floor_s": 1.0})
    record("a", {"ratio": 3.0, "peak_gb": 0.25, "compared": "this"})
    record("b", {"ratio": 4.0, "peak_gb": 0.5, "seconds": 2.04, "floor_s": 0.0101})
    found = json.loads((tmp_path / "results.json").read_text())
    assert {name: entry["ratio"] for name, entry in found.items()} == {"a": 3.0, "b": 4.0}
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("top\n<!-- results -->\n| | ratio")
    assert text.endswith("<!-- /results -->\nend\n")
    assert "| `a` | 3.00 | 0.25 |  |  | this |\n| `b` | 4.00 | 0.50 | 2 | 0.01 |  |\n" in text
    assert "old" not in text


def test_ratio_is_the_median_of_paired_rounds() -> None:
    turns = Turns.__new__(Turns)
    turns.rounds = {
        "ours": [{"images": 10, "seconds": s, "peak_bytes": 1} for s in (1.0, 2.0, 4.0)],
        "peer": [{"images": 5, "seconds": s, "peak_bytes": 1} for s in (1.0, 3.0, 2.0)],
    }
    assert turns.ratio("peer") == 2.0  # of 2, 3 and 1
    assert turns.images_per_second("ours") == 5.0


def test_the_machine_is_named_generically(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "model name\t: Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz\n"
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _: line)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    assert machine() == "2 cores of an Intel Xeon Platinum"
