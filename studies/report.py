"""The files and texts of a study."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from auggen.core.files import read_json, write_bytes, write_json
from studies.config import Plan, get_param
from studies.costs import count_compute
from studies.experiments import cpu_minutes
from studies.figures import Gain, Key, Measured
from studies.plots import draw_confirmed, draw_study

DEFAULT_NAME = "default.json"
"""The confirmed result, by data set."""
_DECIMALS = 6
_SHORT = {"tar_at_far_1e-1": "1e-1", "tar_at_far_1e-2": "1e-2", "tar_at_far_1e-3": "1e-3"}


@dataclass(frozen=True)
class Outcome:
    """A study that was aggregated: its arms that are complete."""

    plan: Plan
    measured: dict[str, list[list[Measured]]]
    """By arm, then split, then seed."""
    gains: dict[str, dict[Key, Gain]]
    """By arm."""


def write_outcome(outcome: Outcome, folder: Path) -> None:
    """Writes <name>.csv, .json, .png and, for a confirming study, updates default.json, .png."""
    name = outcome.plan.name
    text = values_table(outcome).to_csv(
        index=False, float_format=f"%.{_DECIMALS}f", lineterminator="\n"
    )
    write_bytes(folder / f"{name}.csv", text.encode())
    write_json(folder / f"{name}.json", summary(outcome))
    draw_study(outcome.plan, outcome.gains, folder / f"{name}.png")
    if outcome.plan.study.confirm:
        path = folder / DEFAULT_NAME
        known = read_json(path) if path.exists() else {}
        known |= {outcome.plan.data: confirmed(outcome)}
        write_json(path, known)
        draw_confirmed(known, path.with_suffix(".png"))


def values_table(outcome: Outcome) -> pd.DataFrame:
    """Returns every plain figure: arm, split, seed, benchmark, metric, value (a fraction)."""
    study = outcome.plan.study
    rows = [
        (arm, split, seed, benchmark, metric, value)
        for arm, splits in outcome.measured.items()
        for split, seeds in zip(study.splits, splits, strict=True)
        for seed, measured in zip(study.seeds, seeds, strict=True)
        for benchmark, figures in measured.plain.items()
        for metric, value in figures.items()
    ]
    table = pd.DataFrame(rows, columns=["arm", "split", "seed", "benchmark", "metric", "value"])
    table["value"] = table["value"].round(_DECIMALS) + 0.0  # no -0.0
    return table


def summary(outcome: Outcome) -> dict[str, Any]:
    """Returns each arm's settings, figures with gains and intervals, and compute."""
    plan = outcome.plan
    study = plan.study
    return {
        "study": study.name,
        "about": study.about,
        "data": plan.data,
        "identities": _identities(plan),
        "splits": study.splits,
        "seeds": study.seeds,
        "reference": study.reference,
        "arms": {
            arm: {
                "model": study.arms[arm].model,
                "set": study.arms[arm].set,
                **_by_benchmark(
                    {
                        key: {
                            "mean": gain.mean,
                            "gain": gain.gain,
                            "gain_low": gain.low,
                            "gain_high": gain.high,
                            "spread": gain.spread,
                        }
                        for key, gain in gains.items()
                    }
                ),
                "compute": _compute(plan, arm),
            }
            for arm, gains in outcome.gains.items()
        },
    }


def confirmed(outcome: Outcome) -> dict[str, Any]:
    """Returns the entry of default.json: real, mixed, gain and its interval, by figure."""
    study = outcome.plan.study
    figures = {
        key: {
            "real": outcome.gains["real"][key].mean,
            "mixed": gain.mean,
            "gain": gain.gain,
            "gain_low": gain.low,
            "gain_high": gain.high,
        }
        for key, gain in outcome.gains["mixed"].items()
    }
    counts = {"num_splits": len(study.splits), "num_seeds": len(study.seeds)}
    return counts | _by_benchmark(figures)


def markdown_table(outcome: Outcome) -> str:
    """Returns a table in percent: value, gain [interval] and spread of each arm and figure."""
    plan = outcome.plan
    keys = list(next(iter(outcome.gains.values())))
    heads = ["arm", *(f"{name} {_SHORT.get(metric, metric)}" for name, metric in keys)]
    heads += ["updates", "evaluations an image, of the pool", "CPU min"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for arm, gains in outcome.gains.items():
        cells = [arm, *(_cell(gains[key], arm == plan.study.reference) for key in keys)]
        compute = _compute(plan, arm)
        minutes = compute["cpu_minutes"]
        cells += [
            str(compute["recogniser_updates"]),
            f"{compute['evaluations_per_image']}, {compute['evaluations']}",
            "-" if minutes is None else f"{minutes:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def log_entry(outcome: Outcome, command: str) -> str:
    """Returns a section for LOG.md: what was asked, how, and the table."""
    plan, study = outcome.plan, outcome.plan.study
    missing = [arm for arm in study.arms if arm not in outcome.gains]
    notes = f" Not run to the end: {', '.join(missing)}." if missing else ""
    return (
        f"## {date.today().isoformat()}: study `{plan.name}` ({_identities(plan)} people, "
        f"{len(study.splits)} splits x {len(study.seeds)} seed(s), {plan.data})\n"
        f"{study.about} `{command}`; percent, gain over `{study.reference}` [95 % interval over "
        "people and seeds] ± standard deviation over splits; CPU minutes are those that the "
        f"arm's experiments took beyond what DVC's cache held.{notes}\n"
        f"{markdown_table(outcome)}\n"
    )


def append_log(path: Path, entry: str) -> None:
    """Appends a section to the log."""
    before = path.read_text().rstrip("\n") + "\n\n" if path.exists() else ""
    write_bytes(path, (before + entry).encode())


def _identities(plan: Plan) -> str:
    return str(get_param(plan.experiments[0].params, "evaluate.identities"))


def _by_benchmark(figures: dict[Key, dict[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for (benchmark, metric), values in figures.items():
        rounded = {name: round(value, _DECIMALS) + 0.0 for name, value in values.items()}
        nested.setdefault(benchmark, {})[metric] = rounded
    return nested


def _compute(plan: Plan, arm: str) -> dict[str, Any]:
    experiments = plan.by_arm[arm]
    minutes = cpu_minutes(experiments)
    rounded = None if minutes is None else round(minutes, 1)
    counts = count_compute(experiments[0], plan.study.arms[arm].model)
    return counts | {"cpu_minutes": rounded}


def _cell(gain: Gain, is_reference: bool) -> str:
    if is_reference:
        return f"{100 * gain.mean:.1f}"
    low, high = 100 * gain.low, 100 * gain.high
    return (
        f"{100 * gain.mean:.1f}, {100 * gain.gain:+.1f} [{low:+.1f}, {high:+.1f}] "
        f"± {100 * gain.spread:.1f}"
    )
