"""Selection rules: what makes a pool image worth training on.

A rule turns the score table into one number an image, higher is better. Inside a class the images
with the highest numbers are taken; classes are ranked by the mean number of their taken images.
A new rule is one function here with `@_rule`, and its name in `Rule`.
"""

from collections.abc import Callable
from typing import Literal, get_args

import pandas as pd

from auggen.core.seeds import numpy_generator

Rule = Literal["random", "m_total", "balanced", "semi_hard", "diverse", "between"]
"""Names of the rules."""
Score = Callable[[pd.DataFrame, int], "pd.Series[float]"]
"""(score table, seed) -> one number an image, with the table's index."""

_SEMI_HARD_QUANTILE = 0.75
_CONSISTENCY_QUANTILE = 0.25
_BELOW_EVERYTHING = 10.0
_RULES: dict[str, Score] = {}


def rate_images(rule: Rule, scores: pd.DataFrame, seed: int) -> "pd.Series[float]":
    """Returns a rule's number for each image of the score table, higher is better."""
    return _RULES[rule](scores, seed)


def _rule(score: Score) -> Score:
    _RULES[score.__name__] = score
    return score


@_rule
def random(scores: pd.DataFrame, seed: int) -> "pd.Series[float]":
    """A number drawn for each image: classes and images by lot."""
    numbers = numpy_generator(seed, "select").random(len(scores))
    return pd.Series(numbers, index=scores.index)


@_rule
def m_total(scores: pd.DataFrame, _: int) -> "pd.Series[float]":
    """An image's share of m_s + m_d: within + (1 - source_max).

    The mean over all images of a class is m_total of the class.
    """
    return scores["within"] + 1 - scores["source_max"]


@_rule
def balanced(scores: pd.DataFrame, _: int) -> "pd.Series[float]":
    """The lowest larger source similarity: -source_max, for an image near neither source.

    For given distances to the sources together this is the image halfway between them.
    """
    return -scores["source_max"]


@_rule
def semi_hard(scores: pd.DataFrame, _: int) -> "pd.Series[float]":
    """-|difficulty - target|: images hard for M_orig, but of the right class (difficulty < 0).

    The target is the 75th percentile of difficulty over the pool images of the right class (over
    all, if none is). After arXiv 1503.03832 and CemiFace, which finds medium difficulty best.
    """
    hardness = scores["difficulty"]
    right = hardness[hardness < 0]
    target = float((right if len(right) else hardness).quantile(_SEMI_HARD_QUANTILE))
    return -(hardness - target).abs()


@_rule
def diverse(scores: pd.DataFrame, _: int) -> "pd.Series[float]":
    """The image's diversity: 1 - its mean similarity to the other images of its class."""
    return scores["diversity"]


@_rule
def between(scores: pd.DataFrame, _: int) -> "pd.Series[float]":
    """-(source_max + balance), of classes that are consistent: images truly between the sources.

    source_max + balance = 2 * source_max - source_min is small for an image that is near neither
    source and leans to neither. Alone it would favour images that show nobody, so classes whose
    mean `within` (m_s) lies below the 25th percentile of the pool's classes come last of all.
    """
    class_m_s = scores.groupby("label")["within"].mean()
    floor = class_m_s.quantile(_CONSISTENCY_QUANTILE)
    penalty = (class_m_s < floor) * _BELOW_EVERYTHING
    return -scores["source_max"] - scores["balance"] - scores["label"].map(penalty)


if set(_RULES) != set(get_args(Rule)):
    raise RuntimeError("every rule needs its name in `Rule`")
