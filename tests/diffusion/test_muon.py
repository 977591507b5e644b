"""Muon: singular values by hand, torch's own for plain matrices, kernels as matrices."""

import pytest
import torch
from torch import Tensor, nn

from auggen.diffusion.muon import Muon, orthogonalise


def _drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def _five_times(value: float) -> float:
    """Jordan's polynomial on one singular value, as a number."""
    for _ in range(5):
        value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
    return value


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6)])
def test_singular_values_follow_the_polynomial(shape: tuple[int, int]) -> None:
    matrices = _drawn(3, *shape, dtype=torch.float64)
    for matrix, found in zip(matrices, orthogonalise(matrices), strict=True):
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        moved = [_five_times(float(value / values.norm())) for value in values]
        expected = left @ torch.diag(torch.tensor(moved, dtype=torch.float64)) @ right
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
        assert all(0.6 < value < 1.3 for value in moved[:-1])


def _after_steps(weight: Tensor, gradients: list[Tensor], kind: str) -> Tensor:
    parameter = nn.Parameter(weight.clone(memory_format=torch.preserve_format))
    optimizer: torch.optim.Optimizer = Muon([parameter], lr=0.1)
    if kind == "torch":
        optimizer = torch.optim.Muon(
            [parameter], lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        )
    for gradient in gradients:
        parameter.grad = gradient.clone(memory_format=torch.preserve_format)
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_plain_matrices_move_as_torch_moves_them(shape: tuple[int, int]) -> None:
    """Up to the rounding to bf16, which torch does."""
    weight, gradients = torch.zeros(shape), list(_drawn(3, *shape))
    ours, theirs = (_after_steps(weight, gradients, kind) for kind in ("ours", "torch"))
    assert float((ours - theirs).norm() / theirs.norm()) < 0.02


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (40, 2, 3, 3), (9, 4, 1, 1)])
def test_a_kernel_is_a_matrix_whatever_its_memory_format(shape: tuple[int, ...]) -> None:
    weight, gradients = _drawn(*shape), [_drawn(*shape)]
    plain = _after_steps(weight, gradients, "ours")
    last = {"memory_format": torch.channels_last}
    turned = _after_steps(weight.to(**last), [gradients[0].to(**last)], "ours")
    flat = _after_steps(weight.flatten(1), [gradients[0].flatten(1)], "ours")
    torch.testing.assert_close(turned, plain)
    torch.testing.assert_close(flat.view_as(plain), plain)
    assert turned.is_contiguous(**last)
    assert not torch.equal(plain, weight)


def test_without_a_gradient_nothing_moves() -> None:
    weight = _drawn(3, 5)
    assert torch.equal(_after_steps(weight, [torch.zeros(3, 5)], "ours"), weight)
