"""Verification by groups, as RFW asks: how alike are error rates at one threshold for all?

Letters: n pairs, g of them genuine, i impostor, m groups, r replicates, b of them held at a
time.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from auggen.measures.verification import tar_at_far, ten_fold_accuracy
from auggen.protocols.listed_pairs import ACCURACY, interval_facts, weigh_pairs
from auggen.protocols.outcome import Fact, Outcome

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
    genuine, impostor = np.flatnonzero(is_same), np.flatnonzero(~is_same)
    wrong, members = (~accepted[genuine], accepted[impostor]), (rows[genuine], rows[impostor])
    blocks = weigh_pairs(name, genuine, impostor, people, num_replicates)
    rates = np.concatenate([_rates(one, wrong, members) for one in blocks], axis=2)
    replicates = _spread(rates, names)
    equal = np.ones((1, len(genuine))), np.ones((1, len(impostor)))
    plain = _spread(_rates(equal, wrong, members), names)
    figures = {key: float(values[0]) for key, values in plain.items()}
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
    }
    facts |= interval_facts(people is not None)
    # A group without errors makes the ratio infinite, which no table can hold.
    return Outcome({k: v for k, v in figures.items() if np.isfinite(v)}, replicates, facts)


def _rates(
    weights: tuple[Float[np.ndarray, "b g"], Float[np.ndarray, "b i"]],
    wrong: tuple[Bool[np.ndarray, "g"], Bool[np.ndarray, "i"]],
    groups: tuple[Int[np.ndarray, "g"], Int[np.ndarray, "i"]],
) -> Float[np.ndarray, "2 m b"]:
    """Returns FNMR and FMR of each group; every group has both kinds of pairs."""
    kinds = []
    for own, bad, rows in zip(weights, wrong, groups, strict=True):
        members = [rows == row for row in range(rows.max() + 1)]
        rates = [own[:, part] @ bad[part] / own[:, part].sum(axis=1) for part in members]
        kinds.append(np.stack(rates))
    return np.stack(kinds)


def _spread(
    rates: Float[np.ndarray, "2 m r"], names: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Rates by group, their spread, and FDR (de Freitas Pereira, Marcel, arXiv 2011.02395).

    FDR = 1 - (a max |FMR_i - FMR_j| + (1 - a) max |FNMR_i - FNMR_j|), a = 0.5: 1 is fair.
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    gaps = []
    for kind, table in (("fmr", rates[1]), ("fnmr", rates[0])):
        found |= {f"{kind}.{group}": row for group, row in zip(names, table, strict=True)}
        gaps.append(table.max(axis=0) - table.min(axis=0))
        found[f"{kind}_std"] = table.std(axis=0)
        if (table > 0).all():
            found[f"{kind}_max_min_ratio"] = table.max(axis=0) / table.min(axis=0)
    found[FDR] = 1 - (_ALPHA * gaps[0] + (1 - _ALPHA) * gaps[1])
    return found
