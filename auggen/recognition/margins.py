"""Margin heads: embeddings and labels -> logits with a margin on each sample's own class.

Letters: n rows, d embedding size, k classes.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def cosface(cosine: Float[Tensor, " n"], margin: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Returns cos(theta) - m (CosFace, arXiv 1801.09414, eq. 4)."""
    return cosine - margin


def arcface(cosine: Float[Tensor, " n"], margin: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Returns cos(theta + m), m in radians, with its true gradient (arXiv 1801.07698, eq. 3).

    Where theta + m would pass pi the cosine is no longer monotone; there the value continues
    linearly as cos(theta) - m sin(pi - m), as is common.
    """
    sine = (1.0 - cosine.square()).clamp_min(1e-12).sqrt()
    inside = cosine * margin.cos() - sine * margin.sin()
    beyond = cosine - margin * (math.pi - margin).sin()
    return torch.where(cosine > (math.pi - margin).cos(), inside, beyond)


def arcface_detached(
    cosine: Float[Tensor, " n"], margin: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Returns the value of `arcface` with the gradient of the plain cosine (straight-through)."""
    return cosine + (arcface(cosine, margin) - cosine).detach()


def adaface(
    cosine: Float[Tensor, " n"],
    margin: Float[Tensor, " n"],
    quality: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """Returns cos(theta + g_angle) - g_add, g_angle = -m q, g_add = m q + m (AdaFace, eq. 9-10).

    `quality` q in [-1, 1] is the normalised feature norm (eq. 8).
    """
    theta = cosine.clamp(-1 + 1e-3, 1 - 1e-3).acos()
    angle = (theta - margin * quality).clamp(1e-3, math.pi - 1e-3)
    return angle.cos() - (margin * quality + margin)


class MarginHead(nn.Module):
    """One weight vector per class; its cosine with an embedding, less the margin, times s."""

    norm_mean: Tensor
    norm_std: Tensor

    def __init__(self, kind: str, weight: Float[Tensor, "k d"], scale: float) -> None:
        super().__init__()
        self.kind = kind
        self.scale = scale
        self.weight = nn.Parameter(weight)
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_std", torch.tensor(100.0))

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        margin: Float[Tensor, " n"],
        excluded: Bool[Tensor, "n k"] | None = None,
    ) -> Float[Tensor, "n k"]:
        """Returns logits; `margin` is per row; `excluded` classes leave a row's softmax.

        In fp32 whatever the precision around it: a margin is a small difference of cosines.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._logits(embeddings.float(), labels, margin, excluded)

    def _logits(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        margin: Float[Tensor, " n"],
        excluded: Bool[Tensor, "n k"] | None,
    ) -> Float[Tensor, "n k"]:
        cosine = F.linear(F.normalize(embeddings), F.normalize(self.weight))
        own = cosine.gather(1, labels[:, None])[:, 0]
        if self.kind == "cosface":
            own = cosface(own, margin)
        elif self.kind == "arcface":
            own = arcface(own, margin)
        elif self.kind == "arcface_detached":
            own = arcface_detached(own, margin)
        else:
            own = adaface(own, margin, self._quality(embeddings))
        logits: Tensor = self.scale * cosine.scatter(1, labels[:, None], own[:, None])
        if excluded is not None:
            logits.masked_fill_(excluded, -torch.inf)
        return logits

    def _quality(self, embeddings: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Returns clip(h (|z| - mean) / (std + 1e-3), -1, 1), h = 0.333 (AdaFace, eq. 8)."""
        norms = embeddings.detach().norm(dim=1).clamp(1e-3, 100.0)
        if self.training:
            self.norm_mean.lerp_(norms.mean(), 0.01)
            self.norm_std.lerp_(norms.std(), 0.01)
        quality: Tensor = 0.333 * (norms - self.norm_mean) / (self.norm_std + 1e-3)
        return quality.clamp_(-1.0, 1.0)


def shares_source(labels: Int[Tensor, " n"], sources: Int[Tensor, "k 2"]) -> Bool[Tensor, "n k"]:
    """Marks, per row, the OTHER classes that have a source in common with the row's class.

    `sources` holds the two real classes of each class; a real class is its own source twice.
    So a mixed class meets its two sources and the mixes that share one, and a real class the
    mixes made from it; two real classes never share a source.
    """
    mine = sources[labels]
    shared = (mine[:, None, :, None] == sources[None, :, None, :]).any(-1).any(-1)
    return shared.scatter(1, labels[:, None], False)
