"""One contender of a comparison in a process of its own, told by lines of text when to run.

`python -m benchmarks.contenders COMPARISON CONTENDER` prepares itself and prints a line; then it
runs one round for each line it reads and prints how long that took. So contenders take turns, and
threads, allocator and peak memory are each one's own.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from auggen.core.seeds import torch_generator
from auggen.faces.shards import FaceSet, read_face_set, write_face_set

PARAMS = Path("params.yaml")
SEED = 0
_PILOT = Path("data/train/real")
_CLASSES, _PER_CLASS, _SIDE = 17, 10, 32


@dataclass(frozen=True)
class Contender:
    """What runs in a round."""

    run: Callable[[], int]
    """Runs one round and returns the number of images it went through."""
    facts: dict[str, object] = field(default_factory=dict)
    """What else the results should say, e.g. how often the network is evaluated."""
    figures: list[float] = field(default_factory=list)
    """What the last round found, for both sides must find the same."""


def use_all_cores() -> None:
    """Gives a peer the threads that our stages give themselves."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))


def training_folder(scratch: Path) -> Path:
    """Returns the pilot's training faces, or as many generated ones where there are none."""
    if _PILOT.is_dir():
        return _PILOT
    folder = scratch / "faces"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        count = _CLASSES * _PER_CLASS
        write_face_set(
            folder,
            _blurred_noise(count),
            torch.arange(count) // _PER_CLASS,
            [f"{row}.png" for row in range(count)],
            identities=[f"person {row}" for row in range(_CLASSES)],
            source_digest="generated",
        )
    return folder


def training_faces(scratch: Path) -> FaceSet:
    """Returns the faces of `training_folder`."""
    return read_face_set(training_folder(scratch))


def _blurred_noise(count: int) -> Tensor:
    """Smooth grey images [count 1 side side]: noise compresses and decodes unlike faces."""
    coarse = torch.rand(count, 1, 6, 6, generator=torch_generator(SEED, "benchmark faces"))
    smooth = torch.nn.functional.interpolate(coarse, size=_SIDE, mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8)


def main(comparison: str, contender: str) -> None:
    """Serves rounds until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not be taken for an answer
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DVC_ROOT"] = scratch  # resume state, too, goes to the scratch folder
        torch.manual_seed(SEED)
        builders = import_module(f"benchmarks.{comparison}").CONTENDERS
        ready: Contender = builders[contender](Path(scratch))
        data = "pilot" if _PILOT.is_dir() else "generated"
        versions = {"torch": torch.__version__, "data": data}
        print(json.dumps({**ready.facts, **versions}), file=answers, flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            images = ready.run()
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            answer = {"images": images, "seconds": seconds, "peak_bytes": peak}
            answer |= {"threads": torch.get_num_threads(), "figures": [*map(float, ready.figures)]}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
