"""Deterministic samplers of the probability-flow ODE, from pure noise to a clean image.

The state x has noise level sigma; dx/dsigma = (x - D(x; sigma)) / sigma (EDM eq. 3).
Dimensions: n images, c channels, h x w pixels, k classes.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from auggen.core.devices import Precision, resolve_precision
from auggen.core.params import Section

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x [n c h w], sigma [n]) -> expected clean images [n c h w]."""


class SamplerConfig(Section):
    """How noise becomes images: the `synthesize.sampler` section of params.yaml."""

    kind: Literal["heun", "dpmpp"]
    """`heun`: EDM Algorithm 1 without churn, two evaluations a step; `dpmpp`: DPM-Solver++(2M)."""
    num_steps: Annotated[int, Field(ge=2)]
    """Steps from sigma_max to 0."""
    sigma_min: PositiveFloat
    """Last noise level above 0."""
    sigma_max: PositiveFloat
    """First noise level."""
    rho: PositiveFloat
    """Exponent of the schedule: larger puts more steps at low noise (EDM eq. 5)."""
    guidance: Annotated[float, Field(ge=0.0)]
    """Classifier-free guidance weight; 1 is off and costs no second evaluation."""
    precision: Precision
    """Of the network; the state itself keeps the precision of the noise."""

    @model_validator(mode="after")
    def _noise_falls(self) -> "SamplerConfig":
        if self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min {self.sigma_min:g} must be below sigma_max {self.sigma_max:g}"
            )
        return self


def sigma_steps(config: SamplerConfig) -> list[float]:
    """Returns num_steps noise levels from sigma_max to sigma_min, then 0 (EDM eq. 5)."""
    first, last = config.sigma_max ** (1 / config.rho), config.sigma_min ** (1 / config.rho)
    count = config.num_steps - 1
    return [(first + i / count * (last - first)) ** config.rho for i in range(count + 1)] + [0.0]


@torch.no_grad()
def sample(
    denoise: Denoise, noise: Float[Tensor, "n c h w"], config: SamplerConfig
) -> Float[Tensor, "n c h w"]:
    """Solves the ODE from `sigma_max * noise` down to 0.

    Args:
        denoise: The (conditioned, guided or mixed) denoiser; see `condition_denoiser`.
        noise: The first state over sigma_max: standard normal noise, plus a photograph over
            sigma_max if drawing starts from one. One image's result depends on its own row alone.
        config: Sampler, noise levels and precision.
    """
    bf16 = resolve_precision(config.precision) == "bf16"
    solve = {"heun": _heun, "dpmpp": _dpmpp}[config.kind]
    with torch.autocast(noise.device.type, dtype=torch.bfloat16, enabled=bf16):
        return solve(denoise, noise * config.sigma_max, sigma_steps(config))


def condition_denoiser(
    denoiser: Callable[[Tensor, Tensor, Tensor], Tensor],
    condition: Float[Tensor, "n k"],
    guidance: float = 1.0,
) -> Denoise:
    """Fixes the condition: D_u + guidance (D_c - D_u), with D_u the zero condition's output.

    Guidance 1 is D_c alone (arXiv 2207.12598 eq. 6 in terms of denoisers).
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        conditional = denoiser(x, sigma, condition)
        if guidance == 1.0:
            return conditional
        unconditional = denoiser(x, sigma, torch.zeros_like(condition))
        return unconditional + guidance * (conditional - unconditional)

    return denoise


def _heun(denoise: Denoise, x: Tensor, sigmas: list[float]) -> Tensor:
    """EDM Algorithm 1 with S_churn = 0: Euler step, then the trapezoidal correction."""
    for sigma, following in pairwise(sigmas):
        slope = (x - denoise(x, x.new_full((len(x),), sigma))) / sigma
        euler = x + (following - sigma) * slope
        if following == 0.0:
            return euler
        next_slope = (euler - denoise(euler, x.new_full((len(x),), following))) / following
        x = x + (following - sigma) * 0.5 * (slope + next_slope)
    return x


def _dpmpp(denoise: Denoise, x: Tensor, sigmas: list[float]) -> Tensor:
    """DPM-Solver++(2M), arXiv 2211.01095 Algorithm 2, with alpha = 1 and lambda = -ln(sigma)."""
    previous: Tensor | None = None
    for i in range(len(sigmas) - 1):
        sigma, following = sigmas[i], sigmas[i + 1]
        denoised = denoise(x, x.new_full((len(x),), sigma))
        target = denoised
        if previous is not None and following > 0.0:
            ratio = _log_ratio(sigmas[i - 1], sigma) / _log_ratio(sigma, following)
            target = denoised + (denoised - previous) / (2.0 * ratio)
        x = following / sigma * x + (1.0 - following / sigma) * target
        previous = denoised
    return x


def _log_ratio(high: float, low: float) -> float:
    return math.log(high / low)
