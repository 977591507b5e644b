"""An edit in one room turns exactly the stages stale whose code can reach it."""

import json
from pathlib import Path

import pytest

from tests.pipeline.project import Project

pytestmark = pytest.mark.pipeline

UNPACK = {"unpack", "prepare"}
POOL = {"search", "synthesize"}
CHOICE = {"score", "select"}
TRAIN = {f"train_fr@{data}-{seed}" for data in ("real", "mixed") for seed in (0, 1)}
JUDGE = {f"evaluate@{data}-{seed}" for data in ("real", "mixed") for seed in (0, 1)} | {"compare"}
ALL = UNPACK | {"train_generator"} | POOL | CHOICE | TRAIN | JUDGE
STALE = {
    "auggen/core": ALL,
    "auggen/faces": ALL,
    "auggen/measures": POOL | CHOICE | JUDGE,
    "auggen/diffusion": {"train_generator"} | POOL,
    "auggen/recognition": POOL | CHOICE | TRAIN | JUDGE,
    "auggen/ingest": UNPACK,
    "auggen/synthesis": POOL,
    "auggen/selection": CHOICE,
    "auggen/protocols": JUDGE,
    "auggen/plan": set(),
    "stages/prepare.py": UNPACK,
    "stages/train_generator.py": {"train_generator"},
    "stages/train_fr.py": TRAIN,
    "stages/synthesize.py": POOL,
    "stages/select.py": CHOICE,
    "stages/evaluate.py": JUDGE,
}


def stale(project: Project) -> set[str]:
    """Stages that DVC finds out of date, without those downstream of them."""
    return set(json.loads(project.run("dvc", "status", "--json")))


@pytest.fixture(scope="module")
def shared(toy: tuple[Project, str]) -> Project:
    """The finished project itself: each test puts back what it touched."""
    return toy[0]


def test_every_room_and_script_is_asked_about(shared: Project) -> None:
    rooms = {f"auggen/{path.parent.name}" for path in shared.folder.glob("auggen/*/__init__.py")}
    scripts = {f"stages/{path.name}" for path in shared.folder.glob("stages/[a-z]*.py")}
    assert set(STALE) == rooms | scripts


@pytest.mark.parametrize("place", STALE)
def test_an_edit_in_one_place(place: str, shared: Project) -> None:
    path = shared.folder / place
    path = path if path.is_file() else sorted(path.glob("[a-z]*.py"))[0]
    before = path.read_text()
    try:
        path.write_text(before + "\n# edited\n")
        assert stale(shared) == STALE[place]
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    "place", ["README.md", "tests/conftest.py", "studies/config.py", "stages/__pycache__/x.pyc"]
)
def test_an_edit_that_is_no_stage_s_business(place: str, shared: Project) -> None:
    path = shared.folder / place
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes((before or b"") + b"\n")
        assert stale(shared) == set()
    finally:
        path.write_bytes(before) if before is not None else path.unlink()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mix_ratio: 0.5", "mix_ratio: 0.25", {"select"}),
        ("batch_share: ", "batch_share: 0.0", {"select"}),
        ("  test: 15", "  test: 14", {"prepare"}),
        ("  num_replicates: 100", "  num_replicates: 101", {"compare"}),
        ("  flip: true", "  flip: false", JUDGE),
    ],
)
def test_a_changed_param(old: str, new: str, expected: set[str], shared: Project) -> None:
    path = shared.folder / "params.yaml"
    before = path.read_text()
    assert before.count(old) == 1
    try:
        path.write_text(before.replace(old, new))
        assert stale(shared) == expected
    finally:
        path.write_text(before)


def test_a_seed_more_runs_that_seed_alone(shared: Project) -> None:
    path = shared.folder / "params.yaml"
    before = path.read_text()
    try:
        path.write_text(before.replace("seeds:\n- 0\n- 1\n", "seeds:\n- 0\n- 1\n- 2\n"))
        kinds = [(stage, data) for stage in ("train_fr", "evaluate") for data in ("real", "mixed")]
        assert stale(shared) == {f"{stage}@{data}-2" for stage, data in kinds} | {"compare"}
    finally:
        path.write_text(before)


def test_an_edited_list_of_whom_to_leave_out_makes_prepare_stale(project: Project) -> None:
    params, path = project.folder / "params.yaml", project.folder / "list.csv"
    people = json.loads((project.folder / "data/train/real/manifest.json").read_text())
    first, second = people["identities"][:2]
    path.write_text(f"sign,identity,training_image\nname,{first},\n")
    params.write_text(params.read_text().replace("exclude: data/exclude.csv", "exclude: list.csv"))
    assert "list.csv: 1 people and 0 images" in project.run("dvc", "repro", "prepare")
    assert "prepare" not in stale(project)
    path.write_text(path.read_text() + f"name,{second},\n")
    assert "prepare" in stale(project)
    params.write_text(params.read_text().replace("list.csv", "results/real-0/overlap.csv"))
    refused = project.run("dvc", "repro", "--dry", fails=True)
    assert "both a dependency and an output" in refused


def test_a_new_photograph_makes_prepare_stale(project: Project) -> None:
    raw = project.folder / "data" / "raw"
    person = sorted(path for path in (raw / "orl").iterdir() if path.is_dir())[0]
    photo: Path = sorted(person.iterdir())[0]
    photo.with_name(f"new{photo.suffix}").write_bytes(photo.read_bytes() + b"\n")
    assert "prepare" in stale(project)
