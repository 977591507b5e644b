from collections.abc import Callable
from typing import Any, get_args

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.selection.choice import choose_images, count_anew, count_classes, rank_pool
from auggen.selection.config import SelectConfig
from auggen.selection.rules import Rule, rate_images

MakeConfig = Callable[..., SelectConfig]
NUM_REAL = 30


@pytest.mark.parametrize("rule", get_args(Rule))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.tuples(st.floats(0.1, 1.2), st.floats(0.1, 1.2)))
def test_a_larger_ratio_only_adds_identities(
    rule: Rule, scores: pd.DataFrame, make_config: MakeConfig, ratios: tuple[float, float]
) -> None:
    config = make_config(rule=rule)
    few, many = (
        choose_images(rank_pool(scores, config), ratio, NUM_REAL, config)
        for ratio in sorted(ratios)
    )
    pd.testing.assert_frame_equal(many.head(len(few)), few)
    assert many["label"].tolist() == [k // 3 for k in range(len(many))]


@pytest.mark.parametrize("rule", get_args(Rule))
def test_against_a_slow_choice(rule: Rule, scores: pd.DataFrame, make_config: MakeConfig) -> None:
    config = make_config(rule=rule, max_real_similarity=0.5)
    rating = rate_images(rule, scores, 0).tolist()
    similar, label = scores["real_similarity"].tolist(), scores["label"].tolist()
    classes = []
    for k in range(12):
        rows = [r for r in range(60) if label[r] == k and similar[r] <= 0.5]
        rows = sorted(rows, key=lambda r: -rating[r])[:3]
        if len(rows) == 3:
            classes.append((sum(rating[r] for r in rows), rows))
    classes.sort(key=lambda item: -item[0])
    assert 2 < len(classes) < 12
    ranking = rank_pool(scores, config)
    assert ranking.num_classes == len(classes)
    assert ranking.num_dropped_classes == 12 - len(classes)
    assert ranking.num_copies == sum(value > 0.5 for value in similar)
    assert ranking.images["row"].tolist() == [row for _, rows in classes for row in rows]


def test_order_of_the_table_does_not_matter(scores: pd.DataFrame, make_config: MakeConfig) -> None:
    config = make_config()
    shuffled = scores.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        rank_pool(shuffled, config).images, rank_pool(scores, config).images
    )


def test_ties_go_to_the_first(scores: pd.DataFrame, make_config: MakeConfig) -> None:
    config = make_config()
    chosen = choose_images(rank_pool(scores.assign(source_max=0.5), config), 0.2, NUM_REAL, config)
    assert chosen["row"].tolist() == [0, 1, 2, 5, 6, 7]
    assert chosen["pool_label"].tolist() == [0, 0, 0, 1, 1, 1]


def test_zero_chooses_nothing(scores: pd.DataFrame, make_config: MakeConfig) -> None:
    config = make_config()
    assert len(choose_images(rank_pool(scores, config), 0.0, NUM_REAL, config)) == 0


def test_number_of_classes() -> None:
    assert count_classes(2.0, 170, 8) == 42
    assert count_classes(1.0, 30, 3) == 10
    assert count_classes(0.0, 30, 3) == 0


def test_number_of_images_drawn_anew() -> None:
    assert count_anew(1.0, 30, 5) == 6
    assert count_anew(0.0, 30, 5) == 0


def test_less_than_one_identity() -> None:
    with pytest.raises(UserError, match=r"`mix_ratio` is 0.01.*0.1 or more"):
        count_classes(0.01, 30, 3)


def test_less_than_one_image_drawn_anew() -> None:
    with pytest.raises(UserError, match=r"`select.anew_ratio` is 0.01.*0.167 or more"):
        count_anew(0.01, 30, 5)
    assert count_anew(0.167, 30, 5) == 1


def test_more_than_the_pool_holds(scores: pd.DataFrame, make_config: MakeConfig) -> None:
    config = make_config()
    with pytest.raises(UserError, match=r"asks for 13 identities .*has 12 \(0 .*`synthesize.num_c"):
        choose_images(rank_pool(scores, config), 1.3, NUM_REAL, config)


def test_the_remedy_of_the_error_works(scores: pd.DataFrame, make_config: MakeConfig) -> None:
    config = make_config(max_real_similarity=0.5)
    ranking = rank_pool(scores, config)
    with pytest.raises(UserError, match=r"\(\d+ of its 12 have fewer images; \d+ images") as caught:
        choose_images(ranking, 1.2, NUM_REAL, config)
    ratio = float(str(caught.value).split("set it to ")[1].split(" or less")[0])
    chosen = choose_images(ranking, ratio, NUM_REAL, config)
    assert len(chosen) == 3 * ranking.num_classes > 0


