"""Benchmark `pairs`: 1:1 verification of single images, like LFW.

10-fold accuracy comes from the listed, balanced pairs, as everyone reports it; TAR@FAR and EER
come from all pairs of images: `compare` takes them from the trials.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet
from auggen.measures.verification import ten_fold_accuracy
from auggen.protocols.lists import REMEDY, read_list, row_numbers
from auggen.protocols.trials import Trials, all_pairs, check_both_kinds, normalise_rows

LIST_NAME = "pairs.csv"
ACCURACY_STD = "accuracy_std"
"""Spread over the folds of one model: reported for each, neither averaged nor compared."""
NOT_LISTED = -1
"""Fold of a pair of images that the list leaves out."""


def run_pairs(folder: Path, faces: FaceSet, embeddings: Float[Tensor, "n d"]) -> Trials:
    """Scores all pairs of images and the ten folds of pairs.csv (columns fold, a, b, is_same).

    Raises:
        UserError: the list is missing, wrong or contradicts the people of the face set.
    """
    path = folder / LIST_NAME
    people = faces.labels.numpy()
    table = read_list(path, ["fold", "a", "b", "is_same"])
    a = row_numbers(path, table, "a", len(people))
    b = row_numbers(path, table, "b", len(people))
    folds = table["fold"].to_numpy()
    is_same = people[a] == people[b]
    if (a == b).any() or (is_same != table["is_same"].to_numpy().astype(bool)).any():
        raise UserError(f"{path}: contradicts the people in {folder}; {REMEDY}")
    if len(np.unique(folds)) < 2 or (folds < 0).any():
        raise UserError(f"{path}: `fold` must name at least two folds, from 0 up; {REMEDY}")
    unit = normalise_rows(embeddings)
    trials = all_pairs(unit, people)
    check_both_kinds(path, trials["is_same"].to_numpy())
    fold_of_pair = np.full(len(trials), NOT_LISTED, dtype=np.int32)
    fold_of_pair[_pair_numbers(a, b, len(people))] = folds
    trials["fold"] = fold_of_pair
    distances = np.square(unit[a] - unit[b]).sum(axis=1)
    accuracy = ten_fold_accuracy(distances, is_same, folds)
    figures = {"accuracy_10_fold": float(accuracy.mean()), ACCURACY_STD: float(accuracy.std())}
    return Trials(verification=trials, figures=figures)


def _pair_numbers(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.int64]:
    """Returns the positions of pairs of rows in the order of `all_pairs`."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.asarray(low * size - low * (low + 1) // 2 + high - low - 1)
