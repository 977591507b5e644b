"""The interval of an accuracy lies about the accuracy, though pairs of two people weigh little."""

import numpy as np

from auggen.protocols.listed_pairs import run_listed_pairs


def test_interval_over_people_holds_the_value() -> None:
    draw = np.random.default_rng(0)
    is_same = np.tile(np.repeat([True, False], 30), 10)
    first = draw.integers(100, size=600)
    second = np.where(is_same, first, 100 + draw.integers(100, size=600))
    # a quarter of the genuine pairs is far, no impostor is near
    distances = np.where(is_same & (draw.random(600) > 0.26), 0.5, 1.5)
    folds = np.repeat(np.arange(10), 60)
    outcome = run_listed_pairs("lfw", distances, is_same, folds, (first, second), 500)
    low, high = np.percentile(outcome.replicates["accuracy"], [2.5, 97.5])
    assert low < outcome.figures["accuracy"] < high
    assert high - low < 0.08
