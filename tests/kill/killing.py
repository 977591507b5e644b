"""Starts `dvc repro`, kills its whole process group inside a chosen stage, watches what it left."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import yaml

from tests.pipeline.project import Project

T = TypeVar("T")
POLL = 0.01
BUSY = ("busy", "unable to acquire lock", "blocked by")


@dataclass(frozen=True)
class LongStage:
    """A stage that takes long at full size."""

    name: str
    """DVC's name."""
    words: tuple[str, ...]
    """Words in the command line of its process."""
    state: str | None
    """Name of its resume state, if it keeps any."""
    out: str | None = None
    """Its out, which DVC removes before it begins and which appears whole."""


LONG_STAGES = (
    LongStage("prepare", ("stages.prepare", "prepare"), None),
    LongStage(
        "train_generator", ("stages.train_generator",), "train_generator", "models/generator"
    ),
    LongStage(
        "train_fr@real-0", ("stages.train_fr", "models/fr/real-0"), "train_fr", "models/fr/real-0"
    ),
    LongStage("search", ("stages.synthesize", "search"), "search", "data/search"),
    LongStage("synthesize", ("stages.synthesize", "synthesize"), "synthesize", "data/pool"),
    LongStage("score", ("stages.select", "score"), None),
)
BY_NAME = {stage.name: stage for stage in LONG_STAGES}


@dataclass
class Kill:
    """What one kill met and left."""

    stage: str
    moment: str
    """start: within seconds of the stage's process, mostly while it loads; work: after it wrote a
    new checkpoint; end: while it wrote its outs."""
    resumed_from: int
    """Progress (updates, or batches drawn) of the state that the killed run found."""
    reached: int
    """Progress of the state that it left."""
    went_on: bool
    """Whether it was seen to add to the state that it found."""
    seconds: float
    """Time from the stage's process to the kill."""
    seconds_lost: float
    """Time from the last checkpoint (or the stage's process) to the kill."""
    left_partial: bool
    """Whether half-written outs were left behind."""


@dataclass
class Trace:
    """The states of a stage as seen from outside, one number a new checkpoint."""

    seen: list[int] = field(default_factory=list)

    def add(self, number: int | None) -> None:
        if number is not None and number not in self.seen[-1:]:
            self.seen.append(number)


def states(project: Project, stage: LongStage) -> list[Path]:
    """Folders of resume state that a stage left or uses."""
    places = (project.folder / ".checkpoints").glob(f"{stage.state}-*")
    return [place for place in places if place.is_dir()]


def progress(folder: Path) -> int:
    """Updates in a training's state file, read without the package's code; or batches drawn."""
    try:
        with (folder / "state.safetensors").open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        return int(json.loads(header["__metadata__"]["auggen"])["step"])
    except FileNotFoundError:
        return len(list(folder.glob("batch-*")))


def digests(project: Project) -> dict[str, str]:
    """DVC's digest of every out of every stage."""
    stages = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def debris(project: Project) -> list[str]:
    """What finished runs must not leave behind."""
    found = [*(project.folder / ".checkpoints").glob("*"), *project.folder.rglob(".*.partial")]
    return sorted(str(path.relative_to(project.folder)) for path in found)


