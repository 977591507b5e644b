"""Samplers against the closed form of Gaussian data, whose ideal denoiser is linear.

For y ~ N(mu, s^2): D(x; sigma) = (s^2 x + sigma^2 mu) / (s^2 + sigma^2), and the ODE's solution is
x(sigma) = mu + (x_0 - mu) sqrt((s^2 + sigma^2) / (s^2 + sigma_max^2)).
"""

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from auggen.diffusion.samplers import SamplerConfig, condition_denoiser, sample, sigma_steps

MU, SPREAD = 0.3, 0.5


def _config(kind: str, num_steps: int, **changes: object) -> SamplerConfig:
    settings = {
        "kind": kind, "num_steps": num_steps, "sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0,
        "guidance": 1.0, "precision": "fp32",
    }  # fmt: skip
    return SamplerConfig.model_validate(settings | changes)


def _ideal(x: Tensor, sigma: Tensor) -> Tensor:
    level = sigma[:, None, None, None]
    return (SPREAD**2 * x + level**2 * MU) / (SPREAD**2 + level**2)


def _exact(noise: Tensor, sigma_max: float) -> Tensor:
    return MU + (noise * sigma_max - MU) * SPREAD / math.sqrt(SPREAD**2 + sigma_max**2)


def _error(kind: str, num_steps: int) -> float:
    noise = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = sample(_ideal, noise, _config(kind, num_steps))
    return float((drawn - _exact(noise, 80.0)).abs().max())


@pytest.mark.parametrize("kind", ["heun", "dpmpp"])
def test_end_point_is_the_exact_solution(kind: str) -> None:
    assert _error(kind, 60) < 0.03
    assert _error(kind, 400) < 2e-4


@pytest.mark.parametrize("kind", ["heun", "dpmpp"])
def test_order_of_convergence_is_two(kind: str) -> None:
    order = math.log2(_error(kind, 33) / _error(kind, 65))
    assert order == pytest.approx(2.0, abs=0.35)


@pytest.mark.parametrize("kind", ["heun", "dpmpp"])
def test_constant_denoiser_is_reached_exactly(kind: str) -> None:
    """A point mass at MU: every trajectory is a straight line that ends there."""
    noise = torch.randn(2, 1, 4, 4)
    drawn = sample(lambda x, sigma: torch.full_like(x, MU), noise, _config(kind, 5))
    assert torch.allclose(drawn, torch.full_like(noise, MU), atol=1e-5)


def test_schedule() -> None:
    steps = sigma_steps(_config("heun", 5))
    assert (steps[0], steps[-2], steps[-1]) == (pytest.approx(80.0), pytest.approx(0.002), 0.0)
    assert len(steps) == 6
    roots = [sigma ** (1 / 7.0) for sigma in steps[:-1]]
    gaps = [a - b for a, b in pairwise(roots)]
    assert gaps == pytest.approx([gaps[0]] * 4)


def test_noise_levels_the_wrong_way_round() -> None:
    for sigma_min in (80.0, 90.0):
        with pytest.raises(ValidationError, match="must be below sigma_max 80"):
            _config("dpmpp", 4, sigma_min=sigma_min)


@pytest.mark.parametrize(("kind", "evaluations"), [("heun", 2 * 7 - 1), ("dpmpp", 7)])
def test_number_of_evaluations(kind: str, evaluations: int) -> None:
    calls = []

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(sigma.tolist())
        return _ideal(x, sigma)

    sample(counting, torch.randn(3, 1, 4, 4), _config(kind, 7))
    assert len(calls) == evaluations
    assert all(len(set(sigmas)) == 1 and len(sigmas) == 3 for sigmas in calls)


@pytest.mark.parametrize("kind", ["heun", "dpmpp"])
def test_an_image_depends_on_its_own_noise_alone(kind: str) -> None:
    noise = torch.randn(4, 1, 4, 4, dtype=torch.float64)
    config = _config(kind, 6)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(sample(_ideal, noise, config)[order], sample(_ideal, noise[order], config))


def _labelled(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    return x * 0 + condition.sum(dim=1)[:, None, None, None]


def test_guidance_extrapolates_from_the_zero_condition() -> None:
    x, sigma, condition = torch.ones(2, 1, 2, 2), torch.ones(2), torch.tensor([[1.0, 0.0]] * 2)
    for guidance in (0.0, 0.5, 1.0, 2.5):
        denoised = condition_denoiser(_labelled, condition, guidance)(x, sigma)
        assert torch.equal(denoised, torch.full_like(x, guidance))


def test_guidance_one_needs_one_evaluation() -> None:
    calls = []

    def counting(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        calls.append(condition)
        return x

    condition_denoiser(counting, torch.ones(1, 2), 1.0)(torch.ones(1, 1, 2, 2), torch.ones(1))
    assert len(calls) == 1
