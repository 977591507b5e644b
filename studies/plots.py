"""The picture of a study; the same numbers always give the same bytes."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from auggen.core.files import write_bytes
from studies.config import Plan
from studies.figures import Gain, Key

_PANELS = ("mean_tar", "tar_at_far_1e-3", "rank_1")


def draw_study(plan: Plan, gains: dict[str, dict[Key, Gain]], path: Path) -> None:
    """Draws each arm's gain over the reference with its interval, a panel a benchmark and figure.

    Arms with an `x` make a curve, which needs all but the reference to have one; else bars.
    """
    arms = [arm for arm in gains if arm != plan.study.reference]
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
        else:
            _draw_bars(axes, arms, chosen)
        axes.set_title(f"{key[0]}: {key[1]}", fontsize=9)
        axes.grid(axis="y" if is_curve else "x", alpha=0.3)
    figure.supxlabel(
        f"{plan.name}: gain over {plan.study.reference}, points, 95 % interval", fontsize=9
    )
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
