"""EDM against algebra: Gaussian data have a known ideal denoiser."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auggen.diffusion import edm

SIGMA_DATA = 0.5
sigmas = st.floats(0.002, 80.0)


@given(sigmas)
def test_network_input_and_target_have_unit_variance(value: float) -> None:
    """EDM appendix B.6: c_in and c_out are what normalises input and training target."""
    sigma = torch.tensor([value], dtype=torch.float64)
    total = sigma**2 + SIGMA_DATA**2
    assert float(edm.c_in(sigma, SIGMA_DATA) ** 2 * total) == pytest.approx(1.0)
    # target = (y - c_skip (y + n)) / c_out, so its variance is:
    skip, out = edm.c_skip(sigma, SIGMA_DATA), edm.c_out(sigma, SIGMA_DATA)
    variance = ((1 - skip) ** 2 * SIGMA_DATA**2 + skip**2 * sigma**2) / out**2
    assert float(variance) == pytest.approx(1.0)
    assert float(edm.loss_weight(sigma, SIGMA_DATA) * out**2) == pytest.approx(1.0)
    assert float(edm.c_noise(sigma)) == pytest.approx(math.log(value) / 4)


def test_c_skip_minimises_c_out() -> None:
    """EDM appendix B.6, eq. 131: any other skip weight asks more of the network."""
    sigma = torch.tensor([0.3], dtype=torch.float64)
    best = float(edm.c_skip(sigma, SIGMA_DATA))

    def amplitude(skip: float) -> float:
        return math.sqrt((1 - skip) ** 2 * SIGMA_DATA**2 + skip**2 * 0.3**2)

    assert amplitude(best) == pytest.approx(float(edm.c_out(sigma, SIGMA_DATA)))
    assert amplitude(best) < min(amplitude(best - 0.01), amplitude(best + 0.01))


def test_zero_network_is_the_ideal_denoiser_of_gaussian_data() -> None:
    """For y ~ N(0, sd^2) the posterior mean is c_skip x: F_x = 0 is optimal, with loss 1."""
    generator = torch.Generator().manual_seed(0)
    clean = SIGMA_DATA * torch.randn(256, 1, 16, 16, generator=generator)
    sigma = edm.draw_sigma(256, -1.2, 1.2, generator)
    level = sigma[:, None, None, None]
    x = clean + level * torch.randn(clean.shape, generator=generator)

    def loss(factor: float, offset: float = 0.0) -> float:
        denoised = factor * edm.c_skip(level, SIGMA_DATA) * x + offset
        return float(edm.denoising_loss(denoised, clean, sigma, SIGMA_DATA))

    assert loss(1.0) == pytest.approx(1.0, abs=0.02)
    assert loss(1.0) < min(loss(0.9), loss(1.1), loss(1.0, 0.02), loss(1.0, -0.02))


def test_loss_against_a_loop() -> None:
    denoised, clean = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    sigma = torch.tensor([0.1, 1.0, 7.0])
    terms = []
    for row in range(3):
        s = float(sigma[row])
        weight = (s**2 + 0.25) / (s * 0.5) ** 2
        terms.append(weight * float(((denoised[row] - clean[row]) ** 2).mean()))
    loss = edm.denoising_loss(denoised, clean, sigma, SIGMA_DATA)
    assert float(loss) == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_noise_levels_are_log_normal() -> None:
    logs = edm.draw_sigma(20000, -1.2, 0.7, torch.Generator().manual_seed(0)).log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.02)
    assert float(logs.std()) == pytest.approx(0.7, abs=0.02)
