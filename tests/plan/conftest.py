"""Toy settings and made-up rates."""

from dataclasses import replace
from pathlib import Path

import pytest

from auggen.plan.costs import Work
from auggen.plan.data_rates import DataRates
from auggen.plan.network_rates import NetworkRates
from auggen.plan.networks import Network
from auggen.plan.settings import Settings, Sizes, read_settings, size_up

STAGES = ["unpack", "prepare", "train_generator", "train_fr", "search", "synthesize", "score"]
STAGES += ["select", "evaluate", "compare"]


@pytest.fixture(scope="session")
def settings(root: Path) -> Settings:
    """presets/toy.yaml: 40 people, 8 for validation, 15 for test."""
    return read_settings(root / "presets" / "toy.yaml")


@pytest.fixture
def sizes(settings: Settings) -> Sizes:
    return size_up(settings, 40, 400)


@pytest.fixture
def free(settings: Settings, sizes: Sizes) -> Work:
    """Everything takes no time, memory or disk; a test gives one thing a price."""
    nothing = Network(0, 0.0, 0.0, 0.0)
    networks = NetworkRates(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    data = DataRates(dict.fromkeys(STAGES, 0.0), *[0.0] * 9, 0.0)
    return Work(settings, sizes, nothing, nothing, networks, data, 1)


def priced(work: Work, **prices: object) -> Work:
    """Sets rates by name, wherever they belong."""
    of_data = {k: v for k, v in prices.items() if hasattr(work.data, k)}
    others = {k: v for k, v in prices.items() if k not in of_data}
    return replace(
        work,
        data=replace(work.data, **of_data),  # type: ignore[arg-type]
        networks=replace(work.networks, **others),  # type: ignore[arg-type]
    )
