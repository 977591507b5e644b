"""Condition vectors: any real vector over the classes; all zeros means unconditional.

Dimensions: n images, k classes, e embedding width.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


def one_hot(labels: Int64[Tensor, " n"], num_classes: int) -> Float[Tensor, "n k"]:
    """Returns the condition vectors of plain classes."""
    return nn.functional.one_hot(labels, num_classes).float()


def drop_conditions(
    condition: Float[Tensor, "n k"], keep: Bool[Tensor, " n"]
) -> Float[Tensor, "n k"]:
    """Zeroes the vectors that are not kept, so that the network also learns without a class."""
    return condition * keep[:, None]


class ConditionLayer(nn.Linear):
    """Linear map without bias: alpha c_i + beta c_j embeds as alpha e_i + beta e_j exactly.

    One-hot vectors start as embeddings with unit-variance components, whatever k is.
    """

    def __init__(self, num_inputs: int, width: int) -> None:
        super().__init__(num_inputs, width, bias=False)
        nn.init.normal_(self.weight)

    def forward(self, condition: Float[Tensor, "n k"]) -> Float[Tensor, "n e"]:
        """Returns embeddings; in float32 also under autocast, since the norm carries meaning."""
        with torch.autocast(condition.device.type, enabled=False):
            return super().forward(condition.float())
