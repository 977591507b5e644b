"""Mixing two people in their pixels: the control arm that needs no generator.

Dimensions: n images, c channels, h height, w width.
"""

import torch
from jaxtyping import UInt8
from torch import Tensor

from auggen.core.seeds import torch_generator
from auggen.faces.decode import to_uint8, to_unit
from auggen.faces.shards import FaceSet
from auggen.synthesis.generation import Recipe


def mix_photographs(faces: FaceSet, recipe: Recipe) -> UInt8[Tensor, "n c h w"]:
    """Returns alpha * x_i + beta * x_j of pixels in [-1, 1], x a photograph of each source.

    Which photograph depends on the row's seed alone. Mixup (arXiv 1710.09412, eq. 1) of two
    people, whose every pair is a class of its own as in identity mixup (SynFace, arXiv 2108.07960).
    """
    order = faces.labels.argsort(stable=True)
    counts = faces.labels.bincount(minlength=faces.num_classes)
    first_places = counts.cumsum(0) - counts
    chosen = []
    for i, j, seed in zip(
        recipe.source_i.tolist(), recipe.source_j.tolist(), recipe.seed.tolist(), strict=True
    ):
        draws = torch.rand(2, generator=torch_generator(seed, "photographs"))
        places = zip((i, j), draws, strict=True)
        chosen.append([order[first_places[k] + int(u * counts[k])] for k, u in places])
    first, second = (to_unit(faces.images[part]) for part in torch.tensor(chosen).T)
    alpha, beta = recipe.alpha[:, None, None, None], recipe.beta[:, None, None, None]
    return to_uint8(alpha * first + beta * second)
