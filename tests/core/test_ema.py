"""The weight average against a loop over plain numbers."""

import pytest
import torch

from auggen.core.ema import ema_decay_at, update_ema


def test_average_against_a_loop() -> None:
    values = torch.randn(30, 5, dtype=torch.float64)
    average, expected = [values[0].clone()], values[0].tolist()
    for step in range(30):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = [
            decay * old + (1 - decay) * float(new)
            for old, new in zip(expected, values[step], strict=True)
        ]
        update_ema(average, [values[step]], ema_decay_at(step, 0.9))
    assert average[0].tolist() == pytest.approx(expected)


def test_warm_up_forgets_the_start_and_ends_at_the_decay() -> None:
    decays = [ema_decay_at(step, 0.99) for step in range(2000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.99
    assert ema_decay_at(0, 0.0) == 0.0
