"""What `compare` publishes: the same bytes every time, few headlines, a table that reads well."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from auggen.core.errors import UserError
from auggen.core.files import digest_files
from auggen.protocols.bootstrap import MEAN_TAR
from auggen.protocols.compare import HEADLINES, MIN_FALSE_ACCEPTS, Comparison, compare_models
from auggen.protocols.config import CompareConfig, EvaluateConfig
from auggen.protocols.report import format_table, read_points, write_comparison
from tests.protocols.conftest import BENCHMARKS, Faces


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    faces = Faces(8, 4, seed=0)
    results = faces.results({arm: [faces.train() for _ in range(3)] for arm in ("real", "mixed")})
    config = EvaluateConfig.model_validate(
        {"identities": "validation", "batch_size": 8, "flip": True, "benchmarks": BENCHMARKS}
    )
    return compare_models(results, [0, 1, 2], config, CompareConfig(num_replicates=100, seed=0))


@pytest.fixture(scope="module")
def written(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    write_comparison(comparison, folder)
    return folder


def test_the_same_comparison_gives_the_same_bytes(
    comparison: Comparison, written: Path, tmp_path: Path
) -> None:
    write_comparison(comparison, tmp_path)
    assert digest_files(tmp_path) == digest_files(written)
    files = {path.relative_to(written).as_posix() for path in written.rglob("*.*")}
    assert files == {
        "benchmarks.csv",
        "compare.json",
        "operating_points.csv",
        "plots/roc.csv",
        "plots/roc.png",
        "plots/gain.png",
    }
    assert b"Software" not in (written / "plots" / "roc.png").read_bytes()


def test_the_headline_file_is_small_and_complete(written: Path) -> None:
    content = json.loads((written / "compare.json").read_text())
    assert list(content) == ["pairs", "templates", "lowres"]
    points = read_points(written)
    for name, figures in content.items():
        assert list(figures) == ["real", "mixed", "gain", "gain_low", "gain_high"]
        chosen = points[(points["benchmark"] == name) & points["headline"]]
        means = chosen[chosen["seed"] == "mean"].set_index("arm")
        assert figures["gain"] == means.loc["gain", "value"]
        assert figures["gain_low"] == means.loc["gain", "low"]
        assert figures["gain"] == pytest.approx(figures["mixed"] - figures["real"], abs=2e-6)


def test_points_survive_the_file(comparison: Comparison, written: Path) -> None:
    points = read_points(written)
    assert len(points) == len(comparison.points)
    for row, point in zip(points.itertuples(), comparison.points, strict=True):
        assert (row.benchmark, row.metric, row.arm, row.seed) == (
            point.benchmark,
            point.metric,
            point.arm,
            point.seed,
        )
        assert row.value == pytest.approx(point.value, abs=1e-6)
        assert pd.isna(row.false_accepts) == (point.false_accepts is None)


def test_the_table_shows_headlines_gains_and_intervals(written: Path) -> None:
    table = format_table(written)
    content = json.loads((written / "compare.json").read_text())
    lines = [line for line in table.splitlines() if "*" in line][1:]
    assert len(lines) == 3
    for line, (name, figures) in zip(lines, content.items(), strict=True):
        assert line.startswith(name)
        assert f"{100 * figures['gain']:+.1f}" in line
        low, high = (f"{100 * figures[f'gain_{end}']:+.1f}" for end in ("low", "high"))
        assert line.endswith(f"[{low}, {high}]")
    assert "1.78e-3" not in table
    points = read_points(written)
    few = points[points["expected_false_accepts"] < MIN_FALSE_ACCEPTS]
    marked = {tuple(line.split()[:2]) for line in table.splitlines() if "~  " in line}
    names = {(row.benchmark, row.metric) for row in few.itertuples() if row.metric in table}
    means = {(benchmark, MEAN_TAR) for benchmark, _ in names}
    assert marked == {
        (name, metric + "*" * (metric == HEADLINES[name]) + "~") for name, metric in names | means
    }
    assert 0 < len(marked) < len(table.splitlines()) / 2
    assert table.splitlines()[-1].startswith("~ fewer than 10 impostors")
    assert "validation people; means over 3 seed(s)" in table
    assert set(pd.read_csv(written / "benchmarks.csv")["conditions"]) == {"validation people"}


def test_the_table_tells_test_sets_and_a_single_seed_apart(written: Path, tmp_path: Path) -> None:
    for name in ("benchmarks.csv", "operating_points.csv"):
        table = pd.read_csv(written / name, dtype=str)
        if "seed" in table:
            table = table[table["seed"].isin(["0", "mean"])]
        else:
            table.loc[table["benchmark"] == "lowres", "conditions"] = "6000 pairs"
        table.to_csv(tmp_path / name, index=False)
    end = format_table(tmp_path).splitlines()[-3:]
    assert "validation people; means over 1 seed(s), intervals over people; low" in end[0]
    assert end[2] == "lowres: on whom and over what, see benchmarks.csv"


def test_missing_or_foreign_metrics_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"operating_points\.csv: missing"):
        read_points(tmp_path)
    (tmp_path / "operating_points.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="other columns"):
        read_points(tmp_path)
    (tmp_path / "operating_points.csv").write_text("")
    with pytest.raises(UserError, match="no CSV table"):
        read_points(tmp_path)


def test_a_table_without_its_people_is_named(written: Path, tmp_path: Path) -> None:
    shutil.copy(written / "operating_points.csv", tmp_path)
    with pytest.raises(UserError, match=r"benchmarks\.csv: missing"):
        format_table(tmp_path)
