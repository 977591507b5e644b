"""Identity-disjoint split into train, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass

from auggen.core.errors import UserError
from auggen.core.seeds import derive_seed
from auggen.ingest.config import PrepareConfig


@dataclass(frozen=True)
class Split:
    """Names of the people, each part in the order in which they were given."""

    train: list[str]
    """Seen by every model."""
    validation: list[str]
    """For every choice."""
    test: list[str]
    """For the final figures alone."""


def split_identities(identities: Sequence[str], config: PrepareConfig) -> Split:
    """Splits people by `split_seed`; a new person moves at most a few of the others.

    People are ranked by a hash of seed and name: test takes the first, validation the next; those
    in `validation_identities` are validation in any case and count towards `validation`.

    Raises:
        UserError: unknown names, or too few people for the counts asked.
    """
    named = set(config.validation_identities)
    known = set(identities)
    unknown = [name for name in config.validation_identities if name not in known]
    if unknown:
        raise UserError(
            f"`prepare.validation_identities`: {unknown[0]!r} is not in the source, or left out by "
            "`prepare.exclude` or `prepare.min_images`; correct the name or empty the list"
        )
    num_validation = _count(config.validation, len(identities), "validation")
    num_test = _count(config.test, len(identities), "test")
    if len(named) > num_validation:
        raise UserError(
            f"`prepare.validation` is {num_validation} people, `prepare.validation_identities` "
            f"names {len(named)}; raise the one or shorten the other"
        )
    if len(identities) - num_validation - num_test < 2:
        raise UserError(
            f"`prepare.validation` {num_validation} and `prepare.test` {num_test} leave fewer than "
            f"2 of {len(identities)} identities (of `prepare.min_images` images or more) for "
            "training; lower them"
        )
    free = [name for name in identities if name not in named]
    ranked = sorted(free, key=lambda name: (derive_seed(config.split_seed, "split", name), name))
    test = set(ranked[:num_test])
    validation = {*named, *ranked[num_test : num_test + num_validation - len(named)]}
    held_out = test | validation
    return Split(
        train=[name for name in identities if name not in held_out],
        validation=[name for name in identities if name in validation],
        test=[name for name in identities if name in test],
    )


def _count(share: int | float, total: int, name: str) -> int:
    count = share if isinstance(share, int) else round(share * total)
    if count < 2:
        raise UserError(
            f"`prepare.{name}` {share} of {total} identities is {count}; at least 2 are needed"
        )
    return count
