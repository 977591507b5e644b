"""Study files, overlays and the experiments they ask for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from auggen.core.errors import UserError
from auggen.selection.choice import count_anew, count_classes
from auggen.synthesis.pairs import count_pairs
from studies.config import Plan, read_plan

PARAMS: dict[str, Any] = {
    "mix_ratio": 2.0,
    "seeds": [0, 1],
    "prepare": {
        "split_seed": 0,
        "source": "data/raw/orl",
        "validation": 2,
        "validation_identities": ["s1", "s2"],
    },
    "train_fr": {"steps": 250, "augment": {"crop": 0.8}},
    "evaluate": {"identities": "validation"},
}
STUDY: dict[str, Any] = {
    "name": "arms",
    "about": "Does it help?",
    "params": {"train_fr.augment.crop": 0.5},
    "splits": [0, 3],
    "seeds": [4],
    "reference": "real",
    "arms": {
        "real": {"model": "real", "set": {}},
        "mixed": {"model": "mixed", "set": {"mix_ratio": 2}},
        "twice": {"model": "real", "set": {"train_fr.steps": 500}},
    },
}


def plan(
    folder: Path, study: dict[str, Any] = STUDY, overlay: Any = None, data: Any = None
) -> Plan:
    for name, content in (("params", PARAMS), ("study", study), ("faces", overlay)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    other = folder / "faces.yaml" if overlay is not None else None
    return read_plan(folder / "study.yaml", folder / "params.yaml", other, data)


def test_arms_with_equal_params_share_their_experiments(tmp_path: Path) -> None:
    found = plan(tmp_path)
    assert [item.name for item in found.experiments] == [
        f"study-arms-{arm}-{split}" for arm in ("real", "twice") for split in (0, 3)
    ]
    assert found.by_arm["real"] == found.by_arm["mixed"]
    assert [item.models for item in found.experiments] == [["real", "mixed"]] * 2 + [["real"]] * 2
    twice = found.by_arm["twice"][1]
    assert twice.params == {
        "mix_ratio": 2.0,
        "seeds": [4],
        "prepare": PARAMS["prepare"] | {"split_seed": 3},
        "train_fr": {"steps": 500, "augment": {"crop": 0.5}},
        "evaluate": {"identities": "validation"},
    }
    assert found.name == "arms"


def test_an_overlay_names_files_and_experiments_and_adapts_arms(tmp_path: Path) -> None:
    overlay = {
        "params": {"train_fr.augment.crop": 0.1, "mix_ratio": 3.0},
        "arms": {"twice": {"train_fr.steps": 900}, "of_another_study": {"mix_ratio": 1}},
    }
    faces = tmp_path / "faces"
    faces.mkdir()
    found = plan(tmp_path, overlay=overlay, data=faces)
    assert (found.name, found.data) == ("arms.faces", "faces")
    twice = found.by_arm["twice"][0]
    assert twice.name == "study-arms-faces-twice-0"
    assert twice.params["train_fr"] == {"steps": 900, "augment": {"crop": 0.5}}
    assert twice.params["mix_ratio"] == 3.0
    assert twice.params["prepare"]["source"] == str(faces.resolve())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"splitz": [0]}, ["splitz", "Extra inputs"]),
        ({"splits": [0, 0]}, ["`splits` is [0, 0]", "listed twice"]),
        ({"splits": []}, ["`splits`", "at least 1"]),
        ({"reference": "base"}, ["'base'", "is no arm", "twice"]),
        ({"confirm": True}, ["['real', 'mixed']"]),
        (
            {"confirm": True, "arms": {name: STUDY["arms"][name] for name in ("real", "mixed")}},
            ["for test people", "validation", "set it to test"],
        ),
        ({"name": "Arms!"}, ["`name` is 'Arms!'"]),
        ({"params": {"seeds": [1]}}, ["`seeds`", "remove it"]),
        ({"params": {"train_fr.stepz": 1}}, ["arm `real`", "`train_fr.stepz`", "correct it"]),
        ({"params": {"mix_ratio": {"a": 1}}}, ["`mix_ratio` must be a number"]),
        ({"arms": {"real": {"model": "fake", "set": {}}}}, ["`arms.real.model` is 'fake'"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        plan(tmp_path, STUDY | changes)
    assert all(word in str(caught.value) for word in ["study.yaml", *words]), caught.value


def test_own_photographs_in_params_give_their_name(tmp_path: Path) -> None:
    own = PARAMS | {"prepare": PARAMS["prepare"] | {"source": "data/raw/my faces.tar"}}
    for name, content in (("params", own), ("study", STUDY)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    found = read_plan(tmp_path / "study.yaml", tmp_path / "params.yaml", None, None)
    assert (found.data, found.name) == ("my_faces", "arms.my_faces")
    assert found.experiments[0].name == "study-arms-my_faces-real-0"


def test_another_reference_has_files_of_its_own_and_the_same_experiments(tmp_path: Path) -> None:
    before = plan(tmp_path)
    paths = tmp_path / "study.yaml", tmp_path / "params.yaml", None, None
    found = read_plan(*paths, reference="twice")
    assert (found.name, found.study.reference) == ("arms_twice", "twice")
    assert found.by_arm == before.by_arm
    with pytest.raises(UserError, match=r"--reference base: no arm of .*real, mixed, twice"):
        read_plan(*paths, reference="base")


def test_data_must_exist_and_have_an_overlay(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--with"):
        plan(tmp_path, data=tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        plan(tmp_path, overlay={"params": {}}, data=tmp_path / "nowhere")


@pytest.mark.parametrize(("count", "named"), [(3, ["s1", "s2"]), (0.2, []), (0.2, ["s1"])])
def test_people_of_one_splits_validation_are_no_test_people_of_another(
    count: float, named: list[str], tmp_path: Path
) -> None:
    """Some or all of them drawn anew in each split: refused, but not for a single split."""
    drawn = {"prepare.validation": count, "prepare.validation_identities": named}
    overlay = {"params": drawn}
    with pytest.raises(UserError, match=r"faces\.yaml: `prepare.validation_identities` names"):
        plan(tmp_path, overlay=overlay)
    assert plan(tmp_path, STUDY | {"splits": [0]}, overlay=overlay).experiments


FILES = sorted(Path(__file__).parents[2].glob("studies/*.yaml"))


@pytest.mark.parametrize("overlay", [None, "pie68_32", "gt50_40x30"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_studies_are_fair(path: Path, overlay: str | None, root: Path) -> None:
    """Arms differ, whatever an overlay sets; only the one about it has other recogniser updates."""
    other = root / "studies" / "data" / f"{overlay}.yaml" if overlay else None
    found = read_plan(path, root / "params.yaml", other, None)
    assert found.study.name == path.stem
    steps = found.by_arm[found.study.reference][0].params["train_fr"]["steps"]
    for arm, experiments in found.by_arm.items():
        for item in experiments:
            assert item.params["train_fr"]["steps"] == steps * (2 if arm == "real_twice" else 1)
    asked = [(entry.model, found.by_arm[arm][0].name) for arm, entry in found.study.arms.items()]
    assert len(set(asked)) == len(asked)
    reads_test_people = found.study.confirm or path.stem in ("pilot", "rivals")
    identities = {item.params["evaluate"]["identities"] for item in found.experiments}
    assert identities == {"test" if reads_test_people else "validation"}
    thrice = ("generator", "rules", "width")
    num_seeds = 3 if reads_test_people or path.stem in thrice else 1
    assert (len(found.study.splits), len(found.study.seeds)) == (5, num_seeds)


SIZES = {None: (17, 10), "pie68_32": (30, 20), "gt50_40x30": (24, 15)}  # people, images of each


@pytest.mark.parametrize("overlay", SIZES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pools_of_shipped_studies_hold_what_is_asked(
    path: Path, overlay: str | None, root: Path
) -> None:
    other = root / "studies" / "data" / f"{overlay}.yaml" if overlay else None
    people, images = SIZES[overlay]
    for item in read_plan(path, root / "params.yaml", other, None).experiments:
        pool, chosen = item.params["synthesize"], item.params["select"]
        asked = count_classes(item.params["mix_ratio"], people * images, chosen["images_per_class"])
        assert asked <= pool["num_classes"] <= count_pairs(people), item.name
        assert chosen["images_per_class"] <= pool["images_per_class"], item.name
        anew = count_anew(chosen["anew_ratio"], people * images, people)
        assert anew <= pool["anew_images"] // people, item.name


def test_studies_are_shipped() -> None:
    assert {path.stem for path in FILES} >= {"arms", "ratio", "selection", "confirm"}
