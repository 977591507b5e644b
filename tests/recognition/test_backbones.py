"""Published sizes of the IR networks, and determinism of their construction."""

import pytest
import torch

from auggen.recognition.backbones import Backbone, build_backbone


def _build(kind, **changes):
    arguments = {
        "channels": 3, "image_size": 112, "width": 64, "embedding_size": 512, "dropout": 0.0,
        "seed": 0,
    }  # fmt: skip
    return build_backbone(kind, **(arguments | changes))


@pytest.mark.parametrize(
    ("kind", "millions"), [("ir_18", 24.0), ("ir_34", 34.1), ("ir_50", 43.6), ("ir_100", 65.2)]
)
def test_parameter_counts_of_the_literature(kind, millions):
    with torch.device("meta"):
        backbone = Backbone(
            kind, channels=3, image_size=112, width=64, embedding_size=512, dropout=0.0
        )
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("size", [16, 30, 32, 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channel_count(size, channels):
    model = _build("small", channels=channels, image_size=size, width=8, embedding_size=16).eval()
    assert model(torch.zeros(2, channels, size, size)).shape == (2, 16)


def test_same_seed_same_weights_and_no_trace_on_the_global_stream():
    before = torch.random.get_rng_state()
    first, second = (_build("small", width=8, embedding_size=16) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
