import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from auggen.core.errors import UserError
from auggen.measures.embeddings import normalise
from auggen.synthesis import search_files
from auggen.synthesis.config import SearchConfig
from auggen.synthesis.generation import Recipe
from auggen.synthesis.search import (
    RealPeople,
    grid_points,
    judge_point,
    meet_people,
    plan_search,
    search_mixing_weights,
    search_pairs,
)
from auggen.synthesis.search_files import read_weights, write_search

NUM_CLASSES = 6


def make_config(**changes: Any) -> SearchConfig:
    plain = {
        "mode": "grid",
        "alpha": 0.7,
        "beta": 0.6,
        "grid": [0.2, 0.6, 1.0],
        "num_pairs": 4,
        "images_per_pair": 2,
        "seed": 0,
    }
    return SearchConfig.model_validate(plain | changes)


def draw(recipe: Recipe) -> Tensor:
    """An image of 6 pixels in a row shows the weights of its sources; 7th pixel: who else."""
    pixels = torch.zeros(len(recipe), NUM_CLASSES + 1)
    pixels.scatter_(1, recipe.source_i[:, None], (100 * recipe.alpha)[:, None])
    pixels.scatter_(1, recipe.source_j[:, None], (100 * recipe.beta)[:, None])
    pixels[:, -1] = 40 * (recipe.alpha - 0.6).abs() + 40 * (recipe.beta - 0.6).abs()
    return pixels[:, None, None].to(torch.uint8)


def embed(images: Tensor) -> Tensor:
    return images.flatten(1).float()


def people(limit: float) -> RealPeople:
    """Class centres are the axes; held-out people are all `limit` away."""
    return RealPeople(torch.eye(NUM_CLASSES, NUM_CLASSES + 1), torch.full((9,), limit))


def test_half_of_the_grid_is_enough() -> None:
    points = grid_points(make_config())
    assert points == [(0.2, 0.2), (0.2, 0.6), (0.2, 1.0), (0.6, 0.6), (0.6, 1.0), (1.0, 1.0)]
    assert grid_points(make_config(grid=[1.0, 0.2, 0.6, 0.2])) == points


def test_every_point_has_the_same_pairs_and_noise() -> None:
    config = make_config()
    pairs = search_pairs(config, NUM_CLASSES)
    recipe = plan_search(config, pairs)
    each = 4 * 2
    assert len(recipe) == 6 * each
    for number, (alpha, beta) in enumerate(grid_points(config)):
        part, first = (
            recipe.part(slice(number * each, (number + 1) * each)),
            recipe.part(slice(each)),
        )
        assert torch.equal(part.seed, first.seed)
        assert torch.equal(part.source_i, first.source_i)
        assert torch.allclose(part.alpha, torch.tensor(alpha))
        assert torch.allclose(part.beta, torch.tensor(beta))
    assert len(set(recipe.seed.tolist())) == each
    assert recipe.source_i[:each].tolist() == pairs[:, 0].repeat_interleave(2).tolist()


def test_closed_form_of_one_point() -> None:
    """Samples at weights a, a and b on a third axis: cosine to a source a / sqrt(2 a^2 + b^2)."""
    pairs = torch.tensor([[0, 1], [2, 5]])
    point = torch.zeros(4, NUM_CLASSES + 1)
    for row, (i, j) in enumerate([(0, 1), (0, 1), (2, 5), (2, 5)]):
        point[row, [i, j, NUM_CLASSES]] = torch.tensor([2.0, 2.0, 1.0])
    row = judge_point(normalise(point), people(0.5), pairs)
    assert row["m_s"] == pytest.approx(1)
    assert row["m_d"] == pytest.approx(1 - 2 / 3)
    assert row["m_total"] == pytest.approx(2 - 2 / 3)
    assert row["nearest_similarity"] == pytest.approx(2 / 3)
    assert row["nearest_other_similarity"] == pytest.approx(0)


def test_best_m_total_is_chosen() -> None:
    config = make_config()
    pairs = search_pairs(config, NUM_CLASSES)
    result = search_mixing_weights(
        config, people(0.5), pairs, draw(plan_search(config, pairs)), embed
    )
    grid = result.grid
    assert not grid["rejected"].any()
    best = grid.loc[grid["m_total"].idxmax()]
    assert (result.alpha, result.beta) == (best["alpha"], best["beta"]) == (0.2, 0.2)
    assert grid["chosen"].sum() == 1
    assert result.pictures.shape == (4, 2, 1, 1, NUM_CLASSES + 1)
    chosen = plan_search(config, pairs).part(slice(8))
    assert torch.equal(result.pictures.flatten(0, 1), draw(chosen))


