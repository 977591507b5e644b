"""Margin heads against plain Python loops over rows and classes."""

import math

import pytest
import torch

from auggen.recognition.margins import (
    MarginHead,
    adaface,
    arcface,
    arcface_detached,
    cosface,
    shares_source,
)


def _logits_by_loop(kind, embeddings, weight, labels, margin, scale, quality):
    rows = []
    for row, label in enumerate(labels.tolist()):
        z = embeddings[row] / embeddings[row].norm()
        out = []
        for k in range(len(weight)):
            cosine = float(z @ (weight[k] / weight[k].norm()))
            m = float(margin[row])
            if k == label:
                theta = math.acos(max(-1.0, min(1.0, cosine)))
                if kind == "cosface":
                    cosine -= m
                elif kind.startswith("arcface"):
                    inside = theta + m < math.pi
                    cosine = math.cos(theta + m) if inside else cosine - m * math.sin(math.pi - m)
                else:
                    g = float(quality[row])
                    cosine = math.cos(theta - m * g) - (m + m * g)
            out.append(scale * cosine)
        rows.append(out)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["cosface", "arcface", "arcface_detached", "adaface"])
def test_head_matches_a_loop(kind):
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(7, 5, generator=generator) * 3
    weight = torch.randn(4, 5, generator=generator)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    margin = torch.tensor([0.1, 0.4, 0.35, 0.0, 0.2, 0.5, 0.3])
    head = MarginHead(kind, weight, scale=12.0).eval()
    head.norm_mean.fill_(6.0)
    head.norm_std.fill_(2.0)
    quality = [
        max(-1.0, min(1.0, 0.333 * (float(z.norm()) - 6.0) / (2.0 + 1e-3))) for z in embeddings
    ]
    expected = _logits_by_loop(kind, embeddings, weight, labels, margin, 12.0, quality)
    got = head(embeddings, labels, margin).double()
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=0)


def test_arcface_gradient_is_that_of_the_angle_and_the_detached_one_that_of_the_cosine():
    cosine = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    margin = torch.full((3,), 0.5, dtype=torch.float64)
    arcface(cosine, margin).sum().backward()
    with torch.no_grad():
        step = 1e-6
        slope = (arcface(cosine + step, margin) - arcface(cosine - step, margin)) / (2 * step)
    torch.testing.assert_close(cosine.grad, slope, atol=1e-6, rtol=1e-6)
    cosine.grad = None
    arcface_detached(cosine, margin).sum().backward()
    torch.testing.assert_close(cosine.grad, torch.ones(3, dtype=torch.float64))


def test_no_margin_is_the_plain_cosine():
    cosine, zero = torch.linspace(-0.9, 0.9, 7), torch.zeros(7)
    torch.testing.assert_close(cosface(cosine, zero), cosine)
    torch.testing.assert_close(arcface(cosine, zero), cosine)
    torch.testing.assert_close(adaface(cosine, zero, torch.ones(7)), cosine)


def test_shares_source_by_loop():
    sources = torch.tensor([[0, 0], [1, 1], [2, 2], [0, 1], [1, 2], [0, 2], [0, 1]])
    labels = torch.tensor([0, 1, 3, 4, 6])
    got = shares_source(labels, sources)
    for row, own in enumerate(labels.tolist()):
        for k in range(len(sources)):
            common = set(sources[own].tolist()) & set(sources[k].tolist())
            assert bool(got[row, k]) == (bool(common) and k != own)
    assert got.any()


def test_excluded_classes_leave_the_softmax():
    head = MarginHead("cosface", torch.eye(3), scale=4.0)
    excluded = torch.tensor([[False, True, False]])
    logits = head(torch.ones(1, 3), torch.tensor([0]), torch.tensor([0.2]), excluded)
    assert logits.softmax(1)[0, 1] == 0
    logits.logsumexp(1).sum().backward()
    assert torch.isfinite(head.weight.grad).all()
