"""Muon: weight matrices move along the nearest orthogonal matrix to their averaged gradient.

K. Jordan et al. 2024, kellerjordan.github.io/posts/muon, with the step size of arXiv 2502.16982,
eq. 4. torch.optim.Muon takes no kernels of convolutions and rounds to bf16, which processors
without that arithmetic compute twenty times more slowly. Dimensions: o outputs, i inputs of a
layer (inputs times places for a convolution), n matrices of one shape.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

_MOMENTUM = 0.95
_STEPS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Jordan's a x + b x^3 + c x^5: five times over it takes (0.003, 1] into about [0.7, 1.2]."""
_RMS = 0.2
"""Usual size of an entry of Adam's updates, so that both take the same learning rates."""


class Muon(torch.optim.Optimizer):
    """Momentum 0.95 in Nesterov's form, made orthogonal; for parameters of two or more dimensions.

    The first dimension of a parameter is its outputs, all others together its inputs.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(list(params), {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is served
        """Makes one update; every parameter must have its gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                updates = orthogonalise(torch.stack([self._direction(p) for p in parameters]))
                scale = group["lr"] * _RMS * max(updates.shape[1:]) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    kernel = update.view(parameter.movedim(1, -1).shape)
                    parameter.sub_(kernel.movedim(-1, 1), alpha=scale)

    def _direction(self, parameter: Tensor) -> Float[Tensor, "o i"]:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"].lerp_(parameter.grad, 1 - _MOMENTUM)
        ahead = parameter.grad.lerp(momentum, _MOMENTUM)
        return ahead.movedim(1, -1).reshape(len(ahead), -1)  # no copy of channels_last kernels


def orthogonalise(matrices: Float[Tensor, "n o i"]) -> Float[Tensor, "n o i"]:
    """Moves singular values to about 1, keeps singular vectors: Newton and Schulz's iteration.

    Every step multiplies a matrix X by a polynomial of X X^T, which is itself multiplied by its
    square: so the steps are taken on that small square matrix and X is multiplied once.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalise(matrices.mT).mT
    square = matrices @ matrices.mT
    trace = square.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None].clamp(min=1e-14)
    square = square / trace
    identity = torch.eye(square.shape[1], device=square.device, dtype=square.dtype)
    product = identity.expand_as(square)
    for step in range(_STEPS):
        factor = torch.baddbmm(_A * identity, square, square, alpha=_C) + _B * square
        product = factor @ product
        if step < _STEPS - 1:
            square = factor @ square @ factor
    return product @ (matrices / trace.sqrt())
