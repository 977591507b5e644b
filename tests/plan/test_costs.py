"""Each rate lands in the right stages, the right number of times."""

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
import yaml

from auggen.plan.costs import StageCost, Work, predict_stages
from auggen.plan.networks import Network
from tests.plan.conftest import STAGES, priced


def seconds(work: Work) -> dict[str, float]:
    """Seconds of one run of each stage that takes any."""
    return {stage.stage: stage.seconds for stage in predict_stages(work) if stage.seconds}


def test_stages_are_those_of_dvc(root: Path, free: Work) -> None:
    graph = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    expected = {
        f"{name}@{data}" if "matrix" in stage else name
        for name, stage in graph.items()
        for data in stage.get("matrix", {"data": [""]})["data"]
    }
    stages = predict_stages(free)
    assert {stage.stage for stage in stages} == expected
    assert len(stages) == len(expected) == 12
    assert set(graph) == set(STAGES)
    assert seconds(free) == {}


def test_starting(free: Work) -> None:
    start = {name: float(place) for place, name in enumerate(STAGES, start=1)}
    found = seconds(priced(free, start=start, dvc_stage=100.0, dvc_start=1000.0))
    assert {name.partition("@")[0] for name in found} == set(STAGES)
    for name, value in found.items():
        first = 1000.0 if name == "unpack" else 0.0
        assert value == start[name.partition("@")[0]] + 100.0 + first


def test_matrix_stages_run_once_a_seed(free: Work) -> None:
    counts = {stage.stage: stage.count for stage in predict_stages(free)}
    assert {name for name, count in counts.items() if count == 2} == {
        f"{stage}@{data}" for stage in ("train_fr", "evaluate") for data in ("real", "mixed")
    }
    assert set(counts.values()) == {1, 2}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("generator_once", {"train_generator": 1}),
        ("generator_update", {"train_generator": 20}),
        ("recogniser_once", {"train_fr@real": 1, "train_fr@mixed": 1}),
        ("real_update", {"train_fr@real": 20}),
        ("mixed_update", {"train_fr@mixed": 20}),
        ("draw_batch", {"search": 1, "synthesize": 4}),  # 12 and 240 images in batches of 64
        ("prepare_image", {"prepare": 400}),
        ("write_image", {"synthesize": 240}),
        ("benchmarks", {"evaluate@real": 1, "evaluate@mixed": 1}),
        ("replicate", {"compare": 4 * 100}),
        (
            "embed_image",  # whole batches of 64
            {
                "search": 192 + 128 + 64,
                "score": 192 + 256,
                "evaluate@real": 2 * 192,
                "evaluate@mixed": 2 * 192,
            },
        ),
    ],
)
def test_where_a_rate_counts(free: Work, rate: str, expected: dict[str, float]) -> None:
    assert seconds(priced(free, **{rate: 1.0})) == expected


def test_epochs_make_the_mixed_arm_longer(free: Work) -> None:
    train = free.settings.train_fr.model_copy(update={"steps": 0, "epochs": 32.0})
    work = replace(free, settings=replace(free.settings, train_fr=train))
    found = seconds(priced(work, real_update=1.0, mixed_update=1.0))
    assert found == {"train_fr@real": 170, "train_fr@mixed": 170 + 84}  # 32 epochs, batch 32


def test_devices_share_drawing(free: Work) -> None:
    work = replace(priced(free, draw_batch=1.0), devices=3)
    assert seconds(work) == {"search": 1, "synthesize": ceil(4 / 3)}
    used = {stage.stage: stage.devices for stage in predict_stages(work)}
    assert used["train_generator"] == used["train_fr@mixed"] == used["score"] == 3
    assert used["prepare"] == used["compare"] == 1


@pytest.mark.parametrize(
    ("mixing", "anew", "batches"),
    [("condition", 128, 4), ("score", 128, 6), ("score", 0, 4), ("pixel", 0, 0)],
)
def test_mixed_people_take_two_network_calls_under_score_mixing_the_rest_one(
    free: Work, mixing: str, anew: int, batches: int
) -> None:
    """112 mixed images, 128 of people drawn anew, batches of 64; the search mixes by conditions."""
    update = {"anew_images": anew, "mixing": mixing}
    pool = free.settings.synthesize.model_copy(update=update)
    sizes = replace(free.sizes, pool_images=112 + anew)
    work = replace(free, settings=replace(free.settings, synthesize=pool), sizes=sizes)
    found = seconds(priced(work, draw_batch=1.0))
    assert found.get("synthesize", 0) == batches
    assert found["search"] == seconds(priced(free, draw_batch=1.0))["search"] > 0


def test_large_sets_are_fetched_while_the_network_works(free: Work) -> None:
    sizes = replace(free.sizes, real_images=10_000_000)
    work = replace(priced(free, read_image=1.0, generator_update=10.0), sizes=sizes)
    assert seconds(work)["train_generator"] == 20 * 16.0  # reading 16 images takes longer
    faster = priced(work, generator_update=20.0)
    assert seconds(faster)["train_generator"] == 20 * 20.0


def memory(work: Work) -> dict[str, StageCost]:
    return {stage.stage: stage for stage in predict_stages(work)}


def test_memory_of_training(free: Work) -> None:
    network = Network(weights=1000, forward_flops=1.0, training_flops=3.0, activation_bytes=7.0)
    work = replace(priced(free, base_bytes=1e6), generator=network)
    pixels = 170 * 16 * 16
    stage = memory(work)["train_generator"]
    assert stage.memory_bytes == 1e6 + 5 * 4 * 1000 + 16 * 7 + pixels
    assert stage.disk_bytes == 4000
    halved = memory(replace(work, devices=2))["train_generator"]
    assert stage.memory_bytes - halved.memory_bytes == 8 * 7


def test_disk_of_face_sets(free: Work) -> None:
    found = memory(priced(free, image_bytes=10.0))
    assert found["prepare"].disk_bytes == 10 * (400 + 230)
    assert found["synthesize"].disk_bytes == 10 * 240
    assert found["select"].disk_bytes == 10 * (170 + 240)


def test_parts_of_a_batch_bound_the_memory(free: Work) -> None:
    network = Network(weights=0, forward_flops=1.0, training_flops=3.0, activation_bytes=7e9)
    whole = replace(free, generator=network)
    config = free.settings.train_generator.model_copy(update={"micro_batch_size": 3})
    parts = replace(whole, settings=replace(free.settings, train_generator=config))
    saved = [memory(work)["train_generator"].memory_bytes for work in (whole, parts)]
    assert saved[0] - saved[1] == (config.batch_size - 3) * 7e9
    alone = replace(parts, devices=8)  # two images each
    assert saved[1] - memory(alone)["train_generator"].memory_bytes == 7e9
