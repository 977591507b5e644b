"""The pool: images of mixed identities, and of real ones drawn anew, with their provenance.

Dimensions: n images, k real classes, q pool classes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
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
from auggen.synthesis.generation import Recipe, choose_photographs
from auggen.synthesis.pairs import sample_identity_pairs

EQUAL_WEIGHT = 0.5
"""lambda of ScoreMix (arXiv 2506.10226) and of pixel mixing."""
_PICTURE_CLASSES, _PICTURE_IMAGES = 10, 8


def check_pool(config: SynthesizeConfig, num_classes: int) -> None:
    """Raises UserError if nothing is asked for, or people anew that cannot be drawn."""
    if not config.num_classes and not config.anew_images:
        raise UserError(
            "`synthesize.num_classes` and `synthesize.anew_images` are both 0: nothing to draw; "
            "raise one of them"
        )
    if config.anew_images and config.mixing == "pixel":
        raise UserError(
            f"`synthesize.anew_images` is {config.anew_images}, but mixing `pixel` has no "
            "generator to draw people anew; set it to 0"
        )
    if 0 < config.anew_images < num_classes:
        raise UserError(
            f"`synthesize.anew_images` is {config.anew_images}: less than one image of each of "
            f"{num_classes} real identities; set it to {num_classes} or more, or to 0"
        )


def choose_sources(
    config: SynthesizeConfig, num_classes: int, centres: Callable[[], Tensor]
) -> Int64[Tensor, "q 2"]:
    """Returns the two sources of each pool class: pairs, then each real class with itself.

    The latter are the real people drawn anew, if `anew_images` asks for them.

    Args:
        config: section `synthesize`.
        num_classes: number of real identities.
        centres: computes their class centres [k d], if the pair rule asks for them.

    Raises:
        UserError: more classes asked for than there are pairs; see also `check_pool`.
    """
    check_pool(config, num_classes)
    pairs = sample_identity_pairs(
        config.num_classes,
        num_classes,
        config.pair_rule,
        config.seed,
        field="synthesize.num_classes",
        centres=centres,
    )
    people = torch.arange(num_classes if config.anew_images else 0)
    return torch.cat([pairs, people[:, None].repeat(1, 2)])


def class_labels(config: SynthesizeConfig, sources: Int64[Tensor, "q 2"]) -> Int64[Tensor, " n"]:
    """Returns the pool class of each image of the pool."""
    counts = torch.full((len(sources),), config.images_per_class)
    people = (sources[:, 0] == sources[:, 1]).nonzero()[:, 0]
    if len(people):
        each, rest = divmod(config.anew_images, len(people))
        counts[people] = each + (torch.arange(len(people)) < rest).long()
    return torch.arange(len(sources)).repeat_interleave(counts)


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
    """Lists the pool's images, class by class.

    Noise and start depend on the seed and on the image's place in its kind.
    `alpha` and `beta` act in mixing `condition`; `score` and `pixel` take 0.5 of each source. A
    person drawn anew gets the one-hot condition itself.
    """
    if config.mixing in ("score", "pixel"):
        alpha, beta = EQUAL_WEIGHT, 1 - EQUAL_WEIGHT
    i, j = sources[class_labels(config, sources)].T
    anew = i == j
    num_mixed = int((~anew).sum())
    seeds = [derive_seed(config.seed, k) for k in range(num_mixed)]
    seeds += [derive_seed(config.seed, "anew", k) for k in range(len(i) - num_mixed)]
    return Recipe(
        i,
        j,
        torch.full((len(i),), alpha).masked_fill(anew, 1.0),
        torch.full((len(i),), beta).masked_fill(anew, 0.0),
        torch.tensor(seeds),
    )


def write_pool(
    folder: Path,
    images: Iterable[Tensor],
    recipe: Recipe,
    sources: Int64[Tensor, "q 2"],
    config: SynthesizeConfig,
    real: Manifest,
    generator_digest: str,
) -> Manifest:
    """Writes the pool as a face set and a picture of its first classes into an existing folder.

    Args:
        folder: usually an `atomic_directory`.
        images: uint8 [c h w], in the recipe's order; an iterator is consumed once.
        recipe: where each image comes from.
        sources: what `choose_sources` returned.
        config: section `synthesize`.
        real: manifest of the training people, for their names.
        generator_digest: SHA-256 of the generator's files.

    Raises:
        UserError: two classes of one name, see `name_classes`.
    """
    labels = class_labels(config, sources)
    names = name_classes(sources, real)
    pictures: list[list[Tensor]] = []
    described = repr((config, recipe.alpha[0].item(), recipe.beta[0].item(), generator_digest))
    digest = hashlib.sha256(f"{described}{real.source_digest}".encode()).hexdigest()
    manifest = write_face_set(
        folder,
        _keep_some(images, labels.tolist(), _shown_classes(sources), pictures),
        labels,
        [f"{names[label]}/{k:08d}.png" for k, label in enumerate(labels.tolist())],
        identities=names,
        source_digest=digest,
        extra=_provenance(recipe, config, real.num_images, generator_digest),
    )
    contact_sheet(pictures, folder / "samples.png")
    return manifest


def _provenance(
    recipe: Recipe, config: SynthesizeConfig, num_photographs: int, generator_digest: str
) -> pd.DataFrame:
    """Returns the columns that say where each image comes from; mixing of people anew: `none`.

    `photograph` is the row of the training set that it starts from, -1 for noise alone.
    """
    started = config.start_sigma > 0 and config.mixing != "pixel"
    return pd.DataFrame(
        {
            "source_i": recipe.source_i.to(torch.int32).numpy(),
            "source_j": recipe.source_j.to(torch.int32).numpy(),
            "alpha": recipe.alpha.numpy(),
            "beta": recipe.beta.numpy(),
            "mixing": np.where(recipe.source_i == recipe.source_j, "none", config.mixing),
            "seed": recipe.seed.numpy(),
            "photograph": choose_photographs(recipe.seed, num_photographs).numpy()
            if started
            else -1,
            "generator": generator_digest,
        }
    )


def _keep_some(
    images: Iterable[Tensor], labels: list[int], shown: list[int], pictures: list[list[Tensor]]
) -> Iterator[Tensor]:
    """Passes images on and keeps the first ones of the classes `shown` in `pictures`."""
    pictures += [[] for _ in shown]
    rows = dict(zip(shown, pictures, strict=True))
    for label, image in zip(labels, images, strict=True):
        row = rows.get(label)
        if row is not None and len(row) < _PICTURE_IMAGES:
            row.append(image)
        yield image


def _shown_classes(sources: Int64[Tensor, "q 2"]) -> list[int]:
    """Returns the first mixes and the first people drawn anew."""
    anew = sources[:, 0] == sources[:, 1]
    kinds = [part.nonzero()[:_PICTURE_CLASSES, 0].tolist() for part in (~anew, anew)]
    return kinds[0] + kinds[1]
