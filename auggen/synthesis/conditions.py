"""Mixing two identities: in the condition (AugGen) or in the score (ScoreMix).

Dimensions: n images, k real classes, c channels, h height, w width.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from auggen.diffusion.samplers import Denoise, condition_denoiser

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [n c h w], sigma [n], condition [n k]) -> D_x [n c h w]"""


def mix_conditions(
    source_i: Int64[Tensor, " n"],
    source_j: Int64[Tensor, " n"],
    alpha: Float[Tensor, " n"],
    beta: Float[Tensor, " n"],
    num_classes: int,
) -> Float[Tensor, "n k"]:
    """Returns c_star = alpha * c_i + beta * c_j, c one-hot (AugGen, arXiv 2503.11544).

    alpha + beta need not be 1. The condition enters the network through a bias-free linear layer,
    so the mix acts linearly there.
    """
    condition = torch.zeros(len(source_i), num_classes, dtype=alpha.dtype, device=alpha.device)
    condition.scatter_add_(1, source_i[:, None], alpha[:, None])
    return condition.scatter_add_(1, source_j[:, None], beta[:, None])


def mix_scores(
    network: Network,
    c_i: Float[Tensor, "n k"],
    c_j: Float[Tensor, "n k"],
    weight: Float[Tensor, " n"],
    guidance: float = 1.0,
) -> Denoise:
    """Returns D(x; sigma) = lambda D(x; sigma, c_i) + (1 - lambda) D(x; sigma, c_j).

    ScoreMix, arXiv 2506.10226: two evaluations a step. The mix must be convex, for with weights
    that do not sum to 1 images turn grey or saturate. The score is linear in D, so mixing
    denoisers mixes scores.

    Args:
        network: the denoiser.
        c_i: one-hot conditions of the first sources.
        c_j: one-hot conditions of the second sources.
        weight: lambda of each image, in [0, 1].
        guidance: classifier-free guidance weight; 1 is off.
    """
    first = condition_denoiser(network, c_i, guidance)
    second = condition_denoiser(network, c_j, guidance)
    share = weight[:, None, None, None]

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return share * first(x, sigma) + (1 - share) * second(x, sigma)

    return denoise
