"""The contact sheet puts every tile where its row and column say."""

from pathlib import Path

import torch

from auggen.faces.decode import decode_image
from auggen.faces.pictures import contact_sheet


def test_ragged_rows(tmp_path: Path) -> None:
    tiles = [torch.full((3, 64, 64), value, dtype=torch.uint8) for value in (10, 20, 30)]
    contact_sheet([tiles[:2], tiles[2:]], tmp_path / "sheet.png")
    sheet = decode_image(tmp_path / "sheet.png", channels=3)
    assert sheet.shape == (3, 2 * 66 + 2, 2 * 66 + 2)
    assert [sheet[0, y, x].item() for y, x in [(2, 2), (2, 68), (68, 2), (68, 68)]] == [
        10,
        20,
        30,
        255,
    ]


def test_small_images_are_enlarged_by_whole_pixels(tmp_path: Path) -> None:
    image = torch.tensor([[[0, 50], [100, 150]]], dtype=torch.uint8)
    contact_sheet([[image]], tmp_path / "sheet.png")
    sheet = decode_image(tmp_path / "sheet.png", channels=1)
    assert sheet.shape == (1, 68, 68)
    assert torch.equal(sheet[:, 2:66:32, 2:66:32], image)
