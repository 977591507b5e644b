from typing import get_args

import numpy as np
import pandas as pd
import pytest

from auggen.selection.rules import Rule, rate_images

RULES = get_args(Rule)


def best(rule: Rule, scores: pd.DataFrame) -> int:
    return int(rate_images(rule, scores, 0).to_numpy().argmax())


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_rates_every_image(rule: Rule, scores: pd.DataFrame) -> None:
    rating = rate_images(rule, scores, 0)
    assert rating.index.equals(scores.index)
    assert np.isfinite(rating).all()


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "random"])
def test_rules_do_not_care_for_the_order_of_rows(rule: Rule, scores: pd.DataFrame) -> None:
    shuffled = scores.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(
        rate_images(rule, shuffled, 0).sort_index(), rate_images(rule, scores, 0)
    )


def test_random_depends_on_the_seed(scores: pd.DataFrame) -> None:
    same = rate_images("random", scores, 1)
    assert same.equals(rate_images("random", scores, 1))
    assert not same.equals(rate_images("random", scores, 2))


def test_m_total_of_a_class_is_the_mean_of_its_images(scores: pd.DataFrame) -> None:
    rating = rate_images("m_total", scores, 0).groupby(scores["label"]).mean()
    means = scores.groupby("label")[["within", "source_max"]].mean()
    pd.testing.assert_series_equal(
        rating, means["within"] + (1 - means["source_max"]), check_names=False
    )


def test_balanced_takes_the_lowest_larger_source_similarity(scores: pd.DataFrame) -> None:
    assert best("balanced", scores) == scores["source_max"].argmin()


def test_diverse_takes_the_odd_one(scores: pd.DataFrame) -> None:
    assert best("diverse", scores) == scores["diversity"].argmax()


def test_semi_hard_is_neither_easy_nor_wrong() -> None:
    table = pd.DataFrame({"difficulty": [-0.9, -0.7, -0.5, -0.3, -0.1, 0.2, 0.9]})
    assert best("semi_hard", table) == 3  # the 75th percentile of -0.9 .. -0.1


def test_semi_hard_of_a_pool_that_is_all_wrong() -> None:
    table = pd.DataFrame({"difficulty": [0.1, 0.2, 0.3, 0.4, 0.5]})
    assert best("semi_hard", table) == 3


def test_between_prefers_images_near_neither_source_that_lean_to_neither() -> None:
    table = pd.DataFrame(
        {
            "label": [0, 1, 2, 3],
            "within": [0.5, 0.5, 0.5, 0.5],
            "source_max": [0.4, 0.4, 0.9, 0.45],
            "balance": [0.3, 0.0, 0.0, 0.0],
        }
    )
    assert np.argsort(-rate_images("between", table, 0).to_numpy()).tolist() == [1, 3, 0, 2]


def test_between_puts_inconsistent_classes_last() -> None:
    table = pd.DataFrame(
        {
            "label": [0, 1, 2, 3],
            "within": [0.1, 0.5, 0.5, 0.5],
            "source_max": [-0.9, 0.9, 0.9, 0.9],
            "balance": [0.0, 0.9, 0.9, 0.9],
        }
    )
    assert rate_images("between", table, 0).argmin() == 0
