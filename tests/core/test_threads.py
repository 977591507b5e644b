"""How torch's threads wait for each other."""

import os
import subprocess
import sys

import pytest

WATCH = """
import importlib.abc, os, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"))
            sys.exit()

sys.meta_path.insert(0, Watch())
import {module}
"""


@pytest.mark.parametrize(
    "module", ["stages.train_fr", "stages.train_generator", "auggen.plan.costs"]
)
@pytest.mark.parametrize(
    ("own", "wanted"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_spinning_is_short_before_torch_is_loaded(
    module: str, own: dict[str, str], wanted: str
) -> None:
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCH.format(module=module)],
        env=environment | own,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [wanted]
