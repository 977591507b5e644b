from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import derive_seed
from auggen.faces.manifest import Manifest
from auggen.faces.shards import read_face_set, write_face_set
from auggen.synthesis.config import SynthesizeConfig
from auggen.synthesis.pool import choose_sources, class_labels, name_classes, plan_pool, write_pool

PEOPLE = 5


@pytest.fixture
def real(tmp_path: Path) -> Manifest:
    folder = tmp_path / "real"
    folder.mkdir()
    images = torch.zeros(PEOPLE, 1, 4, 4, dtype=torch.uint8)
    names = [f"s{k}" for k in range(PEOPLE)]
    return write_face_set(
        folder, images, torch.arange(PEOPLE), names, identities=names, source_digest="0"
    )


def sources_of(config: SynthesizeConfig, **changes: Any) -> Tensor:
    return choose_sources(
        config.model_copy(update=changes), PEOPLE, lambda: torch.eye(PEOPLE, PEOPLE)
    )


def test_pool_rows_go_class_by_class(config: SynthesizeConfig) -> None:
    sources = sources_of(config)
    recipe = plan_pool(config, sources, 0.7, 0.6)
    assert len(recipe) == 18
    assert recipe.source_i.tolist() == sources[:, 0].repeat_interleave(3).tolist()
    assert recipe.seed.tolist() == [derive_seed(0, k) for k in range(18)]
    assert set(recipe.alpha.tolist()) == {torch.tensor(0.7).item()}


def test_more_classes_extend_the_pool(config: SynthesizeConfig) -> None:
    larger = config.model_copy(update={"num_classes": 9})
    few = plan_pool(config, sources_of(config), 0.7, 0.7)
    many = plan_pool(larger, sources_of(larger), 0.7, 0.7).part(slice(len(few)))
    for name in ("source_i", "source_j", "alpha", "beta", "seed"):
        assert torch.equal(getattr(few, name), getattr(many, name))


def test_score_mixing_ignores_the_searched_weights(config: SynthesizeConfig) -> None:
    scored = config.model_copy(update={"mixing": "score"})
    recipe = plan_pool(scored, sources_of(config), 0.9, 0.9)
    assert set(recipe.alpha.tolist()) == set(recipe.beta.tolist()) == {0.5}


@pytest.mark.parametrize("mixing", ["condition", "score"])
def test_real_people_drawn_anew_follow_the_same_mixes(
    config: SynthesizeConfig, mixing: str
) -> None:
    both = config.model_copy(update={"anew_images": 12, "mixing": mixing})
    sources = sources_of(both)
    assert sources[6:].tolist() == [[k, k] for k in range(PEOPLE)]
    assert class_labels(both, sources)[18:].tolist() == [6, 6, 6, 7, 7, 7, 8, 8, 9, 9, 10, 10]
    recipe = plan_pool(both, sources, 0.9, 0.8)
    mixed = plan_pool(config.model_copy(update={"mixing": mixing}), sources_of(config), 0.9, 0.8)
    for name in ("source_i", "source_j", "alpha", "beta", "seed"):
        assert torch.equal(getattr(recipe.part(slice(18)), name), getattr(mixed, name))
    assert set(recipe.alpha[18:].tolist()) == {1.0}
    assert set(recipe.beta[18:].tolist()) == {0.0}
    assert len(set(recipe.seed.tolist())) == 30


def test_real_people_alone(config: SynthesizeConfig) -> None:
    alone = config.model_copy(update={"num_classes": 0, "anew_images": 10})
    sources = sources_of(alone)
    assert sources.tolist() == [[k, k] for k in range(PEOPLE)]
    assert len(plan_pool(alone, sources, 0.9, 0.9)) == 10


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_classes": 0}, "both 0: nothing to draw"),
        ({"anew_images": 9, "mixing": "pixel"}, "is 9, but mixing `pixel` has no generator"),
        ({"anew_images": 4}, "is 4: less than one image of each of 5 real"),
    ],
)
def test_what_cannot_be_drawn(
    config: SynthesizeConfig, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=f"`synthesize.anew_images`.* {reason}"):
        sources_of(config, **changes)


def test_more_mixes_than_pairs(config: SynthesizeConfig) -> None:
    with pytest.raises(UserError, match=r"`synthesize.num_classes` is 11.*only 10"):
        sources_of(config, num_classes=11)


