"""What a training folder holds, and which of its rows make up batch k.

A folder is a face set of real images; a mixed one has, besides, the face set `synthetic/` (the
pool), `selection.parquet` (the rows of it to use) and `selection.json` (the MixingPlan).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from pydantic import ValidationError
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import read_json
from auggen.core.params import tell_faults
from auggen.core.seeds import torch_generator
from auggen.faces.images import ImageRows, JoinedImages
from auggen.faces.shards import read_face_set
from auggen.recognition.mixing_plan import MixingPlan
from auggen.recognition.selection_table import (
    SELECTION_NAME,
    joint_labels,
    mixed_classes,
    read_selection,
)


@dataclass(frozen=True)
class TrainingData:
    """Real rows first, then synthetic rows; real classes first, then mixed classes."""

    images: UInt8[Tensor, "n c h w"] | ImageRows
    """Pixels 0..255, in memory or on disk."""
    labels: Int[Tensor, " n"]
    num_real: int
    """Real images: rows [0, num_real)."""
    num_real_classes: int
    sources: Int[Tensor, "k 2"]
    """The two real classes of each class; a real class is its own source twice."""
    plan: MixingPlan | None
    """How synthetic rows enter; None if there are none."""

    @property
    def num_classes(self) -> int:
        """Real and mixed classes."""
        return len(self.sources)


def read_training_data(folder: Path) -> TrainingData:
    """Reads a real or mixed training folder. Raises UserError naming what does not fit."""
    real = read_face_set(folder)
    own = torch.arange(real.num_classes)
    sources = torch.stack([own, own], dim=1)
    plan_path = folder / "selection.json"
    plan = _read_plan(plan_path) if plan_path.is_file() else None
    if plan is None or plan.num_images == 0:
        return TrainingData(
            real.images, real.labels, len(real.labels), real.num_classes, sources, None
        )
    pool = read_face_set(folder / "synthetic")
    table = read_selection(folder, real, pool)
    if len(table) != plan.num_images:
        raise UserError(
            f"{folder / SELECTION_NAME}: {len(table)} rows, but selection.json says "
            f"{plan.num_images}; run `dvc repro select`"
        )
    if (pool.manifest.image_size, pool.manifest.channels) != (
        real.manifest.image_size,
        real.manifest.channels,
    ):
        raise UserError(
            f"{folder}/synthetic: images are {pool.manifest.image_size} pixels with "
            f"{pool.manifest.channels} channels, the real ones {real.manifest.image_size} with "
            f"{real.manifest.channels}; run `dvc repro`"
        )
    labels = torch.tensor(joint_labels(table, real.num_classes))
    mixed_sources = mixed_classes(table)[["source_i", "source_j"]].to_numpy()
    return TrainingData(
        images=JoinedImages(real.images, pool.images, torch.tensor(table["row"].to_numpy())),
        labels=torch.cat([real.labels, labels]),
        num_real=len(real.labels),
        num_real_classes=real.num_classes,
        sources=torch.cat([sources, torch.tensor(mixed_sources)]),
        plan=plan,
    )


def _read_plan(path: Path) -> MixingPlan:
    try:
        return MixingPlan.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {tell_faults(error)}; run `dvc repro select`") from error


class BatchPlan:
    """The rows of every batch of a training: real and synthetic rows in their planned shares.

    Each kind is read in its own shuffled passes, without replacement within a pass. The batch at a
    step depends on (seed, step) alone, so a resumed training needs no loader state; with no
    synthetic rows the batches are those of a real-only training.
    """

    def __init__(self, data: TrainingData, *, seed: int, steps: int, batch_size: int) -> None:
        self._seed = seed
        self._passes: dict[str, tuple[int, Tensor]] = {}
        self._num_real = data.num_real
        self._num_synthetic = len(data.labels) - data.num_real
        shares = [
            data.plan.share_at(step / steps, data.num_real) if data.plan else 0.0
            for step in range(steps)
        ]
        wanted = np.concatenate([[0.0], np.cumsum(shares)]) * batch_size
        self._synthetic_before = np.floor(wanted + 1e-6).astype(np.int64)
        self._real_before = np.arange(steps + 1) * batch_size - self._synthetic_before

    def rows(self, step: int) -> Int[Tensor, " b"]:
        """Returns the row indices of the batch at `step`, real rows first."""
        real = self._draw("real", self._num_real, self._real_before, step)
        synthetic = self._draw("synthetic", self._num_synthetic, self._synthetic_before, step)
        return torch.cat([real, self._num_real + synthetic])

    def _draw(self, kind: str, num: int, before: np.ndarray, step: int) -> Int[Tensor, " b"]:
        first, last = int(before[step]), int(before[step + 1])
        rows: list[Tensor] = [torch.empty(0, dtype=torch.int64)]
        while first < last:
            index, offset = divmod(first, num)
            take = min(last - first, num - offset)
            rows.append(self._pass(kind, index, num)[offset : offset + take])
            first += take
        return torch.cat(rows)

    def _pass(self, kind: str, index: int, num: int) -> Int[Tensor, " n"]:
        """Returns the order of a shuffled pass; the last one of each kind is remembered."""
        if self._passes.get(kind, (-1,))[0] != index:
            generator = torch_generator(self._seed, kind, index)
            self._passes[kind] = (index, torch.randperm(num, generator=generator))
        return self._passes[kind][1]
