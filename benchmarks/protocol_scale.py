"""Benchmark protocols at full size against the loops of the usual scripts, on made embeddings.

The peers are re-created from their descriptions: float64 templates in a Python loop, pairs by fancy
indexing, scikit-learn's roc_curve; thresholds one by one; full argsorts. No speed is asserted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auggen.measures.identification import mate_ranks, open_set, search_galleries
from auggen.measures.roc import tars_at_low_fars
from auggen.measures.templates import PairIndex, media_weights, pool_weighted
from auggen.measures.verification import ten_fold_accuracy
from auggen.protocols.ijb import FARS, FPIRS
from auggen.protocols.ijb_bootstrap import people_of_templates, weighted_tars
from auggen.protocols.outcome import unit_weights
from benchmarks.contenders import Contender, use_all_cores

IMAGES, TEMPLATES, GALLERY, SIZE = 469_375, 23_124, 3_531, 512
PAIRS, GENUINE = 15_658_489, 19_557
PROBES, MATES, DISTRACTORS = 3_728, 4_443, 153_428
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class IjbC:
    """Lists and embeddings of IJB-C's size and structure: gallery templates against probes."""

    embeddings: Tensor
    templates: Ints
    media: Ints
    scores: Floats
    people: Ints
    first: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    second: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    is_same: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))