def test_random_pairs_ask_for_no_centres(config: SynthesizeConfig) -> None:
    choose_sources(config, PEOPLE, lambda: pytest.fail("centres were computed"))


def draw(count: int) -> Iterator[Tensor]:
    for k in range(count):
        yield torch.full((1, 4, 4), k, dtype=torch.uint8)


def test_pool_carries_its_provenance(
    config: SynthesizeConfig, real: Manifest, tmp_path: Path
) -> None:
    sources = sources_of(config)
    recipe = plan_pool(config, sources, 0.7, 0.6)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_pool(tmp_path / name, draw(18), recipe, sources, config, real, "digest")
    pool = read_face_set(tmp_path / "a")
    assert pool.images[:, 0, 0, 0].tolist() == list(range(18))
    assert pool.labels.tolist() == [k // 3 for k in range(18)]
    i, j = sources[0].tolist()
    assert pool.manifest.identities[0] == f"s{i}/s{j}"
    assert pool.paths[0] == f"s{i}/s{j}/00000000.png"
    extra = pool.extra
    assert list(extra.columns) == [
        "source_i",
        "source_j",
        "alpha",
        "beta",
        "mixing",
        "seed",
        "photograph",
        "generator",
    ]
    assert extra["seed"].tolist() == recipe.seed.tolist()
    assert set(extra["photograph"]) == {-1}
    assert set(extra["generator"]) == {"digest"}
    assert extra["alpha"].iloc[0] == pytest.approx(0.7)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert (tmp_path / "a" / "samples.png").is_file()


def test_real_people_keep_their_names(
    config: SynthesizeConfig, real: Manifest, tmp_path: Path
) -> None:
    both = config.model_copy(update={"num_classes": 1, "anew_images": 7})
    sources = sources_of(both)
    recipe = plan_pool(both, sources, 1.0, 1.0)
    (tmp_path / "pool").mkdir()
    manifest = write_pool(tmp_path / "pool", draw(10), recipe, sources, both, real, "digest")
    assert manifest.identities[1:] == [f"s{k}" for k in range(PEOPLE)]
    assert read_face_set(tmp_path / "pool").labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        (["a", "b", "a/b", "c", "d"], "identity 'a/b': the mix of 'a' and 'b'"),
        (["a", "b/c", "a/b", "c", "d"], "identity 'a/b/c': the mix of 'a/b' and 'c'"),
    ],
)
def test_names_that_are_taken_are_refused_before_anything_is_drawn(
    config: SynthesizeConfig, real: Manifest, tmp_path: Path, people: list[str], reason: str
) -> None:
    whole = config.model_copy(update={"num_classes": 10})
    sources = sources_of(whole)
    recipe = plan_pool(whole, sources, 0.7, 0.6)
    named = real.model_copy(update={"identities": people})
    images = (pytest.fail("an image was drawn") for _ in range(30))
    with pytest.raises(UserError, match=f"{reason}.*rename the identities"):
        write_pool(tmp_path, images, recipe, sources, whole, named, "digest")


def test_a_slash_alone_does_no_harm(real: Manifest) -> None:
    named = real.model_copy(update={"identities": ["a/b", "c", "d/e", "a", "f"]})
    sources = torch.tensor([[0, 1], [1, 2], [3, 3]])
    assert name_classes(sources, named) == ["a/b/c", "c/d/e", "a"]


def test_an_iterator_that_ends_early_is_noticed(
    config: SynthesizeConfig, real: Manifest, tmp_path: Path
) -> None:
    sources = sources_of(config)
    recipe = plan_pool(config, sources, 0.7, 0.6)
    with pytest.raises(ValueError):
        write_pool(tmp_path, draw(17), recipe, sources, config, real, "digest")


@pytest.mark.parametrize("sigma", [-1.0, 0.005, 0.01, 10.1, float("inf"), float("nan")])
def test_drawing_starts_at_a_level_of_the_sampler(sigma: float, config: SynthesizeConfig) -> None:
    with pytest.raises(ValidationError, match="start_sigma"):
        SynthesizeConfig.model_validate(config.model_dump() | {"start_sigma": sigma})
    for fine in (0.0, 0.011, 10.0):
        SynthesizeConfig.model_validate(config.model_dump() | {"start_sigma": fine})
