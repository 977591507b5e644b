"""The files of a comparison, and its table for a terminal."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from auggen.core.errors import UserError
from auggen.core.files import atomic_directory, write_bytes, write_json
from auggen.protocols.bootstrap import MEAN_TAR
from auggen.protocols.compare import HELD_OUT, MIN_FALSE_ACCEPTS, Comparison
from auggen.protocols.outcome import Outcome
from auggen.protocols.overlap import read_facts, tell_counts
from auggen.protocols.plots import draw_gains, draw_roc
from auggen.protocols.point import MEAN, Point
from auggen.protocols.results import ARMS

POINTS_NAME = "operating_points.csv"
HEADLINE_NAME = "compare.json"
BENCHMARKS_NAME = "benchmarks.csv"
PLOTS_NAME = "plots"
_DECIMALS = 6
_NUMBERS = ["value", "low", "high", "expected_false_accepts", "threshold"]
_BETWEEN_DECADES = r"tar_at_far_\d\.\d+e"
_GAIN = "gain"


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Writes operating_points.csv, plots/, benchmarks.csv and compare.json into a folder.

    compare.json holds real, mixed, gain, gain_low and gain_high of each headline, as fractions,
    for a test set of the field also how much of the training set is in it. benchmarks.csv holds
    the same of every figure, a line each, and on whom or how it was run.
    """
    points = pd.DataFrame([asdict(point) for point in comparison.points])
    points[_NUMBERS] = points[_NUMBERS].astype(float).round(_DECIMALS) + 0.0  # no -0.0
    points["false_accepts"] = points["false_accepts"].astype("Int64")
    with atomic_directory(folder / PLOTS_NAME) as plots:
        _write_csv(plots / "roc.csv", comparison.roc.round(_DECIMALS) + 0.0)
        draw_roc(comparison.roc, plots / "roc.png")
        gains = _main_figures(points[points["arm"] == _GAIN])
        others = f"; test sets: see {BENCHMARKS_NAME}" if comparison.conditions else ""
        draw_gains(gains.dropna(subset="low"), comparison.people + others, plots / "gain.png")
    _write_csv(folder / POINTS_NAME, points)
    _write_csv(folder / BENCHMARKS_NAME, _all_figures(points, comparison))
    write_json(folder / HEADLINE_NAME, _headlines(points, comparison.overlap))


def read_points(folder: Path) -> pd.DataFrame:
    """Reads operating_points.csv. Raises UserError if it is missing or has other columns."""
    path = folder / POINTS_NAME
    try:
        points = pd.read_csv(path, dtype={"seed": str})
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: missing or no CSV table; run `dvc repro` to make it") from error
    if list(points.columns) != [item.name for item in fields(Point)]:
        raise UserError(f"{path}: has other columns than `compare` writes; run `dvc repro`")
    return points


def format_table(folder: Path) -> str:
    """Returns a comparison as text: means over seeds, in percent, and gains with intervals.

    Raises:
        UserError: see `read_points`.
    """
    points = read_points(folder)
    is_thin = points["expected_false_accepts"] < MIN_FALSE_ACCEPTS
    thin = set(zip(*(points.loc[is_thin, key] for key in ("benchmark", "metric")), strict=True))
    thin |= {(benchmark, MEAN_TAR) for benchmark, _ in thin}
    rows = [["benchmark", "metric (* headline)", "real", "mixed", "gain", "95 % interval"]]
    for (benchmark, metric), arms in _by_metric(_main_figures(points)).items():
        gain = arms[_GAIN]
        interval = f"[{_points(gain['low'])}, {_points(gain['high'])}]"
        rows.append(
            [
                benchmark,
                metric
                + ("*" if gain["headline"] else "")
                + ("~" if (benchmark, metric) in thin else ""),
                *(f"{100 * arms[arm]['value']:.1f}" for arm in ARMS),
                _points(gain["value"]),
                "" if pd.isna(gain["low"]) else interval,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    num_seeds = points.loc[points["seed"] != MEAN, "seed"].nunique()
    people, others = _read_people(folder)
    over = "people and seeds" if num_seeds > 1 else "people"
    lines.append(
        f"Percent; {people}; means over {num_seeds} seed(s), intervals over {over}; low eer is good"
    )
    if thin:
        lines.append(
            f"~ fewer than {MIN_FALSE_ACCEPTS:.0f} impostors may pass: a single pair moves it"
        )
    if others:
        lines.append(f"{', '.join(others)}: on whom and over what, see {BENCHMARKS_NAME}")
    return "\n".join(lines)


def _read_people(folder: Path) -> tuple[str, list[str]]:
    """Returns whose figures these are, as benchmarks.csv says, and the test sets of the field."""
    path = folder / BENCHMARKS_NAME
    try:
        table = pd.read_csv(path)[["benchmark", "conditions"]]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: missing or no such table; run `dvc repro` to make it") from error
    is_own = table["conditions"].isin(HELD_OUT.values())
    people = table.loc[is_own, "conditions"]
    others = table.loc[~is_own, "benchmark"].drop_duplicates().tolist()
    return str(people.iloc[0]) if len(people) else "test sets alone", others


def tell_overlap(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Returns what each test set shares with the training set, a line each."""
    return [f"{name}: {tell_counts(read_facts(one.facts))}" for name, one in outcomes.items()]


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def _main_figures(points: pd.DataFrame) -> pd.DataFrame:
    """Returns the means and gains, without the operating points between powers of ten."""
    between = points["metric"].str.match(_BETWEEN_DECADES)
    return points[(points["seed"] == MEAN) & ~between]


def _by_metric(points: pd.DataFrame) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """Returns rows by (benchmark, metric), then arm, in the order of the table."""
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in points.to_dict("records"):
        rows.setdefault((row["benchmark"], row["metric"]), {})[row["arm"]] = {
            str(name): value for name, value in row.items()
        }
    return rows


def _headlines(
    points: pd.DataFrame, overlap: Mapping[str, dict[str, int]]
) -> dict[str, dict[str, Any]]:
    chosen = points[(points["seed"] == MEAN) & points["headline"]]
    return {
        benchmark: _in_one_line(arms)
        | ({"overlap": overlap[benchmark]} if benchmark in overlap else {})
        for (benchmark, _), arms in _by_metric(chosen).items()
    }


def _in_one_line(arms: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {
        **{arm: arms[arm]["value"] for arm in (*ARMS, _GAIN)},
        **{f"{_GAIN}_{end}": arms[_GAIN][end] for end in ("low", "high")},
    }


def _all_figures(points: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    lines = _by_metric(points[points["seed"] == MEAN]).items()
    return pd.DataFrame(
        [
            {
                "benchmark": benchmark,
                "metric": metric,
                **_in_one_line(arms),
                "conditions": comparison.conditions.get(benchmark, comparison.people),
            }
            for (benchmark, metric), arms in lines
        ]
    )


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False, float_format=f"%.{_DECIMALS}f", lineterminator="\n")
    write_bytes(path, text.encode())
