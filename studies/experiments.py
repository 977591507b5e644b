"""Experiments of a study in DVC and git: which are done, running the rest, their results."""

import json
import os
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from dvc.dependency import Dependency
from dvc.repo import Repo
from dvc.utils.serialize import loads_yaml

from auggen.core.errors import UserError
from auggen.core.files import read_json, write_json
from studies.config import SEEDS_KEY, Experiment, Plan, get_param

CODE = ("auggen", "stages", "dvc.yaml", "requirements.lock")
"""What an experiment's code is, as git sees it."""
LOG_DIR = Path(".dvc", "tmp", "studies")
"""What each run printed and took; no result depends on it."""


@dataclass(frozen=True)
class Done:
    """A finished experiment."""

    commit: str
    seeds: list[int]
    lock: dict[str, Any]
    """Its dvc.lock."""


def git(*arguments: str) -> str:
    """Runs git and returns what it prints. Raises UserError if it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}; run in the project")
    return done.stdout


def check_committed() -> None:
    """Raises UserError if code or params have changes that no commit holds."""
    dirty = git("status", "--porcelain", "--", *CODE, "params.yaml").splitlines()
    if dirty:
        raise UserError(
            f"{dirty[0][3:]}: has uncommitted changes; commit or stash them first, for a study's "
            "experiments are known by their code and params"
        )


def check_cached() -> None:
    """Raises UserError if DVC's cache lacks outs that dvc.lock names.

    DVC then runs their stages again in every experiment with the same params, without looking for
    what an earlier one left.
    """
    if not (path := Path("dvc.lock")).is_file():
        return
    command = [sys.executable, "-m", "dvc", "data", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"dvc data status: {done.stderr.strip()}; run in the project")
    lock = loads_yaml(path.read_text())["stages"]
    promised = {out["path"] for stage in lock.values() for out in stage["outs"]}
    for out in json.loads(done.stdout).get("not_in_cache", []):
        if out.rstrip("/") in promised:
            raise UserError(
                f"{out}: is in dvc.lock but not in DVC's cache; run `dvc repro` (or `dvc pull`) "
                "first, or every arm will train what it could share"
            )


def finished(plan: Plan) -> dict[str, str]:
    """Returns the commit of each experiment of a plan that is done, by the experiment's name.

    Any study's experiment serves that has the code of HEAD, and whose dvc.lock says that the
    wanted models were trained and evaluated with the wanted params.
    """
    candidates = list(_study_experiments())
    return {
        experiment.name: done.commit
        for experiment in plan.experiments
        for done in reversed(candidates)  # of several that serve the newest counts
        if serves(done, experiment)
    }


def serves(done: Done, experiment: Experiment) -> bool:
    """Whether a finished experiment holds all models that another one asks for."""
    seeds: list[int] = experiment.params[SEEDS_KEY]
    # The first seed's real model judges the pool, so it must be the same one.
    if done.seeds[0] != seeds[0] or not set(seeds) <= set(done.seeds):
        return False
    wanted = [f"evaluate@{key}" for key in model_keys(experiment)]
    return all(_is_current(done.lock, experiment.params, stage) for stage in wanted)


def model_keys(experiment: Experiment) -> list[str]:
    """Names the models whose results are wanted, e.g. `mixed-0`."""
    return [f"{model}-{seed}" for model in experiment.models for seed in experiment.params["seeds"]]


def run_experiment(experiment: Experiment) -> str | None:
    """Runs one experiment in a temporary copy; returns the last line of its log if it failed.

    Stages that an earlier experiment ran with equal inputs come from DVC's run cache. Real models
    alone need neither generator nor pool, so those experiments stop at `evaluate`.
    """
    _remove_namesake(experiment.name)
    if "mixed" in experiment.models:
        targets = ["compare"]
    else:
        targets = [f"evaluate@{key}" for key in model_keys(experiment)]
    settings = [f"--set-param={key}={_hydra(value)}" for key, value in experiment.changes.items()]
    command = ["dvc", "exp", "run", "--temp", f"--name={experiment.name}", *settings, *targets]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    before, begun = _child_seconds(), time.monotonic()
    LOG_DIR.mkdir(parents=True, exist_ok=True)
    log = LOG_DIR / f"{experiment.name}.log"
    with log.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": programs},
        )
    if done.returncode != 0:
        return _last_line(log)
    took = {"cpu_seconds": _child_seconds() - before, "seconds": time.monotonic() - begun}
    write_json(log.with_suffix(".json"), took)
    return None


def cpu_minutes(experiments: Iterable[Experiment]) -> float | None:
    """Returns the processor minutes that experiments took here, or None if one ran elsewhere.

    What an earlier experiment had left in DVC's cache took none.
    """
    files = [LOG_DIR / f"{experiment.name}.json" for experiment in experiments]
    if not all(file.is_file() for file in files):
        return None
    return sum(float(read_json(file)["cpu_seconds"]) for file in files) / 60


def fetch_results(commit: str, keys: list[str], folder: Path) -> None:
    """Copies `results/<key>` of an experiment out of DVC's cache.

    Raises:
        UserError: the cache does not hold them.
    """
    files = DVCFileSystem(rev=commit)
    for key in keys:
        try:
            files.get(f"results/{key}", str(folder / key), recursive=True)
        except (FileNotFoundError, OSError) as error:
            raise UserError(
                f"results/{key} of experiment {commit[:7]}: not in DVC's cache ({error}); remove "
                f"the experiment (`dvc exp remove`) and run the study again"
            ) from error


def _study_experiments() -> Iterator[Done]:
    """Yields the studies' experiments that were made with the code of HEAD, newest first."""
    code = _code("HEAD")
    listing = git("for-each-ref", "--sort=-creatordate", "--format=%(objectname) %(refname)")
    for line in listing.splitlines():
        commit, _, ref = line.partition(" ")
        if not ref.startswith("refs/exps/") or not ref.rpartition("/")[2].startswith("study-"):
            continue
        if _code(commit) != code:
            continue
        yield _read_done(commit)


