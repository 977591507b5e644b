"""1:1 verification of listed pairs: LFW, CFP, AgeDB-30, CALFW, CPLFW and lists of one's own.

Ten-fold accuracy as everyone reports it, and TAR at FAR over the pairs of all folds: the usual
figure per fold rests on 300 impostor pairs. Letters: n pairs, d embedding size, k folds, r
replicates, u people, or pairs where a set names no people.
"""

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int
from torch import Tensor

from auggen.measures.verification import (
    FOLD_THRESHOLDS,
    cumulate,
    fold_thresholds,
    rank_scores,
    tars_at_fars,
)
from auggen.protocols.bootstrap import tar_name
from auggen.protocols.outcome import Fact, Outcome, unit_weights
from auggen.protocols.pairs import ACCURACY_STD
from auggen.protocols.trials import normalise_rows

ACCURACY = "accuracy"
FARS: npt.NDArray[np.float64] = np.array([1e-3, 1e-2, 1e-1])


def squared_distances(
    embeddings: Float[Tensor, "m d"], first: Int[np.ndarray, "n"], second: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Returns the squared distance of each pair's L2-normalised embeddings, in [0, 4]."""
    unit = normalise_rows(embeddings)
    return np.asarray(np.square(unit[first] - unit[second]).sum(axis=1))


def pair_weights(
    weights: Float[np.ndarray, "r u"],
    first: Int[np.ndarray, "n"],
    second: Int[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
) -> Float[np.ndarray, "r n"]:
    """Returns w_i of a genuine pair of person i and w_i w_j of an impostor pair."""
    return weights[:, first] * np.where(is_same, 1.0, weights[:, second])


def run_listed_pairs(
    name: str,
    distances: Float[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
    folds: Int[np.ndarray, "n"],
    people: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]] | None,
    num_replicates: int,
) -> Outcome:
    """Returns accuracy, its spread over folds, and pooled TAR at FAR, with replicates.

    The replicates weigh people; of a set without names they weigh pairs, which gives intervals
    that are too narrow. The accuracy's keep the thresholds of the folds.

    Args:
        name: of the test set; names the stream of its weights.
        distances: squared, see `squared_distances`.
        is_same: whether both images show one person.
        folds: fold of each pair.
        people: person of each pair's first and second image.
        num_replicates: r.
    """
    correct = fold_correct(distances, is_same, folds)
    accuracies = np.array([correct[folds == fold].mean() for fold in np.unique(folds)])
    figures = {ACCURACY: float(accuracies.mean()), ACCURACY_STD: float(accuracies.std())}
    if people is None:
        weights = unit_weights(name, len(distances), num_replicates)
    else:
        size = 1 + max(int(people[0].max()), int(people[1].max()))
        weights = pair_weights(unit_weights(name, size, num_replicates), *people, is_same)
    replicates = {ACCURACY: _weighed_accuracy(weights, correct, is_same)}
    ranked = rank_scores(-distances[is_same], -distances[~is_same])
    names = [tar_name(far) for far in FARS]
    for one in (weights, np.ones((1, len(distances)))):
        genuine = cumulate(one[:, is_same][:, ranked.genuine_order])
        impostor = cumulate(one[:, ~is_same][:, ranked.impostor_order])
        tars, _ = tars_at_fars(ranked, genuine, impostor, FARS)
        if one is weights:
            replicates |= dict(zip(names, tars.T, strict=True))
        else:
            figures |= dict(zip(names, tars[0].tolist(), strict=True))
    facts: dict[str, Fact] = {
        "pairs": len(distances),
        "genuine_pairs": int(is_same.sum()),
        "folds": len(accuracies),
        "interval_over": "pairs" if people is None else "people",
    }
    return Outcome(figures, replicates, facts)


def _weighed_accuracy(
    weights: Float[np.ndarray, "r n"],
    correct: Bool[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
) -> Float[np.ndarray, "r"]:
    """Returns the accuracy of each replicate; each kind of pairs keeps its share.

    Impostor pairs weigh a product of two people's weights, which are far smaller than one.
    """
    accuracy = np.zeros(len(weights))
    for kind in (is_same, ~is_same):
        rates = weights[:, kind] @ correct[kind] / weights[:, kind].sum(axis=1)
        accuracy += kind.mean() * rates
    return accuracy


def fold_correct(
    distances: Float[np.ndarray, "n"], is_same: Bool[np.ndarray, "n"], folds: Int[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    """Returns whether each pair is judged rightly at its fold's threshold."""
    names, best = fold_thresholds(distances, is_same, folds)
    threshold = FOLD_THRESHOLDS[best][np.searchsorted(names, folds)]
    return np.asarray((distances < threshold) == is_same)