def test_points_that_draw_other_people_are_rejected() -> None:
    """Below weight 0.5 the fake generator draws the next person instead."""

    def draws_others(recipe: Recipe) -> Tensor:
        images = draw(recipe)
        weak = recipe.alpha < 0.5
        images[weak] = images[weak].roll(1, -1)
        return images

    config = make_config()
    pairs = torch.tensor([[0, 2], [1, 3]])
    result = search_mixing_weights(
        config, people(0.5), pairs, draws_others(plan_search(config, pairs)), embed
    )
    rejected = result.grid.set_index(["alpha", "beta"])["rejected"]
    assert rejected.loc[0.2].all()
    assert not rejected.loc[[0.6, 1.0]].any()
    assert result.alpha >= 0.5
    best = result.grid[~result.grid["rejected"]]["m_total"].max()
    assert result.grid.loc[result.grid["chosen"], "m_total"].item() == best


def test_all_points_rejected() -> None:
    config = make_config()
    pairs = search_pairs(config, NUM_CLASSES)
    drawn = draw(plan_search(config, pairs))
    with pytest.raises(UserError, match=r"search.grid.*other real people.*add larger weights"):
        search_mixing_weights(config, people(-0.5), pairs, drawn, embed)


def test_fixed_weights_are_taken_as_they_are() -> None:
    config = make_config(mode="fixed", num_pairs=12)
    pairs = search_pairs(config, NUM_CLASSES)
    assert len(pairs) == 8
    assert len(search_pairs(config, 4)) == 6, "all pairs of four people"
    result = search_mixing_weights(
        config, people(-0.5), pairs, draw(plan_search(config, pairs)), embed
    )
    assert (result.alpha, result.beta) == (0.7, 0.6)
    assert len(result.grid) == 1


def test_too_many_pairs() -> None:
    with pytest.raises(UserError, match=r"`search.num_pairs` is 16.*only 15"):
        search_pairs(make_config(num_pairs=16), NUM_CLASSES)


def test_limit_is_the_95th_percentile_of_held_out_people() -> None:
    images = torch.eye(3, dtype=torch.uint8)[:, None, None] * 200
    strangers = torch.tensor([[1, 0, 0]] * 19 + [[1, 1, 0]], dtype=torch.uint8)[:, None, None]
    known = meet_people(embed, images, torch.arange(3), 3, strangers)
    assert torch.equal(known.centres, torch.eye(3))
    expected = torch.quantile(torch.tensor([1.0] * 19 + [0.5**0.5]), 0.95)
    assert known.limit == pytest.approx(expected.item())


def test_files(tmp_path: Path) -> None:
    config = make_config()
    pairs = search_pairs(config, NUM_CLASSES)
    result = search_mixing_weights(
        config, people(0.5), pairs, draw(plan_search(config, pairs)), embed
    )
    pictures = [[torch.zeros(1, 8, 8, dtype=torch.uint8)] * 3]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_search(tmp_path / name, config, result, pictures)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["grid.csv", "heatmap.png", "samples.png", "weights.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert b"Software" not in (tmp_path / "a" / "heatmap.png").read_bytes()
    weights = read_weights(tmp_path / "a")
    assert (weights.alpha, weights.beta, weights.mode) == (result.alpha, result.beta, "grid")
    assert weights.measures["limit"] == 0.5
    grid = pd.read_csv(tmp_path / "a" / "grid.csv")
    assert len(grid) == 6
    assert {"alpha", "beta", "m_s", "m_d", "m_total", "rejected", "chosen"} <= set(grid.columns)


@pytest.mark.parametrize(
    "change, message",
    [({"alpha": "0.7"}, "alpha"), ({"extra": 1}, "extra"), ({"beta": -1.0}, "be")],
)
def test_broken_weights(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {"alpha": 0.7, "beta": 0.7, "mode": "grid", "measures": {}} | change
    (tmp_path / "weights.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"weights.json.*{message}"):
        read_weights(tmp_path)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights.json: missing"):
        read_weights(tmp_path)


def test_heatmap_of_a_single_point(tmp_path: Path) -> None:
    config = make_config(mode="fixed")
    pairs = search_pairs(config, NUM_CLASSES)
    result = search_mixing_weights(
        config, people(0.5), pairs, draw(plan_search(config, pairs)), embed
    )
    search_files._draw_heatmap(tmp_path / "map.png", result)
    assert (tmp_path / "map.png").stat().st_size > 1000
