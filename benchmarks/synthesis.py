"""Our sampler at the pilot's settings against Heun with 32 steps in fp32, same network."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from auggen.core.devices import start_accelerator
from auggen.core.params import read_params
from auggen.diffusion.checkpoint import load_generator
from auggen.diffusion.config import GeneratorConfig
from auggen.diffusion.network import Denoiser, build_denoiser
from auggen.diffusion.training import architecture_of
from auggen.synthesis.config import SynthesizeConfig
from auggen.synthesis.generation import Generator, Recipe, draw_batch
from benchmarks.contenders import PARAMS, SEED, Contender, training_faces

_TRAINED = Path("models/generator")
_HEUN = {"kind": "heun", "num_steps": 32, "precision": "fp32"}


def sampler(scratch: Path, *, heun: bool) -> Contender:
    """A whole batch drawn in a round, mixed identities as in the stage."""
    config = read_params(PARAMS, "synthesize", SynthesizeConfig)
    solver = config.sampler.model_copy(update=_HEUN if heun else {})
    accelerator = start_accelerator(solver.precision)
    network = _network(scratch).to(accelerator.device)
    generator = Generator(
        network=network,
        num_classes=network.num_classes,
        image_shape=(network.channels, network.image_size, network.image_size),
        mixing=config.mixing,
        batch_size=config.batch_size,
        sampler=solver,
        device=accelerator.device,
    )
    rows = torch.arange(config.batch_size)
    recipe = Recipe(
        source_i=rows % network.num_classes,
        source_j=(rows + 1) % network.num_classes,
        alpha=torch.full((len(rows),), 0.7),
        beta=torch.full((len(rows),), 0.7),
        seed=rows,
    )

    def run() -> int:
        return len(draw_batch(generator, recipe))

    return Contender(run, {"evaluations": _count_evaluations(generator, recipe)})


def _count_evaluations(generator: Generator, recipe: Recipe) -> int:
    calls = 0

    def network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.zeros_like(x)

    draw_batch(replace(generator, network=network), recipe)
    return calls


def _network(scratch: Path) -> Denoiser:
    if _TRAINED.is_dir():
        return load_generator(_TRAINED)
    config = read_params(PARAMS, "train_generator", GeneratorConfig)
    return build_denoiser(architecture_of(config, training_faces(scratch)), SEED).eval()


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "ours": partial(sampler, heun=False),
    "heun_32": partial(sampler, heun=True),
}
