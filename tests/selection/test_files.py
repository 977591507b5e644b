"""The score folder and the mixed training folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from auggen.core.errors import UserError
from auggen.core.seeds import torch_generator
from auggen.faces.shards import read_face_set, write_face_set
from auggen.recognition.training_data import read_training_data
from auggen.selection import score_files
from auggen.selection.config import ScoreConfig, SelectConfig
from auggen.selection.mixed_folder import run_select
from auggen.selection.score_files import read_scores, run_score, write_table

MakeConfig = Callable[..., SelectConfig]


def write_set(folder: Path, labels: list[int], extra: pd.DataFrame | None = None) -> None:
    folder.mkdir(parents=True)
    images = torch.randint(
        256, (len(labels), 1, 8, 8), generator=torch_generator(len(labels)), dtype=torch.uint8
    )
    write_face_set(
        folder,
        images,
        labels,
        [f"{k}.png" for k in range(len(labels))],
        identities=[f"{folder.name}{k}" for k in range(max(labels) + 1)],
        source_digest="0",
        extra=extra,
        rows_per_shard=25,
    )


@pytest.fixture
def data(tmp_path: Path, scores: pd.DataFrame) -> Path:
    """8 real people x 4 images, a pool of 60 images and its scores."""
    write_set(tmp_path / "real", [k // 4 for k in range(32)])
    write_set(tmp_path / "pool", scores["label"].tolist(), scores[["source_i", "source_j"]])
    (tmp_path / "scores").mkdir()
    write_table(tmp_path / "scores" / "scores.parquet", scores)
    return tmp_path


def select(data: Path, mix_ratio: float, config: SelectConfig, out: str = "mixed") -> str:
    return run_select(data / "real", data / "pool", data / "scores", data / out, mix_ratio, config)


def test_mixed_folder_is_self_contained_and_byte_identical(
    data: Path, make_config: MakeConfig
) -> None:
    line = select(data, 0.5, make_config(schedule="ramp_down"))
    assert "15 images of 5 mixed identities (rule balanced) and 0 of 0 real people" in line
    mixed = data / "mixed"
    for source, target in (("real", mixed), ("pool", mixed / "synthetic")):
        names = [path.name for path in (data / source).iterdir()]
        assert len(names) >= 3
        for name in names:
            assert (data / source / name).read_bytes() == (target / name).read_bytes()
    plan = json.loads((mixed / "selection.json").read_text())
    assert plan["schedule"] == "ramp_down"
    assert (plan["num_classes"], plan["num_images"], plan["rule"]) == (5, 15, "balanced")
    table = pd.read_parquet(mixed / "selection.parquet")
    assert table["label"].tolist() == [k // 3 for k in range(15)]
    assert str(table["label"].dtype) == "int32"
    assert str(table["row"].dtype) == "int64"
    assert (mixed / "samples.png").is_file()


def test_training_understands_the_folder(data: Path, make_config: MakeConfig) -> None:
    select(data, 0.5, make_config())
    training = read_training_data(data / "mixed")
    table = pd.read_parquet(data / "mixed" / "selection.parquet")
    pool = read_face_set(data / "pool")
    assert training.num_classes == 8 + 5
    assert torch.equal(training.images[32:], pool.images[torch.tensor(table["row"].tolist())])
    assert training.labels[32:].tolist() == (table["label"] + 8).tolist()
    assert training.sources[8:].tolist() == table[["source_i", "source_j"]][::3].to_numpy().tolist()


@pytest.mark.parametrize(("mix_ratio", "classes"), [(0.0, 0), (0.25, 3)])
def test_training_understands_real_people_drawn_anew(
    data: Path,
    scores_with_anew: pd.DataFrame,
    make_config: MakeConfig,
    mix_ratio: float,
    classes: int,
) -> None:
    write_table(data / "scores" / "scores.parquet", scores_with_anew)
    select(data, mix_ratio, make_config(anew_ratio=0.5))
    plan = json.loads((data / "mixed" / "selection.json").read_text())
    assert (plan["num_classes"], plan["num_images"]) == (classes, 3 * classes + 16)
    training = read_training_data(data / "mixed")
    assert training.num_classes == 8 + classes
    mixed, people = training.labels[32:].tensor_split([3 * classes])
    assert mixed.tolist() == [8 + k // 3 for k in range(3 * classes)]
    assert people.tolist() == [k // 4 for k in range(16)]


def test_ratio_zero_writes_real_files_and_a_plan(data: Path, make_config: MakeConfig) -> None:
    select(data, 0.0, make_config())
    names = {path.name for path in (data / "mixed").iterdir()}
    assert names == {path.name for path in (data / "real").iterdir()} | {"selection.json"}
    assert read_training_data(data / "mixed").plan is None


def test_two_runs_write_the_same_bytes(data: Path, make_config: MakeConfig) -> None:
    for out in ("a", "b"):
        select(data, 0.5, make_config(rule="between"), out)
    files = [path for path in (data / "a").rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        twin = data / "b" / path.relative_to(data / "a")
        assert path.read_bytes() == twin.read_bytes()


def test_a_failed_run_leaves_the_old_folder(data: Path, make_config: MakeConfig) -> None:
    select(data, 0.5, make_config())
    before = (data / "mixed" / "selection.parquet").read_bytes()
    shard = data / "pool" / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"shard-00001.parquet: corrupt.*dvc repro"):
        select(data, 0.3, make_config())
    assert (data / "mixed" / "selection.parquet").read_bytes() == before
    assert not list(data.glob(".*partial"))


def test_missing_shard(data: Path, make_config: MakeConfig) -> None:
    (data / "real" / "shard-00000.parquet").unlink()
    with pytest.raises(UserError, match=r"shard-00000.parquet: missing"):
        select(data, 0.0, make_config())


def test_scores_of_another_pool(data: Path, scores: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"60 rows for a pool of 61 images"):
        read_scores(data / "scores", 61)


@pytest.mark.parametrize("content", [None, b"", b"no parquet"])
def test_broken_scores(data: Path, content: bytes | None) -> None:
    path = data / "scores" / "scores.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"scores.parquet: .*dvc repro score"):
        read_scores(data / "scores", 60)


class Pixels(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def test_score_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_files, "load_recogniser", lambda _: Pixels())
    for out in ("a", "b"):
        run_score(data / "real", data / "pool", data, data / out, ScoreConfig(batch_size=7))
    names = sorted(path.name for path in (data / "a").iterdir())
    assert names == ["histograms.png", "samples.png", "scores.parquet", "summary.json"]
    for name in names:
        assert (data / "a" / name).read_bytes() == (data / "b" / name).read_bytes()
    table = read_scores(data / "a", 60)
    kinds = json.loads((data / "a" / "summary.json").read_text())
    assert kinds.keys() == {"mixed"}
    summary = kinds["mixed"]
    assert summary["num_images"] == 60
    assert summary["measures"]["source_max"]["mean"] == pytest.approx(
        table["source_max"].mean(), abs=1e-5
    )
    assert 0 <= summary["near_real_ratio"] <= 1
    strangers = [row.nearest_other > max(row.sim_i, row.sim_j) for row in table.itertuples()]
    assert 0 < sum(strangers) < 60
    assert summary["other_person_ratio"] == round(sum(strangers) / 60, 6)


def test_summary_tells_the_kinds_apart(
    data: Path, scores_with_anew: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_files, "load_recogniser", lambda _: Pixels())
    shutil.rmtree(data / "pool")
    places = scores_with_anew[["source_i", "source_j"]]
    write_set(data / "pool", scores_with_anew["label"].tolist(), places)
    line = run_score(data / "real", data / "pool", data, data / "out", ScoreConfig(batch_size=7))
    kinds = json.loads((data / "out" / "summary.json").read_text())
    assert {kind: one["num_images"] for kind, one in kinds.items()} == {"mixed": 40, "anew": 20}
    assert line.index("mixed: within") < line.index("anew: within")
