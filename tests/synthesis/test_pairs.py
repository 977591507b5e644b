from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.core.seeds import torch_generator
from auggen.measures.embeddings import normalise
from auggen.synthesis import pairs
from auggen.synthesis.config import PairRule
from auggen.synthesis.pairs import sample_identity_pairs


def centres(count: int) -> torch.Tensor:
    return normalise(torch.randn(count, 6, generator=torch_generator(0, "centres")))


def sample(count: int, people: int, rule: PairRule, seed: int = 0) -> list[tuple[int, ...]]:
    drawn = sample_identity_pairs(
        count, people, rule, seed, field="synthesize.num_classes", centres=lambda: centres(people)
    )
    return [tuple(pair) for pair in drawn.tolist()]


@pytest.mark.parametrize("rule", ["random", "distant", "close"])
def test_all_pairs_once_each(rule: PairRule) -> None:
    assert sorted(sample(45, 10, rule)) == list(combinations(range(10), 2))


@pytest.mark.parametrize("rule", ["random", "distant", "close"])
@settings(max_examples=20, deadline=None)
@given(counts=st.tuples(st.integers(1, 45), st.integers(1, 45)), seed=st.integers(0, 9))
def test_more_pairs_extend_the_list(rule: PairRule, counts: tuple[int, int], seed: int) -> None:
    few, many = sorted(counts)
    assert sample(many, 10, rule, seed)[:few] == sample(few, 10, rule, seed)


def test_seed_decides_random_pairs() -> None:
    assert sample(20, 10, "random", 0) != sample(20, 10, "random", 1)


@pytest.mark.parametrize("block", [3, 1024])
def test_ordered_pairs_against_a_sorted_list(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_BLOCK", block)
    space = centres(10)
    cosine = {(i, j): (space[i] @ space[j]).item() for i, j in combinations(range(10), 2)}
    assert sample(12, 10, "distant") == sorted(cosine, key=lambda p: cosine[p])[:12]
    assert sample(12, 10, "close") == sorted(cosine, key=lambda p: -cosine[p])[:12]


@pytest.mark.parametrize("block", [2, 1024])
def test_ties_go_to_the_first_pair(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_BLOCK", block)
    alike = torch.ones(5, 1)
    drawn = sample_identity_pairs(6, 5, "close", 0, field="x", centres=lambda: alike)
    assert [tuple(p) for p in drawn.tolist()] == list(combinations(range(5), 2))[:6]


@pytest.mark.parametrize("rule", ["random", "distant", "close"])
def test_more_than_there_are(rule: PairRule) -> None:
    with pytest.raises(UserError, match=r"`synthesize.num_classes` is 46.*10.*only 45"):
        sample(46, 10, rule)


def test_one_person_has_no_pairs() -> None:
    with pytest.raises(UserError, match="only 0"):
        sample(1, 1, "random")


def test_ordered_rule_without_centres() -> None:
    with pytest.raises(ValueError, match="centres"):
        sample_identity_pairs(1, 3, "distant", 0, field="x")
