"""Embeddings of images with a given model.

Letters: n images, c channels, h = w pixels, d embedding size.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from auggen.core.devices import join_parts, to_device

Embed = Callable[[Tensor], Tensor]


@runtime_checkable
class Images(Protocol):
    """uint8 images [n c h w]: a tensor, or something that fetches them when it is sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


def embed_images(
    model: Embed,
    images: Images,
    *,
    batch_size: int,
    flip: bool,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "n d"]:
    """Returns raw (not normalised) float32 embeddings, f(x) or, with `flip`, f(x) + f(mirror x).

    A batch always has exactly `batch_size` rows (the last one is padded with its first row) and is
    computed as `join_parts` says, so that an image's embedding depends neither on how many others
    come with it nor on the number of threads.
    """
    place = torch.device(device)
    embeddings = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        rows = len(batch)
        padded = torch.cat([batch, batch[:1].expand(batch_size - rows, -1, -1, -1)])
        compute = partial(_embed, model, padded, flip, place)
        embeddings.append(join_parts(compute, batch_size, place)[:rows])
    return torch.cat(embeddings)


@torch.inference_mode()
def _embed(model: Embed, images: Tensor, flip: bool, device: torch.device, rows: slice) -> Tensor:
    pixels = to_device(images[rows], device).float() / 127.5 - 1.0
    out = model(pixels)
    if flip:
        out = out + model(pixels.flip(-1))
    return out.float().cpu()


def normalise(embeddings: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Returns embeddings of length 1 (a zero vector stays zero)."""
    return torch.nn.functional.normalize(embeddings, dim=-1)
