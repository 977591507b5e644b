"""Batches: shares, passes without replacement, independence of what mixes follow."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from auggen.core.errors import UserError
from auggen.faces.shards import write_face_set
from auggen.recognition.training_data import BatchPlan, TrainingData, read_training_data


def _plan(data, steps=40, batch_size=8, seed=0):
    return BatchPlan(data, seed=seed, steps=steps, batch_size=batch_size)


def _with(data: TrainingData, **changes) -> TrainingData:
    return TrainingData(**{**vars(data), "plan": data.plan.model_copy(update=changes)})


def test_real_rows_come_in_passes_without_replacement(real_data):
    plan = _plan(real_data)
    rows = torch.cat([plan.rows(step) for step in range(40)])
    assert len(rows) == 320
    for start in range(0, 312, 12):
        assert sorted(rows[start : start + 12].tolist()) == list(range(12))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda t: 0.25),
        ("ramp_up", lambda t: 0.25 * t),
        ("ramp_down", lambda t: 0.25 * (1 - t)),
        ("switch_over", lambda t: 0.25 if t < 0.5 else 0.0),
    ],
)
def test_synthetic_share_follows_the_schedule(mixed_data, schedule, expected):
    plan = _plan(_with(mixed_data, schedule=schedule))
    seen = 0
    wanted = 0.0
    for step in range(40):
        rows = plan.rows(step)
        assert len(rows) == 8
        seen += int((rows >= 12).sum())
        wanted += 8 * expected(step / 40)
        assert abs(seen - wanted) <= 1
    assert seen == math.floor(wanted + 1e-6)


def test_proportional_share_is_by_image_count(mixed_data):
    plan = _plan(_with(mixed_data, batch_share="proportional"))
    rows = torch.cat([plan.rows(step) for step in range(40)])
    assert int((rows >= 12).sum()) == int(320 * 8 / 20)


def test_no_synthetic_rows_gives_the_batches_of_real_only(real_data, mixed_data):
    none = _plan(_with(mixed_data, batch_share=0.0))
    real = _plan(real_data)
    assert all(torch.equal(none.rows(step), real.rows(step)) for step in range(40))


def test_batches_depend_on_seed_and_step_alone(mixed_data):
    forwards = [_plan(mixed_data).rows(step) for step in range(10)]
    backwards = [_plan(mixed_data).rows(step) for step in reversed(range(10))]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert not all(torch.equal(_plan(mixed_data, seed=1).rows(s), forwards[s]) for s in range(10))


@pytest.fixture
def mixed_folder(real_folder, tmp_path, plan, real_data):
    folder = tmp_path / "mixed"
    shutil.copytree(real_folder, folder)
    pool = folder / "synthetic"
    pool.mkdir()
    extra = pd.DataFrame({"source_i": [0] * 6 + [1] * 6, "source_j": [1] * 6 + [2] * 6})
    write_face_set(
        pool, list(real_data.images), [0] * 6 + [1] * 6, [str(k) for k in range(12)],
        identities=["0+1", "1+2"], source_digest="0", extra=extra,
    )  # fmt: skip
    pd.DataFrame(
        {
            "row": np.array([6, 7, 8, 9, 0, 1, 2, 3]),
            "label": np.array([0] * 4 + [1] * 4, np.int32),
            "pool_label": np.array([1] * 4 + [0] * 4, np.int32),
            "source_i": np.array([1] * 4 + [0] * 4, np.int32),
            "source_j": np.array([2] * 4 + [1] * 4, np.int32),
        }
    ).to_parquet(folder / "selection.parquet")
    (folder / "selection.json").write_text(json.dumps(plan.model_dump()))
    return folder


def test_mixed_folder_is_read_with_its_new_classes(mixed_folder, real_data):
    data = read_training_data(mixed_folder)
    assert (data.num_real, data.num_real_classes, data.num_classes) == (12, 3, 5)
    assert data.labels[12:].tolist() == [3] * 4 + [4] * 4
    assert data.sources[3:].tolist() == [[1, 2], [0, 1]]
    assert torch.equal(data.images[12], real_data.images[6])


def test_resampled_real_people_keep_their_real_label(mixed_folder):
    table = pd.read_parquet(mixed_folder / "selection.parquet")
    table["label"] = [-1] * 4 + [-3] * 4
    table.to_parquet(mixed_folder / "selection.parquet")
    data = read_training_data(mixed_folder)
    assert data.num_classes == 3
    assert data.labels[12:].tolist() == [0] * 4 + [2] * 4


def test_a_table_that_disagrees_with_its_plan_is_named(mixed_folder):
    table = pd.read_parquet(mixed_folder / "selection.parquet")
    table.iloc[:5].to_parquet(mixed_folder / "selection.parquet")
    with pytest.raises(UserError, match=r"selection\.parquet: 5 rows"):
        read_training_data(mixed_folder)


@pytest.mark.parametrize("damage", ["cut", "column", "gone"])
def test_a_table_that_cannot_be_read_is_named(mixed_folder, damage):
    path = mixed_folder / "selection.parquet"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "column":
        pd.read_parquet(path).drop(columns="label").to_parquet(path)
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"selection\.parquet: .*dvc repro select"):
        read_training_data(mixed_folder)


def test_an_unknown_key_in_the_plan_is_named(mixed_folder, plan):
    content = {**plan.model_dump(), "speed": 3}
    (mixed_folder / "selection.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="speed"):
        read_training_data(mixed_folder)
