"""The denoiser D(x; sigma, c): diffusers' UNet2DModel inside EDM's preconditioning.

Dimensions: n images, c channels, h x w pixels, k classes, a augmentation parameters.
"""

import math
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from auggen.core.params import Section
from auggen.diffusion import edm
from auggen.diffusion.augmentation import NUM_AUGMENTS
from auggen.diffusion.conditioning import ConditionLayer
from auggen.diffusion.config import check_levels


class Architecture(Section):
    """All that is needed to build the network: written to model.json beside the weights."""

    image_size: PositiveInt
    """Side of the square images, in pixels."""
    image_channels: PositiveInt
    """1 (grey) or 3 (RGB)."""
    num_classes: PositiveInt
    """Length of a condition vector."""
    patch_size: PositiveInt
    """Squares of this many pixels become channels before the network."""
    channels: list[PositiveInt]
    """Feature channels at each resolution, finest first."""
    layers_per_block: PositiveInt
    """Residual blocks per resolution on the way down."""
    attention_levels: Annotated[int, Field(ge=0)]
    """How many of the coarsest resolutions have self-attention."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Probability of zeroing a feature in training."""
    sigma_data: PositiveFloat
    """Standard deviation of the data, as the preconditioning assumes it."""


class Denoiser(nn.Module):
    """D_x = c_skip x + c_out F_x(c_in x, c_noise, condition) (EDM eq. 7).

    Conditions are arbitrary real vectors over the classes; they enter through a linear layer
    without bias, added to the noise-level embedding. The zero vector is the unconditional model.

    Raises:
        UserError: the image size cannot be halved often enough, or attention_levels is too large.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.num_classes = architecture.num_classes
        self.image_size = architecture.image_size
        self.channels: int = architecture.image_channels
        self.patch_size = architecture.patch_size
        self.network: nn.Module = _build_unet(architecture)
        width = architecture.channels[0] * 4
        self.class_layer = ConditionLayer(architecture.num_classes, width)
        self.augment_layer = ConditionLayer(NUM_AUGMENTS, width)

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        sigma: Float[Tensor, " n"],
        condition: Float[Tensor, "n k"],
        augment: Float[Tensor, "n a"] | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """Returns the expected clean images, in [-1, 1], given noisy ones.

        Args:
            x: Clean images plus noise of standard deviation sigma.
            sigma: Noise level of each image.
            condition: Weights of the classes; zeros for no class.
            augment: What was done to the clean images; None (untouched) when sampling.
        """
        sd = self.architecture.sigma_data
        embedding = self.class_layer(condition)
        if augment is not None:
            embedding = embedding + self.augment_layer(augment)
        level = sigma[:, None, None, None]
        patches = F.pixel_unshuffle(edm.c_in(level, sd) * x, self.patch_size)
        patches = patches.contiguous(memory_format=torch.channels_last)
        raw = self.network(patches, edm.c_noise(sigma), class_labels=embedding, return_dict=False)[
            0
        ]
        raw = F.pixel_shuffle(raw.to(x.dtype), self.patch_size)
        denoised: Tensor = edm.c_skip(level, sd) * x + edm.c_out(level, sd) * raw
        return denoised


def build_denoiser(architecture: Architecture, seed: int) -> Denoiser:
    """Returns a fresh network whose initial weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(architecture)
    # torch's stubs lack memory_format
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return denoiser


class _LeanBlock(ResnetBlock2D):
    """diffusers' block, less a copy to another memory layout and a division by 1."""

    def forward(
        self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n c2 h w"]:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(F.silu(embedding))[:, :, None, None]
        hidden = self.conv2(self.dropout(F.silu(self.norm2(hidden))))
        out: Tensor = hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return out


def _build_unet(architecture: Architecture) -> nn.Module:
    attentive = architecture.attention_levels
    check_levels(architecture.image_size, architecture.patch_size, architecture.channels, attentive)
    plain = len(architecture.channels) - attentive
    depth = architecture.image_channels * architecture.patch_size**2
    unet = UNet2DModel(  # type: ignore[no-untyped-call]  # diffusers' decorator is untyped
        sample_size=architecture.image_size // architecture.patch_size,
        in_channels=depth,
        out_channels=depth,
        block_out_channels=tuple(architecture.channels),
        layers_per_block=architecture.layers_per_block,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * attentive,
        up_block_types=("AttnUpBlock2D",) * attentive + ("UpBlock2D",) * plain,
        attention_head_dim=_head_width(architecture.channels),
        norm_num_groups=_num_groups(architecture.channels),
        dropout=architecture.dropout,
        class_embed_type="identity",
    )
    network = cast(nn.Module, unet)
    for module in network.modules():
        if isinstance(module, ResnetBlock2D):
            module.__class__ = _LeanBlock
    return network


def _num_groups(channels: list[int]) -> int:
    """Largest number of normalisation groups (at most 32) of at least 4 channels at every level."""
    common = math.gcd(*channels)
    return max(g for g in range(1, 33) if common % g == 0 and (common // g >= 4 or g == 1))


def _head_width(channels: list[int]) -> int:
    """Channels per attention head: the largest divisor of every level's channels up to 64."""
    common = math.gcd(*channels)
    return max(d for d in range(1, 65) if common % d == 0)
