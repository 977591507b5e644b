"""Counts against the README's numbers of the default faces, and against the library's own."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from auggen.core.errors import UserError
from auggen.plan.settings import SECTIONS, Settings, count_photos, read_settings, size_up
from tests.test_guards_params import SECTIONS as GUARDED


def test_counts_of_the_default_faces(settings: Settings) -> None:
    sizes = size_up(settings, 40, 400)
    assert (sizes.real_people, sizes.real_images) == (17, 170)
    assert (sizes.held_out_people, sizes.images_per_person) == (15, 10)
    assert sizes.unseen_images == 230
    assert sizes.search_images == 3 * 2 * 2  # points of a grid of two, pairs, images
    assert sizes.pool_images == 60 * 4
    assert (sizes.mixed_people, sizes.selected_images) == (28, 84)  # round(0.5 * 170 / 3) classes


def test_validation_people_are_counted_when_they_are_asked_for(settings: Settings) -> None:
    early = settings.evaluate.model_copy(update={"identities": "validation"})
    assert size_up(replace(settings, evaluate=early), 40, 400).held_out_people == 8


def test_shares_of_people(settings: Settings) -> None:
    prepare = settings.prepare.model_copy(update={"validation": 0.1, "test": 0.2})
    less = replace(settings, prepare=prepare, mix_ratio=0.1)
    assert size_up(less, 100, 800).real_people == 70


def test_too_few_test_people(settings: Settings) -> None:
    """14 people of 10 images: 9,100 pairs at 1e-3, but 2,275 pairs of templates at 1e-2."""
    fewer = replace(settings, prepare=settings.prepare.model_copy(update={"test": 14}))
    with pytest.raises(UserError, match=r"^`pairs` is .* only 9\.1 .*about 15 people\).*`prepare"):
        size_up(fewer, 40, 400)
    early = settings.evaluate.model_copy(update={"identities": "validation"})
    assert size_up(replace(fewer, evaluate=early), 40, 400).held_out_people == 8


def test_people_drawn_anew_are_no_new_classes(settings: Settings) -> None:
    synthesize = settings.synthesize.model_copy(update={"num_classes": 0, "anew_images": 100})
    select = settings.select.model_copy(update={"anew_ratio": 0.5})
    anew = replace(settings, synthesize=synthesize, select=select, mix_ratio=0.0)
    sizes = size_up(anew, 40, 400)
    assert (sizes.pool_images, sizes.mixed_people) == (100, 0)
    assert sizes.selected_images == 17 * 5  # round(0.5 * 170 / 17) of each
    select = select.model_copy(update={"anew_ratio": 1.0})
    with pytest.raises(
        UserError, match=r"for 10 images of each .* has 5; .*`synthesize.anew_images` to 187 "
    ):
        size_up(replace(anew, select=select), 40, 400)


@pytest.mark.parametrize(("people", "images"), [(24, 400), (40, 100)])
def test_too_little_data(settings: Settings, people: int, images: int) -> None:
    with pytest.raises(UserError, match=f"{people} people with {images} images"):
        size_up(settings, people, images)


def test_a_mix_ratio_beyond_the_pool(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"2 asks for 113 .* `synthesize.num_classes` to 125 "):
        size_up(replace(settings, mix_ratio=2.0), 40, 400)
    with pytest.raises(UserError, match=r"3 asks for 170 .* 136 pairs; set it to 2.4 or less"):
        size_up(replace(settings, mix_ratio=3.0), 40, 400)
    synthesize = settings.synthesize.model_copy(update={"num_classes": 136})
    size_up(replace(settings, synthesize=synthesize, mix_ratio=2.4), 40, 400)
    select = settings.select.model_copy(update={"images_per_class": 5})
    with pytest.raises(UserError, match=r"is 5, but the pool has 4 .* to 6 or more"):
        size_up(replace(settings, select=select), 40, 400)


def test_a_pool_beyond_the_pairs(settings: Settings) -> None:
    synthesize = settings.synthesize.model_copy(update={"num_classes": 137})
    with pytest.raises(UserError, match="is 137, but 17 people to train on give 136 pairs"):
        size_up(replace(settings, synthesize=synthesize), 40, 400)


def test_all_sections_are_read(root: Path) -> None:
    assert set(SECTIONS) == set(GUARDED)
    assert read_settings(root / "params.yaml").prepare.source == "data/raw/orl"


def test_photographs_are_counted(tmp_path: Path, settings: Settings) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    config = settings.prepare.model_copy(update={"source": str(tmp_path), "min_images": 1})
    assert count_photos(config) == (2, 3)
    assert count_photos(config.model_copy(update={"min_images": 2})) == (1, 2)
    assert count_photos(config.model_copy(update={"max_images": 1})) == (2, 2)
    assert count_photos(config.model_copy(update={"min_images": 3})) == (0, 0)
    with pytest.raises(UserError, match="0 people with 0 images"):
        size_up(settings, 0, 0)
    with pytest.raises(UserError, match="--people and --images"):
        count_photos(config.model_copy(update={"source": str(tmp_path / "nowhere")}))
