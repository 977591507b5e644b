"""Pictures for people to look at."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from auggen.core.files import write_bytes
from auggen.faces.decode import encode_png

_GAP = 2
_SMALLEST_TILE = 64
_WHITE = 255


def contact_sheet(rows: Sequence[Sequence[Tensor]], path: Path) -> None:
    """Writes a PNG grid of uint8 [c h w] images, all of one size; rows may differ in length.

    Images smaller than 64 pixels are enlarged by whole pixels.
    """
    channels, height, width = rows[0][0].shape
    zoom = max(1, _SMALLEST_TILE // height)
    step_y, step_x = height * zoom + _GAP, width * zoom + _GAP
    longest = max(len(row) for row in rows)
    size = (channels, len(rows) * step_y + _GAP, longest * step_x + _GAP)
    sheet = torch.full(size, _WHITE, dtype=torch.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            tile = image.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)
            top, left = y * step_y + _GAP, x * step_x + _GAP
            sheet[:, top : top + height * zoom, left : left + width * zoom] = tile
    write_bytes(path, encode_png(sheet))
