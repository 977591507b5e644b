"""1:1 verification of listed pairs: LFW, CFP, AgeDB-30, CALFW, CPLFW and lists of one's own.

Ten-fold accuracy as everyone reports it, and TAR at FAR over the pairs of all folds: the usual
figure per fold rests on 300 impostor pairs. Letters: n pairs, g of them genuine, i impostor, d
embedding size, r replicates, b of them held at a time.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int
from torch import Tensor

from auggen.measures.verification import (
    FOLD_THRESHOLDS,
    RankedScores,
    cumulate,
    fold_thresholds,
    rank_scores,
    tars_at_fars,
)
from auggen.protocols.bootstrap import tar_name
from auggen.protocols.outcome import Fact, Outcome, weight_blocks
from auggen.protocols.pairs import ACCURACY_STD
from auggen.protocols.trials import normalise_rows

ACCURACY = "accuracy"
FARS: npt.NDArray[np.float64] = np.array([1e-3, 1e-2, 1e-1])
_ELEMENTS_PER_BLOCK = 500_000


def squared_distances(
    embeddings: Float[Tensor, "m d"], first: Int[np.ndarray, "n"], second: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Returns the squared distance of each pair's L2-normalised embeddings, in [0, 4].

    Raises:
        UserError: an embedding is zero or not finite.
    """
    unit = normalise_rows(embeddings)
    distances = np.empty(len(first))
    step = max(1, _ELEMENTS_PER_BLOCK // unit.shape[1])
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        distances[part] = np.square(unit[first[part]] - unit[second[part]]).sum(axis=1)
    return distances


def weigh_pairs(
    name: str,
    genuine: Int[np.ndarray, "g"],
    impostor: Int[np.ndarray, "i"],
    people: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]] | None,
    num_replicates: int,
) -> Iterator[tuple[Float[np.ndarray, "b g"], Float[np.ndarray, "b i"]]]:
    """Yields the weights of both kinds of pairs, a block of replicates at a time.

    A genuine pair of person i weighs w_i and an impostor pair of i and j w_i w_j. Without people
    each pair has a weight of its own, as if no two shared a person: the interval is of pairs and
    too narrow. A block holds about 500,000 weights, or one replicate of more pairs.

    Args:
        name: of the test set; names the stream of its weights.
        genuine: positions of the genuine pairs, in the order asked for.
        impostor: the same of the impostor pairs.
        people: person of each pair's first and second image.
        num_replicates: r.
    """
    num_units = len(genuine) + len(impostor)
    most = max(1, _ELEMENTS_PER_BLOCK // num_units)
    owners, sides = genuine.astype(np.int32), [impostor.astype(np.int32)]
    if people is not None:
        num_units = 1 + max(int(people[0].max()), int(people[1].max()))
        owners = people[0][genuine].astype(np.int32)
        sides = [side[impostor].astype(np.int32) for side in people]
    for weights in weight_blocks(name, num_units, num_replicates, most):
        impostors = weights[:, sides[0]]
        for other in sides[1:]:
            impostors *= weights[:, other]
        yield weights[:, owners], impostors


def run_listed_pairs(
    name: str,
    distances: Float[np.ndarray, "n"],
    is_same: Bool[np.ndarray, "n"],
    folds: Int[np.ndarray, "n"],
    people: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]] | None,
    num_replicates: int,
) -> Outcome:
    """Returns accuracy, its spread over folds, and pooled TAR at FAR, with replicates.

    The replicates weigh people; of a set without names (a `.bin` file, a `pair_list`) they weigh
    pairs, see `weigh_pairs`, and the facts say so. The accuracy's keep the thresholds of the folds
    and the share of each kind of pairs, for products of two people's weights are far below one.

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
    ranked = rank_scores(-distances[is_same], -distances[~is_same])
    genuine = np.flatnonzero(is_same)[ranked.genuine_order]
    impostor = np.flatnonzero(~is_same)[ranked.impostor_order]
    right = correct[genuine], correct[impostor]
    equal = np.ones((1, len(genuine))), np.ones((1, len(impostor)))
    names = [tar_name(far) for far in FARS]
    figures |= dict(zip(names, _weigh(ranked, equal, right)[0, 1:].tolist(), strict=True))
    blocks = weigh_pairs(name, genuine, impostor, people, num_replicates)
    table = np.concatenate([_weigh(ranked, weights, right) for weights in blocks])
    facts: dict[str, Fact] = {
        "pairs": len(distances),
        "genuine_pairs": int(is_same.sum()),
        "folds": len(accuracies),
    }
    replicates = dict(zip([ACCURACY, *names], table.T, strict=True))
    return Outcome(figures, replicates, facts | interval_facts(people is not None))


def interval_facts(has_people: bool) -> dict[str, Fact]:
    """Returns what the replicates weigh, and a condition for benchmarks.csv if that is pairs."""
    if has_people:
        return {"interval_over": "people"}
    return {"interval_over": "pairs", "conditions": "interval over pairs, not people: too narrow"}


def _weigh(
    ranked: RankedScores,
    weights: tuple[Float[np.ndarray, "b g"], Float[np.ndarray, "b i"]],
    right: tuple[Bool[np.ndarray, "g"], Bool[np.ndarray, "i"]],
) -> Float[np.ndarray, "b _"]:
    """Returns accuracy and TAR at each of `FARS` (f) under each row of weights; pairs as ranked."""
    num_pairs = sum(map(len, right))
    accuracy = np.zeros(len(weights[0]))
    for own, correct in zip(weights, right, strict=True):
        accuracy += len(correct) / num_pairs * (own @ correct / own.sum(axis=1))
    tars, _ = tars_at_fars(ranked, cumulate(weights[0]), cumulate(weights[1]), FARS)
    return np.column_stack([accuracy, tars])


def fold_correct(
    distances: Float[np.ndarray, "n"], is_same: Bool[np.ndarray, "n"], folds: Int[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    """Returns whether each pair is judged rightly at its fold's threshold."""
    names, best = fold_thresholds(distances, is_same, folds)
    threshold = FOLD_THRESHOLDS[best][np.searchsorted(names, folds)]
    return np.asarray((distances < threshold) == is_same)
