"""Images, and scores of embeddings, have the same bits whatever the number of processes."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from auggen.core.files import digest_files
from auggen.selection import features
from auggen.synthesis import generation
from stages.select import app as select_app
from stages.synthesize import app as synthesize_app
from tests.devices.conftest import Invoke
from tests.devices.launch import launch

pytestmark = pytest.mark.pipeline

SEARCH = ("search", "real", "validation", "generator", "fr", "search")
SYNTHESIZE = ("synthesize", "real", "generator", "fr", "search")


def batches(written: list[str]) -> list[str]:
    """Names of the batches among the files."""
    names = [Path(name).parent.name + Path(name).name.lstrip(".") for name in written]
    return [name.partition(".")[0] for name in names if "batch-" in name]


def check(
    project: Path, invoke: Invoke, app: typer.Typer, module: ModuleType, num_batches: int,
    stage: str, *arguments: str,
) -> None:  # fmt: skip
    """Compares one process with two, and with three that go on where one was stopped."""
    invoke(app, project, *arguments, "one")
    reports = launch(project, 2, stage, *arguments, "two")
    shares = [set(batches(report["written"])) for report in reports]
    assert [len(share) for share in shares] == [num_batches / 2] * 2
    assert len(set.union(*shares)) == num_batches
    assert digest_files(project / "two") == digest_files(project / "one")

    save, saved = module.save_tensors, []

    def dies(path: Path, *rest: Any) -> None:
        if len(saved) == 2:
            raise RuntimeError("stopped")
        saved.append(str(path))
        save(path, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "save_tensors", dies)
        with pytest.raises(RuntimeError, match="stopped"):
            invoke(app, project, *arguments, "three")
    assert not (project / "three").exists()
    reports = launch(project, 3, stage, *arguments, "three")
    made = [name for report in reports for name in batches(report["written"])]
    assert len(made) == num_batches - 2
    assert not set(made) & set(batches(saved))
    assert digest_files(project / "three") == digest_files(project / "one")
    assert not list((project / ".checkpoints").iterdir())


def test_pool(project: Path, invoke: Invoke) -> None:
    """21 images in batches of four: the last batch holds a single image."""
    invoke(synthesize_app, project, *SEARCH)
    check(project, invoke, synthesize_app, generation, 6, "stages.synthesize", *SYNTHESIZE)


def test_scores(project: Path, invoke: Invoke) -> None:
    """15 real images and 21 of the pool in batches of four."""
    invoke(synthesize_app, project, *SEARCH)
    invoke(synthesize_app, project, *SYNTHESIZE, "pool")
    score = ("score", "real", "pool", "fr")
    check(project, invoke, select_app, features, 10, "stages.select", *score)
