"""A denoiser whose samples are known in closed form, and small configs."""

import pytest
import torch
from torch import Tensor

from auggen.diffusion.samplers import SamplerConfig
from auggen.synthesis.config import SynthesizeConfig
from auggen.synthesis.generation import Generator

NUM_CLASSES = 5
SAMPLER = {
    "kind": "heun",
    "num_steps": 4,
    "sigma_min": 0.01,
    "sigma_max": 10.0,
    "rho": 7.0,
    "guidance": 1.0,
    "precision": "fp32",
}


def linear_network(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    """Denoises to a flat grey of level sum_k condition_k * (k - 2) / 4, plus a little of x."""
    level = condition @ (torch.arange(condition.shape[1]) - 2.0) / 4
    return level[:, None, None, None] + 0.01 * x / (1 + sigma[:, None, None, None])


@pytest.fixture
def sampler() -> SamplerConfig:
    return SamplerConfig.model_validate(SAMPLER)


@pytest.fixture
def generator(sampler: SamplerConfig) -> Generator:
    return Generator(
        linear_network, NUM_CLASSES, (1, 4, 4), "condition", 4, sampler, torch.device("cpu")
    )


@pytest.fixture
def config(sampler: SamplerConfig) -> SynthesizeConfig:
    return SynthesizeConfig(
        mixing="condition",
        pair_rule="random",
        num_classes=6,
        images_per_class=3,
        anew_images=0,
        start_sigma=0.0,
        batch_size=4,
        seed=0,
        sampler=sampler,
    )
