"""Shapes checked by beartype, one torch thread, the tier of every test, DVC kept to itself."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook(["auggen", "studies"], "beartype.beartype")
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # tiny nets on shared cores: threads must not spin

import torch  # noqa: E402

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives every test without another tier's mark the mark `fast`."""
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in ("pipeline", "kill")):
            item.add_marker("fast")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Stages called in this process set threads and determinism: each test starts afresh."""
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """Stages called in this process take all cores: one is enough, and always the same number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands that tests start see this environment's programs and nobody's own settings."""
    home = tmp_path_factory.mktemp("home")
    who = {"NAME": "test", "EMAIL": "test@example.invalid"}
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("GIT_", "DVC_", "ACCELERATE_")):
                patch.delenv(name)
        programs = Path(sys.executable).parent
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc-site"))
        patch.setenv("DVC_GLOBAL_CONFIG_DIR", str(home / "dvc-global"))
        patch.setenv("DVC_SYSTEM_CONFIG_DIR", str(home / "dvc-system"))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("HF_HOME", str(home / "hf"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("MPLBACKEND", "agg")
        patch.setenv("MPLCONFIGDIR", str(home / "matplotlib"))
        for role in ("AUTHOR", "COMMITTER"):
            for part, value in who.items():
                patch.setenv(f"GIT_{role}_{part}", value)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT
