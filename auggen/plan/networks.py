"""Weights, arithmetic and activations of both networks, counted without computing anything.

Networks are built of fake tensors, which have shapes and no memory, so that any size can be asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from auggen.diffusion.network import Architecture, Denoiser
from auggen.plan.settings import Settings, Sizes
from auggen.recognition.backbones import Backbone

_ROWS = 2  # batch norm refuses one
_FLOAT = 4


@dataclass(frozen=True)
class Network:
    """What a network is made of and what it does to one image."""

    weights: int
    """Number of parameters."""
    forward_flops: float
    """Floating-point operations of a forward pass of one image; a multiply-add counts as two."""
    training_flops: float
    """The same, forward and backward."""
    activation_bytes: float
    """Memory that one image's forward pass keeps for its backward pass, in fp32."""


def architecture_of(settings: Settings, num_classes: int) -> Architecture:
    """Returns the denoiser that `train_generator` would build for so many people."""
    shared = settings.train_generator.model_dump(include=set(Architecture.model_fields))
    return Architecture(
        image_size=settings.prepare.image_size,
        image_channels=settings.prepare.channels,
        num_classes=num_classes,
        **shared,
    )


def describe_generator(settings: Settings, sizes: Sizes) -> Network:
    """Counts the denoiser for the number of training people."""
    side, channels = settings.prepare.image_size, settings.prepare.channels
    architecture = architecture_of(settings, sizes.real_people)

    def inputs() -> tuple[Tensor, ...]:
        images = torch.empty(_ROWS, channels, side, side)
        return images, torch.empty(_ROWS), torch.empty(_ROWS, sizes.real_people)

    return _describe(lambda: Denoiser(architecture), inputs)


def describe_backbone(settings: Settings) -> Network:
    """Counts the recogniser without its margin head."""
    side, channels, config = (
        settings.prepare.image_size,
        settings.prepare.channels,
        (settings.train_fr),
    )

    def build() -> nn.Module:
        return Backbone(
            config.backbone,
            channels=channels,
            image_size=side,
            width=config.width,
            embedding_size=config.embedding_size,
            dropout=config.dropout,
        )

    return _describe(build, lambda: (torch.empty(_ROWS, channels, side, side),))


def _describe(build: Callable[[], nn.Module], inputs: Callable[[], tuple[Tensor, ...]]) -> Network:
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with FakeTensorMode():
        network = build().train()
        with FlopCounterMode(display=False) as counter:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                out = network(*inputs())
            forward, saved = counter.get_total_flops(), sum(kept.values())
            out.sum().backward()
            training = counter.get_total_flops()
        weights = sum(parameter.numel() for parameter in network.parameters())
    activations = max(0, saved - _FLOAT * weights) / _ROWS
    return Network(weights, forward / _ROWS, training / _ROWS, activations)


def network_calls(settings: Settings) -> int:
    """Returns how often the denoiser sees an image that is drawn by one condition."""
    sampler = settings.synthesize.sampler
    steps = 2 * sampler.num_steps - 1 if sampler.kind == "heun" else sampler.num_steps
    return steps * (1 if sampler.guidance == 1.0 else 2)
