"""The denoiser: linear conditions, the zero condition, preconditioning, any size."""

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D

from auggen.core.errors import UserError
from auggen.diffusion import edm
from auggen.diffusion.conditioning import ConditionLayer, drop_conditions, one_hot
from auggen.diffusion.network import Architecture, build_denoiser


def test_condition_layer_is_linear() -> None:
    layer = ConditionLayer(5, 16)
    c_i, c_j = one_hot(torch.tensor([1]), 5), one_hot(torch.tensor([3]), 5)
    mixed = layer(0.7 * c_i + 0.9 * c_j)
    assert torch.allclose(mixed, 0.7 * layer(c_i) + 0.9 * layer(c_j), atol=1e-6)
    assert not layer(torch.zeros(2, 5)).any()
    assert layer.bias is None


def test_condition_layer_keeps_float32_under_autocast() -> None:
    layer, condition = ConditionLayer(5, 16), torch.rand(2, 5)
    expected = layer(condition)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(condition), expected)


def test_dropped_conditions_are_zero_and_kept_ones_untouched() -> None:
    condition = one_hot(torch.tensor([0, 2, 1]), 3)
    dropped = drop_conditions(condition, torch.tensor([True, False, True]))
    assert dropped.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_weights_depend_on_the_seed_alone(architecture: Architecture) -> None:
    before = torch.random.get_rng_state()
    a, b, c = (build_denoiser(architecture, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    assert not torch.equal(a.class_layer.weight, c.class_layer.weight)


def test_residual_blocks_compute_what_those_of_diffusers_do(architecture: Architecture) -> None:
    blocks = [m for m in build_denoiser(architecture, 0).modules() if isinstance(m, ResnetBlock2D)]
    assert len(blocks) > 5
    for block in blocks:
        x = torch.randn(2, block.in_channels, 8, 8)
        embedding = torch.randn(2, block.time_emb_proj.in_features)
        block.train()
        torch.manual_seed(0)
        ours = block(x, embedding)
        torch.manual_seed(0)
        assert torch.allclose(ours, ResnetBlock2D.forward(block, x, embedding), atol=1e-6)


def test_output_is_preconditioned(architecture: Architecture) -> None:
    """With a silent network D_x is c_skip x; with its last bias 1, c_skip x + c_out."""
    denoiser = build_denoiser(architecture, 0).eval()
    torch.nn.init.zeros_(denoiser.network.conv_out.weight)
    torch.nn.init.zeros_(denoiser.network.conv_out.bias)
    x, sigma = torch.randn(3, 1, 16, 16), torch.tensor([0.01, 0.5, 40.0])
    level, condition = sigma[:, None, None, None], torch.zeros(3, 3)
    expected = edm.c_skip(level, 0.5) * x
    assert torch.allclose(denoiser(x, sigma, condition), expected)
    torch.nn.init.ones_(denoiser.network.conv_out.bias)
    assert torch.allclose(denoiser(x, sigma, condition), expected + edm.c_out(level, 0.5))


def test_no_augmentation_label_is_the_zero_label(architecture: Architecture) -> None:
    denoiser = build_denoiser(architecture, 0).eval()
    x, sigma, condition = torch.randn(2, 1, 16, 16), torch.ones(2), torch.rand(2, 3)
    zero, some = torch.zeros(2, 8), torch.ones(2, 8)
    assert torch.equal(denoiser(x, sigma, condition), denoiser(x, sigma, condition, zero))
    assert not torch.equal(denoiser(x, sigma, condition), denoiser(x, sigma, condition, some))


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 48, "image_channels": 3, "channels": [6, 12, 12]},
        {"image_size": 48, "image_channels": 3, "patch_size": 2, "channels": [8, 8]},
        {"image_size": 112, "image_channels": 3, "channels": [4, 4, 8, 8], "attention_levels": 2},
        {"image_size": 15, "channels": [5], "attention_levels": 0},
        {"image_size": 16, "channels": [16, 24], "attention_levels": 2, "layers_per_block": 2},
    ],
)
def test_any_size_and_channels(architecture: Architecture, changes: dict[str, object]) -> None:
    wanted = architecture.model_copy(update=changes)
    denoiser = build_denoiser(wanted, 0).eval()
    x = torch.randn(2, wanted.image_channels, wanted.image_size, wanted.image_size)
    with torch.no_grad():
        denoised = denoiser(x, torch.ones(2), torch.rand(2, 3))
    assert denoised.shape == x.shape
    assert denoised.isfinite().all()
    assert (denoiser.num_classes, denoiser.image_size) == (3, wanted.image_size)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 18, "channels": [4, 4, 8]}, "multiple of 4 pixels, but they are 18"),
        ({"image_size": 30, "patch_size": 2, "channels": [4, 8]}, "multiple of 4 pixels"),
        ({"attention_levels": 3}, "attention_levels is 3, more than the 2 levels"),
    ],
)
def test_impossible_networks_are_refused(
    architecture: Architecture, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_denoiser(architecture.model_copy(update=changes), 0)
