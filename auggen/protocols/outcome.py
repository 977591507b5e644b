"""What one model did on one test set of the field. Letters: r replicates, b of them, u units."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from auggen.core.errors import UserError
from auggen.core.files import read_json, write_json
from auggen.core.seeds import numpy_generator
from auggen.protocols.trials import read_trials

Fact = str | int | float | bool


@dataclass(frozen=True)
class Outcome:
    """Figures with their replicates, and how they came about."""

    figures: dict[str, float]
    """Plain figures by the papers' names, as fractions."""
    replicates: dict[str, Float[np.ndarray, "r"]] = field(default_factory=dict)
    """The same under weights of people: row k of every model has the same weights."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """Counts, flags, achieved false accepts, digests."""


def unit_weights(name: str, num_units: int, num_replicates: int) -> Float[np.ndarray, "r u"]:
    """Draws Dirichlet(1) weights of people or pairs, the same for every model."""
    return next(weight_blocks(name, num_units, num_replicates, num_replicates))


def weight_blocks(
    name: str, num_units: int, num_replicates: int, most: int
) -> Iterator[Float[np.ndarray, "b u"]]:
    """Yields `unit_weights` from the first row on, at most so many replicates at a time."""
    generator = numpy_generator("benchmark", name)
    for start in range(0, num_replicates, most):
        size = min(most, num_replicates - start)
        yield generator.dirichlet(np.ones(num_units), size=size)


def outcome_files(name: str) -> tuple[str, str]:
    """Returns the names of a test set's figures and replicates."""
    return f"{name}.json", f"{name}-replicates.parquet"


def write_outcome(folder: Path, name: str, protocol: str, outcome: Outcome) -> None:
    """Writes both files."""
    figures, replicates = outcome_files(name)
    content = {"protocol": protocol, "figures": outcome.figures, "facts": outcome.facts}
    write_json(folder / figures, content)
    table = pd.DataFrame(outcome.replicates)
    table.to_parquet(folder / replicates, index=False, compression="zstd")


def read_outcome(folder: Path, name: str, protocol: str) -> Outcome:
    """Reads what `write_outcome` wrote.

    Raises:
        UserError: missing, of another protocol or unreadable.
    """
    figures, replicates = (folder / file for file in outcome_files(name))
    content = read_json(figures)
    try:
        found, values, facts = content["protocol"], content["figures"], content["facts"]
        plain = {str(key): float(value) for key, value in values.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{figures}: not what `evaluate` writes; run `dvc repro`") from error
    if found != protocol:
        raise UserError(f"{figures}: protocol {found} and not {protocol}; run `dvc repro`")
    table = read_trials(replicates, [])
    columns = {str(key): table[key].to_numpy(dtype=np.float64) for key in table.columns}
    if not set(columns) <= set(plain):
        raise UserError(f"{replicates}: has other figures than {figures.name}; run `dvc repro`")
    return Outcome(plain, columns, facts)
