"""What one model did on one benchmark: every trial with its people, kept as Parquet.

Letters: n embeddings, d dimensions, p probes, q gallery images.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from jaxtyping import Float, Int
from torch import Tensor

from auggen.core.errors import UserError

VERIFICATION_COLUMNS = ["score", "is_same", "person_a", "person_b"]
IDENTIFICATION_COLUMNS = ["person", "rank"]
RETRAIN = "its training went wrong; lower `train_fr.learning_rate` and run `dvc repro`"
"""What to do about a model whose embeddings are no numbers."""
_ROWS_PER_BLOCK = 256


@dataclass(frozen=True)
class Trials:
    """The trials of one benchmark. People are class numbers of the held-out face set."""

    verification: pd.DataFrame | None = None
    """1:1: score (cosine), is_same, person_a, person_b and, for `pairs`, fold."""
    identification: pd.DataFrame | None = None
    """1:N: person of the probe, rank (gallery images of others at or above the best mate)."""
    figures: dict[str, float] = field(default_factory=dict)
    """Plain figures that need more than the trials, by name, as fractions."""


def normalise_rows(embeddings: Float[Tensor, "n d"]) -> Float[np.ndarray, "n d"]:
    """L2-normalises embeddings in float64.

    Raises:
        UserError: an embedding is zero or not finite.
    """
    rows = embeddings.detach().cpu().numpy().astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise UserError(f"the model gives embeddings that are zero, NaN or infinite: {RETRAIN}")
    return np.asarray(rows / norms)


def all_pairs(unit: Float[np.ndarray, "n d"], people: Int[np.ndarray, "n"]) -> pd.DataFrame:
    """Scores every pair of rows once, (0, 1), (0, 2) ... (1, 2) ..., as a table of trials.

    Scores are cosines rounded to float32, coarser than the noise of float64 sums, so that the
    number of threads leaves no trace.
    """
    first, second = np.triu_indices(len(unit), k=1)
    scores = np.empty(len(first), dtype=np.float32)
    start = 0
    for row in range(0, len(unit), _ROWS_PER_BLOCK):
        block = unit[row : row + _ROWS_PER_BLOCK] @ unit[row:].T
        upper = block[np.triu_indices(len(block), k=1, m=block.shape[1])]
        scores[start : start + len(upper)] = upper
        start += len(upper)
    table = {
        "score": scores,
        "is_same": people[first] == people[second],
        "person_a": people[first].astype(np.int32),
        "person_b": people[second].astype(np.int32),
    }
    return pd.DataFrame(table)


def identification_table(
    path: Path,
    probe_people: Int[np.ndarray, "p"],
    gallery_people: Int[np.ndarray, "q"],
    ranks: Int[np.ndarray, "p"],
) -> pd.DataFrame:
    """Returns the trials of a closed-set search.

    Raises:
        UserError: there is no probe, or a probe's person is not in the gallery.
    """
    if not len(probe_people) or not np.isin(probe_people, gallery_people).all():
        raise UserError(
            f"{path}: has no probe, or one whose person is not in the gallery; hold out people "
            "with more images (`prepare` in params.yaml)"
        )
    return pd.DataFrame({"person": probe_people.astype(np.int32), "rank": ranks.astype(np.int32)})


def check_both_kinds(path: Path, is_same: npt.NDArray[np.bool_]) -> None:
    """Raises UserError unless there are genuine and impostor pairs."""
    if is_same.all() or not is_same.any():
        kind = "impostor" if is_same.all() else "genuine"
        raise UserError(
            f"{path}: gives no {kind} pair; hold out at least two people with two images each "
            "(`prepare` in params.yaml)"
        )


def trial_files(name: str) -> tuple[str, str]:
    """Returns the names of a benchmark's verification and identification tables."""
    return f"{name}-verification.parquet", f"{name}-identification.parquet"


def write_trials(folder: Path, name: str, trials: Trials) -> None:
    """Writes the tables of one benchmark."""
    tables = (trials.verification, trials.identification)
    for file, table in zip(trial_files(name), tables, strict=True):
        if table is not None:
            table.to_parquet(folder / file, index=False, compression="zstd")


def read_trials(path: Path, columns: list[str]) -> pd.DataFrame:
    """Reads one table of trials. Raises UserError naming the file if corrupt or another table."""
    try:
        table = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path}: no readable Parquet file; delete it and run `dvc repro`"
        ) from error
    if not set(columns) <= set(table.columns) or table.empty:
        raise UserError(f"{path}: lacks trials or a column of {columns}; delete it and `dvc repro`")
    return table
