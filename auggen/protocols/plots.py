"""Pictures of a comparison; the same numbers always give the same bytes."""

import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from auggen.core.files import write_bytes

_LOW_IS_GOOD = {"eer": " (low is good)"}
_COLOURS = {"real": "tab:gray", "mixed": "tab:blue"}


def draw_roc(roc: pd.DataFrame, path: Path) -> None:
    """Draws one panel a benchmark: TAR against FAR (log scale), mean over seeds, both arms."""
    names = [column.removesuffix("_real") for column in roc.columns if column.endswith("_real")]
    figure = Figure(figsize=(4.5 * max(1, len(names)), 3.6), dpi=120, layout="constrained")
    for position, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), position)
        for arm, colour in _COLOURS.items():
            axes.plot(10 ** roc["log10_far"], roc[f"{name}_{arm}"], color=colour, label=arm)
        axes.set(xscale="log", ylim=(0, 1.01), title=name, xlabel="false-accept rate (FAR)")
        axes.set_ylabel("true-accept rate (TAR)")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    _save(figure, path)


def draw_gains(gains: pd.DataFrame, people: str, path: Path) -> None:
    """Draws gains with their intervals as bars.

    Args:
        gains: rows with benchmark, metric, value, low, high (fractions).
        people: whose figures they are, for the title.
        path: PNG to write.
    """
    figure = Figure(figsize=(7, 0.8 + 0.32 * len(gains)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    labels = [
        f"{row.benchmark}: {row.metric}{_LOW_IS_GOOD.get(str(row.metric), '')}"
        for row in gains.itertuples()
    ]
    points = 100 * gains[["value", "low", "high"]].to_numpy(dtype=float)
    axes.barh(range(len(gains)), points[:, 0], color=_COLOURS["mixed"], alpha=0.6)
    axes.hlines(range(len(gains)), points[:, 1], points[:, 2], color="black")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(gains)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(people, fontsize=10)
    axes.set_xlabel("gain, mixed - real (percentage points, 95 % interval)")
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    write_bytes(path, stream.getvalue())
