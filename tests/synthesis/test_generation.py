from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from auggen.core.seeds import derive_seed
from auggen.diffusion.samplers import SamplerConfig
from auggen.faces.decode import to_uint8
from auggen.synthesis.generation import (
    Generator,
    Recipe,
    batches_of,
    draw_batch,
    draw_noise,
    draw_share,
    drawn_images,
    read_drawn,
)


def recipe(count: int) -> Recipe:
    rows = torch.arange(count)
    return Recipe(
        rows % 5,
        (rows + 2) % 5,
        torch.full((count,), 0.7),
        torch.full((count,), 0.5),
        torch.tensor([derive_seed(0, k) for k in range(count)]),
    )


def drawer(generator: Generator) -> Callable[[Recipe], Tensor]:
    return lambda part: draw_batch(generator, part)


def test_noise_depends_on_its_own_seed_alone() -> None:
    seeds = recipe(6).seed
    noise = draw_noise(seeds, (1, 4, 4))
    order = torch.tensor([4, 0, 5])
    assert torch.equal(draw_noise(seeds[order], (1, 4, 4)), noise[order])
    assert abs(noise.mean()) < 0.5


def test_network_always_sees_whole_batches(generator: Generator) -> None:
    seen = []

    def network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        seen.append((len(x), len(sigma), len(condition)))
        return generator.network(x, sigma, condition)

    images = draw_batch(replace(generator, network=network), recipe(3))
    assert images.shape == (3, 1, 4, 4)
    assert set(seen) == {(4, 4, 4)}


def test_a_padded_batch_draws_the_same_images(generator: Generator) -> None:
    whole = draw_batch(generator, recipe(4))
    assert torch.equal(draw_batch(generator, recipe(2)), whole[:2])


def test_images_are_the_mixed_condition(generator: Generator) -> None:
    """The network denoises to level 0.7 (i - 2)/4 + 0.5 (j - 2)/4 and the sampler ends there."""
    plan = recipe(4)
    level = (0.7 * (plan.source_i - 2) + 0.5 * (plan.source_j - 2)) / 4
    middle = draw_batch(generator, plan).float().mean((1, 2, 3))
    expected = to_uint8(level[:, None, None, None]).float().mean((1, 2, 3))
    torch.testing.assert_close(middle, expected, atol=4.0, rtol=0)


def test_score_mixing_of_a_linear_network_is_condition_mixing(generator: Generator) -> None:
    plan = replace(recipe(4), alpha=torch.full((4,), 0.5), beta=torch.full((4,), 0.5))
    scored = draw_batch(replace(generator, mixing="score"), plan).int()
    assert (scored - draw_batch(generator, plan).int()).abs().max() <= 1


def test_score_mixing_takes_two_evaluations(generator: Generator) -> None:
    calls: list[Tensor] = []

    def network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        calls.append(condition)
        return generator.network(x, sigma, condition)

    draw_batch(replace(generator, network=network), recipe(4))
    once = len(calls)
    draw_batch(replace(generator, network=network, mixing="score"), recipe(4))
    assert len(calls) == 3 * once
    assert all(c.sum(1).eq(1).all() for c in calls[once:])


def test_a_person_drawn_anew_takes_one_evaluation_under_score_mixing(generator: Generator) -> None:
    calls: list[Tensor] = []

    def network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        calls.append(condition)
        return generator.network(x, sigma, condition)

    people = torch.arange(4)
    anew = Recipe(people, people, torch.ones(4), torch.zeros(4), recipe(4).seed)
    images = draw_batch(replace(generator, network=network), anew)
    once = len(calls)
    scored = draw_batch(replace(generator, network=network, mixing="score"), anew)
    assert len(calls) == 2 * once
    assert torch.equal(scored, images)


