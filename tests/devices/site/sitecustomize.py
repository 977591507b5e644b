"""Every Python that these tests start runs this first: it reports what a stage's process did.

REPORTS names the folder of the reports, one JSON a process; CORES is the number of cores that the
process believes to have.
"""

import atexit
import json
import os
import sys
from pathlib import Path

opened: set[str] = set()


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Keeps the names of files in the working folder that are opened to write."""
    if event != "open" or not isinstance(arguments[0], str | Path):
        return
    flags, path = arguments[2], Path(arguments[0]).absolute()
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
    if writes and path.is_relative_to(Path.cwd()):
        opened.add(str(path.relative_to(Path.cwd())))


def report() -> None:
    """Writes the report of a process that took part in a stage."""
    if "accelerate.state" not in sys.modules:
        return  # torchrun's own process
    import torch
    from accelerate import PartialState

    state = PartialState()
    facts = {
        "num_processes": state.num_processes,
        "backend": state.backend,
        "num_threads": torch.get_num_threads(),
        "written": sorted(opened),
    }
    path = Path(os.environ["REPORTS"], f"{state.process_index}.json")
    path.write_text(json.dumps(facts))


if "REPORTS" in os.environ:
    os.sched_getaffinity = lambda process: set(range(int(os.environ["CORES"])))
    sys.addaudithook(watch)
    atexit.register(report)
