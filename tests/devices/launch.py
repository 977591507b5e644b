"""Stages in several processes of one machine, and what each process was and wrote."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SITE = Path(__file__).parent / "site"
CORES = 4
"""What every process believes to have, so that the number of threads depends on theirs."""


def launch(folder: Path, count: int, stage: str, *arguments: str) -> list[dict[str, Any]]:
    """Runs `torchrun --nproc-per-node count -m stage arguments` in `folder`.

    Returns each rank's report (see site/sitecustomize.py), having made sure that there are `count`
    of them, that each took its share of the cores and that rank 0 alone wrote what stays.
    """
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT)]),
        "REPORTS": str(reports),
        "CORES": str(CORES),
    }
    environment.pop("OMP_NUM_THREADS", None)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", str(count), "-m", stage, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in sorted(reports.iterdir())]
    assert len(found) == count, done.stderr
    for report in found:
        assert report["num_processes"] == count
        assert report["backend"] == "gloo"
        assert report["num_threads"] == CORES // count
    assert found[0]["written"]
    for report in found[1:]:  # rank 0 alone writes outs; others lay down work in progress only
        assert all(name.startswith(".checkpoints") for name in report["written"]), report
    assert len([line for line in done.stdout.splitlines() if ": " in line]) == 1, done.stdout
    return found
