from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import derive_seed
from auggen.faces.manifest import Manifest
from auggen.faces.shards import read_face_set, write_face_set
from auggen.synthesis.config import SynthesizeConfig
from auggen.synthesis.pool import choose_sources, name_classes, plan_pool, write_pool

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


def test_no_mixing_draws_real_people_anew(config: SynthesizeConfig) -> None:
    changes: dict[str, Any] = {"mixing": "none", "num_classes": 4}
    sources = sources_of(config, **changes)
    assert sources.tolist() == [[k, k] for k in range(4)]
    recipe = plan_pool(config.model_copy(update=changes), sources, 0.9, 0.9)
    assert set(recipe.alpha.tolist()) == {1.0}
    assert set(recipe.beta.tolist()) == {0.0}


def test_no_mixing_cannot_draw_more_people_than_there_are(config: SynthesizeConfig) -> None:
    with pytest.raises(UserError, match=r"`synthesize.num_classes` is 6.*`none`.*only 5"):
        sources_of(config, mixing="none")


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
        write_pool(tmp_path / name, draw(18), recipe, config, real, "digest")
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
        "generator",
    ]
    assert extra["seed"].tolist() == recipe.seed.tolist()
    assert set(extra["generator"]) == {"digest"}
    assert extra["alpha"].iloc[0] == pytest.approx(0.7)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert (tmp_path / "a" / "samples.png").is_file()


def test_real_people_keep_their_names(
    config: SynthesizeConfig, real: Manifest, tmp_path: Path
) -> None:
    none = config.model_copy(update={"mixing": "none", "num_classes": 2})
    recipe = plan_pool(none, sources_of(none), 1.0, 1.0)
    (tmp_path / "pool").mkdir()
    manifest = write_pool(tmp_path / "pool", draw(6), recipe, none, real, "digest")
    assert manifest.identities == ["s0", "s1"]


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
    recipe = plan_pool(whole, sources_of(whole), 0.7, 0.6)
    named = real.model_copy(update={"identities": people})
    images = (pytest.fail("an image was drawn") for _ in range(30))
    with pytest.raises(UserError, match=f"{reason}.*rename the identities"):
        write_pool(tmp_path, images, recipe, whole, named, "digest")


def test_a_slash_alone_does_no_harm(real: Manifest) -> None:
    named = real.model_copy(update={"identities": ["a/b", "c", "d/e", "a", "f"]})
    sources = torch.tensor([[0, 1], [1, 2], [3, 3]])
    assert name_classes(sources, named) == ["a/b/c", "c/d/e", "a"]


def test_an_iterator_that_ends_early_is_noticed(
    config: SynthesizeConfig, real: Manifest, tmp_path: Path
) -> None:
    recipe = plan_pool(config, sources_of(config), 0.7, 0.6)
    with pytest.raises(ValueError):
        write_pool(tmp_path, draw(17), recipe, config, real, "digest")