def make_ijbc(*, with_pairs: bool) -> IjbC:
    random = np.random.default_rng(0)
    people = np.append(np.arange(GALLERY), random.integers(0, GALLERY, TEMPLATES - GALLERY))
    templates = np.append(np.arange(TEMPLATES), random.integers(0, TEMPLATES, IMAGES - TEMPLATES))
    templates.sort()
    media, scores = random.integers(0, 40, IMAGES), random.uniform(0.3, 1, IMAGES)
    made = IjbC(torch.empty(0), templates, media, scores, people)
    if with_pairs:
        probes = TEMPLATES - GALLERY
        mates = people[GALLERY:] * probes + np.arange(probes)
        others = random.integers(0, GALLERY * probes, int(1.15 * PAIRS))
        places = np.union1d(others, mates)
        places = np.delete(places, random.choice(len(places), len(places) - PAIRS, replace=False))
        made.first = (places // probes).astype(np.int32)
        made.second = (GALLERY + places % probes).astype(np.int32)
        made.is_same = people[made.first] == people[made.second]
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(GALLERY, SIZE, generator=generator)
    made.embeddings = torch.randn(IMAGES, SIZE, generator=generator).mul_(16)
    for start in range(0, IMAGES, 4096):
        rows = slice(start, start + 4096)
        made.embeddings[rows] += centres[torch.from_numpy(people[templates[rows]])]
    return made


def pool(made: IjbC) -> Tensor:
    weights = media_weights(made.templates, made.media, made.scores)
    return pool_weighted(made.embeddings, made.templates, weights, TEMPLATES, keep_norm=True)


def pool_in_loops(made: IjbC) -> Floats:
    """The usual image2template_feature."""
    features = made.embeddings.numpy() * made.scores[:, None]
    pooled = np.zeros((TEMPLATES, SIZE))
    for template in range(TEMPLATES):
        (rows,) = np.where(made.templates == template)
        own, media = features[rows], made.media[rows]
        names, counts = np.unique(media, return_counts=True)
        means = [
            own[media == name] if count == 1 else own[media == name].mean(0, keepdims=True)
            for name, count in zip(names, counts, strict=True)
        ]
        pooled[template] = np.sum(np.concatenate(means), axis=0)
    return pooled / np.sqrt(np.sum(pooled**2, -1, keepdims=True))


def roc_curve(labels: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """scikit-learn's, with drop_intermediate."""
    order = np.argsort(scores, kind="mergesort")[::-1]
    scores, labels = scores[order], labels[order]
    last = np.r_[np.where(np.diff(scores))[0], labels.size - 1]
    hits = np.cumsum(labels.astype(np.float64))[last]
    accepts = 1 + last - hits
    corner = np.r_[True, np.logical_or(np.diff(accepts, 2), np.diff(hits, 2)), True]
    accepts, hits = np.r_[0, accepts[corner]], np.r_[0, hits[corner]]
    return accepts / accepts[-1], hits / hits[-1]


def ours_1to1(made: IjbC, index: PairIndex | None) -> list[float]:
    unit = pool(made)
    index = index or PairIndex.build(made.first, made.second)
    scores, is_same = index.score(unit), index.arrange(made.is_same)
    rows = np.flatnonzero(is_same)
    genuine = scores[rows]
    scores[rows] = -np.inf
    left = len(scores) - len(rows)
    points = tars_at_low_fars(genuine, scores, FARS, "at_most", num_impostors=left)
    return [float(point.tar) for point in points]


def peer_1to1(made: IjbC) -> list[float]:
    unit = pool_in_loops(made)
    scores = np.zeros(len(made.first))
    for start in range(0, len(scores), 100_000):
        part = slice(start, start + 100_000)
        scores[part] = np.sum(unit[made.first[part]] * unit[made.second[part]], -1)
    fpr, tpr = roc_curve(made.is_same, scores)
    return [float(tpr[fpr <= far].max()) for far in FARS]


def search(made: IjbC) -> list[float]:
    """Closed-set ranks over both galleries, and the open-set search in each."""
    unit = pool(made)
    probes, people = unit[GALLERY:], made.people[GALLERY:]
    parts = [slice(0, GALLERY // 2), slice(GALLERY // 2, GALLERY)]
    galleries, known = [unit[part] for part in parts], [made.people[part] for part in parts]
    ranks, found = search_galleries(probes, galleries, people, known)
    figures = [float((ranks < k).mean()) for k in (1, 5, 10)]
    for scores in found:
        figures += open_set(scores, FPIRS).false_negatives.tolist()
    return figures


def peer_1ton(made: IjbC) -> list[float]:
    """The usual closed-set evaluation alone: a full argsort of every probe's scores."""
    unit = pool_in_loops(made)
    scores = unit[GALLERY:] @ unit[:GALLERY].T
    order = np.argsort(-scores)
    people = made.people[GALLERY:]
    return [
        float(np.mean([people[i] in order[i, :k] for i in range(len(order))])) for k in (1, 5, 10)
    ]


def make_tinyface() -> tuple[Tensor, Tensor, Ints, Ints]:
    generator = torch.Generator().manual_seed(0)
    people, probe_people = np.arange(MATES) % 2_569, np.arange(PROBES) % 2_569
    gallery = torch.randn(MATES + DISTRACTORS, SIZE, generator=generator)
    probes = torch.randn(PROBES, SIZE, generator=generator)
    probes += 0.3 * gallery[torch.from_numpy(probe_people)]
    normalise = torch.nn.functional.normalize
    labels = np.append(people, np.full(DISTRACTORS, -1))
    return normalise(probes), normalise(gallery), probe_people, labels


def peer_tinyface(probes: Tensor, gallery: Tensor, people: Ints, labels: Ints) -> list[float]:
    order = np.argsort(-(probes.numpy() @ gallery.numpy().T), axis=1)
    top = labels[order[:, :20]] == people[:, None]
    return [float(top[:, :k].any(axis=1).mean()) for k in (1, 5, 20)]


def ours_tinyface(probes: Tensor, gallery: Tensor, people: Ints, labels: Ints) -> list[float]:
    ranks = mate_ranks(probes, gallery, people, labels)
    return [float((ranks < k).mean()) for k in (1, 5, 20)]


def make_folds() -> tuple[Floats, npt.NDArray[np.bool_], Ints]:
    random = np.random.default_rng(0)
    is_same = np.tile(np.repeat([True, False], 300), 10)
    distances = np.where(is_same, 1.2, 1.9) + random.normal(0, 0.3, 6000)
    return distances, is_same, np.repeat(np.arange(10), 600)


def peer_folds(distances: Floats, is_same: npt.NDArray[np.bool_], folds: Ints) -> Floats:
    """calculate_roc: every threshold on every training fold, then on the test fold."""
    thresholds, found = np.arange(0, 4, 0.01), []

    def accuracy(threshold: float, rows: npt.NDArray[np.bool_]) -> float:
        accepted, same = distances[rows] < threshold, is_same[rows]
        tp = np.sum(np.logical_and(accepted, same))
        fp = np.sum(np.logical_and(accepted, np.logical_not(same)))
        tn = np.sum(np.logical_and(np.logical_not(accepted), np.logical_not(same)))
        fn = np.sum(np.logical_and(np.logical_not(accepted), same))
        _ = (tp / max(1, tp + fn), fp / max(1, fp + tn))
        return float(tp + tn) / int(rows.sum())

    for fold in range(10):
        best = np.argmax([accuracy(threshold, folds != fold) for threshold in thresholds])
        _ = [accuracy(threshold, folds == fold) for threshold in thresholds]
        found.append(accuracy(thresholds[best], folds == fold))
    return np.array(found)


def bootstrap(made: IjbC, num_replicates: int = 1000) -> list[float]:
    """Mean replicate of the TAR at every false-accept rate, under weights of people."""
    index = PairIndex.build(made.first, made.second)
    scores, is_same = index.score(pool(made)), index.arrange(made.is_same)
    owners = people_of_templates(made.first, made.second, made.is_same, TEMPLATES)
    sides = [index.arrange(owners[side].astype(np.int32)) for side in (made.first, made.second)]
    weights = unit_weights("ijbc", int(owners.max()) + 1, num_replicates)
    genuine = (scores[is_same], sides[0][is_same].astype(np.int64))
    impostor = (scores[~is_same], sides[0][~is_same], sides[1][~is_same])
    replicates = weighted_tars(*genuine, *impostor, weights, FARS)
    return [float(mean) for mean in replicates.mean(axis=0)]


def floor_of(made: IjbC) -> float:
    """Seconds to read all embeddings once and multiply gallery by probes: nobody does with less."""
    a, b = torch.randn(GALLERY, SIZE), torch.randn(SIZE, TEMPLATES - GALLERY)
    start = time.perf_counter()
    made.embeddings.sum(dim=0)
    a @ b
    return time.perf_counter() - start


def _keep(run: Callable[[], list[float]], facts: dict[str, object]) -> Contender:
    figures: list[float] = []

    def once() -> int:
        figures[:] = run()
        return 1

    return Contender(once, facts, figures)


def _contender(prepare: Callable[[], Callable[[], list[float]]]) -> Callable[[Path], Contender]:
    def build(_: Path) -> Contender:
        use_all_cores()
        return _keep(prepare(), {})

    return build


def _ijbc(
    run: Callable[[IjbC], list[float]], *, with_pairs: bool = True
) -> Callable[[Path], Contender]:
    def build(_: Path) -> Contender:
        use_all_cores()
        made = make_ijbc(with_pairs=with_pairs)
        return _keep(lambda: run(made), {"floor_s": min(floor_of(made) for _ in range(3))})

    return build


def _cached() -> Callable[[], list[float]]:
    made = make_ijbc(with_pairs=True)
    index = PairIndex.build(made.first, made.second)
    return lambda: ours_1to1(made, index)


def _tinyface(run: Callable[..., list[float]]) -> Callable[[Path], Contender]:
    def prepare() -> Callable[[], list[float]]:
        made = make_tinyface()
        return lambda: run(*made)

    return _contender(prepare)


def _folds(run: Callable[..., object], times: int) -> Callable[[Path], Contender]:
    made = make_folds()

    def build(_: Path) -> Contender:
        figures: list[float] = []

        def once() -> int:
            for _ in range(times):
                figures[:] = run(*made)
            return times

        return Contender(once, figures=figures)

    return build


CONTENDERS = {
    "1to1": _ijbc(lambda made: ours_1to1(made, None)),
    "1to1_cached": _contender(_cached),
    "1to1_peer": _ijbc(peer_1to1),
    "1ton": _ijbc(search, with_pairs=False),
    "1ton_peer": _ijbc(peer_1ton, with_pairs=False),
    "tinyface": _tinyface(ours_tinyface),
    "tinyface_peer": _tinyface(peer_tinyface),
    "folds": _folds(ten_fold_accuracy, 100),
    "folds_peer": _folds(peer_folds, 1),
    "bootstrap": _ijbc(bootstrap),
}
