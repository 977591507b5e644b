"""Which two real identities are mixed.

Dimensions: k real classes, p pairs, d embedding size.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import torch_generator
from auggen.synthesis.config import PairRule

_BLOCK = 1024


def count_pairs(num_classes: int) -> int:
    """Returns k (k - 1) / 2, the number of distinct pairs."""
    return num_classes * (num_classes - 1) // 2


def sample_identity_pairs(
    num_pairs: int,
    num_classes: int,
    rule: PairRule,
    seed: int,
    *,
    field: str,
    centres: Callable[[], Tensor] | None = None,
) -> Int64[Tensor, "p 2"]:
    """Returns distinct pairs (i, j), i < j; asking for more pairs extends the same list.

    Args:
        num_pairs: how many.
        num_classes: number of real identities.
        rule: random (AugGen); distant (ScoreMix's finding) or close: by cosine of the centres.
        seed: of the random rule.
        field: the param that asked, for the error.
        centres: computes the L2-normalised class centres [k d] in M_orig's space; the random
            rule does without.

    Raises:
        UserError: there are fewer distinct pairs than asked for.
    """
    available = count_pairs(num_classes)
    if num_pairs > available:
        raise UserError(
            f"`{field}` is {num_pairs}, but {num_classes} real identities give only {available} "
            f"distinct pairs; set it to {available} or less, or add identities"
        )
    if rule == "random" or num_pairs == 0:
        return _random_pairs(num_pairs, num_classes, seed)
    if centres is None:
        raise ValueError(f"pair rule {rule} needs the class centres")
    return _ordered_pairs(num_pairs, centres(), descending=rule == "close")


def _random_pairs(num_pairs: int, num_classes: int, seed: int) -> Int64[Tensor, "p 2"]:
    """Draws pairs until enough distinct ones are seen: no list of all pairs is ever held."""
    generator = torch_generator(seed, "pairs")
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < num_pairs:
        for i, j in torch.randint(num_classes, (_BLOCK, 2), generator=generator).tolist():
            if i != j:
                pairs[min(i, j), max(i, j)] = None
    return torch.tensor(list(pairs)[:num_pairs], dtype=torch.int64).reshape(-1, 2)


def _ordered_pairs(
    num_pairs: int, centres: Float[Tensor, "k d"], *, descending: bool
) -> Int64[Tensor, "p 2"]:
    """Keeps the best pairs block by block; ties go to the smaller (i, j)."""
    best = torch.empty(0, dtype=centres.dtype)
    kept = torch.empty(0, 2, dtype=torch.int64)
    for start in range(0, len(centres), _BLOCK):
        cosine = centres[start : start + _BLOCK] @ centres.T
        i, j = torch.ones_like(cosine, dtype=torch.bool).triu(start + 1).nonzero().T
        best = torch.cat([best, cosine[i, j]])
        kept = torch.cat([kept, torch.stack([i + start, j], 1)])
        order = torch.sort(best, stable=True, descending=descending).indices[:num_pairs]
        best, kept = best[order], kept[order]
    return kept
