"""The results of a study's models: out of DVC's cache, one after the other, into figures."""

import tempfile
from pathlib import Path

from auggen.core.errors import UserError
from auggen.core.files import read_json
from auggen.protocols.config import Benchmark
from auggen.protocols.evaluate import METRICS_NAME
from auggen.protocols.trials import (
    IDENTIFICATION_COLUMNS,
    VERIFICATION_COLUMNS,
    Trials,
    read_trials,
    trial_files,
)
from studies.config import Plan
from studies.experiments import fetch_results
from studies.figures import Measured, measure_model, person_weights


def measure_arms(
    plan: Plan, arms: list[str], done: dict[str, str], benchmarks: list[Benchmark]
) -> dict[str, list[list[Measured]]]:
    """Computes the figures of every model of some arms.

    Args:
        plan: of the study.
        arms: those that are complete.
        done: commit of each finished experiment, by name.
        benchmarks: which ones to measure.

    Returns:
        By arm, then split, then seed.

    Raises:
        UserError: results are missing, or two arms of one split were tested on other people.
    """
    places = {
        (arm, experiment.split, seed): Path(experiment.name)
        / f"{plan.study.arms[arm].model}-{seed}"
        for arm in arms
        for experiment in plan.by_arm[arm]
        for seed in plan.study.seeds
    }
    with tempfile.TemporaryDirectory(prefix="studies-") as name:
        root = Path(name)
        for experiment in plan.experiments:
            keys = {place.name for place in places.values() if place.parent.name == experiment.name}
            if keys:
                (root / experiment.name).mkdir()
                fetch_results(done[experiment.name], sorted(keys), root / experiment.name)
        people: dict[int, list[str]] = {}
        for (arm, split, _), place in places.items():
            names = read_json(root / place / METRICS_NAME)["people"]
            if people.setdefault(split, names) != names:
                raise UserError(
                    f"arm `{arm}`: tested on other people than other arms of split {split}; arms "
                    "of one study must share `prepare` and `evaluate.identities`"
                )
        weights = person_weights([person for names in people.values() for person in names])
        figures = {
            place: measure_model(
                people[split], read_trials_of(root / place, benchmarks), benchmarks, weights
            )
            for place, split in {place: split for (_, split, _), place in places.items()}.items()
        }
    return {
        arm: [
            [figures[places[arm, split, seed]] for seed in plan.study.seeds]
            for split in plan.study.splits
        ]
        for arm in arms
    }


def read_trials_of(folder: Path, benchmarks: list[Benchmark]) -> dict[str, Trials]:
    """Reads what `evaluate` left of one model, by benchmark.

    Raises:
        UserError: a file is missing, unreadable or about other benchmarks.
    """
    content = read_json(folder / METRICS_NAME)["benchmarks"]
    trials: dict[str, Trials] = {}
    for benchmark in benchmarks:
        if benchmark.name not in content:
            raise UserError(f"{folder}: lacks benchmark `{benchmark.name}`; run the study again")
        verification, identification = (folder / file for file in trial_files(benchmark.name))
        trials[benchmark.name] = Trials(
            read_trials(verification, VERIFICATION_COLUMNS) if verification.exists() else None,
            read_trials(identification, IDENTIFICATION_COLUMNS)
            if identification.exists()
            else None,
            {name: value for name, value in content[benchmark.name].items() if name != "protocol"},
        )
    return trials
