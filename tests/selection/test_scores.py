"""The score table against slow loops, with pixels as embeddings."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import torch_generator
from auggen.faces.images import StoredImages
from auggen.faces.shards import FaceSet, open_face_set, read_face_set, write_face_set
from auggen.selection import features
from auggen.selection.features import thumbnails
from auggen.selection.scores import difficulty, pixel_likeness, score_pool

Make = Callable[..., FaceSet]
SOURCES = {"source_i": [0, 0, 0, 1, 1, 1, 0, 0], "source_j": [1, 1, 1, 2, 2, 2, 2, 2]}
POOL_LABELS = [0, 0, 0, 1, 1, 1, 2, 2]


Score = Callable[..., pd.DataFrame]


def embed(images: Tensor) -> Tensor:
    return images.flatten(1).float() - 100


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Scores in a fresh folder, in batches of three."""
    count = itertools.count()

    def run(real: FaceSet, pool: FaceSet, folder: Path | None = None) -> pd.DataFrame:
        folder = folder or tmp_path / f"state-{next(count)}"
        return score_pool(real, pool, embed, batch_size=3, folder=folder, run=Accelerator(cpu=True))

    return run


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make_set(labels: list[int], extra: dict[str, list[int]] | None, seed: int) -> FaceSet:
        folder = tmp_path / f"set-{seed}-{len(labels)}-{extra is None}"
        folder.mkdir()
        generator = torch_generator(seed)
        images = torch.randint(256, (len(labels), 1, 4, 4), generator=generator, dtype=torch.uint8)
        write_face_set(
            folder,
            images,
            labels,
            [str(k) for k in range(len(labels))],
            identities=[f"p{k}" for k in range(max(labels) + 1)],
            source_digest="0",
            extra=None if extra is None else pd.DataFrame(extra),
        )
        return read_face_set(folder)

    return make_set


@pytest.fixture
def real(make: Make) -> FaceSet:
    return make([0, 0, 1, 1, 2, 2, 3, 3], None, 0)


@pytest.fixture
def pool(make: Make) -> FaceSet:
    return make(POOL_LABELS, SOURCES, 1)


def unit(x: Tensor) -> Tensor:
    return x / x.norm()


@pytest.mark.parametrize("block", [2048, 4, 1])
def test_against_loops(
    block: int, real: FaceSet, make: Make, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_BLOCK", block)
    labels = [*POOL_LABELS, 3, 3]
    sources = {name: [*column, 1, 1] for name, column in SOURCES.items()}  # person 1 drawn anew
    pool = make(labels, sources, 1)
    table = score(real, pool)
    z = [unit(row) for row in embed(pool.images).double()]
    r = [unit(row) for row in embed(real.images).double()]
    centre = [unit(sum((r[2 * k], r[2 * k + 1]), torch.zeros(16))) for k in range(4)]
    members = {k: [a for a in range(10) if labels[a] == k] for k in range(4)}
    mixed = {k: unit(torch.stack([z[a] for a in rows]).sum(0)) for k, rows in members.items()}
    for a, (i, j) in enumerate(zip(*sources.values(), strict=True)):
        others = [z[b] for b in members[labels[a]] if b != a]
        own = (z[a] @ unit(torch.stack(others).sum(0))).item()
        within = (z[a] @ torch.stack(others).mean(0)).item()
        strangers = max((z[a] @ centre[k]).item() for k in range(4) if k not in (i, j))
        rivals = max((z[a] @ mixed[k]).item() for k in range(3) if k != labels[a])
        sim_i, sim_j = (z[a] @ centre[i]).item(), (z[a] @ centre[j]).item()
        nearest = [(z[a] @ row).item() for row in r]
        expected = {
            "row": a, "label": labels[a], "source_i": i, "source_j": j,
            "own_centre": own, "sim_i": sim_i, "sim_j": sim_j, "source_max": max(sim_i, sim_j),
            "source_min": min(sim_i, sim_j), "balance": abs(sim_i - sim_j),
            "nearest_other": strangers, "real_similarity": max(nearest),
            "nearest_real": nearest.index(max(nearest)), "within": within,
            "diversity": 1 - within, "difficulty": max(strangers, rivals) - own,
        }  # fmt: skip
        found = table.iloc[a].drop("pixel_correlation").to_dict()
        assert found == pytest.approx(expected, abs=1e-5)


def test_difficulty_is_above_zero_for_somebody_else() -> None:
    own, mixed, other = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.2, 0.7, 0.2]), torch.zeros(3)
    torch.testing.assert_close(difficulty(own, mixed, other), torch.tensor([-0.3, 0.2, -0.3]))


def test_copies_correlate_fully_also_mirrored_and_brightened(real: FaceSet) -> None:
    brighter = (real.images // 2 + 40).flip(-1)
    torch.testing.assert_close(
        pixel_likeness(thumbnails(brighter), thumbnails(real.images)),
        torch.ones(8),
        atol=1e-3,
        rtol=0,
    )


def test_strangers_correlate_less(real: FaceSet, pool: FaceSet) -> None:
    assert (pixel_likeness(thumbnails(pool.images), thumbnails(real.images)) < 0.95).all()


def test_permuting_the_pool_permutes_the_scores(real: FaceSet, pool: FaceSet, score: Score) -> None:
    order = torch.tensor([3, 1, 0, 7, 2, 6, 5, 4])
    shuffled = FaceSet(
        pool.images[order],
        pool.labels[order],
        [pool.paths[k] for k in order.tolist()],
        pool.extra.iloc[order.tolist()].reset_index(drop=True),
        pool.manifest,
    )
    straight = score(real, pool).iloc[order.tolist()].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        score(real, shuffled).drop(columns="row"),
        straight.drop(columns="row"),
        rtol=1e-5,
    )


def test_pool_without_provenance(real: FaceSet, make: Make, score: Score) -> None:
    with pytest.raises(UserError, match="source_i"):
        score(real, make(POOL_LABELS, None, 2))


def test_pool_of_other_people(real: FaceSet, make: Make, score: Score) -> None:
    foreign = make(POOL_LABELS, SOURCES | {"source_j": [9] * 8}, 3)
    with pytest.raises(UserError, match="beyond the 4 real"):
        score(real, foreign)


def test_pool_of_other_size(real: FaceSet, pool: FaceSet, score: Score) -> None:
    small = FaceSet(pool.images[:, :, :2, :2], pool.labels, pool.paths, pool.extra, pool.manifest)
    with pytest.raises(UserError, match=r"pool images are \(1, 2, 2\)"):
        score(real, small)


def test_pools_on_disk_and_in_memory_score_the_same(
    real: FaceSet, pool: FaceSet, score: Score, tmp_path: Path
) -> None:
    on_disk = [open_face_set(next(tmp_path.glob(f"set-*-{kind}"))) for kind in ("True", "False")]
    assert isinstance(on_disk[0].images, StoredImages)
    pd.testing.assert_frame_equal(score(*on_disk), score(real, pool))


@pytest.mark.parametrize("left", [0, 1, 4, 6, 7])
def test_finished_batches_are_not_repeated(
    left: int, real: FaceSet, pool: FaceSet, score: Score, tmp_path: Path
) -> None:
    """A run that finds some files of a killed one embeds the rest alone, to the same table."""
    straight = score(real, pool, tmp_path / "state")
    files = sorted((tmp_path / "state").rglob("*.safetensors"))
    assert len(files) == 7  # three batches of each set, one block
    for path in files[left:]:
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in files[:left]}
    pd.testing.assert_frame_equal(score(real, pool, tmp_path / "state"), straight)
    assert {path: path.stat().st_mtime_ns for path in files[:left]} == before
