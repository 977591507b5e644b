"""TAR at low FAR under weights of people, over millions of pairs.

Letters: r replicates, u people, g genuine and i impostor pairs, f false-accept rates.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from auggen.measures.verification import cumulate

_PAIRS_PER_STEP = 1024
_SPARE = 1.3
_PEOPLE_PER_BLOCK = 1024


def people_of_templates(
    first: Int[np.ndarray, "p"],
    second: Int[np.ndarray, "p"],
    is_same: Bool[np.ndarray, "p"],
    num_templates: int,
) -> npt.NDArray[np.int64]:
    """Returns the person of each template, as far as genuine pairs tell: what they join is one."""
    edges = np.ones(int(is_same.sum()), dtype=np.int8)
    shape = (num_templates, num_templates)
    graph = coo_array((edges, (first[is_same], second[is_same])), shape=shape)
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def impostor_mass(
    first: Int[np.ndarray, "i"], second: Int[np.ndarray, "i"], weights: Float[np.ndarray, "r u"]
) -> Float[np.ndarray, "r"]:
    """Returns the sum of w_a w_b over all impostor pairs (people a, b), for each replicate."""
    size = weights.shape[1]
    counts = np.zeros((min(_PEOPLE_PER_BLOCK, size), size))
    order = np.argsort(first // len(counts), kind="stable") if size > len(counts) else slice(None)
    a, b = first[order], second[order]
    bounds = np.searchsorted(a // len(counts), np.arange(-(-size // len(counts)) + 1))
    mass = np.zeros(len(weights))
    for number, (start, stop) in enumerate(pairwise(bounds)):
        low = number * len(counts)
        key = (a[start:stop] - low).astype(np.int64) * size + b[start:stop]
        table = np.bincount(key, minlength=counts.size)
        part = weights[:, low : low + len(counts)]
        seen = table.reshape(counts.shape)[: part.shape[1]].astype(np.float64)
        mass += ((part @ seen) * weights).sum(axis=1)
    return mass


def weighted_tars(
    genuine: Float[np.ndarray, "g"],
    genuine_people: Int[np.ndarray, "g"],
    impostor: Float[np.ndarray, "i"],
    first: Int[np.ndarray, "i"],
    second: Int[np.ndarray, "i"],
    weights: Float[np.ndarray, "r u"],
    fars: Sequence[float],
) -> Float[np.ndarray, "r f"]:
    """Returns the largest TAR with FAR at most each target, under each row of weights.

    A genuine pair weighs w_a and an impostor pair w_a w_b. Impostors are walked through from the
    highest score on, only until every replicate has passed the largest target.

    Args:
        genuine: scores of the genuine pairs.
        genuine_people: their people.
        impostor: scores of ALL impostor pairs.
        first: person of each impostor pair's first template.
        second: and of its second.
        weights: see `unit_weights`.
        fars: ascending targets in [0, 1].
    """
    mass = torch.from_numpy(impostor_mass(first, second, weights))
    columns = torch.from_numpy(np.ascontiguousarray(weights.T))
    targets = torch.tensor(list(fars), dtype=torch.float64)[:, None] * mass
    stops = np.full((len(fars), len(weights)), -np.inf)  # scores of the first pair shut out
    open_ = torch.ones_like(targets, dtype=torch.bool)
    passed = torch.zeros(len(weights), dtype=torch.float64)
    size, done = min(len(impostor), int(max(fars) * len(impostor) * _SPARE) + 1000), 0
    while bool(open_.any()) and done < len(impostor):
        order = _top(impostor, size)
        scores = impostor[order]
        people = [torch.from_numpy(side[order].astype(np.int64)) for side in (first, second)]
        while done < size and bool(open_.any()):
            part = slice(done, min(done + _PAIRS_PER_STEP, size))
            table = columns[people[0][part]].mul_(columns[people[1][part]])
            after = passed + table.sum(dim=0)
            _note_stops(table, passed, after, targets, open_, scores[part], stops)
            passed, done = after, part.stop
        size = min(len(impostor), 2 * size)
    order = np.argsort(-genuine, kind="stable")
    ascending, owners = genuine[order[::-1]], genuine_people[order]
    return np.concatenate(
        [
            _shares_above(row, ascending, owners, stop)
            for row, stop in zip(weights, stops.T, strict=True)
        ]
    ).reshape(len(weights), len(fars))


def _top(scores: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.int64]:
    """Returns the positions of the largest scores, highest first."""
    chosen = np.arange(len(scores))
    if size < len(scores):
        chosen = np.argpartition(scores, len(scores) - size)[len(scores) - size :]
    return np.asarray(chosen[np.argsort(-scores[chosen], kind="stable")])


def _note_stops(
    table: Float[Tensor, "k r"],
    before: Float[Tensor, " r"],
    after: Float[Tensor, " r"],
    targets: Float[Tensor, "f r"],
    open_: Bool[Tensor, "f r"],
    scores: npt.NDArray[np.float32],
    stops: npt.NDArray[np.float64],
) -> None:
    """Notes, for targets passed among these pairs, the score of the pair that passed them."""
    crossing = open_ & (after > targets)
    for replicate in crossing.any(dim=0).nonzero()[:, 0].tolist():
        sums = before[replicate] + table[:, replicate].cumsum(0)
        for target in crossing[:, replicate].nonzero()[:, 0].tolist():
            place = int(torch.searchsorted(sums, targets[target, replicate], right=True))
            stops[target, replicate] = scores[min(place, len(scores) - 1)]
    open_ &= ~crossing


def _shares_above(
    weights: npt.NDArray[np.float64],
    ascending: npt.NDArray[np.float32],
    owners: npt.NDArray[np.int64],
    stops: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Returns the share of genuine weight strictly above each score."""
    shares = np.append(0.0, cumulate(weights[None, owners])[0])
    above = len(ascending) - np.searchsorted(ascending, stops.astype(np.float32), side="right")
    return np.asarray(shares[above])
