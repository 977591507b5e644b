"""Lists of held-out people keep the shape of the benchmarks they stand for."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.ingest import benchmarks
from auggen.ingest.benchmarks import list_lowres, list_pairs, list_templates

brief = settings(deadline=None, max_examples=20)
COUNTS = st.lists(st.integers(4, 9), min_size=2, max_size=6)


def labels_of(counts: list[int]) -> list[int]:
    return [label for label, count in enumerate(counts) for _ in range(count)]


@brief
@given(COUNTS)
def test_every_pair_number_is_another_pair(counts: list[int]) -> None:
    labels = labels_of(counts)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    same = {(a, b) for a, b in combinations(range(len(labels)), 2) if labels[a] == labels[b]}
    different = {(a, b) for a, b in combinations(range(len(labels)), 2) if labels[a] != labels[b]}
    found = benchmarks._same_pairs(offsets, np.arange(len(same)))
    assert set(map(tuple, found.tolist())) == same
    found = benchmarks._different_pairs(offsets, np.arange(len(different)))
    assert set(map(tuple, found.tolist())) == different


@brief
@given(COUNTS)
def test_pairs(counts: list[int]) -> None:
    labels = np.array(labels_of(counts))
    num_same = sum(n * (n - 1) // 2 for n in counts)
    num_different = len(labels) * (len(labels) - 1) // 2 - num_same
    rarer = min(num_same, num_different)
    table = list_pairs(counts)
    assert len(table) == 2 * (rarer // 10) * 10
    assert table["fold"].is_monotonic_increasing
    assert (table["a"] < table["b"]).all()
    assert not table.duplicated(["a", "b"]).any()
    assert (labels[table["a"]] == labels[table["b"]]).astype(int).tolist() == list(table["is_same"])
    for _, fold in table.groupby("fold"):
        half = len(fold) // 2
        assert fold["is_same"].tolist() == [1] * half + [0] * half
    assert table.equals(list_pairs(counts))


def test_pairs_of_many_people_are_as_many_as_in_lfw() -> None:
    assert list_pairs([300] * 2000).groupby(["fold", "is_same"]).size().tolist() == [300] * 20


def test_too_few_pairs() -> None:
    with pytest.raises(UserError, match="6 same and 9 different pairs"):
        list_pairs([3, 3])


@brief
@given(COUNTS, st.integers(1, 2))
def test_templates(counts: list[int], size: int) -> None:
    table = list_templates(counts, size)
    labels = np.array(labels_of(counts))
    assert labels[table["image"]].tolist() == table["identity"].tolist()
    assert not table["image"].duplicated().any()
    assert (table.groupby("template").size() == size).all()
    assert table["template"].nunique() == sum(n // size for n in counts)
    roles = table.groupby("template").first()
    assert roles[roles["role"] == "gallery"]["identity"].tolist() == list(range(len(counts)))
    assert set(roles[roles["role"] == "probe"]["identity"]) == set(range(len(counts)))
    assert table.equals(list_templates(counts, size))


@brief
@given(COUNTS)
def test_lowres(counts: list[int]) -> None:
    gallery, probes = list_lowres(counts)
    labels = labels_of(counts)
    assert [labels[row] for row in gallery] == list(range(len(counts)))
    assert sorted(gallery + probes) == list(range(len(labels)))
