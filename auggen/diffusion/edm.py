"""EDM: preconditioning, noise levels and loss (Karras et al. 2022, arXiv 2206.00364, Table 1).

Dimensions: n images, c channels, h x w pixels. All formulas work on any tensor of sigmas.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def c_skip(sigma: Float[Tensor, "*s"], sigma_data: float) -> Float[Tensor, "*s"]:
    """Weight of the noisy image in the output: sd^2 / (sigma^2 + sd^2) (EDM Table 1, eq. 7)."""
    return sigma_data**2 / (sigma**2 + sigma_data**2)


def c_out(sigma: Float[Tensor, "*s"], sigma_data: float) -> Float[Tensor, "*s"]:
    """Scale of the network's output: sigma sd / sqrt(sigma^2 + sd^2) (EDM Table 1)."""
    return sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()


def c_in(sigma: Float[Tensor, "*s"], sigma_data: float) -> Float[Tensor, "*s"]:
    """Scale of the network's input, giving unit variance: 1 / sqrt(sigma^2 + sd^2)."""
    return 1.0 / (sigma**2 + sigma_data**2).sqrt()


def c_noise(sigma: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The noise level as the network is told it: ln(sigma) / 4 (EDM Table 1)."""
    return sigma.log() / 4.0


def loss_weight(sigma: Float[Tensor, "*s"], sigma_data: float) -> Float[Tensor, "*s"]:
    """lambda(sigma) = (sigma^2 + sd^2) / (sigma sd)^2 = 1 / c_out^2 (EDM Table 1)."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def draw_sigma(
    count: int, p_mean: float, p_std: float, generator: torch.Generator
) -> Float[Tensor, " n"]:
    """Draws training noise levels: ln(sigma) ~ N(P_mean, P_std^2) (EDM Table 1)."""
    return (torch.randn(count, generator=generator) * p_std + p_mean).exp()


def denoising_loss(
    denoised: Float[Tensor, "n c h w"],
    clean: Float[Tensor, "n c h w"],
    sigma: Float[Tensor, " n"],
    sigma_data: float,
) -> Float[Tensor, ""]:
    """Mean over images and pixels of lambda(sigma) (D_x - y)^2 (EDM eq. 2 and Table 1)."""
    squares = (denoised.float() - clean).square().mean(dim=(1, 2, 3))
    return (loss_weight(sigma, sigma_data) * squares).mean()
