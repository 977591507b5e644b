"""Five comparisons: `python -m pytest benchmarks/test_side_by_side.py`.

No speed is asserted, it is recorded.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.side_by_side import Turns, record


def measure(benchmark: BenchmarkFixture, turns: Turns, rounds: int) -> None:
    """One round of every contender to warm up, then `rounds` that count."""
    turns.take()
    turns.forget()
    benchmark.pedantic(turns.take, rounds=rounds, iterations=1)


@pytest.mark.benchmark(group="side by side: one round of every contender")
def test_generator_training(benchmark: BenchmarkFixture) -> None:
    peer, patches = "same_unet_on_pixels", "same_network"
    with Turns("generator_training", ["ours", peer, patches]) as turns:
        measure(benchmark, turns, rounds=7)
        entry = turns.entry(
            peer,
            "images/s of the stage's training against diffusers' documented loop, fp32: the same "
            "UNet on plain pixels (`ratio_same_patches`: on our patches, so the same arithmetic)",
        )
        entry["ratio_same_patches"] = round(turns.ratio(patches), 2)
        entry["same_patches_images_per_s"] = round(turns.images_per_second(patches), 1)
        entry["same_patches_peak_gb"] = round(turns.peak_gb(patches), 3)
    benchmark.extra_info.update(entry)
    record("generator_training", entry)


@pytest.mark.benchmark(group="side by side: one round of every contender")
def test_synthesis(benchmark: BenchmarkFixture) -> None:
    peer = "heun_32"
    with Turns("synthesis", ["ours", peer]) as turns:
        measure(benchmark, turns, rounds=3)
        entry = turns.entry(
            peer, "images/s of the pilot's sampler against Heun, 32 steps, fp32, same network"
        )
        entry["evaluations"] = turns.facts["ours"]["evaluations"]
        entry["peer_evaluations"] = turns.facts[peer]["evaluations"]
    benchmark.extra_info.update(entry)
    record("synthesis", entry)


@pytest.mark.benchmark(group="side by side: one round of every contender")
def test_recogniser_training(benchmark: BenchmarkFixture) -> None:
    peers = ["plain_2_workers", "plain_0_workers"]
    with Turns("recogniser_training", ["ours", "bf16", *peers]) as turns:
        measure(benchmark, turns, rounds=3)
        best = max(peers, key=turns.images_per_second)
        entry = turns.entry(
            best,
            "images/s of the pilot's whole training against a plain PyTorch loop with PIL decoding "
            "and augmentation, same backbone, fp32 (the faster of 0 and 2 loader workers); "
            "`ratio_bf16`: ours with `train_fr.precision: bf16`",
        )
        speed = turns.images_per_second("bf16")
        entry["ratio_bf16"] = round(speed / turns.images_per_second(best), 2)
        entry["bf16_images_per_s"] = round(speed, 1)
        for peer in peers:
            entry[f"{peer}_images_per_s"] = round(turns.images_per_second(peer), 1)
    benchmark.extra_info.update(entry)
    record("recogniser_training", entry)


@pytest.mark.benchmark(group="side by side: one round of every contender")
def test_recordio_read(benchmark: BenchmarkFixture) -> None:
    peer = "struct_loop"
    with Turns("recordio_read", ["ours", "copies", "listing", peer]) as turns:
        measure(benchmark, turns, rounds=7)
        entry = turns.entry(
            peer,
            "records/s, label and a view of each, against a plain struct loop over the index "
            "(`ratio_copies`: bytes instead of views; `ratio_listing`: labels and places alone)",
        )
        for name in ("copies", "listing"):
            speed = turns.images_per_second(name)
            entry[f"ratio_{name}"] = round(speed / turns.images_per_second(peer), 2)
    entry["data"] = "generated"
    benchmark.extra_info.update(entry)
    record("recordio_read", entry)


@pytest.mark.benchmark(group="side by side: one round of every contender")
def test_decode_align(benchmark: BenchmarkFixture) -> None:
    peer = "usual_way"
    with Turns("decode_align", ["ours", peer]) as turns:
        measure(benchmark, turns, rounds=7)
        entry = turns.entry(
            peer,
            "images/s on one core, JPEG 250x250 to aligned 112x112, against PIL, Umeyama's "
            "estimate and a bilinear float64 warp (scipy) as in scikit-image",
        )
    entry["data"] = "generated"
    benchmark.extra_info.update(entry)
    record("decode_align", entry)
