"""Embeddings of images with a given model.

Letters: n images, c channels, h = w pixels, d embedding size.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from auggen.core.devices import to_device

Embed = Callable[[Tensor], Tensor]


@runtime_checkable
class Images(Protocol):
    """uint8 images [n c h w]: a tensor, or something that fetches them when it is sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


@torch.inference_mode()
def embed_images(
    model: Embed,
    images: Images,
    *,
    batch_size: int,
    flip: bool,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "n d"]:
    """Returns raw (not normalised) float32 embeddings, f(x) or, with `flip`, f(x) + f(mirror x).

    The model always sees exactly `batch_size` rows (the last batch is padded with its first row),
    so that an image's embedding does not depend on how many others come with it.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        rows = len(batch)
        padded = torch.cat([batch, batch[:1].expand(batch_size - rows, -1, -1, -1)])
        pixels = to_device(padded, torch.device(device)).float() / 127.5 - 1.0
        out = model(pixels)
        if flip:
            out = out + model(pixels.flip(-1))
        parts.append(out[:rows].float().cpu())
    return torch.cat(parts)


def normalise(embeddings: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Returns embeddings of length 1 (a zero vector stays zero)."""
    return torch.nn.functional.normalize(embeddings, dim=-1)
