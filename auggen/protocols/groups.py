"""Verification by groups, as RFW asks: how alike are error rates at one threshold for all?

Letters: n pairs, r replicates, u people.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from auggen.measures.verification import tar_at_far, ten_fold_accuracy
from auggen.protocols.listed_pairs import ACCURACY, pair_weights
from auggen.protocols.outcome import Fact, Outcome, unit_weights

_ALPHA = 0.5
FDR = "fdr"


def run_groups(
    name: str,
    distances: Float[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
    folds: Int[np.ndarray, "n"],
    groups: Sequence[str],
    people: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]] | None,
    far: float,
    num_replicates: int,
) -> Outcome:
    """Returns FMR and FNMR of each group at one threshold, and how far they lie apart.

    The threshold is the lowest whose false-match rate over all groups is at most `far`; the
    replicates keep it. Ten-fold accuracy of each group is RFW's own figure.

    Args:
        name: of the test set; names the stream of its weights.
        distances: squared, of L2-normalised embeddings.
        is_same: whether both images show one person.
        folds: fold of each pair in its group.
        groups: group of each pair; at least two, each with both kinds of pairs.
        people: person of each pair's first and second image.
        far: target over all groups, in (0, 1).
        num_replicates: r.
    """
    unique, rows = np.unique(np.array(groups), return_inverse=True)
    names = [str(group) for group in unique]
    point = tar_at_far(-distances[is_same], -distances[~is_same], far)
    accepted = -distances > point.threshold
    plain = np.ones((1, len(distances)))
    if people is None:
        weights = unit_weights(name, len(distances), num_replicates)
    else:
        size = 1 + max(int(people[0].max()), int(people[1].max()))
        weights = pair_weights(unit_weights(name, size, num_replicates), *people, is_same)
    figures = {key: float(v[0]) for key, v in _rates(plain, accepted, is_same, rows, names).items()}
    replicates = _rates(weights, accepted, is_same, rows, names)
    accuracies = []
    for row, group in enumerate(names):
        part = rows == row
        accuracy = ten_fold_accuracy(distances[part], is_same[part], folds[part]).mean()
        accuracies.append(accuracy)
        figures[f"{ACCURACY}.{group}"] = float(accuracy)
    figures[ACCURACY] = float(np.mean(accuracies))
    figures[f"{ACCURACY}_group_std"] = float(np.std(accuracies))
    facts: dict[str, Fact] = {
        "pairs": len(distances),
        "far": far,
        "false_accepts": point.false_accepts,
        "threshold": point.threshold,
        "interval_over": "pairs" if people is None else "people",
    }
    # A group without errors makes the ratio infinite, which no table can hold.
    return Outcome({k: v for k, v in figures.items() if np.isfinite(v)}, replicates, facts)


def _rates(
    weights: Float[np.ndarray, "r n"],
    accepted: Bool[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
    rows: npt.NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, npt.NDArray[np.float64]]:
    """Rates by group, their spread, and FDR (de Freitas Pereira, Marcel, arXiv 2011.02395).

    FDR = 1 - (a max |FMR_i - FMR_j| + (1 - a) max |FNMR_i - FNMR_j|), a = 0.5: 1 is fair.
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    gaps = []
    for kind, chosen, wrong in (("fmr", ~is_same, accepted), ("fnmr", is_same, ~accepted)):
        rates = []
        for row, group in enumerate(names):
            part = weights[:, chosen & (rows == row)]
            rates.append(part @ wrong[chosen & (rows == row)] / part.sum(axis=1))
            found[f"{kind}.{group}"] = rates[-1]
        table = np.stack(rates)
        gaps.append(table.max(axis=0) - table.min(axis=0))
        found[f"{kind}_std"] = table.std(axis=0)
        if (table > 0).all():
            found[f"{kind}_max_min_ratio"] = table.max(axis=0) / table.min(axis=0)
    found[FDR] = 1 - (_ALPHA * gaps[0] + (1 - _ALPHA) * gaps[1])
    return found
