"""IJB-B and IJB-C: 1:1 over listed pairs of templates, and 1:N in two galleries.

The flags N (keep the norm), D (detector score) and F (flip) move results by up to 1.6 points and
are told with them. Letters: m images, t templates, d embedding size, r replicates.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from auggen.core.errors import UserError
from auggen.measures.identification import open_set, search_galleries
from auggen.measures.roc import tars_at_low_fars
from auggen.measures.templates import PairIndex, media_weights, pool_weighted
from auggen.protocols.bootstrap import rank_figures, tar_name
from auggen.protocols.config import TemplatesRow
from auggen.protocols.ijb_bootstrap import people_of_templates, weighted_tars
from auggen.protocols.ijb_lists import IjbImages, Search, TemplatePairs
from auggen.protocols.outcome import Fact, Outcome, unit_weights
from auggen.protocols.trials import RETRAIN

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FPIRS = (1e-2, 1e-1)
RANKS = (1, 5, 10)


def pool_images(
    embeddings: Float[Tensor, "m d"], images: IjbImages, row: TemplatesRow
) -> Float[Tensor, "t d"]:
    """Returns the unit templates: L2-normalise(sum_i w_i x_i), w_i = det_i / |media(i)|.

    Raises:
        UserError: an embedding is not finite.
    """
    if not bool(torch.isfinite(embeddings).all()):
        raise UserError(f"the model gives embeddings that are NaN or infinite: {RETRAIN}")
    scores = images.scores if row.detector_score else np.ones(len(images.scores))
    weights = media_weights(images.templates, images.media, scores)
    size = len(images.names)
    return pool_weighted(embeddings, images.templates, weights, size, keep_norm=row.keep_norm)


def run_ijb(
    row: TemplatesRow, unit: Float[Tensor, "t d"], pairs: TemplatePairs, conditions: str
) -> Outcome:
    """Returns TAR at FAR of the listed pairs of unit templates, with replicates over people.

    `conditions` goes with the result: the flags and the alignment.

    The replicates are of the definition `at_most` whatever `tar_definition` says.
    """
    index = PairIndex.build(pairs.first, pairs.second)
    scores = index.score(unit)
    is_same = index.arrange(pairs.is_same)
    genuine, impostor = scores[is_same], scores[~is_same]
    points = tars_at_low_fars(genuine, impostor, FARS, row.tar_definition)
    owners = people_of_templates(pairs.first, pairs.second, pairs.is_same, len(unit))
    first, second = (
        index.arrange(owners[side].astype(np.int32)) for side in (pairs.first, pairs.second)
    )
    weights = unit_weights(row.name, int(owners.max()) + 1, row.num_replicates)
    sides = (first[~is_same], second[~is_same])
    tars = weighted_tars(genuine, first[is_same].astype(np.int64), impostor, *sides, weights, FARS)
    names = [tar_name(far) for far in FARS]
    facts: dict[str, Fact] = {
        "templates": len(unit),
        "pairs": len(scores),
        "genuine_pairs": len(genuine),
        "conditions": f"{conditions}, TAR {row.tar_definition}",
        **{f"false_accepts.{n}": p.false_accepts for n, p in zip(names, points, strict=True)},
    }
    return Outcome(
        {name: point.tar for name, point in zip(names, points, strict=True)},
        {name: tars[:, column] for column, name in enumerate(names)},
        facts,
    )


def run_ijb_1n(
    row: TemplatesRow,
    unit: Float[Tensor, "t d"],
    galleries: Sequence[Search],
    probes: Search,
    conditions: str,
) -> Outcome:
    """Returns closed-set rank-k over both galleries together, and NIST's open-set FNIR at FPIR.

    `rank_k` is the usual "IJB 1:N". `fnir_at_fpir_x` is the mean of two searches, each of all
    probes in one gallery: those whose person is in the other one are the non-mated probes.

    Raises:
        UserError: a gallery knows all probes or none.
    """
    ranks, found = search_galleries(
        unit[torch.from_numpy(probes.templates)],
        [unit[torch.from_numpy(gallery.templates)] for gallery in galleries],
        probes.people,
        [gallery.people for gallery in galleries],
    )
    figures = {f"rank_{k}": float((ranks < k).mean()) for k in RANKS}
    size = sum(len(gallery.people) for gallery in galleries)
    facts: dict[str, Fact] = {"probes": len(ranks), "gallery": size, "conditions": conditions}
    misses = []
    for number, scores in enumerate(found, start=1):
        try:
            result = open_set(scores, FPIRS)
        except ValueError as error:
            raise UserError(f"{row.path}: gallery {number}: {error}") from error
        misses.append(result.false_negatives)
        for rate, count in zip(FPIRS, result.false_positives, strict=True):
            facts[f"false_positives_{number}.{_fnir_name(rate)}"] = int(count)
    for column, rate in enumerate(FPIRS):
        figures[_fnir_name(rate)] = float(np.mean([miss[column] for miss in misses]))
    weights = unit_weights(row.name, int(probes.people.max()) + 1, row.num_replicates)
    replicates = rank_figures(probes.people, ranks, RANKS, weights)
    return Outcome(figures, replicates, facts)


def _fnir_name(rate: float) -> str:
    return tar_name(rate).replace("tar_at_far", "fnir_at_fpir")
