"""All sections of a params file, and the counts that follow from them and the data's size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auggen.core.errors import UserError
from auggen.core.params import load_params, read_params
from auggen.diffusion.config import GeneratorConfig, check_levels
from auggen.ingest.config import PrepareConfig
from auggen.ingest.source import open_photos
from auggen.protocols.compare import check_headlines
from auggen.protocols.config import CompareConfig, EvaluateConfig, Seeds
from auggen.protocols.external import check_paths, open_test_sets
from auggen.recognition.config import TrainConfig
from auggen.selection.choice import count_anew, count_classes
from auggen.selection.config import MixRatio, ScoreConfig, SelectConfig
from auggen.synthesis.config import SearchConfig, SynthesizeConfig
from auggen.synthesis.pairs import count_pairs
from auggen.synthesis.pool import check_pool
from auggen.synthesis.search import plan_search, search_pairs

SECTIONS = {
    "mix_ratio": MixRatio,
    "seeds": Seeds,
    "prepare": PrepareConfig,
    "train_generator": GeneratorConfig,
    "search": SearchConfig,
    "synthesize": SynthesizeConfig,
    "score": ScoreConfig,
    "select": SelectConfig,
    "train_fr": TrainConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
}
"""Every key of a params file, with what it must be."""


@dataclass(frozen=True)
class Settings:
    """A whole params file, checked."""

    mix_ratio: float
    seeds: list[int]
    prepare: PrepareConfig
    train_generator: GeneratorConfig
    search: SearchConfig
    synthesize: SynthesizeConfig
    score: ScoreConfig
    select: SelectConfig
    train_fr: TrainConfig
    evaluate: EvaluateConfig
    compare: CompareConfig


def read_settings(params: Path) -> Settings:
    """Reads and checks every section. Raises UserError naming file, field and value."""
    settings = Settings(**{key: read_params(params, key, kind) for key, kind in SECTIONS.items()})
    if unknown := load_params(params).keys() - SECTIONS.keys():
        raise UserError(
            f"{params}: unknown `{min(unknown)}`; correct it to one of {', '.join(SECTIONS)}, or "
            "remove it"
        )
    return settings


@dataclass(frozen=True)
class Sizes:
    """How much of everything a run handles; people are taken to have equally many images."""

    photos: int
    """Images of the source."""
    real_people: int
    """People to train on: classes of the generator and of the real recognisers."""
    real_images: int
    """Their images."""
    held_out_people: int
    """People of the part that `evaluate.identities` names."""
    images_per_person: int
    """Images of each of them."""
    unseen_images: int
    """Images of validation and test people together."""
    search_images: int
    """Images that the search draws."""
    pool_images: int
    """Images of the pool."""
    mixed_people: int
    """Synthetic classes of the mixed training set; people drawn anew are none."""
    selected_images: int
    """Synthetic images of the mixed training set."""


def count_photos(config: PrepareConfig) -> tuple[int, int]:
    """Returns the people with images enough and their images. Raises UserError without a source."""
    source = Path(config.source)
    if not source.exists():
        raise UserError(
            f"{source}: no such folder or tar; name the data's size with --people and --images, "
            "or make it (`dvc repro unpack` for the default faces)"
        )
    with open_photos(source) as photos:
        counts = np.bincount(photos.labels)
    counts = counts[counts >= config.min_images]
    if config.max_images:
        counts = counts.clip(max=config.max_images)
    return len(counts), int(counts.sum())


def size_up(settings: Settings, people: int, images: int) -> Sizes:
    """Returns the counts of a run on so many people and images.

    Raises:
        UserError: too few people for the split, or a ratio beyond the pool.
    """
    shares = {"validation": settings.prepare.validation, "test": settings.prepare.test}
    counts = {k: v if isinstance(v, int) else round(v * people) for k, v in shares.items()}
    real_people = people - sum(counts.values())
    if settings.prepare.max_images:
        images = min(images, people * settings.prepare.max_images)
    each = images // max(people, 1)
    if real_people < 2 or each < settings.prepare.min_images:
        raise UserError(
            f"{people} people with {images} images: `prepare` needs at least "
            f"{sum(counts.values()) + 2} people of {settings.prepare.min_images} images or more"
        )
    real_images = images - sum(counts.values()) * each
    check_headlines(
        settings.evaluate, [each] * counts["test"], settings.prepare.images_per_template
    )
    classes, anew = count_selected(settings, real_people, real_images)
    pairs = search_pairs(settings.search, real_people)
    pool = settings.synthesize
    return Sizes(
        photos=images,
        real_people=real_people,
        real_images=real_images,
        held_out_people=counts[settings.evaluate.identities],
        images_per_person=each,
        unseen_images=sum(counts.values()) * each,
        search_images=len(plan_search(settings.search, pairs)),
        pool_images=pool.num_classes * pool.images_per_class + pool.anew_images,
        mixed_people=classes,
        selected_images=classes * settings.select.images_per_class + real_people * anew,
    )


def check_run(
    settings: Settings, real_people: int, real_images: int, test_images: Sequence[int] = ()
) -> str:
    """Refuses what a later stage would, as far as it can be known before anything is trained.

    Args:
        settings: of the run.
        real_people: people to train on.
        real_images: their images.
        test_images: images of each test person, if known.

    Returns:
        A warning about the test people, or "".

    Raises:
        UserError: see `count_selected`, `check_levels` and `check_headlines`; a test set that is
            not there or, if the test people are known, has wrong lists.
    """
    network = settings.train_generator
    check_levels(
        settings.prepare.image_size, network.patch_size, network.channels, network.attention_levels
    )
    count_selected(settings, real_people, real_images)
    check_paths(settings.evaluate)
    if not test_images:
        return ""
    open_test_sets(settings.evaluate, settings.prepare)
    return check_headlines(settings.evaluate, test_images, settings.prepare.images_per_template)


def count_selected(settings: Settings, real_people: int, real_images: int) -> tuple[int, int]:
    """Returns the mixed people of the training set, and the images of each person drawn anew.

    Near-copies, which `select` drops, are not known before the pool is drawn.

    Raises:
        UserError: a search, a pool or a ratio beyond what so many training people give.
    """
    search_pairs(settings.search, real_people)
    check_pool(settings.synthesize, real_people)
    classes = _count_classes(settings, real_people, real_images)
    return classes, _count_anew(settings, real_people, real_images)


def _count_classes(settings: Settings, real_people: int, real_images: int) -> int:
    """Returns the mixed people of the training set. Raises UserError if the pool lacks them."""
    pool, chosen = settings.synthesize, settings.select.images_per_class
    most = count_pairs(real_people)
    classes = count_classes(settings.mix_ratio, real_images, chosen)
    if classes > most:
        raise UserError(
            f"`mix_ratio` {settings.mix_ratio:g} asks for {classes} identities of {chosen} images, "
            f"but {real_people} people to train on give {most} pairs; set it to "
            f"{int(most * chosen / real_images * 1000) / 1000:g} or less, or raise "
            "`select.images_per_class`"
        )
    if pool.num_classes > most:
        raise UserError(
            f"`synthesize.num_classes` is {pool.num_classes}, but {real_people} people to train on "
            f"give {most} pairs; set it to that or less"
        )
    if classes > pool.num_classes:
        raise UserError(
            f"`mix_ratio` {settings.mix_ratio:g} asks for {classes} identities, but the pool has "
            f"{pool.num_classes}; lower it, or set `synthesize.num_classes` to "
            f"{min(_more(classes), most)} or more"
        )
    if classes and chosen > pool.images_per_class:
        raise UserError(
            f"`select.images_per_class` is {chosen}, but the pool has {pool.images_per_class} of "
            f"each; lower it, or set `synthesize.images_per_class` to {_more(chosen)} or more"
        )
    return classes


def _count_anew(settings: Settings, real_people: int, real_images: int) -> int:
    """Returns the images of each person drawn anew. Raises UserError if the pool lacks them."""
    anew = count_anew(settings.select.anew_ratio, real_images, real_people)
    drawn = settings.synthesize.anew_images // real_people
    if anew > drawn:
        raise UserError(
            f"`select.anew_ratio` {settings.select.anew_ratio:g} asks for {anew} images of each "
            f"person drawn anew, but the pool has {drawn}; lower it, or set "
            f"`synthesize.anew_images` to {_more(anew) * real_people} or more"
        )
    return anew


def _more(count: int) -> int:
    """Adds a tenth: near-copies drop out, and people differ in their number of images."""
    return count + math.ceil(count / 10)
