"""Score tables and configs made by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auggen.core.seeds import numpy_generator
from auggen.selection.config import SelectConfig

MEASURES = (
    "own_centre", "sim_i", "sim_j", "source_max", "source_min", "balance", "nearest_other",
    "real_similarity", "pixel_correlation", "within", "diversity", "difficulty",
)  # fmt: skip


@pytest.fixture
def scores() -> pd.DataFrame:
    """12 classes x 5 images with random measures; 8 real people."""
    table = pd.DataFrame(numpy_generator(0, "scores").uniform(-0.9, 0.9, (60, len(MEASURES))))
    table.columns = pd.Index(MEASURES)
    label = np.arange(60) // 5
    places = pd.DataFrame(
        {"row": np.arange(60), "label": label, "source_i": label % 7, "source_j": 7}
    )
    return pd.concat([places.assign(nearest_real=0).astype({"label": "int32"}), table], axis=1)


@pytest.fixture
def scores_with_anew(scores: pd.DataFrame) -> pd.DataFrame:
    """The same, the last four classes being real people 0 to 3 drawn anew."""
    person = (scores["label"] - 8).where(scores["label"] >= 8)
    return scores.assign(
        source_i=person.fillna(scores["source_i"]).astype(int),
        source_j=person.fillna(scores["source_j"]).astype(int),
    )


@pytest.fixture
def make_config() -> Callable[..., SelectConfig]:
    def make(**changes: Any) -> SelectConfig:
        plain = {
            "rule": "balanced",
            "images_per_class": 3,
            "anew_ratio": 0.0,
            "max_real_similarity": 1.0,
            "batch_share": 0.25,
            "schedule": "constant",
            "switch_at": 0.5,
            "compete_with_sources": False,
            "margin_scale": 1.0,
            "loss_weight": 1.0,
            "seed": 0,
        }
        return SelectConfig.model_validate(plain | changes)

    return make