@pytest.mark.parametrize(
    ("changes", "remedies"),
    [
        ({}, "raise `synthesize.num_classes` or raise `select.images_per_class`"),
        (
            {"max_real_similarity": 0.5},
            "raise `synthesize.num_classes`, lower `select.images_per_class`, raise "
            "`synthesize.images_per_class` or raise `select.max_real_similarity`",
        ),
        (
            {"images_per_class": 20},
            "lower `select.images_per_class` or raise `synthesize.images_per_class`",
        ),
    ],
)
def test_only_what_helps_is_advised(
    changes: dict[str, Any], remedies: str, scores: pd.DataFrame, make_config: MakeConfig
) -> None:
    config = make_config(**changes)
    with pytest.raises(UserError) as caught:
        choose_images(rank_pool(scores, config), 20.0, NUM_REAL, config)
    assert str(caught.value).split("real ones); ")[1].split(" or less, ")[-1] == remedies


@pytest.mark.parametrize("rule", get_args(Rule))
def test_real_people_drawn_anew_come_beside_the_same_mixes(
    rule: Rule, scores_with_anew: pd.DataFrame, make_config: MakeConfig
) -> None:
    both, alone = make_config(rule=rule, anew_ratio=0.4), make_config(rule=rule)
    chosen = choose_images(rank_pool(scores_with_anew, both), 0.6, NUM_REAL, both)
    mixed, anew = chosen[chosen["label"] >= 0], chosen[chosen["label"] < 0]
    only_mixes = rank_pool(scores_with_anew.query("source_i != source_j"), alone)
    pd.testing.assert_frame_equal(mixed, choose_images(only_mixes, 0.6, NUM_REAL, alone))
    assert (anew["label"] == -1 - anew["source_i"]).all()
    assert anew["pool_label"].tolist() == [k // 3 + 8 for k in range(12)]  # 0.4 * 30 / 4 of each
    rating = rate_images("random", scores_with_anew.query("source_i == source_j"), 0)
    for k in range(8, 12):
        best = rating[scores_with_anew["label"].eq(k)[rating.index]].nlargest(3)
        assert anew.query(f"pool_label == {k}")["row"].tolist() == best.index.tolist()


def test_a_larger_ratio_only_adds_images_of_people_drawn_anew(
    scores_with_anew: pd.DataFrame, make_config: MakeConfig
) -> None:
    few, many = (
        choose_images(rank_pool(scores_with_anew, config), 0.5, NUM_REAL, config)
        for config in (make_config(anew_ratio=0.2), make_config(anew_ratio=0.6))
    )
    assert len(few) < len(many)
    assert set(few["row"]) < set(many["row"])


def test_near_copies_of_people_drawn_anew_are_dropped(
    scores_with_anew: pd.DataFrame, make_config: MakeConfig
) -> None:
    config = make_config(anew_ratio=0.6, max_real_similarity=0.5)
    chosen = choose_images(rank_pool(scores_with_anew, config), 0.0, NUM_REAL, config)
    table = scores_with_anew.query("source_i == source_j and real_similarity <= 0.5")
    counts = table.groupby("source_i").size().clip(upper=4)
    assert chosen.groupby("source_i").size().to_dict() == counts.to_dict()
    assert counts.min() < 4
    assert (chosen["label"] < 0).all()


def test_more_images_anew_than_the_pool_holds(
    scores: pd.DataFrame, scores_with_anew: pd.DataFrame, make_config: MakeConfig
) -> None:
    config = make_config(anew_ratio=0.8)
    with pytest.raises(UserError, match=r"asks for 6 .* has 5; .*`synthesize.anew_images`"):
        choose_images(rank_pool(scores_with_anew, config), 0.5, NUM_REAL, config)
    with pytest.raises(UserError, match=r"no real people anew.*`synthesize.anew_images` above 0"):
        choose_images(rank_pool(scores, config), 0.5, NUM_REAL, config)


def test_a_person_of_whom_only_near_copies_were_drawn(
    scores_with_anew: pd.DataFrame, make_config: MakeConfig
) -> None:
    config = make_config(anew_ratio=0.4, max_real_similarity=0.95)
    copies = scores_with_anew["source_i"].eq(2) & scores_with_anew["source_j"].eq(2)
    table = scores_with_anew.assign(
        real_similarity=scores_with_anew["real_similarity"].mask(copies, 0.99)
    )
    chosen = choose_images(rank_pool(table, config), 0.0, NUM_REAL, config)
    assert chosen.groupby("source_i").size().to_dict() == {0: 3, 1: 3, 3: 3}
    table = table.assign(real_similarity=0.99)
    with pytest.raises(UserError, match=r"of the 4 people .*`select.max_real_similarity`"):
        choose_images(rank_pool(table, config), 0.0, NUM_REAL, config)
