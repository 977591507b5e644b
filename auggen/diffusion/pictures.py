"""A picture of what the generator learned: real faces beside samples of the same people."""

from pathlib import Path

import torch

from auggen.core.devices import Precision
from auggen.core.seeds import torch_generator
from auggen.diffusion.conditioning import one_hot
from auggen.diffusion.network import Denoiser
from auggen.diffusion.samplers import SamplerConfig, condition_denoiser, sample
from auggen.faces.decode import to_uint8
from auggen.faces.pictures import contact_sheet
from auggen.faces.shards import FaceSet

_NUM_CLASSES = 8
_NUM_REAL = 4
_NUM_SAMPLES = 6


def draw_samples_sheet(
    denoiser: Denoiser, faces: FaceSet, seed: int, precision: Precision, path: Path
) -> None:
    """Writes a PNG: one row an identity, four real images on the left, six samples on the right."""
    config = SamplerConfig(
        kind="dpmpp",
        num_steps=20,
        sigma_min=0.01,
        sigma_max=40.0,
        rho=7.0,
        guidance=1.0,
        precision=precision,
    )
    device = next(denoiser.parameters()).device
    rows = []
    for label in range(min(_NUM_CLASSES, faces.num_classes)):
        real = faces.images[faces.labels == label][:_NUM_REAL]
        noise = torch.randn(
            _NUM_SAMPLES, *real.shape[1:], generator=torch_generator(seed, "samples sheet", label)
        ).to(device)
        condition = one_hot(torch.full((_NUM_SAMPLES,), label), faces.num_classes).to(device)
        drawn = sample(condition_denoiser(denoiser, condition), noise, config)
        rows.append([*real, *to_uint8(drawn).cpu()])
    contact_sheet(rows, path)
