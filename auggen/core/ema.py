"""Exponential moving average of the weights, with a warm-up."""

from collections.abc import Sequence

import torch
from torch import Tensor


def ema_decay_at(step: int, decay: float) -> float:
    """Returns the decay of update `step` (from 0): min(decay, (1 + step) / (10 + step)).

    Early on the average forgets fast, so that it does not remember the initial weights.
    """
    return min(decay, (1.0 + step) / (10.0 + step))


@torch.no_grad()
def update_ema(average: Sequence[Tensor], current: Sequence[Tensor], decay: float) -> None:
    """Moves `average` in place: average <- decay average + (1 - decay) current."""
    torch._foreach_lerp_(list(average), list(current), 1.0 - decay)
