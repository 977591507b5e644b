"""1:N search of many probes in large galleries, scored block by block; no score is sorted.

Letters: p probes, q gallery entries, d embedding size, f false-positive rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_BLOCK = 1 << 24
_SMALL_BLOCK = 1 << 21


def mate_ranks(
    probes: Float[Tensor, "p d"],
    gallery: Float[Tensor, "q d"],
    probe_people: Int[np.ndarray, "p"],
    gallery_people: Int[np.ndarray, "q"],
) -> Int[np.ndarray, "p"]:
    """Number of other people's scores at or above the best mate's: 0 is a hit at rank 1.

    As `best_mate_ranks`, in float32: a tie counts against the probe, and a probe without a mate
    has rank q. People with a negative number are distractors: mates of nobody.
    """
    order = np.argsort(gallery_people, kind="stable")
    known = gallery_people[order]
    starts = np.searchsorted(known, probe_people, side="left")
    stops = np.where(probe_people < 0, starts, np.searchsorted(known, probe_people, side="right"))
    ranks = np.full(len(probes), len(gallery), dtype=np.int64)
    rows_per_block = max(1, _BLOCK // len(gallery))
    table = torch.empty(rows_per_block, len(gallery))
    for start in range(0, len(probes), rows_per_block):
        rows = slice(start, min(start + rows_per_block, len(probes)))
        scores = table[: rows.stop - rows.start]
        torch.mm(probes[rows], gallery.T, out=scores)
        counts = stops[rows] - starts[rows]
        row = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        column = torch.from_numpy(order[np.repeat(starts[rows], counts) + place])
        at = torch.from_numpy(row)
        mates = scores[at, column]
        best = torch.full((len(counts),), -torch.inf).scatter_reduce(0, at, mates, "amax")
        above = (scores >= best[:, None]).sum(dim=1)
        above -= torch.bincount(at[mates >= best[at]], minlength=len(counts))
        found = torch.from_numpy(counts) > 0
        ranks[rows][found.numpy()] = above[found].numpy()
    return ranks


@dataclass(frozen=True)
class OpenSet:
    """An open-set search in one gallery."""

    false_negatives: Float[np.ndarray, "f"]
    """FNIR: share of mated probes that are no hit, at each false-positive rate."""
    false_positives: Int[np.ndarray, "f"]
    """Non-mated probes whose best score passes the threshold."""


@dataclass(frozen=True)
class GalleryScores:
    """What one gallery says of each probe."""

    best: Float[np.ndarray, "p"]
    """The best score of anybody."""
    mate: Float[np.ndarray, "p"]
    """The mate's score; -inf where the gallery has none."""
    is_hit: Bool[np.ndarray, "p"]
    """Whether the mate beats everybody else."""


def search_galleries(
    probes: Float[Tensor, "p d"],
    galleries: Sequence[Tensor],
    probe_people: Int[np.ndarray, "p"],
    gallery_people: Sequence[npt.NDArray[np.int64]],
) -> tuple[Int[np.ndarray, "p"], list[GalleryScores]]:
    """Searches galleries that share no person, each with one entry a person, in one pass.

    Args:
        probes: L2-normalised.
        galleries: their entries [q d].
        probe_people: person of each probe.
        gallery_people: person of each entry.

    Returns:
        The rank of each probe's mate in all galleries together, as `mate_ranks` has it, and what
        each gallery says.
    """
    entries, known = torch.cat(list(galleries)), np.concatenate(list(gallery_people))
    order = np.argsort(known, kind="stable")
    column = order[np.searchsorted(known[order], probe_people).clip(max=len(order) - 1)]
    has_mate = known[column] == probe_people
    ends = np.cumsum([len(gallery) for gallery in galleries])
    parts = [slice(int(end) - len(g), int(end)) for end, g in zip(ends, galleries, strict=True)]
    best = torch.empty(len(parts), len(probes))
    above = torch.empty(len(parts), len(probes), dtype=torch.int64)
    mates = torch.empty(len(probes))
    columns = torch.from_numpy(column)
    rows_per_block = max(1, _SMALL_BLOCK // len(entries))
    for start in range(0, len(probes), rows_per_block):
        rows = slice(start, start + rows_per_block)
        scores = probes[rows] @ entries.T
        mates[rows] = scores.gather(1, columns[rows, None])[:, 0]
        for number, part in enumerate(parts):
            own = scores[:, part]
            best[number, rows] = own.amax(dim=1)
            above[number, rows] = (own >= mates[rows, None]).sum(dim=1)
    ranks = np.where(has_mate, above.sum(dim=0).numpy() - 1, len(entries))
    found = []
    for number, part in enumerate(parts):
        here = has_mate & (column >= part.start) & (column < part.stop)
        mate = np.where(here, mates.numpy(), np.float32(-np.inf))
        is_hit = here & (above[number].numpy() == 1)
        found.append(GalleryScores(best[number].numpy(), mate, is_hit))
    return ranks, found


def open_set(found: GalleryScores, rates: Sequence[float]) -> OpenSet:
    """Returns FNIR at each FPIR, as NIST defines them (Grother et al., NISTIR 8271).

    The threshold is the lowest for which at most that share of the probes WITHOUT a mate in the
    gallery have a best score strictly above; a mated probe is a hit if its mate ranks first and
    lies strictly above.

    Raises:
        ValueError: all probes have a mate, or none has.
    """
    mated = found.mate > -np.inf
    alarms = np.sort(found.best[~mated])[::-1]
    if not len(alarms) or not mated.any():
        raise ValueError("an open-set search needs probes with and without a mate")
    misses, passed = [], []
    for rate in rates:
        allowed = int(np.searchsorted(np.arange(1, len(alarms) + 1) / len(alarms), rate, "right"))
        threshold = alarms[allowed] if allowed < len(alarms) else -np.inf
        hits = found.is_hit & (found.mate > threshold)
        misses.append(1 - hits[mated].mean())
        passed.append(int((alarms > threshold).sum()))
    return OpenSet(np.array(misses), np.array(passed))
