"""The picture of a study; the same numbers always give the same bytes."""

import io
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from auggen.core.files import write_bytes
from studies.config import Plan
from studies.figures import Gain, Key

_PANELS = ("mean_tar", "tar_at_far_1e-3", "rank_1")
Ends = tuple[float, float, float]
"""Low end of the interval, gain, high end; fractions."""


def draw_study(plan: Plan, gains: dict[str, dict[Key, Gain]], path: Path) -> None:
    """Draws each arm's gain over the reference with its interval, a panel a benchmark and figure.

    Arms with an `x` make a curve, which needs all but the reference to have one; else bars. One
    arm alone is drawn in one panel, a row a figure.
    """
    arms = [arm for arm in gains if arm != plan.study.reference]
    title = f"{plan.name}: gain over {plan.study.reference}, points, 95 % interval"
    if len(arms) == 1:
        rows = {key: (gain.low, gain.gain, gain.high) for key, gain in gains[arms[0]].items()}
        _save(_forest({arms[0]: rows}, title), path)
        return
    keys = [key for key in next(iter(gains.values())) if key[1] in _PANELS]
    positions = [plan.study.arms[arm].x for arm in arms]
    is_curve = bool(arms) and None not in positions
    height = 3.2 if is_curve else 1.0 + 0.3 * max(1, len(arms))
    figure = Figure(figsize=(3.4 * len(keys), height), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(keys), squeeze=False, sharey=not is_curve)[0]
    for axes, key in zip(panels, keys, strict=True):
        chosen = [gains[arm][key] for arm in arms]
        if is_curve:
            _draw_curve(axes, [x for x in positions if x is not None], chosen)
            axes.set_xlabel(plan.study.x_name, fontsize=8)
        else:
            _draw_bars(axes, arms, chosen)
        axes.set_title(_label(*key), fontsize=9)
        axes.grid(axis="y" if is_curve else "x", alpha=0.3)
    figure.supxlabel(title, fontsize=9)
    _save(figure, path)


def draw_confirmed(results: dict[str, Any], path: Path) -> None:
    """Draws the gains of default.json: a row a figure, a colour a data set."""
    rows = {
        data: {
            (benchmark, metric): (value["gain_low"], value["gain"], value["gain_high"])
            for benchmark, figures in result.items()
            if isinstance(figures, dict)
            for metric, value in figures.items()
        }
        for data, result in results.items()
    }
    _save(_forest(rows, "gain of mixed over real, points, 95 % interval"), path)


def _forest(series: dict[str, dict[Key, Ends]], title: str) -> Figure:
    keys = list(dict.fromkeys(key for ends in series.values() for key in ends))
    figure = Figure(figsize=(7.0, 1.0 + 0.36 * len(keys)), dpi=110, layout="constrained")
    axes = figure.subplots()
    step = 0.7 / len(series)
    for place, (label, ends) in enumerate(series.items()):
        shift = step * (place - (len(series) - 1) / 2)
        rows = [keys.index(key) + shift for key in ends]
        low, middle, high = ([100 * values[side] for values in ends.values()] for side in range(3))
        axes.hlines(rows, low, high, f"C{place}")
        axes.plot(middle, rows, "o", color=f"C{place}", markersize=4, label=label)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(keys)), [_label(*key) for key in keys], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(title, fontsize=9)
    if len(series) > 1:
        axes.legend(fontsize=8)
    return figure


def _label(benchmark: str, metric: str) -> str:
    words = {"mean_tar": "mean TAR", "rank_1": "rank 1"}
    return f"{benchmark}, {words.get(metric, metric.replace('tar_at_far_', 'TAR at '))}"


def _save(figure: Figure, path: Path) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    write_bytes(path, stream.getvalue())


def _draw_bars(axes: Axes, arms: list[str], gains: list[Gain]) -> None:
    rows = range(len(arms))
    axes.barh(rows, [100 * gain.gain for gain in gains], color="tab:blue", alpha=0.6)
    axes.hlines(rows, [100 * gain.low for gain in gains], [100 * gain.high for gain in gains], "k")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(rows, arms, fontsize=8)
    axes.invert_yaxis() if not axes.yaxis_inverted() else None


def _draw_curve(axes: Axes, positions: list[float], gains: list[Gain]) -> None:
    order = sorted(range(len(gains)), key=lambda row: positions[row])
    x = [positions[row] for row in order]
    low, middle, high = (
        [100 * getattr(gains[row], end) for row in order] for end in ("low", "gain", "high")
    )
    axes.fill_between(x, low, high, color="tab:blue", alpha=0.2)
    axes.plot(x, middle, "o-", color="tab:blue")
    axes.axhline(0, color="black", linewidth=0.8)
