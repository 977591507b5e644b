"""The score table against slow loops, with pixels as embeddings."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.seeds import torch_generator
from auggen.faces.shards import FaceSet, read_face_set, write_face_set
from auggen.selection.scores import difficulty, pixel_likeness, score_pool

Make = Callable[..., FaceSet]
SOURCES = {"source_i": [0, 0, 0, 1, 1, 1, 0, 0], "source_j": [1, 1, 1, 2, 2, 2, 2, 2]}
POOL_LABELS = [0, 0, 0, 1, 1, 1, 2, 2]


def embed(images: Tensor) -> Tensor:
    return images.flatten(1).float() - 100


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


def test_against_loops(real: FaceSet, pool: FaceSet) -> None:
    table = score_pool(real, pool, embed)
    z = [unit(row) for row in embed(pool.images).double()]
    r = [unit(row) for row in embed(real.images).double()]
    centre = [unit(sum((r[2 * k], r[2 * k + 1]), torch.zeros(16))) for k in range(4)]
    members = {k: [a for a in range(8) if POOL_LABELS[a] == k] for k in range(3)}
    mixed = {k: unit(torch.stack([z[a] for a in rows]).sum(0)) for k, rows in members.items()}
    for a, (i, j) in enumerate(zip(*SOURCES.values(), strict=True)):
        others = [z[b] for b in members[POOL_LABELS[a]] if b != a]
        own = (z[a] @ unit(torch.stack(others).sum(0))).item()
        within = (z[a] @ torch.stack(others).mean(0)).item()
        strangers = max((z[a] @ centre[k]).item() for k in range(4) if k not in (i, j))
        rivals = max((z[a] @ mixed[k]).item() for k in range(3) if k != POOL_LABELS[a])
        sim_i, sim_j = (z[a] @ centre[i]).item(), (z[a] @ centre[j]).item()
        nearest = [(z[a] @ row).item() for row in r]
        expected = {
            "row": a, "label": POOL_LABELS[a], "source_i": i, "source_j": j,
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
        pixel_likeness(brighter, real.images), torch.ones(8), atol=1e-3, rtol=0
    )


def test_strangers_correlate_less(real: FaceSet, pool: FaceSet) -> None:
    assert (pixel_likeness(pool.images, real.images) < 0.95).all()


def test_permuting_the_pool_permutes_the_scores(real: FaceSet, pool: FaceSet) -> None:
    order = torch.tensor([3, 1, 0, 7, 2, 6, 5, 4])
    shuffled = FaceSet(
        pool.images[order],
        pool.labels[order],
        [pool.paths[k] for k in order.tolist()],
        pool.extra.iloc[order.tolist()].reset_index(drop=True),
        pool.manifest,
    )
    straight = score_pool(real, pool, embed).iloc[order.tolist()].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        score_pool(real, shuffled, embed).drop(columns="row"),
        straight.drop(columns="row"),
        rtol=1e-5,
    )


def test_pool_without_provenance(real: FaceSet, make: Make) -> None:
    with pytest.raises(UserError, match="source_i"):
        score_pool(real, make(POOL_LABELS, None, 2), embed)


def test_pool_of_other_people(real: FaceSet, make: Make) -> None:
    foreign = make(POOL_LABELS, SOURCES | {"source_j": [9] * 8}, 3)
    with pytest.raises(UserError, match="beyond the 4 real"):
        score_pool(real, foreign, embed)


def test_pool_of_other_size(real: FaceSet, pool: FaceSet) -> None:
    small = FaceSet(pool.images[:, :, :2, :2], pool.labels, pool.paths, pool.extra, pool.manifest)
    with pytest.raises(UserError, match=r"pool images are \(1, 2, 2\)"):
        score_pool(real, small, embed)
