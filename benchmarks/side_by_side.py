"""Contenders take turns in one run; the medians go to results.json and to README.md's table."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from auggen.core.files import read_json, write_bytes, write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
README = ROOT / "benchmarks" / "README.md"
COMMAND = "python -m pytest benchmarks"
_MARKS = ("<!-- results -->\n", "<!-- /results -->")
_GIGA = 1e9


class Turns:
    """The contenders of one comparison: processes that wait for their turn."""

    def __init__(self, comparison: str, contenders: list[str]) -> None:
        self.facts: dict[str, dict[str, Any]] = {}
        self.rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        module = [sys.executable, "-m", "benchmarks.contenders", comparison]
        self._processes = {
            name: subprocess.Popen(
                [*module, name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for name in contenders
        }

    def __enter__(self) -> Self:
        self.facts = {name: self._answer(name) for name in self._processes}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.communicate()

    def take(self) -> None:
        """Lets each contender run one round."""
        for name, process in self._processes.items():
            assert process.stdin is not None
            process.stdin.write("run\n")
            process.stdin.flush()
            self.rounds[name].append(self._answer(name))

    def forget(self) -> None:
        """Drops the rounds so far: they warmed up."""
        for rounds in self.rounds.values():
            rounds.clear()

    def _answer(self, name: str) -> dict[str, Any]:
        stream = self._processes[name].stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            raise RuntimeError(f"contender {name} stopped; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def images_per_second(self, name: str) -> float:
        """Returns the median over rounds."""
        return statistics.median(r["images"] / r["seconds"] for r in self.rounds[name])

    def ratio(self, peer: str) -> float:
        """Returns ours / peer, images a second: the median over rounds of the paired ratio."""
        pairs = zip(self.rounds["ours"], self.rounds[peer], strict=True)
        return statistics.median(
            mine["images"] / mine["seconds"] * other["seconds"] / other["images"]
            for mine, other in pairs
        )

    def peak_gb(self, name: str) -> float:
        """Returns the peak resident memory of a contender's process."""
        peak: int = max(r["peak_bytes"] for r in self.rounds[name])
        return peak / _GIGA

    def entry(self, peer: str, compared: str) -> dict[str, Any]:
        """Returns what results.json says of ours against one peer."""
        mine, threads = self.facts["ours"], self.rounds["ours"][-1]["threads"]
        return {
            "ratio": round(self.ratio(peer), 2),
            "peak_gb": round(self.peak_gb("ours"), 3),
            "compared": compared,
            "peer": peer,
            "peer_peak_gb": round(self.peak_gb(peer), 3),
            "ours_images_per_s": round(self.images_per_second("ours"), 1),
            "peer_images_per_s": round(self.images_per_second(peer), 1),
            "rounds": len(self.rounds["ours"]),
            "threads": threads,
            "torch": mine["torch"],
            "data": mine["data"],
            "machine": machine(),
            "command": COMMAND,
        }


def machine() -> str:
    """Returns a generic name: "2 cores of an Intel Xeon"."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    name = found[1] if found else platform.machine()
    name = re.sub(r"\((R|TM)\)|\b(Processor|CPU)\b|@.*|\s[\w-]*\d[\w-]*", "", name)
    article = "an" if name[:1] in "AEIOU" else "a"
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' * (cores > 1)} of {article} {' '.join(name.split())}"


def format_table(results: dict[str, dict[str, Any]]) -> str:
    """Returns README.md's table of results.json."""
    lines = ["| | ratio | peak memory, GB | ours, s | floor, s | compared |", "|" + "---|" * 6]
    for name, entry in sorted(results.items()):
        times = [f"{entry[key]:.2g}" if key in entry else "" for key in ("seconds", "floor_s")]
        cells = [f"{entry['ratio']:.2f}", f"{entry['peak_gb']:.2f}", *times]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {entry.get('compared', '')} |")
    return "\n".join(lines) + "\n"


def record(name: str, entry: dict[str, Any]) -> None:
    """Puts one entry into results.json, beside the others, and renews README.md's table."""
    results = read_json(RESULTS) if RESULTS.is_file() else {}
    results = dict(sorted({**results, name: entry}.items()))
    write_json(RESULTS, results)
    before, rest = README.read_text().split(_MARKS[0])
    after = rest.split(_MARKS[1])[1]
    text = before + _MARKS[0] + format_table(results) + _MARKS[1] + after
    write_bytes(README, text.encode())
