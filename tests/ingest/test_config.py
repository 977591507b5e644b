"""Params of `prepare` that ask for the impossible are refused at once."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from auggen.ingest.config import PrepareConfig


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channels": 2}, "channels"),
        ({"image_size": 32.5}, "image_size"),
        ({"validation": 1}, "validation"),
        ({"validation": 1.0}, "validation"),
        ({"test": 0.0}, "test"),
        ({"test": "half"}, "test"),
        ({"min_images": 3}, "cannot fill two templates"),
        ({"max_images": 3}, "at least min_images"),
        ({"lowres_pixels": 8}, "below image_size"),
        ({"colour": True}, "colour"),
        ({"landmarks": "../five.txt"}, "landmarks"),
        ({"landmarks": ""}, "landmarks"),
        ({"exclude": ""}, "exclude"),
    ],
)
def test_refused(
    make_config: Callable[..., PrepareConfig], changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        make_config(**changes)


def test_counts_and_fractions(make_config: Callable[..., PrepareConfig]) -> None:
    config = make_config(validation=3, test=0.25)
    assert (config.validation, config.test) == (3, 0.25)
    assert isinstance(config.validation, int)
