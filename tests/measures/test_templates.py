"""Templates and listed pairs against loops in float64, with shuffled rows."""

from itertools import product

import numpy as np
import pytest
import torch

from auggen.measures import templates as module
from auggen.measures.templates import PairIndex, media_weights, pool_weighted


def example(seed: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    templates = random.permutation(np.concatenate([np.arange(7), random.integers(0, 7, 40)]))
    media = random.choice([-5, 3, 10**9], 47)
    scores = random.uniform(0.2, 1, 47)
    return (
        torch.from_numpy(random.normal(size=(47, 8)).astype(np.float32)),
        templates,
        media,
        scores,
    )


@pytest.mark.parametrize("keep_norm", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_pooling_agrees_with_a_loop(keep_norm: bool, seed: int) -> None:
    x, templates, media, scores = example(seed)
    weights = media_weights(templates, media, scores)
    found = pool_weighted(x, templates, weights, 7, keep_norm=keep_norm)
    for template in range(7):
        total = np.zeros(8)
        rows = np.flatnonzero(templates == template)
        for medium in np.unique(media[rows]):
            frames = rows[media[rows] == medium]
            vectors = x[frames].numpy().astype(np.float64)
            if not keep_norm:
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            total += (scores[frames, None] * vectors).mean(axis=0)
        np.testing.assert_allclose(found[template], total / np.linalg.norm(total), atol=2e-6)


@pytest.mark.parametrize("table", [1, 40, 1 << 20])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_pair_scores_agree_with_a_loop(
    table: int, is_sorted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TABLE", table)
    random = np.random.default_rng(0)
    unit = torch.nn.functional.normalize(
        torch.from_numpy(random.normal(size=(30, 5)).astype(np.float32))
    )
    pairs = np.array(list(product([3, 4, 9, 20, 29], [0, 4, 11, 12, 28, 29])), dtype=np.int32)
    pairs = pairs if is_sorted else random.permutation(np.concatenate([pairs, pairs[:4]]))
    index = PairIndex.build(pairs[:, 0], pairs[:, 1])
    assert (index.order is None) or not is_sorted
    first, second = index.arrange(pairs[:, 0]), index.arrange(pairs[:, 1])
    slow = [float(unit[a].double() @ unit[b].double()) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(index.score(unit), slow, atol=1e-6)
    assert sorted(zip(first, second, strict=True)) == sorted(map(tuple, pairs.tolist()))
