"""The sheet of samples: one row an identity, real on the left."""

from pathlib import Path

import torch
from PIL import Image

from auggen.diffusion.network import Architecture, build_denoiser
from auggen.diffusion.pictures import draw_samples_sheet
from auggen.faces.shards import FaceSet


def test_sheet(architecture: Architecture, faces: FaceSet, tmp_path: Path) -> None:
    denoiser = build_denoiser(architecture, 0).eval()
    for name in ("a.png", "b.png"):
        torch.manual_seed(len(name))
        draw_samples_sheet(denoiser, faces, 0, "fp32", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as sheet:
        columns, rows = 4 + 6, 3
        assert sheet.size == (columns * 66 + 2, rows * 66 + 2)