def test_drawing_may_start_from_photographs(generator: Generator, sampler: SamplerConfig) -> None:
    """Under hardly any noise a denoiser that changes nothing hands the photograph back."""
    photographs = torch.randint(256, (9, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    photographs = photographs.to(torch.uint8)
    low = sampler.model_copy(update={"sigma_max": 2e-4, "sigma_min": 1e-4})
    started = replace(
        generator,
        network=lambda x, sigma, c: x,
        sampler=low,
        photographs=photographs,
        batch_size=64,
    )
    plan = recipe(64)
    images = draw_batch(started, plan)
    which = [int((photographs == image).all((1, 2, 3)).nonzero()) for image in images]
    assert set(which) == set(range(9))
    order = torch.tensor([4, 0, 5])
    assert torch.equal(draw_batch(started, plan.part(order)), images[order])


def test_a_photograph_lays_the_image_out(generator: Generator, sampler: SamplerConfig) -> None:
    """The state begins as photograph + sigma_max * noise, whichever the network."""
    photographs = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 1, 4, 4)
    seen: list[Tensor] = []

    def network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        seen.append(x)
        return generator.network(x, sigma, condition)

    plan = recipe(4)
    draw_batch(replace(generator, network=network, photographs=photographs), plan)
    layout = seen[0] - sampler.sigma_max * draw_noise(plan.seed, (1, 4, 4))
    torch.testing.assert_close(layout.abs(), torch.ones_like(layout), atol=1e-4, rtol=0)


def test_batches_cover_every_row_once() -> None:
    rows = [row for part in batches_of(10, 4) for row in range(part.start, part.stop)]
    assert rows == list(range(10))
    assert [p.stop - p.start for p in batches_of(10, 4)] == [4, 4, 2]


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_same_images_for_any_process_count(
    num_processes: int, generator: Generator, tmp_path: Path
) -> None:
    plan = recipe(10)
    straight = torch.cat([draw_batch(generator, plan.part(rows)) for rows in batches_of(10, 4)])
    for rank in reversed(range(num_processes)):
        draw_share(drawer(generator), plan, 4, tmp_path, rank=rank, num_processes=num_processes)
    assert torch.equal(torch.stack(list(read_drawn(tmp_path, 10, 4))), straight)


def test_a_killed_run_goes_on_where_it_was(generator: Generator, tmp_path: Path) -> None:
    plan, whole, cut = recipe(14), tmp_path / "whole", tmp_path / "cut"
    draw_share(drawer(generator), plan, 4, whole)
    batches: list[Recipe] = []

    def dies(part: Recipe) -> Tensor:
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(part)
        return draw_batch(generator, part)

    with pytest.raises(KeyboardInterrupt):
        draw_share(dies, plan, 4, cut)
    again: list[Recipe] = []

    def counts(part: Recipe) -> Tensor:
        again.append(part)
        return draw_batch(generator, part)

    draw_share(counts, plan, 4, cut, rank=1, num_processes=2)
    draw_share(counts, plan, 4, cut)
    assert len(again) == 2
    files = sorted(path.name for path in whole.iterdir())
    assert len(files) == 4
    for name in files:
        assert (whole / name).read_bytes() == (cut / name).read_bytes()


def test_drawn_images_cleans_up_when_done(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    accelerator = Accelerator(cpu=True)
    with drawn_images(drawer(generator), 4, recipe(6), accelerator, "test", "key") as images:
        assert list((tmp_path / ".checkpoints").glob("test-*/batch-*"))
        assert len(list(images)) == 6
    assert not list((tmp_path / ".checkpoints").iterdir())


def test_drawn_images_keeps_finished_batches_of_a_failed_run(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    accelerator = Accelerator(cpu=True)
    with (
        pytest.raises(OSError, match="full"),
        drawn_images(drawer(generator), 4, recipe(6), accelerator, "test", "key"),
    ):
        raise OSError("full")

    def again(part: Recipe) -> Tensor:
        pytest.fail("drawn again")

    with drawn_images(again, 4, recipe(6), accelerator, "test", "key") as images:
        assert len(list(images)) == 6


def test_sampler_reaches_the_sampling(generator: Generator, sampler: SamplerConfig) -> None:
    other = sampler.model_copy(update={"kind": "dpmpp"})
    assert draw_batch(replace(generator, sampler=other), recipe(2)).shape == (2, 1, 4, 4)
