"""Values of `prepare` that a shell or the split would trip over."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auggen.core.params import load_params
from auggen.ingest.config import PrepareConfig


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        *[("source", f"data/raw/my{sign}faces", "pattern") for sign in '"$`\\'],
        ("validation_identities", ["s1", "s6", "s1"], "names somebody twice"),
    ],
)
def test_refused(root: Path, key: str, value: Any, reason: str) -> None:
    section = load_params(root / "params.yaml")["prepare"]
    PrepareConfig.model_validate(section | {"source": "data/raw/my faces (1)"})
    with pytest.raises(ValidationError, match=reason):
        PrepareConfig.model_validate(section | {key: value})
