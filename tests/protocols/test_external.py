"""The field's test sets end to end, in their real layouts, against loops over images."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.align import align_face
from auggen.faces.decode import decode_image, encode_png
from auggen.faces.manifest import Manifest, Shard
from auggen.faces.resize import crop_and_resize
from auggen.measures.verification import ten_fold_accuracy
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.embedding_cache import EmbeddingCache
from auggen.protocols.evaluate import evaluate_test_sets, fill_caches
from auggen.protocols.external import TestSet, open_test_sets
from auggen.protocols.external_images import ExternalImages
from auggen.protocols.outcome import Outcome, read_outcome
from tests.protocols.layouts import (
    SIDE,
    Ijb,
    draw_face,
    write_lfw,
    write_pair_list,
    write_rfw,
    write_tinyface,
)

MANIFEST = Manifest(
    format_version=1,
    image_size=SIDE,
    channels=1,
    num_classes=1,
    num_images=1,
    identities=["x"],
    images_per_identity=[1],
    shards=[Shard(file="shard-00000.parquet", rows=1, sha256="0" * 64)],
    source_digest="x",
)
MIX = torch.randn(SIDE * SIDE, 24, generator=torch.Generator().manual_seed(5))


def embed(images: Any) -> Tensor:
    """A fixed projection of the pixels, raw."""
    return (images[:].flatten(1).float() - 127.5) @ MIX / 100


def write_bin(path: Path, pairs: int = 30) -> Path:
    images, labels = [], []
    for k in range(pairs):
        same = k % 6 < 3
        images += [draw_face(k, 1), draw_face(k if same else k + 1, 2)]
        labels.append(same)
    path.write_bytes(pickle.dumps(([encode_png(image) for image in images], labels), 2))
    return path


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "bin": lambda folder: write_bin(folder / "x.bin"),
    "lfw_pairs": write_lfw,
    "pair_list": write_pair_list,
    "groups": write_rfw,
    "ijb": lambda folder: Ijb(folder) and folder,
    "ijb_1n": lambda folder: Ijb(folder) and folder,
    "tinyface": write_tinyface,
}


def configure(protocol: str, path: object, **more: object) -> EvaluateConfig:
    row = {"name": "x", "protocol": protocol, "path": str(path), "headline": True, **more}
    row["num_replicates"] = 100
    return EvaluateConfig.model_validate(
        {"identities": "test", "batch_size": 8, "flip": True, "benchmarks": [row]}
    )


def run(config: EvaluateConfig) -> Outcome:
    (one,) = open_test_sets(config, MANIFEST)
    return one.run(embed(one.images))


def unit(vector: Any) -> Any:
    vector = np.asarray(vector, dtype=np.float64)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_every_layout_gives_figures_with_replicates(protocol: str, tmp_path: Path) -> None:
    outcome = run(configure(protocol, LAYOUTS[protocol](tmp_path)))
    assert set(outcome.replicates) <= set(outcome.figures)
    assert all(len(column) == 100 for column in outcome.replicates.values())
    for name, column in outcome.replicates.items():
        assert column.min() <= outcome.figures[name] <= column.max(), name


def test_bin_accuracy_is_that_of_contiguous_folds(tmp_path: Path) -> None:
    outcome = run(configure("bin", write_bin(tmp_path / "x.bin")))
    distances, labels = [], []
    for k in range(30):
        same = k % 6 < 3
        a, b = draw_face(k, 1), draw_face(k if same else k + 1, 2)
        distances.append(np.square(unit(embed(a[None])[0]) - unit(embed(b[None])[0])).sum())
        labels.append(same)
    folds = np.arange(30) // 3
    accuracy = ten_fold_accuracy(np.array(distances), np.array(labels), folds)
    assert outcome.figures["accuracy"] == accuracy.mean()
    assert outcome.figures["accuracy_std"] == accuracy.std()
    assert outcome.facts["interval_over"] == "pairs"
    assert outcome.facts["conditions"] == "interval over pairs, not people: too narrow"


def test_lfw_agrees_with_its_lines(tmp_path: Path) -> None:
    path = write_lfw(tmp_path)
    outcome = run(configure("lfw_pairs", path))
    distances, labels = [], []
    for line in path.read_text().splitlines()[1:]:
        words = line.split()
        names = [(words[0], words[1]), (words[-2] if len(words) == 4 else words[0], words[-1])]
        a, b = (
            unit(embed(decode_image(tmp_path / n / f"{n}_{int(i):04d}.png", channels=1)[None])[0])
            for n, i in names
        )
        distances.append(np.square(a - b).sum())
        labels.append(len(words) == 3)
    folds = np.arange(40) // 4
    accuracy = ten_fold_accuracy(np.array(distances), np.array(labels), folds)
    assert outcome.figures["accuracy"] == accuracy.mean()
    assert outcome.facts["interval_over"] == "people"
    assert "conditions" not in outcome.facts


def slow_templates(made: Ijb, row: dict[str, bool]) -> dict[int, Any]:
    """The definition, in loops: media averages of weighted embeddings, summed."""
    found: dict[int, dict[int, list[Any]]] = {}
    for name, template, medium, _ in made.rows:
        image = decode_image(made.folder / "loose_crop" / name, channels=1)
        points = np.round(made.points[name], 4)
        vector = embed(align_face(image, points, SIDE)[None])[0].numpy().astype(np.float64)
        vector = vector if row["keep_norm"] else unit(vector)
        vector *= round(made.scores[name], 6) if row["detector_score"] else 1
        found.setdefault(template, {}).setdefault(medium, []).append(vector)
    return {
        template: unit(sum(np.mean(frames, axis=0) for frames in media.values()))
        for template, media in found.items()
    }


@pytest.mark.parametrize("keep_norm", [True, False])
@pytest.mark.parametrize("detector_score", [True, False])
def test_ijb_agrees_with_loops(keep_norm: bool, detector_score: bool, tmp_path: Path) -> None:
    made = Ijb(tmp_path)
    flags = {"keep_norm": keep_norm, "detector_score": detector_score}
    templates = slow_templates(made, flags)
    outcome = run(configure("ijb", tmp_path, **flags))
    words = f"N{keep_norm:d} D{detector_score:d} F1, five-point similarity, TAR at_most"
    assert outcome.facts["conditions"] == words
    scores = np.array([templates[a] @ templates[b] for a, b, _ in made.pairs])
    same = np.array([kind for *_, kind in made.pairs], dtype=bool)
    for far in (1e-6, 1e-2, 1e-1):
        cuts = [*scores[~same], -np.inf]
        cut = min(c for c in cuts if np.mean(scores[~same] > c) <= far)
        name = f"tar_at_far_{far:.0e}".replace("e-0", "e-")
        assert outcome.figures[name] == np.mean(scores[same] > cut)
        assert outcome.facts[f"false_accepts.{name}"] == np.sum(scores[~same] > cut)


def test_ijb_1n_agrees_with_loops(tmp_path: Path) -> None:
    made = Ijb(tmp_path)
    templates = slow_templates(made, {"keep_norm": True, "detector_score": True})
    outcome = run(configure("ijb_1n", tmp_path))
    both = made.gallery[0] + made.gallery[1]
    hits = 0
    for probe in made.probes:
        ranked = sorted(both, key=lambda t: -float(templates[probe] @ templates[t]))
        hits += made.person[ranked[0]] == made.person[probe]
    assert outcome.figures["rank_1"] == hits / len(made.probes)
    misses = []
    for gallery in made.gallery:
        known = {made.person[t] for t in gallery}
        tops = {p: max(float(templates[p] @ templates[t]) for t in gallery) for p in made.probes}
        alarms = [top for p, top in tops.items() if made.person[p] not in known]
        cut = min(c for c in [*alarms, -9.0] if np.mean([a > c for a in alarms]) <= 0.1)
        mated = [p for p in made.probes if made.person[p] in known]
        found = 0
        for p in mated:
            best = max(gallery, key=lambda t: float(templates[p] @ templates[t]))
            found += made.person[best] == made.person[p] and tops[p] > cut
        misses.append(1 - found / len(mated))
    assert outcome.figures["fnir_at_fpir_1e-1"] == pytest.approx(np.mean(misses))


def test_tinyface_agrees_with_a_loop(tmp_path: Path) -> None:
    base = write_tinyface(tmp_path) / "Testing_Set"
    outcome = run(configure("tinyface", tmp_path))

    def load(path: Path) -> Any:
        return unit(embed(decode_image(path, channels=1)[None])[0])

    gallery = [(p.name.split("_")[0], load(p)) for p in (base / "Gallery_Match").iterdir()]
    gallery += [("nobody", load(p)) for p in (base / "Gallery_Distractor").iterdir()]
    hits = {1: 0, 5: 0, 20: 0}
    for path in (base / "Probe").iterdir():
        probe = load(path)
        names = [n for n, v in sorted(gallery, key=lambda item: -float(probe @ item[1]))]
        for k in hits:
            hits[k] += path.name.split("_")[0] in names[:k]
    for k, count in hits.items():
        assert outcome.figures[f"rank_{k}"] == count / 12


def test_groups_share_one_threshold(tmp_path: Path) -> None:
    path = write_pair_list(tmp_path, ("a", "b", "c"))
    outcome = run(configure("groups", path, far=0.2))
    scores: dict[str, dict[str, list[float]]] = {"0": {}, "1": {}}
    for line in path.read_text().splitlines():
        one, two, kind, group = line.split()
        a, b = (unit(embed(decode_image(tmp_path / n, channels=1)[None])[0]) for n in (one, two))
        scores[kind].setdefault(group, []).append(-float(np.square(a - b).sum()))
    every = [score for values in scores["0"].values() for score in values]
    cut = min(c for c in [*every, -9.0] if np.mean([s > c for s in every]) <= 0.2)
    fmr = {group: np.mean([s > cut for s in values]) for group, values in scores["0"].items()}
    fnmr = {group: np.mean([s <= cut for s in values]) for group, values in scores["1"].items()}
    for group in "abc":
        assert outcome.figures[f"fmr.{group}"] == pytest.approx(fmr[group])
        assert outcome.figures[f"fnmr.{group}"] == pytest.approx(fnmr[group])
    gaps = [max(rates.values()) - min(rates.values()) for rates in (fmr, fnmr)]
    assert outcome.figures["fdr"] == pytest.approx(1 - 0.5 * sum(gaps))
    assert outcome.figures["fmr_std"] == pytest.approx(np.std(list(fmr.values())))


def test_a_missing_path_is_named_before_any_work(tmp_path: Path) -> None:
    config = configure("bin", tmp_path / "absent.bin")
    with pytest.raises(UserError, match=r"absent\.bin: missing, but `x` of `evaluate\.benchmarks`"):
        open_test_sets(config, MANIFEST)


def test_images_are_resized_as_training_images_are() -> None:
    """Else no pixels would be equal, and training and test would differ by their filters."""
    pixels = torch.randint(0, 256, (1, 30, 41), generator=torch.Generator().manual_seed(0))
    image = pixels.to(torch.uint8)
    images = ExternalImages([encode_png(image)], names=["x"], channels=1, image_size=12)
    assert torch.equal(images[0:1][0], crop_and_resize(image, 12))


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write_bin(path)
    images, labels = pickle.loads(path.read_bytes())  # noqa: S301
    images[7] = images[7][:40]
    path.write_bytes(pickle.dumps((images, labels)))
    config, caches = configure("bin", path), None
    sets = open_test_sets(config, MANIFEST)
    with pytest.raises(UserError, match=r"`x`: .*x\.bin: image 7: not a readable"):
        caches = fill_caches(sets, None, tmp_path, embed, config, Accelerator(cpu=True))
    assert caches is None


class Rank(Accelerator):
    """One of several processes."""

    process_index, num_processes, is_main_process = 0, 1, True  # type: ignore[assignment]

    def __init__(self, index: int, count: int) -> None:
        self.process_index, self.num_processes, self.is_main_process = index, count, index == 0

    def wait_for_everyone(self) -> None:
        """They run one after another here."""


def test_embeddings_are_kept_shared_out_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr("auggen.protocols.embedding_cache._BATCHES_PER_PART", 1)
    config = configure("lfw_pairs", write_lfw(tmp_path / "lfw"))
    (one,) = open_test_sets(config, MANIFEST)
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"1")

    def cache(test_set: TestSet, flip: bool = True) -> EmbeddingCache:
        return EmbeddingCache.of(model, test_set.images, test_set.digest, batch_size=8, flip=flip)

    calls = []

    def count(images: Tensor) -> Tensor:
        calls.append(len(images))
        return embed(images)

    first = cache(one)
    assert first.folder.parent == tmp_path / ".embeddings"
    for index in range(2):
        before = len(calls)
        first.fill(one.images, count, Rank(index, 2))
        assert len(calls) - before in (len(one.images) // 16, len(one.images) // 16 + 1)
    torch.testing.assert_close(first.read(), embed(one.images), rtol=1e-3, atol=1e-4)
    parts = sorted(first.folder.iterdir())
    parts[1].unlink()
    calls.clear()
    first.fill(one.images, count, Rank(0, 1))
    assert calls == [8]
    assert cache(one, flip=False).folder != first.folder
    (model / "weights").write_bytes(b"2")
    assert cache(one).folder != first.folder
    parts[0].write_bytes(parts[0].read_bytes()[:30])
    with pytest.raises(UserError, match=r"part-000000\.safetensors"):
        first.read()


def test_outcomes_are_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    config = configure("pair_list", write_pair_list(tmp_path / "set"))
    sets = open_test_sets(config, MANIFEST)
    (tmp_path / "model").mkdir()
    (tmp_path / "out").mkdir()
    caches = fill_caches(sets, None, tmp_path / "model", embed, config, Accelerator(cpu=True))
    outcome = evaluate_test_sets(sets, None, caches, tmp_path / "out")["x"]
    found = read_outcome(tmp_path / "out", "x", "pair_list")
    assert found.figures == outcome.figures
    assert found.facts == outcome.facts
    assert found.facts["list"] == sets[0].digest
    for name, column in outcome.replicates.items():
        np.testing.assert_array_equal(found.replicates[name], column)
    with pytest.raises(UserError, match=r"x\.json: protocol pair_list and not bin"):
        read_outcome(tmp_path / "out", "x", "bin")
