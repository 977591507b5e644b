"""IR residual networks: image -> raw embedding.

Deng et al., ArcFace, arXiv 1801.07698, section 3.1 ("improved residual" units).
Letters: n images, c channels, h = w pixels, d embedding size.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

UNITS = {
    "small": (1, 1, 1, 1),
    "ir_18": (2, 2, 2, 2),
    "ir_34": (3, 4, 6, 3),
    "ir_50": (3, 4, 14, 3),
    "ir_100": (3, 13, 30, 3),
}


class IRUnit(nn.Module):
    """BN - conv - BN - PReLU - conv(stride) - BN, plus the shortcut.

    `early` puts the stride on the first convolution, at about half the cost.
    """

    def __init__(self, num_in: int, num_out: int, stride: int, *, early: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if early else (1, stride)
        self.body = nn.Sequential(
            nn.BatchNorm2d(num_in),
            nn.Conv2d(num_in, num_out, 3, first, 1, bias=False),
            nn.BatchNorm2d(num_out),
            nn.PReLU(num_out),
            nn.Conv2d(num_out, num_out, 3, second, 1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        if num_in == num_out and stride == 1:
            self.shortcut: nn.Module = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out)
            )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Applies the unit."""
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


class Backbone(nn.Module):
    """Stem, four stages that each halve the side, then BN - dropout - linear - BN1d."""

    def __init__(
        self,
        kind: str,
        *,
        channels: int,
        image_size: int,
        width: int,
        embedding_size: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        units: list[nn.Module] = []
        num_in, side = width, image_size
        for stage, depth in enumerate(UNITS[kind]):
            num_out = width << stage
            for index in range(depth):
                stride = 2 if index == 0 else 1
                units.append(IRUnit(num_in, num_out, stride, early=kind == "small"))
                num_in = num_out
            side = (side + 1) // 2
        self.units = nn.Sequential(*units)
        self.tail = nn.Sequential(
            nn.BatchNorm2d(num_in),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(num_in * side * side, embedding_size),
            nn.BatchNorm1d(embedding_size),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Maps images in [-1, 1] to raw (not normalised) embeddings."""
        out: Tensor = self.tail(self.units(self.stem(x)))
        return out


def build_backbone(
    kind: str,
    *,
    channels: int,
    image_size: int,
    width: int,
    embedding_size: int,
    dropout: float,
    seed: int,
) -> Backbone:
    """Returns a freshly initialised backbone that depends on the arguments alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Backbone(
            kind,
            channels=channels,
            image_size=image_size,
            width=width,
            embedding_size=embedding_size,
            dropout=dropout,
        )