def is_stage(process: psutil.Process, stage: LongStage) -> bool:
    """Whether a process is a stage's own, not a launcher's."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:  # or a zombie
        return False
    return "-m" in words[1:3] and set(stage.words) <= set(words)


class Run:
    """A DVC command in a process group of its own."""

    def __init__(self, project: Project, *command: str) -> None:
        self.folder = project.folder
        self.log = self.folder.parent / f"{self.folder.name}.log"
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_bytes()[self._begin :].decode()

    def find(self, stage: LongStage) -> psutil.Process | None:
        """The stage's own process (not a launcher's), once there is one."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return next((child for child in family if is_stage(child, stage)), None)

    def await_stage(self, stage: LongStage) -> psutil.Process | None:
        """Waits for the stage's process; None if the command ends without it."""
        return _await(lambda: self.find(stage), lambda: self.process.poll() is None)

    def kill(self) -> None:
        """Kills the group by SIGKILL; every process that the command started must be in it."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []

    def wait(self) -> bool:
        """Waits for the end; False if DVC was still locked by a killed run, else asserts success.

        DVC takes a lock's owner for alive until the system has cleaned up behind it.
        """
        code = self.process.wait()
        if code and any(word in self.output.lower() for word in BUSY):
            time.sleep(0.5)
            return False
        assert code == 0, self.output
        return True


def repro(project: Project, *options: str) -> str:
    """Runs `dvc repro` to its end, again while DVC is busy; returns its output."""
    for _ in range(20):
        run = Run(project, "dvc", "repro", *options)
        if run.wait():
            return run.output
    raise AssertionError(run.output)


class Killer:
    """Kills one project's runs at moments drawn from a seed."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.random = random.Random(seed)
        self.kills: list[Kill] = []
        self.foreign: list[Kill] = []
        self.went_on: set[str] = set()
        """Stages of which a run, killed or not, was seen to add to a state that it found."""
        self._ignored: set[Path] = set()

    def kill_foreign(self, stage: LongStage) -> None:
        """Kills a run with other params, whose state must stay out of everything later."""
        kill = self.kill_once(stage, "work")
        assert kill is not None
        self.foreign.append(kill)
        self._ignored.update(self._states(stage))

    def kill_stage(self, stage: LongStage, count: int) -> list[Kill]:
        """Kills `count` runs inside a stage, the last of them while it writes its outs."""
        moments = [*(["work", "start"] * count)[: count - 1], "end"]
        kills: list[Kill] = []
        options: list[str] = []
        misses = 0
        while len(kills) < count:
            kill = self.kill_once(stage, moments[len(kills)], *options)
            if kill is None:  # the stage was done before its moment came: let it run anew
                misses += 1
                assert misses <= 2 * count + 3, f"{stage.name} ends before it can be killed"
                repro(self.project, stage.name)
                options = ["--force", "--single-item", stage.name]
            else:
                kills.append(kill)
        if options:  # else DVC would take the outs of the missed run from its cache
            repro(self.project, *options)
        self.kills += kills
        return kills

    def kill_once(self, stage: LongStage, moment: str, *options: str) -> Kill | None:
        """Runs `dvc repro` and kills it in `stage`; None if the stage was done too early."""
        process = None
        while process is None:
            run = Run(self.project, "dvc", "repro", *options)
            process = run.await_stage(stage)
            if process is None and run.wait():
                return None
        began, found = time.time(), self._progress(stage) or 0
        trace = Trace([found])
        drawn = {path: path.stat().st_mtime_ns for path in self._files(stage, "batch-*")}
        came = self._await_moment(stage, moment, process, trace)
        if 0 < found < trace.seen[-1]:
            self.went_on.add(stage.name)
        if not came:
            run.kill()  # it may be in any stage by now, and must survive that too
            return None
        partial = bool(self._partials())
        run.kill()
        killed = time.time()
        self._note_progress(stage, trace)
        assert trace.seen == sorted(trace.seen), f"{stage.name} began anew: {trace.seen}"
        assert trace.seen[-1] >= found, f"{stage.name} began anew: {found} then {trace.seen}"
        left = {path: path.stat().st_mtime_ns for path in self._files(stage, "batch-*")}
        same = all(left.get(path, written) == written for path, written in drawn.items())
        assert same, f"{stage.name} drew batches again"
        last = max(began, self._last_write(stage, "*.safetensors", began))
        return Kill(
            stage=stage.name,
            moment=moment,
            resumed_from=found,
            reached=trace.seen[-1],
            went_on=0 < found < trace.seen[-1],
            seconds=round(killed - began, 3),
            seconds_lost=round(killed - last, 3),
            left_partial=partial,
        )

    def _await_moment(
        self, stage: LongStage, moment: str, process: psutil.Process, trace: Trace
    ) -> bool:
        def watch() -> bool:
            self._note_progress(stage, trace)
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

        def passes(clock: Callable[[], float], seconds: float) -> bool:
            end = clock() + seconds
            return bool(_await(lambda: clock() >= end, watch))

        if moment == "start" or (moment == "work" and not stage.state):
            return passes(lambda: _cpu_seconds(process), self.random.uniform(0.0, 4.0))
        if moment == "work":
            if not _await(lambda: len(trace.seen) > 1, watch):
                return False
            since = self._last_write(stage, ".owner", time.time())
            return passes(time.time, self.random.uniform(0.0, 2.0 * (time.time() - since)))
        old = self._partials()
        return bool(_await(lambda: self._partials() - old, watch))

    def _note_progress(self, stage: LongStage, trace: Trace) -> None:
        """Adds the progress; not once the out is there: a state being removed looks like less."""
        number = self._progress(stage)
        if not (stage.out and (self.project.folder / stage.out).is_dir()):
            trace.add(number)

    def _partials(self) -> set[tuple[Path, int]]:
        """Half-written outs, as they are at this moment."""
        found = set()
        for place in ("data", "data/train", "models", "models/fr"):
            for path in (self.project.folder / place).glob(".*.partial"):
                with suppress(FileNotFoundError):
                    found.add((path, path.stat().st_ctime_ns))
        return found

    def _states(self, stage: LongStage) -> list[Path]:
        return [place for place in states(self.project, stage) if place not in self._ignored]

    def _progress(self, stage: LongStage) -> int | None:
        return max(map(progress, self._states(stage)), default=None)

    def _files(self, stage: LongStage, pattern: str) -> list[Path]:
        return [path for place in self._states(stage) for path in place.glob(pattern)]

    def _last_write(self, stage: LongStage, pattern: str, default: float) -> float:
        try:
            return max(path.stat().st_mtime for path in self._files(stage, pattern))
        except (ValueError, FileNotFoundError):  # it is done, and its state gone
            return default


def _cpu_seconds(process: psutil.Process) -> float:
    """What a process has computed, which other load does not stretch; 0 once it is gone."""
    try:
        return float(process.cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0


def _await(ready: Callable[[], T | None], going: Callable[[], bool]) -> T | None:
    """Polls until `ready` gives something; None once `going` is over."""
    while going():
        if found := ready():
            return found
        time.sleep(POLL)
    return None
