"""Templates (sets of images of one person) and the scores of listed pairs of them.

Letters: m images, t templates, p pairs, d embedding size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_TABLE = 1 << 23
Rows = npt.NDArray[np.integer[Any]]


def media_weights(
    templates: Int[np.ndarray, "m"], media: Int[np.ndarray, "m"], scores: Float[np.ndarray, "m"]
) -> Float[np.ndarray, "m"]:
    """Returns w_i = score_i / number of images of i's medium in i's template.

    A video of many frames so counts as much as one photograph.
    """
    _, compact = np.unique(media, return_inverse=True)
    keys = templates.astype(np.int64) * (int(compact.max()) + 1) + compact
    _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(scores / counts[place])


def pool_weighted(
    embeddings: Float[Tensor, "m d"],
    templates: Int[np.ndarray, "m"],
    weights: Float[np.ndarray, "m"],
    num_templates: int,
    *,
    keep_norm: bool,
) -> Float[Tensor, "t d"]:
    """Returns the L2-normalised weighted sum of the embeddings of each template, in float32.

    Args:
        embeddings: raw, usually f(x) + f(mirror x).
        templates: template of each image, 0..t-1, in any order.
        weights: see `media_weights`.
        num_templates: t.
        keep_norm: whether an image counts by the length of its embedding; otherwise embeddings
            are normalised first.
    """
    order = np.argsort(templates, kind="stable")
    factors = torch.from_numpy(weights[order].astype(np.float32))
    rows = torch.from_numpy(order)
    if not keep_norm:
        factors = factors / torch.linalg.vector_norm(embeddings, dim=1)[rows].clamp(min=1e-12)
    counts = np.bincount(templates, minlength=num_templates)
    offsets = torch.from_numpy(np.cumsum(counts) - counts)
    sums = torch.nn.functional.embedding_bag(
        rows, embeddings, offsets, mode="sum", per_sample_weights=factors
    )
    return torch.nn.functional.normalize(sums, dim=1)


@dataclass(frozen=True)
class PairIndex:
    """Where the scores of listed pairs lie in blocks of the table of all scores.

    Made once for a list of pairs, then used for every model.
    """

    first: Rows
    """Templates that stand first in a pair: the rows of the table."""
    second: Rows
    """Templates that stand second: its columns."""
    places: Rows
    """Place in its block of each pair, block after block."""
    bounds: Rows
    """First pair of each block, and the number of pairs."""
    rows_per_block: int
    """Rows of the table in a block."""
    order: Rows | None
    """Which pair of the list is k-th here; None if they kept their order."""

    @classmethod
    def build(cls, first: Int[np.ndarray, "p"], second: Int[np.ndarray, "p"]) -> "PairIndex":
        """Indexes pairs of template rows."""
        rows, row_of = _compact(first)
        columns, column_of = _compact(second)
        rows_per_block = max(1, _TABLE // len(columns))
        row = row_of[first]
        block = row // np.int32(rows_per_block)
        order = None
        if (block[1:] < block[:-1]).any():
            order = np.argsort(
                block.astype(np.uint16) if block.max() < 65536 else block, kind="stable"
            )
            row, block, second = row[order], block[order], second[order]
        row -= block * np.int32(rows_per_block)
        row *= np.int32(len(columns))
        row += column_of[second]
        bounds = np.searchsorted(block, np.arange(-(-len(rows) // rows_per_block) + 1))
        return cls(rows, columns, row, bounds, rows_per_block, order)

    def score(self, unit: Float[Tensor, "t d"]) -> Float[np.ndarray, "p"]:
        """Returns the dot product of each pair in float32, in the order of the index."""
        second = unit[torch.from_numpy(self.second)]
        scores = np.empty(len(self.places), np.float32)
        table = torch.empty(self.rows_per_block * len(second))
        for number in range(len(self.bounds) - 1):
            start, stop = self.bounds[number], self.bounds[number + 1]
            rows = self.first[number * self.rows_per_block : (number + 1) * self.rows_per_block]
            part = table[: len(rows) * len(second)].view(len(rows), len(second))
            torch.mm(unit[torch.from_numpy(rows)], second.T, out=part)
            flat = part.view(-1).numpy()
            np.take(flat, self.places[start:stop], out=scores[start:stop], mode="clip")
        return scores

    def arrange(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Brings what belongs to the listed pairs into the order of the index."""
        return values if self.order is None else values[self.order]


def _compact(rows: Rows) -> tuple[Rows, Rows]:
    """Returns the rows that occur, and the place among them of every row."""
    occurs: Bool[np.ndarray, "t"] = np.zeros(int(rows.max()) + 1, dtype=bool)
    occurs[rows] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1).astype(np.int32)