@cache
def _read_done(commit: str) -> Done:
    params, lock = (
        loads_yaml(git("show", f"{commit}:{file}")) for file in ("params.yaml", "dvc.lock")
    )
    return Done(commit, params[SEEDS_KEY], lock["stages"])


def _code(commit: str) -> list[str]:
    return git("rev-parse", *(f"{commit}:{path}" for path in CODE)).split()


def _is_current(lock: dict[str, Any], params: dict[str, Any], target: str) -> bool:
    """Whether dvc.lock has a stage and all upstream of it at these params and the present data."""
    makers = {
        out["path"]: (name, out["md5"]) for name, entry in lock.items() for out in entry["outs"]
    }
    todo = deque([target])
    while todo:
        entry = lock.get(todo.popleft())
        if entry is None:
            return False
        used = entry.get("params", {}).get("params.yaml", {})
        if any(get_param(params, key) != value for key, value in used.items()):
            return False
        for dep in entry["deps"]:
            maker, md5 = makers.get(dep["path"], (None, None))
            if maker is not None:
                todo.append(maker)
            elif Path(dep["path"]).parts[0] not in CODE:
                md5 = _present_hash(dep["path"])
            else:
                continue
            if md5 != dep["md5"]:
                return False
    return True


@cache
def _present_hash(path: str) -> str:
    """Returns DVC's hash of data as they lie there now, which no stage makes.

    Raises:
        UserError: they are gone; without them nothing could be run anew.
    """
    with Repo() as repo:
        try:
            return str(Dependency(None, path, repo=repo).get_hash().value)
        except FileNotFoundError as error:
            raise UserError(
                f"{path}: missing, but finished experiments of this study began with it; bring it "
                "back (`dvc checkout`, or the disk it lies on)"
            ) from error


def _remove_namesake(name: str) -> None:
    """Removes an experiment of this name on HEAD, of other params or data: DVC would refuse."""
    head = git("rev-parse", "HEAD").strip()
    ref = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
    if git("for-each-ref", ref):
        git("update-ref", "-d", ref)


def _hydra(value: Any) -> str:
    """Writes a value as `dvc exp run --set-param` reads it."""
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return json.dumps(value)


def _last_line(log: Path) -> str:
    """Returns a stage's own error, or the last line that is one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["(nothing printed)"])[-1]


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
