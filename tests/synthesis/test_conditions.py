import torch
from torch import Tensor

from auggen.synthesis.conditions import mix_conditions, mix_scores

FIRST, SECOND = torch.tensor([0, 3]), torch.tensor([2, 3])


def test_c_star_has_the_weights_at_the_sources() -> None:
    c_star = mix_conditions(FIRST, SECOND, torch.tensor([0.7, 0.4]), torch.tensor([0.9, 0.5]), 4)
    torch.testing.assert_close(c_star, torch.tensor([[0.7, 0, 0.9, 0], [0, 0, 0, 0.9]]))


def test_one_source_twice_with_no_second_weight_is_one_hot() -> None:
    c_star = mix_conditions(SECOND, SECOND, torch.ones(2), torch.zeros(2), 4)
    assert torch.equal(c_star, torch.nn.functional.one_hot(SECOND, 4).float())


def test_swapping_sources_and_weights_changes_nothing() -> None:
    alpha, beta = torch.tensor([0.7, 0.4]), torch.tensor([0.9, 0.5])
    assert torch.equal(
        mix_conditions(FIRST, SECOND, alpha, beta, 4), mix_conditions(SECOND, FIRST, beta, alpha, 4)
    )


def cubic(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    """Not linear in the condition: mixing conditions and mixing scores differ."""
    return x * sigma[:, None, None, None] + (condition.sum(1) ** 3)[:, None, None, None]


def test_mixed_score_is_the_convex_sum() -> None:
    x, sigma = torch.ones(2, 1, 2, 2), torch.tensor([1.0, 2.0])
    c_i, c_j = torch.tensor([[1.0, 0], [2, 0]]), torch.tensor([[0, 0.0], [0, 1]])
    weight = torch.tensor([0.5, 0.25])
    mixed = mix_scores(cubic, c_i, c_j, weight)(x, sigma)
    torch.testing.assert_close(mixed[:, 0, 0, 0], torch.tensor([1 + 0.5, 2 + 0.25 * 8 + 0.75]))


def test_guidance_of_mixed_scores_is_linear() -> None:
    """D_0 + g (D - D_0) of the mix: here D_0 = x sigma."""
    x, sigma = torch.ones(2, 1, 2, 2), torch.tensor([1.0, 2.0])
    c_i, c_j = torch.tensor([[1.0, 0], [2, 0]]), torch.tensor([[0, 0.0], [0, 1]])
    half = torch.tensor([0.5, 0.5])
    plain = mix_scores(cubic, c_i, c_j, half)(x, sigma)
    guided = mix_scores(cubic, c_i, c_j, half, guidance=1.5)(x, sigma)
    bare = cubic(x, sigma, torch.zeros(2, 2))
    torch.testing.assert_close(guided, bare + 1.5 * (plain - bare))
