"""Predicted against measured cost of the pilot: `python -m benchmarks.pilot_cost` (Linux).

In a fresh clone: `python -m auggen.plan` predicts, `dvc repro` runs, and its own lines "Running
stage" tell when each stage began. Writes benchmarks/pilot_plan.json (prediction), pilot_times.csv
(measured) and the two tables of docs/cost.md. Takes as long as the pilot and a few minutes more;
the machine must have nothing else to do.
"""

import csv
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import yaml

from auggen.core.files import write_bytes
from auggen.plan.report import format_comparison, plan_of, read_measured

ROOT = Path(__file__).parents[1]
PLAN, TIMES, DOCS = "benchmarks/pilot_plan.json", "benchmarks/pilot_times.csv", "docs/cost.md"
FULL = {"webface160k": (10_000, 160_000), "casia": (10_572, 490_623)}
_BEGINS = re.compile(r"^(?:> )?Running stage '([^']+)'")
_POLL = 0.2


class StageWatch:
    """Notes when each stage began, and the peak memory of any process while it ran."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self.peaks: dict[str, int] = {}

    def see_line(self, line: str, now: float) -> None:
        """Looks for the beginning of a stage in a line that DVC printed."""
        if found := _BEGINS.match(line):
            self.begun.append((found[1], now))

    def see_memory(self, peak: int) -> None:
        """Counts a peak of some process towards the stage that is running."""
        if self.begun:
            stage = self.begun[-1][0]
            self.peaks[stage] = max(self.peaks.get(stage, 0), peak)

    def rows(self, start: float, end: float, disk: dict[str, int]) -> list[dict[str, object]]:
        """Returns one row a stage; what DVC does before the first belongs to the first."""
        times = [start, *(moment for _, moment in self.begun[1:]), end]
        return [
            {
                "stage": stage,
                "seconds": round(times[place + 1] - times[place], 2),
                "memory_bytes": self.peaks.get(stage, 0),
                "disk_bytes": disk.get(stage, 0),
            }
            for place, (stage, _) in enumerate(self.begun)
        ]


def peak_memory(process: psutil.Process) -> int:
    """Returns the largest resident size that a process ever had, in bytes; 0 if it is gone."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def run_watched(project: Path) -> list[dict[str, object]]:
    """Runs `dvc repro` from nothing; returns the rows of the table of times."""
    watch, start = StageWatch(), time.monotonic()
    with subprocess.Popen(
        ["dvc", "repro"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        over = threading.Event()

        def poll() -> None:
            dvc = psutil.Process(run.pid)
            while not over.wait(_POLL):
                for child in dvc.children(recursive=True):
                    watch.see_memory(peak_memory(child))

        poller = threading.Thread(target=poll, daemon=True)
        poller.start()
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", flush=True)
            watch.see_line(line, time.monotonic())
        over.set()
        poller.join()
    if run.returncode:
        sys.exit(f"dvc repro failed in {project}")
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    disk = {name: sum(out["size"] for out in stage["outs"]) for name, stage in lock.items()}
    return watch.rows(start, time.monotonic(), disk)


def make_plan(project: Path, *options: str) -> str:
    """Returns what `python -m auggen.plan` prints in the clone."""
    command = [sys.executable, "-m", "auggen.plan", *options]
    done = subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def fill(text: str, mark: str, table: str) -> str:
    """Puts a table between `<!-- mark -->` and `<!-- /mark -->`."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    if begin not in text or end not in text:
        raise ValueError(f"no place for {mark}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}```\n{table.rstrip()}\n```\n{end}{rest.partition(end)[2]}"


def pilot_table(root: Path) -> str:
    """Returns the comparison of the two files in benchmarks/."""
    return format_comparison(plan_of(root / PLAN), read_measured(root / TIMES))


def main() -> None:
    """Predicts, runs, compares, writes."""
    with tempfile.TemporaryDirectory(prefix="auggen-pilot-") as name:
        project = Path(name) / "project"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(project)], check=True)
        (project / "dvc.lock").unlink(missing_ok=True)
        subprocess.run(["dvc", "repro", "-q", "unpack"], cwd=project, check=True)
        (ROOT / PLAN).write_text(make_plan(project, "--json"))
        full = []
        for preset, (people, images) in FULL.items():
            size = ["--people", str(people), "--images", str(images)]
            options = ["--params", f"presets/{preset}.yaml", *size, "--scale-from", "params.yaml"]
            full.append(make_plan(project, *options))
        subprocess.run(["git", "clone", "-q", str(ROOT), f"{name}/run"], check=True)
        (Path(name) / "run" / "dvc.lock").unlink(missing_ok=True)
        rows = run_watched(Path(name) / "run")
    with (ROOT / TIMES).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = fill((ROOT / DOCS).read_text(), "pilot", pilot_table(ROOT))
    write_bytes(ROOT / DOCS, fill(text, "full", "\n\n".join(full)).encode())
    print(pilot_table(ROOT))


if __name__ == "__main__":
    main()
