"""The pool: images of mixed identities with their provenance, written shard by shard.

Dimensions: n images, k real classes, q pool classes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import derive_seed
from auggen.faces.manifest import Manifest
from auggen.faces.pictures import contact_sheet
from auggen.faces.shards import write_face_set
from auggen.synthesis.config import SynthesizeConfig
from auggen.synthesis.generation import Recipe
from auggen.synthesis.pairs import sample_identity_pairs

EQUAL_WEIGHT = 0.5
"""lambda of ScoreMix (arXiv 2506.10226) and of pixel mixing."""
_PICTURE_CLASSES, _PICTURE_IMAGES = 10, 8


def choose_sources(
    config: SynthesizeConfig, num_classes: int, centres: Callable[[], Tensor]
) -> Int64[Tensor, "q 2"]:
    """Returns the two sources of each pool class; mixing `none` takes real class q twice.

    Args:
        config: section `synthesize`.
        num_classes: number of real identities.
        centres: computes their class centres [k d], if the pair rule asks for them.

    Raises:
        UserError: more classes asked for than there are pairs (or, for `none`, real identities).
    """
    if config.mixing != "none":
        return sample_identity_pairs(
            config.num_classes,
            num_classes,
            config.pair_rule,
            config.seed,
            field="synthesize.num_classes",
            centres=centres,
        )
    if config.num_classes > num_classes:
        raise UserError(
            f"`synthesize.num_classes` is {config.num_classes}, but mixing `none` draws real "
            f"identities anew and there are only {num_classes}; set it to {num_classes} or less"
        )
    return torch.arange(config.num_classes)[:, None].repeat(1, 2)


def name_classes(sources: Int64[Tensor, "q 2"], real: Manifest) -> list[str]:
    """Returns the name of each pool class: `s1/s2` for a mix, its own for a person drawn anew.

    Raises:
        UserError: a mix would be called as a real identity or another mix is.
    """
    names: list[str] = []
    taken = set(real.identities)
    for first, second in ([real.identities[k] for k in pair] for pair in sources.tolist()):
        name = first if first == second else f"{first}/{second}"
        if first != second and name in taken:
            raise UserError(
                f"identity {name!r}: the mix of {first!r} and {second!r} would have the same name; "
                "rename the identities in `prepare.source` so that none holds `/`"
            )
        taken.add(name)
        names.append(name)
    return names


def plan_pool(
    config: SynthesizeConfig, sources: Int64[Tensor, "q 2"], alpha: float, beta: float
) -> Recipe:
    """Lists the pool's images, class by class; image k's noise comes from (seed, k) alone.

    `alpha` and `beta` act in mixing `condition`; `score` and `pixel` take 0.5 of each source, and
    `none` the one-hot condition itself.
    """
    if config.mixing in ("score", "pixel"):
        alpha, beta = EQUAL_WEIGHT, 1 - EQUAL_WEIGHT
    elif config.mixing == "none":
        alpha, beta = 1.0, 0.0
    rows = sources.repeat_interleave(config.images_per_class, 0)
    return Recipe(
        rows[:, 0],
        rows[:, 1],
        torch.full((len(rows),), alpha),
        torch.full((len(rows),), beta),
        torch.tensor([derive_seed(config.seed, k) for k in range(len(rows))]),
    )


def write_pool(
    folder: Path,
    images: Iterable[Tensor],
    recipe: Recipe,
    config: SynthesizeConfig,
    real: Manifest,
    generator_digest: str,
) -> Manifest:
    """Writes the pool as a face set and a picture of its first classes into an existing folder.

    Args:
        folder: usually an `atomic_directory`.
        images: uint8 [c h w], in the recipe's order; an iterator is consumed once.
        recipe: where each image comes from.
        config: section `synthesize`.
        real: manifest of the training people, for their names.
        generator_digest: SHA-256 of the generator's files.

    Raises:
        UserError: two classes of one name, see `name_classes`.
    """
    each = config.images_per_class
    labels = torch.arange(len(recipe)) // each
    sources = torch.stack([recipe.source_i[::each], recipe.source_j[::each]], dim=1)
    names = name_classes(sources, real)
    pictures: list[list[Tensor]] = []
    described = repr((config, recipe.alpha[0].item(), recipe.beta[0].item(), generator_digest))
    digest = hashlib.sha256(f"{described}{real.source_digest}".encode()).hexdigest()
    manifest = write_face_set(
        folder,
        _keep_some(images, each, pictures),
        labels,
        [f"{names[k // each]}/{k:08d}.png" for k in range(len(recipe))],
        identities=names,
        source_digest=digest,
        extra=_provenance(recipe, config.mixing, generator_digest),
    )
    contact_sheet(pictures, folder / "samples.png")
    return manifest


def _provenance(recipe: Recipe, mixing: str, generator_digest: str) -> pd.DataFrame:
    """Returns the columns that say how each image can be drawn again."""
    table = pd.DataFrame(
        {
            "source_i": recipe.source_i.to(torch.int32).numpy(),
            "source_j": recipe.source_j.to(torch.int32).numpy(),
            "alpha": recipe.alpha.numpy(),
            "beta": recipe.beta.numpy(),
            "mixing": mixing,
            "seed": recipe.seed.numpy(),
            "generator": generator_digest,
        }
    )
    return table


def _keep_some(
    images: Iterable[Tensor], each: int, pictures: list[list[Tensor]]
) -> Iterator[Tensor]:
    """Passes images on and keeps the first ones of the first classes in `pictures`."""
    for k, image in enumerate(images):
        if k // each < _PICTURE_CLASSES:
            if k % each == 0:
                pictures.append([])
            if k % each < _PICTURE_IMAGES:
                pictures[-1].append(image)
        yield image
