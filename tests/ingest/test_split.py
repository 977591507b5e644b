"""People never sit in two parts, whatever the seed and counts."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.ingest.config import PrepareConfig
from auggen.ingest.split import split_identities

MakeConfig = Callable[..., PrepareConfig]
PEOPLE = [f"p{k}" for k in range(40)]
brief = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@brief
@given(
    st.integers(2, 15),
    st.integers(2, 15),
    st.integers(0, 999),
    st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True),
)
def test_parts_are_disjoint_and_complete(
    make_config: MakeConfig, validation: int, test: int, seed: int, named: list[str]
) -> None:
    config = make_config(
        validation=validation, test=test, split_seed=seed, validation_identities=named
    )
    split = split_identities(PEOPLE, config)
    assert sorted(split.train + split.validation + split.test) == sorted(PEOPLE)
    assert (len(split.validation), len(split.test)) == (validation, test)
    assert set(named) <= set(split.validation)
    shuffled = split_identities(PEOPLE[::-1], config)
    assert set(shuffled.test) == set(split.test)


def test_seeds_differ_and_named_people_stay(make_config: MakeConfig) -> None:
    named = PEOPLE[:2]
    splits = [
        split_identities(PEOPLE, make_config(split_seed=k, validation_identities=named))
        for k in range(9)
    ]
    assert all(split.validation == named for split in splits)
    assert len({tuple(split.test) for split in splits}) > 5


def test_fractions(make_config: MakeConfig) -> None:
    split = split_identities(PEOPLE, make_config(validation=0.1, test=0.25))
    assert (len(split.train), len(split.validation), len(split.test)) == (26, 4, 10)


def test_a_new_person_moves_few(make_config: MakeConfig) -> None:
    before = split_identities(PEOPLE, make_config(test=10))
    after = split_identities([*PEOPLE, "new"], make_config(test=10))
    assert len(set(before.test) - set(after.test)) <= 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"validation_identities": ["p0", "p77"]}, "'p77' is not in the source"),
        ({"validation_identities": ["p0", "p1", "p2"]}, "names 3"),
        ({"validation": 20, "test": 19}, "leave fewer than 2 of 40"),
        ({"validation": 0.01}, "of 40 identities is 0"),
        ({"test": 99}, "leave fewer than 2"),
    ],
)
def test_impossible(make_config: MakeConfig, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        split_identities(PEOPLE, make_config(**changes))
