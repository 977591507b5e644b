"""Tables of predicted costs, and of predicted against measured ones."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auggen.core.errors import UserError
from auggen.core.files import read_json
from auggen.plan.costs import StageCost


@dataclass(frozen=True)
class Measured:
    """What a stage took when DVC ran it: all its items together."""

    seconds: float
    memory_bytes: float
    disk_bytes: float


@dataclass(frozen=True)
class Plan:
    """A prediction with all that a reader must know of it."""

    params: str
    people: int
    images: int
    device: str
    devices: int
    scaled_from: str
    """Params of the networks that were measured instead; empty if the run's own were."""
    stages: list[StageCost]

    @property
    def seconds(self) -> float:
        """From start to end, one stage after another."""
        return sum(stage.total_seconds for stage in self.stages)

    @property
    def device_seconds(self) -> float:
        """The same, each stage times the devices it occupies."""
        return sum(stage.total_seconds * stage.devices for stage in self.stages)

    @property
    def disk_bytes(self) -> float:
        """What all stages leave in the checkout."""
        return sum(stage.count * stage.disk_bytes for stage in self.stages)


def read_measured(path: Path) -> dict[str, Measured]:
    """Reads stage times, adding up what differs by its seed alone.

    Args:
        path: CSV with columns stage (as DVC names it), seconds, memory_bytes (peak), disk_bytes.

    Raises:
        UserError: missing, or other columns.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table of measured stages; make it, see docs/cost.md")
    measured: dict[str, Measured] = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                name = row["stage"].rsplit("-", 1)[0] if "@" in row["stage"] else row["stage"]
                new = Measured(
                    *(float(row[key]) for key in ("seconds", "memory_bytes", "disk_bytes"))
                )
            except (KeyError, ValueError, TypeError) as error:
                raise UserError(f"{path}: not a table of stages ({error}); make it anew") from error
            old = measured.get(name, Measured(0.0, 0.0, 0.0))
            measured[name] = Measured(
                old.seconds + new.seconds,
                max(old.memory_bytes, new.memory_bytes),
                old.disk_bytes + new.disk_bytes,
            )
    return measured


def format_plan(plan: Plan) -> str:
    """Returns the table of a plan, what it sums to and what it rests on."""
    header = ["stage", "runs", "each", "all", "memory", "disk"]
    rows = [
        [
            stage.stage,
            str(stage.count),
            _time(stage.seconds),
            _time(stage.total_seconds),
            _size(stage.memory_bytes),
            _size(stage.count * stage.disk_bytes),
        ]
        for stage in plan.stages
    ]
    peak = max(stage.memory_bytes for stage in plan.stages)
    rows.append(["total", "", "", _time(plan.seconds), _size(peak), _size(plan.disk_bytes)])
    hours = plan.device_seconds / 3600
    lines = [
        _table(header, rows),
        f"{plan.params}: {plan.people} people, {plan.images} images; {hours:,.2f} device hours on "
        f"{plan.devices} x {plan.device}",
        "Memory is the peak of one process. The DVC cache holds up to as much again as `disk`.",
    ]
    if plan.scaled_from:
        lines.append(
            f"EXTRAPOLATED: the networks of {plan.scaled_from} were measured on this machine and "
            "scaled by arithmetic (FLOPs); no step of this run's networks was measured. Other "
            "devices are unmeasured: run this there without --scale-from."
        )
    if plan.devices > 1:
        lines.append(
            f"One of {plan.devices} devices was reckoned with its share of each batch; waiting for "
            "one another is not in it."
        )
    return "\n".join(lines)


def format_comparison(plan: Plan, measured: dict[str, Measured]) -> str:
    """Returns predicted against measured for each stage and in total.

    Raises:
        UserError: the measured stages are others than the predicted ones.
    """
    names = [stage.stage for stage in plan.stages]
    if set(names) != set(measured):
        odd = sorted(set(names) ^ set(measured))
        raise UserError(f"stages {', '.join(odd)} are predicted or measured, not both")
    header = ["stage", "runs", "predicted s", "measured s", "ratio", "predicted MB", "measured MB"]
    rows = []
    for stage in plan.stages:
        real = measured[stage.stage]
        times = [f"{stage.total_seconds:.1f}", f"{real.seconds:.1f}"]
        memory = [f"{stage.memory_bytes / 1e6:.0f}", f"{real.memory_bytes / 1e6:.0f}"]
        ratio = f"{stage.total_seconds / real.seconds:.2f}"
        rows.append([stage.stage, str(stage.count), *times, ratio, *memory])
    taken = sum(item.seconds for item in measured.values())
    peaks = [
        f"{max(stage.memory_bytes for stage in plan.stages) / 1e6:.0f}",
        f"{max(item.memory_bytes for item in measured.values()) / 1e6:.0f}",
    ]
    total = [f"{plan.seconds:.1f}", f"{taken:.1f}", f"{plan.seconds / taken:.2f}"]
    rows.append(["total", "", *total, *peaks])
    disk = sum(item.disk_bytes for item in measured.values())
    sizes = f"Disk: predicted {plan.disk_bytes / 1e6:.1f} MB, measured {disk / 1e6:.1f} MB"
    return f"{_table(header, rows)}\n{sizes}"


def plan_of(path: Path) -> Plan:
    """Reads a plan that was printed as JSON. Raises UserError if it is none."""
    content = read_json(path)
    try:
        del content["total"]
        return Plan(**content | {"stages": [StageCost(**stage) for stage in content["stages"]]})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan ({error}); make it anew, see docs/cost.md") from error


def as_dict(plan: Plan) -> dict[str, Any]:
    """Returns everything of a plan for JSON."""
    totals = {
        "seconds": plan.seconds,
        "device_hours": plan.device_seconds / 3600,
        "disk_bytes": plan.disk_bytes,
    }
    return asdict(plan) | {"total": totals}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns: the first to the left, the others to the right."""
    lines = [header, ["-" * len(name) for name in header], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _time(seconds: float) -> str:
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:,.1f} d"


def _size(count: float) -> str:
    for limit, unit, size in ((1e9, "MB", 1e6), (1e12, "GB", 1e9)):
        if count < limit:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e12:,.1f} TB"
