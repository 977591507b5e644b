"""Runs studies: `python -m studies run studies/arms.yaml`."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from auggen.core.errors import UserError, run_stage
from auggen.core.params import tell_faults
from auggen.protocols.config import EvaluateConfig
from studies.config import Plan, read_plan
from studies.experiments import LOG_DIR, check_cached, check_committed, finished, run_experiment
from studies.figures import compute_gains
from studies.report import Outcome, append_log, log_entry, markdown_table, write_outcome
from studies.results import measure_arms

PARAMS = Path("params.yaml")
OUT = Path("metrics/studies")
LOG = Path("LOG.md")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
StudyFile = Annotated[Path, typer.Argument(help="study file, e.g. studies/arms.yaml")]
With = Annotated[Path | None, typer.Option("--with", help="params of another data set")]
Data = Annotated[Path | None, typer.Option(help="its image folder or tar")]
Log = Annotated[bool, typer.Option("--log", help="append the result to LOG.md")]


@app.command()
def run(study: StudyFile, overlay: With = None, data: Data = None, log: Log = False) -> None:
    """Run what is missing of a study, one experiment after the other, then aggregate it."""
    plan = read_plan(study, PARAMS, overlay, data)
    _read_benchmarks(plan)
    check_committed()
    done = finished(plan)
    todo = [experiment for experiment in plan.experiments if experiment.name not in done]
    print(f"{plan.name}: {len(plan.experiments)} experiments, {len(todo)} to run", flush=True)
    if todo and data is None:  # other people share nothing with the results in dvc.lock
        check_cached()
    begun, failed = time.monotonic(), {}
    for number, experiment in enumerate(todo, 1):
        print(f"[{number}/{len(todo)}] {experiment.name} ...", flush=True)
        if error := run_experiment(experiment):
            failed[experiment.name] = error
            print(f"  failed: {error}", flush=True)
        mean = (time.monotonic() - begun) / number
        print(f"  {mean:.0f} s each, {mean * (len(todo) - number) / 60:.0f} min to go", flush=True)
    try:
        _aggregate(plan, log, _command(study, overlay, data))
    except UserError as error:
        if not failed:
            raise
        print(error)
    if failed:
        raise UserError(
            "; ".join(f"{name} failed: {error}" for name, error in failed.items())
            + f"; mend the cause and run again (logs in {LOG_DIR})"
        )


@app.command()
def collect(
    study: StudyFile,
    overlay: With = None,
    data: Data = None,
    log: Log = False,
    reference: Annotated[
        str | None, typer.Option(help="arm to compare with, instead of the study's own")
    ] = None,
) -> None:
    """Aggregate what is done of a study: metrics/studies/<name>.csv, .json, .png and a table."""
    plan = read_plan(study, PARAMS, overlay, data, reference)
    _aggregate(plan, log, _command(study, overlay, data, reference))


@app.command("list")
def list_studies(overlay: With = None, data: Data = None) -> None:
    """Show how many experiments of each study in studies/ are done."""
    for path in sorted(Path("studies").glob("*.yaml")):
        plan = read_plan(path, PARAMS, overlay, data)
        print(f"{plan.name}: {len(finished(plan))} of {len(plan.experiments)} done")


def _aggregate(plan: Plan, log: bool, command: str) -> None:
    done = finished(plan)
    complete = [arm for arm, parts in plan.by_arm.items() if all(p.name in done for p in parts)]
    for arm in (arm for arm in plan.by_arm if arm not in complete):
        print(f"left out: {arm}, not run to the end")
    if plan.study.reference not in complete:
        raise UserError(
            f"{plan.name}: the reference arm `{plan.study.reference}` is not done; run "
            "`python -m studies run`"
        )
    config = _read_benchmarks(plan)
    if others := [row.name for row in config.external]:
        print(f"left out: {', '.join(others)}; test sets are in each experiment's own metrics")
    measured = measure_arms(plan, complete, done, config.held_out)
    gains = compute_gains(measured, plan.study.reference, config.held_out)
    outcome = Outcome(plan, measured, gains)
    if plan.study.confirm and len(complete) < len(plan.by_arm):
        raise UserError(f"{plan.name}: confirms with both arms alone; run `python -m studies run`")
    write_outcome(outcome, OUT)
    print(markdown_table(outcome))
    entry = log_entry(outcome, command)
    print(f"\nFor LOG.md:\n\n{entry}")
    if log:
        append_log(LOG, entry)


def _read_benchmarks(plan: Plan) -> EvaluateConfig:
    try:
        config = EvaluateConfig.model_validate(plan.experiments[0].params["evaluate"])
    except ValidationError as error:
        raise UserError(f"{plan.name}: {tell_faults(error, 'evaluate')}") from error
    if not config.held_out:
        raise UserError(
            f"{plan.name}: `evaluate.benchmarks` has test sets of the field alone, and a study "
            "compares on held-out people; add `pairs`, `templates` or `lowres`"
        )
    return config


def _command(
    study: Path, overlay: Path | None, data: Path | None, reference: str | None = None
) -> str:
    words = ["python", "-m", "studies", "collect" if reference else "run", study.as_posix()]
    words += ["--reference", reference] if reference else []
    words += ["--with", overlay.as_posix()] if overlay else []
    return shlex.join(words) + (" --data PATH" if data else "")


if __name__ == "__main__":
    run_stage(app)
