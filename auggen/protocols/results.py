"""The results folder: what `evaluate` left for each model, checked before it is compared."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auggen.core.errors import UserError
from auggen.core.files import read_json
from auggen.protocols.config import Benchmark, EvaluateConfig
from auggen.protocols.evaluate import METRICS_NAME
from auggen.protocols.outcome import Outcome, outcome_files, read_outcome
from auggen.protocols.overlap import OVERLAP_NAME, read_facts, tell_counts
from auggen.protocols.trials import (
    IDENTIFICATION_COLUMNS,
    VERIFICATION_COLUMNS,
    Trials,
    read_trials,
    trial_files,
)

ARMS = ("real", "mixed")
_KINDS = {"pairs": (True, False), "templates": (True, True), "lowres": (False, True)}
"""Which tables a protocol writes: verification, identification."""


@dataclass(frozen=True)
class Results:
    """All models on all benchmarks, over the same trials."""

    people: list[str]
    """Names of the held-out people; trials name them by position."""
    trials: dict[str, dict[str, list[Trials]]]
    """By benchmark, then arm, then one entry a seed."""
    external: dict[str, dict[str, list[Outcome]]] = field(default_factory=dict)
    """The same of the test sets of the field."""

    def conditions(self) -> dict[str, str]:
        """Returns how each test set was run, and what of the training set is in it."""
        overlap = {name: tell_counts(counts) for name, counts in self.overlap().items()}
        found = {
            name: (arms[ARMS[0]][0].facts.get("conditions"), overlap[name])
            for name, arms in self.external.items()
        }
        return {name: "; ".join(str(one) for one in told if one) for name, told in found.items()}

    def overlap(self) -> dict[str, dict[str, int]]:
        """Returns what each test set shares with the training set, as the first real model says."""
        return {name: read_facts(arms[ARMS[0]][0].facts) for name, arms in self.external.items()}


def read_results(folder: Path, config: EvaluateConfig, seeds: list[int]) -> Results:
    """Reads what every model did.

    Raises:
        UserError: a model or file is missing, unexpected, unreadable or about other people, pairs
            or benchmarks than the rest; names the path and the way out.
    """
    benchmarks = config.held_out
    keys = {arm: [f"{arm}-{seed}" for seed in seeds] for arm in ARMS}
    _check_entries(folder, {key for arm in ARMS for key in keys[arm]})
    files = {METRICS_NAME}
    for benchmark in benchmarks:
        kinds = _KINDS[benchmark.protocol]
        files |= {f for f, kind in zip(trial_files(benchmark.name), kinds, strict=True) if kind}
    files |= {file for row in config.external for file in outcome_files(row.name)}
    files |= {OVERLAP_NAME} if config.external else set()
    for arm in ARMS:
        for key in keys[arm]:
            _check_entries(folder / key, files)
    metrics = {key: _read_metrics(folder / key, benchmarks) for arm in ARMS for key in keys[arm]}
    first = keys[ARMS[0]][0]
    people: list[str] = metrics[first]["people"]
    for key, content in metrics.items():
        if content["people"] != people:
            raise _stale(folder / key, f"it is about other people than {first}")
    trials = {
        benchmark.name: {
            arm: [
                _read_benchmark(folder / key, benchmark, metrics[key], len(people))
                for key in keys[arm]
            ]
            for arm in ARMS
        }
        for benchmark in benchmarks
    }
    for benchmark in benchmarks:
        reference = trials[benchmark.name][ARMS[0]][0]
        for arm in ARMS:
            for key, other in zip(keys[arm], trials[benchmark.name][arm], strict=True):
                if not _same_trials(reference, other):
                    what = f"its trials of `{benchmark.name}` differ from those of {first}"
                    raise _stale(folder / key, what)
    return Results(people, trials, _read_external(folder, config, keys))


def _read_external(
    folder: Path, config: EvaluateConfig, keys: dict[str, list[str]]
) -> dict[str, dict[str, list[Outcome]]]:
    """Reads what every model did on the test sets. Raises UserError if these are not the same."""
    found = {}
    for row in config.external:
        found[row.name] = {
            arm: [read_outcome(folder / key, row.name, row.protocol) for key in keys[arm]]
            for arm in ARMS
        }
        first = found[row.name][ARMS[0]][0]
        for arm in ARMS:
            for key, other in zip(keys[arm], found[row.name][arm], strict=True):
                lengths = {len(column) for column in other.replicates.values()}
                same = all(first.facts.get(k) == other.facts.get(k) for k in ("list", "conditions"))
                if not same or lengths - {row.num_replicates}:
                    raise _stale(folder / key, f"`{row.name}` is about another list or other flags")
    return found


def _check_entries(folder: Path, expected: set[str]) -> None:
    """Compares a folder's entries with what should be there; hidden ones do not count."""
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; run `dvc repro` to make it")
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    for name in sorted(expected - found):
        raise UserError(f"{folder / name}: missing; run `dvc repro` to make it")
    if left := [str(folder / name) for name in sorted(found - expected)]:
        raise UserError(
            f"{', '.join(left)}: unexpected, left behind by other params (a removed seed or "
            f"benchmark); remove it (`rm -r {' '.join(left)}`) and run `dvc repro`"
        )


def _read_metrics(folder: Path, benchmarks: list[Benchmark]) -> dict[str, Any]:
    path = folder / METRICS_NAME
    content = read_json(path)
    try:
        found = {name: item["protocol"] for name, item in content["benchmarks"].items()}
        people = content["people"]
    except (KeyError, TypeError, AttributeError) as error:
        raise _stale(path, "it is not what `evaluate` writes") from error
    wanted = {benchmark.name: benchmark.protocol for benchmark in benchmarks}
    if found != wanted or not isinstance(people, list) or not people:
        raise _stale(path, f"it holds {found} and not {wanted}")
    return dict(content)


def _read_benchmark(
    folder: Path, benchmark: Benchmark, metrics: dict[str, Any], num_people: int
) -> Trials:
    tables: list[pd.DataFrame | None] = []
    for file, kind, columns, people in zip(
        trial_files(benchmark.name),
        _KINDS[benchmark.protocol],
        (VERIFICATION_COLUMNS, IDENTIFICATION_COLUMNS),
        (["person_a", "person_b"], ["person"]),
        strict=True,
    ):
        table = read_trials(folder / file, columns) if kind else None
        if table is not None and not table[people].isin(range(num_people)).all(axis=None):
            raise _stale(folder / file, "it names a person that metrics.json does not")
        tables.append(table)
    scalars = metrics["benchmarks"][benchmark.name].items()
    figures = {name: value for name, value in scalars if isinstance(value, float)}
    return Trials(tables[0], tables[1], figures)


def _same_trials(one: Trials, other: Trials) -> bool:
    for a, b, columns in (
        (one.verification, other.verification, ["is_same", "person_a", "person_b"]),
        (one.identification, other.identification, ["person"]),
    ):
        if a is None or b is None:
            continue
        if not np.array_equal(a[columns].to_numpy(), b[columns].to_numpy()):
            return False
    return True


def _stale(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}; remove it (`rm -r {path}`) and run `dvc repro`")
