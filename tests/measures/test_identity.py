"""Identity measures against slow loops and hand-made geometry."""

import math

import numpy as np
import pytest
import torch

from auggen.core.seeds import torch_generator
from auggen.measures import identity
from auggen.measures.embeddings import normalise


def random_embeddings(*shape: int) -> torch.Tensor:
    return normalise(torch.randn(shape, generator=torch_generator(0, "embeddings")))


LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])


def in_classes(embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    counts = torch.bincount(labels)
    return embeddings, labels, identity.class_sums(embeddings, labels, len(counts)), counts


def test_centres_are_normalised_means() -> None:
    embeddings = random_embeddings(9, 5)
    centres = identity.class_centres(embeddings, LABELS, 3)
    for k in range(3):
        mean = embeddings[k == LABELS].double().mean(0)
        torch.testing.assert_close(centres[k], (mean / mean.norm()).float())


def test_leave_one_out_and_within_class_against_loops() -> None:
    embeddings = random_embeddings(9, 5)
    own = identity.own_centre_similarity(*in_classes(embeddings, LABELS))
    within = identity.within_class_similarity(*in_classes(embeddings, LABELS))
    for a in range(9):
        others = [b for b in range(9) if b != a and LABELS[b] == LABELS[a]]
        mean = embeddings[others].mean(0)
        assert own[a].item() == pytest.approx((embeddings[a] @ mean / mean.norm()).item(), abs=1e-6)
        cosines = [(embeddings[a] @ embeddings[b]).item() for b in others]
        assert within[a].item() == pytest.approx(np.mean(cosines), abs=1e-6)


def test_only_image_of_its_class() -> None:
    embeddings, labels = random_embeddings(2, 4), torch.tensor([0, 1])
    assert identity.own_centre_similarity(*in_classes(embeddings, labels)).tolist() == [1, 1]
    assert identity.within_class_similarity(*in_classes(embeddings, labels)).tolist() == [1, 1]


def test_nearest_with_some_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_BLOCK", 3)  # several blocks
    embeddings, references = random_embeddings(7, 5), random_embeddings(4, 5).flip(0)
    leave_out = torch.tensor([[0, 1], [2, 3], [1, 1], [0, 3], [0, 1], [1, 2], [3, 3]])
    cosine, row = identity.nearest_similarity(embeddings, references, leave_out)
    for a in range(7):
        allowed = [r for r in range(4) if r not in leave_out[a].tolist()]
        best = max((embeddings[a] @ references[r], r) for r in allowed)[1]
        assert row[a] == best
        assert cosine[a].item() == pytest.approx(
            (embeddings[a] @ references[best]).item(), abs=1e-6
        )


def test_nearest_of_nobody() -> None:
    embeddings = random_embeddings(2, 3)
    cosine, row = identity.nearest_similarity(embeddings, embeddings, torch.tensor([[0, 1]] * 2))
    assert cosine.tolist() == [-1, -1]
    assert row.tolist() == [-1, -1]


def test_m_s_against_a_loop() -> None:
    samples = random_embeddings(3, 4, 6)
    m_s = identity.consistency(samples)
    for p in range(3):
        pairs = [samples[p, a] @ samples[p, b] for a in range(4) for b in range(4) if a != b]
        assert m_s[p].item() == pytest.approx(float(np.mean(pairs)), abs=1e-6)


def test_m_s_m_d_m_total_of_known_angles() -> None:
    """Two samples halfway between orthogonal sources; two equal to a source."""
    i, j = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])
    half = normalise(i + j)
    samples = torch.stack([torch.stack([half, half]), torch.stack([i, j])])
    centre_i, centre_j = torch.stack([i, i]), torch.stack([j, j])
    m_s = identity.consistency(samples)
    m_d = identity.separation(samples, centre_i, centre_j)
    torch.testing.assert_close(m_s, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(m_d, torch.tensor([1 - math.sqrt(0.5), 0.0]))
    torch.testing.assert_close(identity.total(m_s, m_d), m_s + m_d)


def test_m_d_is_symmetric_in_the_sources() -> None:
    samples, centres = random_embeddings(2, 3, 4), random_embeddings(4, 4)
    forth = identity.separation(samples, centres[:2], centres[2:])
    back = identity.separation(samples, centres[2:], centres[:2])
    assert torch.equal(forth, back)


def test_permuting_images_permutes_results() -> None:
    embeddings = random_embeddings(9, 5)
    order = torch.randperm(9, generator=torch_generator(1))
    for measure in (identity.own_centre_similarity, identity.within_class_similarity):
        straight = measure(*in_classes(embeddings, LABELS))
        permuted = measure(*in_classes(embeddings[order], LABELS[order]))
        torch.testing.assert_close(permuted, straight[order])
