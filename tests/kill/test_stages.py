"""kill -9 of the whole process group inside every long stage; `dvc repro` mends it.

The same at another size, with a report: `AUGGEN_KILLS=20 AUGGEN_KILL_PARAMS=params.yaml
AUGGEN_KILL_REPORT=kills.md pytest tests/kill/test_stages.py`.
"""

import os
from pathlib import Path

import pytest

from tests.kill.conftest import NUM_KILLS
from tests.kill.killing import BY_NAME, LONG_STAGES, Killer, Trace, debris, digests
from tests.kill.report import format_report
from tests.pipeline.project import Project

pytestmark = pytest.mark.kill


def test_every_out_has_the_digest_of_the_undisturbed_run(
    undisturbed: Project, killed: tuple[Project, Killer]
) -> None:
    """This also compares two clean runs: the stages that nobody killed ran once in each."""
    expected, found = digests(undisturbed), digests(killed[0])
    text = format_report(killed[1].kills, expected, found)
    print(text)
    if report := os.environ.get("AUGGEN_KILL_REPORT"):
        Path(report).write_text(text)
    assert len(expected) >= 14
    assert found == expected


def test_nothing_is_left(undisturbed: Project, killed: tuple[Project, Killer]) -> None:
    assert debris(killed[0]) == debris(undisturbed) == []


def test_kills_landed_and_runs_went_on(killed: tuple[Project, Killer]) -> None:
    kills = killed[1].kills
    for stage in LONG_STAGES:
        mine = [kill for kill in kills if kill.stage == stage.name]
        assert len(mine) == NUM_KILLS
        if stage.state:
            assert stage.name in killed[1].went_on, mine
    assert any(kill.left_partial for kill in kills)


def test_state_of_other_params_was_not_resumed(killed: tuple[Project, Killer]) -> None:
    """It lay beside while the first run with the right params made a state of its own."""
    first = next(kill for kill in killed[1].kills if kill.stage == "train_generator")
    assert killed[1].foreign[0].reached > 0
    assert first.reached > first.resumed_from == 0


def test_a_state_that_is_being_removed_is_no_progress(tmp_path: Path) -> None:
    """Else its last numbers would look as if the run had begun anew, or had never gone on."""
    stage = BY_NAME["train_fr@real-0"]
    killer, trace = Killer(Project(tmp_path), seed=0), Trace([10])
    (tmp_path / ".checkpoints" / "train_fr-half-removed").mkdir(parents=True)
    killer._note_progress(stage, trace)
    assert trace.seen == [10, 0]
    (tmp_path / str(stage.out)).mkdir(parents=True)
    trace = Trace([10, 190])
    killer._note_progress(stage, trace)
    assert trace.seen == [10, 190]
