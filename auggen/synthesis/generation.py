"""Drawing many images: whole batches shared out among processes, restartable, order-free.

Image k depends on its own sources, weights and seed alone (and on the photographs it may start
from): a batch always has exactly `batch_size` rows, and row k always sits at the same place of the
same batch.
Dimensions: n images, c channels, h height, w width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from auggen.core.checkpoints import load_tensors, resume_folder, save_tensors
from auggen.core.devices import join_parts, to_device
from auggen.core.progress import progress
from auggen.core.seeds import derive_seed
from auggen.diffusion.samplers import SamplerConfig, condition_denoiser, sample
from auggen.faces.decode import to_uint8, to_unit
from auggen.faces.images import ImageRows
from auggen.synthesis.conditions import Network, mix_conditions, mix_scores
from auggen.synthesis.config import Mixing


@dataclass(frozen=True)
class Recipe:
    """What to draw: one row an image."""

    source_i: Int64[Tensor, " n"]
    """First source, a real class."""
    source_j: Int64[Tensor, " n"]
    """Second source; the first one again for a real identity drawn anew."""
    alpha: Float32[Tensor, " n"]
    """Weight of the first source."""
    beta: Float32[Tensor, " n"]
    """Weight of the second source."""
    seed: Int64[Tensor, " n"]
    """Seed of the noise, and of which photograph it starts from."""

    def __len__(self) -> int:
        return len(self.seed)

    def part(self, rows: slice | Int64[Tensor, " m"]) -> "Recipe":
        """Returns some of the rows."""
        columns = (self.source_i, self.source_j, self.alpha, self.beta, self.seed)
        return Recipe(*(column[rows] for column in columns))


@dataclass(frozen=True)
class Generator:
    """A denoiser with all that decides how it draws."""

    network: Network
    """(x, sigma, condition) -> D_x."""
    num_classes: int
    """Width of the condition."""
    image_shape: tuple[int, int, int]
    """Channels, height, width."""
    mixing: Mixing
    """How two sources are joined."""
    batch_size: int
    """Rows of every network call."""
    sampler: SamplerConfig
    """Solver."""
    device: torch.device
    """Where the network lives."""
    photographs: UInt8[Tensor, "m c h w"] | ImageRows | None = None
    """What drawing starts from, under noise of level sigma_max; None: noise alone."""


def draw_noise(
    seeds: Int64[Tensor, " n"], shape: tuple[int, int, int]
) -> Float32[Tensor, "n c h w"]:
    """Returns standard normal noise; each image's comes from a CPU generator of its own."""
    rows = [
        torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds.tolist()
    ]
    return torch.stack(rows)


def choose_photographs(seeds: Int64[Tensor, " n"], count: int) -> Int64[Tensor, " n"]:
    """Returns which of `count` photographs each image starts from: any, with equal chances."""
    return torch.tensor([derive_seed("photograph", seed) % count for seed in seeds.tolist()])


def draw_start(generator: Generator, seeds: Int64[Tensor, " n"]) -> Float32[Tensor, "n c h w"]:
    """Returns the ODE's first state over sigma_max: noise, plus a photograph drawn by the seed.

    The state itself is photograph + sigma_max * noise, as SDEdit starts (arXiv 2108.01073). The
    photograph may be anyone's, a source's own too.
    """
    noise = draw_noise(seeds, generator.image_shape)
    if generator.photographs is None:
        return noise
    rows = choose_photographs(seeds, len(generator.photographs))
    return noise + to_unit(generator.photographs[rows]) / generator.sampler.sigma_max


def draw_batch(generator: Generator, recipe: Recipe) -> UInt8[Tensor, "n c h w"]:
    """Draws at most `batch_size` images; a short batch is padded by repeating its last row."""
    count = len(recipe)
    padded = recipe.part(torch.arange(generator.batch_size).clamp(max=count - 1))
    return join_parts(
        lambda rows: _draw(generator, padded.part(rows)), generator.batch_size, generator.device
    )[:count]


def _draw(generator: Generator, recipe: Recipe) -> UInt8[Tensor, "n c h w"]:
    device, width = generator.device, generator.num_classes
    i, j = to_device(recipe.source_i, device), to_device(recipe.source_j, device)
    alpha, beta = to_device(recipe.alpha, device), to_device(recipe.beta, device)
    guidance = generator.sampler.guidance
    mixes = bool((recipe.source_i != recipe.source_j).any())
    if generator.mixing == "score" and mixes:  # one person drawn anew needs one score
        one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
        c_i = mix_conditions(i, i, one, zero, width)
        c_j = mix_conditions(j, j, one, zero, width)
        denoise = mix_scores(generator.network, c_i, c_j, alpha, guidance)
    else:
        c_star = mix_conditions(i, j, alpha, beta, width)
        denoise = condition_denoiser(generator.network, c_star, guidance)
    start = to_device(draw_start(generator, recipe.seed), device)
    return to_uint8(sample(denoise, start, generator.sampler).cpu())


def batches_of(num_images: int, batch_size: int) -> list[slice]:
    """Returns the rows of each batch, in order; only the last may be short."""
    starts = range(0, num_images, batch_size)
    return [slice(start, min(start + batch_size, num_images)) for start in starts]


def draw_share(
    draw: Callable[[Recipe], Tensor],
    recipe: Recipe,
    batch_size: int,
    folder: Path,
    *,
    rank: int = 0,
    num_processes: int = 1,
) -> None:
    """Draws the batches rank, rank + num_processes, ... that `folder` does not hold yet."""
    batches = batches_of(len(recipe), batch_size)
    mine = range(rank, len(batches), num_processes)
    missing = [number for number in mine if not _batch_path(folder, number).exists()]
    done = len(mine) - len(missing)
    for number in progress(missing, "drawing", total=len(mine), first=done, show=rank == 0):
        images = draw(recipe.part(batches[number]))
        save_tensors(_batch_path(folder, number), {"images": images}, {"batch": number})


def read_drawn(folder: Path, num_images: int, batch_size: int) -> Iterator[Tensor]:
    """Yields the drawn images uint8 [c h w] in order, one batch in memory at a time."""
    for number in range(len(batches_of(num_images, batch_size))):
        yield from load_tensors(_batch_path(folder, number))[0]["images"]


def _batch_path(folder: Path, number: int) -> Path:
    return folder / f"batch-{number:06d}.safetensors"


@contextmanager
def drawn_images(
    draw: Callable[[Recipe], Tensor],
    batch_size: int,
    recipe: Recipe,
    accelerator: Accelerator,
    stage: str,
    key: Any,
    *inputs: Path,
) -> Iterator[Iterator[Tensor]]:
    """Draws all images of a recipe with all processes; yields them on the main process.

    Finished batches survive a kill in the resume folder of (stage, key, inputs) and are removed
    when the block ends well. Processes other than the main one get an empty iterator and need not
    wait for it: it may fail.
    """
    main = accelerator.is_main_process
    with resume_folder(stage, key, *inputs, is_main=main) as folder:
        accelerator.wait_for_everyone()
        draw_share(
            draw,
            recipe,
            batch_size,
            folder,
            rank=accelerator.process_index,
            num_processes=accelerator.num_processes,
        )
        accelerator.wait_for_everyone()
        yield read_drawn(folder, len(recipe) if main else 0, batch_size)
