"""1:N search of many probes in large galleries, scored block by block; no score is sorted.

Letters: p probes, q gallery entries, d embedding size, f false-positive rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_BLOCK = 1 << 24


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


def search_gallery(
    probes: Float[Tensor, "p d"],
    gallery: Float[Tensor, "q d"],
    probe_people: Int[np.ndarray, "p"],
    gallery_people: Int[np.ndarray, "q"],
) -> tuple[GalleryScores, Float[Tensor, "p q"]]:
    """Scores probes against a gallery with one entry a person; also returns all scores."""
    scores = probes @ gallery.T
    order = np.argsort(gallery_people, kind="stable")
    place = np.searchsorted(gallery_people[order], probe_people).clip(max=len(order) - 1)
    column = order[place]
    has_mate = gallery_people[column] == probe_people
    mate = scores[torch.arange(len(scores)), torch.from_numpy(column)].numpy()
    mate[~has_mate] = -np.inf
    two, where = scores.topk(min(2, scores.shape[1]), dim=1)
    best = two[:, 0].numpy()
    alone = np.ones(len(best), dtype=bool) if two.shape[1] < 2 else (two[:, 0] > two[:, 1]).numpy()
    is_hit = has_mate & (where[:, 0].numpy() == column) & alone
    return GalleryScores(best, mate, is_hit), scores


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
