"""Counts of arithmetic and weights against a loop over the layers of a real network."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from auggen.core.errors import UserError
from auggen.plan.networks import describe_backbone, describe_generator, network_calls
from auggen.plan.settings import Settings, Sizes
from auggen.recognition.backbones import Backbone


def by_hand(network: nn.Module, image: Tensor) -> tuple[float, float]:
    """Forward and forward-backward operations of convolutions and linear layers for one image."""
    forward: list[float] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        forward.append(2.0 * output[0].numel() * weight[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(image)
    return sum(forward), 3 * sum(forward) - forward[0]  # pixels need no gradient


def test_backbone_by_hand(settings: Settings) -> None:
    config, side = settings.train_fr, settings.prepare.image_size
    backbone = Backbone(
        config.backbone,
        channels=1,
        image_size=side,
        width=config.width,
        embedding_size=config.embedding_size,
        dropout=config.dropout,
    )
    network = describe_backbone(settings)
    assert network.weights == sum(p.numel() for p in backbone.parameters())
    expected = by_hand(backbone, torch.zeros(1, 1, side, side))
    assert (network.forward_flops, network.training_flops) == pytest.approx(expected)


def test_ir_50_is_the_literature_s(settings: Settings) -> None:
    """43.6 M weights and 6.3 G multiply-adds at 112x112 RGB."""
    update = {"backbone": "ir_50", "width": 64, "embedding_size": 512}
    full = replace(
        settings,
        prepare=settings.prepare.model_copy(update={"image_size": 112, "channels": 3}),
        train_fr=settings.train_fr.model_copy(update=update),
    )
    network = describe_backbone(full)
    assert network.weights / 1e6 == pytest.approx(43.6, abs=0.05)
    assert network.forward_flops / 2e9 == pytest.approx(6.3, abs=0.05)


def test_generator_grows_with_the_image(settings: Settings, sizes: Sizes) -> None:
    larger = replace(settings, prepare=settings.prepare.model_copy(update={"image_size": 32}))
    small, large = describe_generator(settings, sizes), describe_generator(larger, sizes)
    assert small.weights == large.weights
    assert large.forward_flops / small.forward_flops == pytest.approx(4, rel=0.1)
    assert large.activation_bytes / small.activation_bytes == pytest.approx(4, rel=0.2)
    assert 2.5 < small.training_flops / small.forward_flops <= 3.0


def test_an_image_that_cannot_be_halved(settings: Settings, sizes: Sizes) -> None:
    prepare = settings.prepare.model_copy(update={"image_size": 33})
    with pytest.raises(UserError, match="images must be a multiple of"):
        describe_generator(replace(settings, prepare=prepare), sizes)


def test_a_person_more_is_a_row_more(settings: Settings, sizes: Sizes) -> None:
    more = describe_generator(settings, replace(sizes, real_people=sizes.real_people + 1))
    width = 4 * settings.train_generator.channels[0]
    assert more.weights - describe_generator(settings, sizes).weights == width


@pytest.mark.parametrize(
    ("kind", "guidance", "calls"),
    [("heun", 1.0, 5), ("dpmpp", 1.0, 3), ("dpmpp", 2.0, 6), ("heun", 2.0, 10)],
)
def test_network_calls(settings: Settings, kind: str, guidance: float, calls: int) -> None:
    sampler = settings.synthesize.sampler.model_copy(update={"kind": kind, "guidance": guidance})
    synthesize = settings.synthesize.model_copy(update={"sampler": sampler})
    changed = replace(settings, synthesize=synthesize)
    assert network_calls(changed) == calls
