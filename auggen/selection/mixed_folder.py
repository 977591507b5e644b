"""The mixed training folder: real files, pool files and the plan, self-contained."""

import shutil
from pathlib import Path

import pandas as pd
from torch import Tensor

from auggen.core.files import atomic_directory, write_json
from auggen.faces.manifest import MANIFEST_NAME, Manifest, read_manifest
from auggen.faces.pictures import contact_sheet
from auggen.faces.shards import FaceSet, open_face_set
from auggen.recognition.mixing_plan import MixingPlan
from auggen.recognition.selection_table import SELECTION_NAME
from auggen.selection.choice import choose_images, rank_pool
from auggen.selection.config import SelectConfig
from auggen.selection.score_files import read_scores, write_table

_PICTURE_CLASSES = 12


def run_select(
    real_dir: Path,
    pool_dir: Path,
    scores_dir: Path,
    out: Path,
    mix_ratio: float,
    config: SelectConfig,
) -> str:
    """Chooses from the pool and writes the mixed training folder; returns a line about it.

    If both ratios are 0 that is the real files and a plan without synthetic images.

    Raises:
        UserError: broken inputs, or a ratio that the pool cannot serve.
    """
    real = open_face_set(real_dir)
    num_real = real.manifest.num_images
    scores = read_scores(scores_dir, read_manifest(pool_dir).num_images)
    chosen = choose_images(rank_pool(scores, config), mix_ratio, num_real, config)
    plan = MixingPlan(
        mix_ratio=mix_ratio,
        anew_ratio=config.anew_ratio,
        rule=config.rule,
        num_classes=int(chosen["label"][chosen["label"] >= 0].nunique()),
        num_images=len(chosen),
        batch_share=config.batch_share,
        schedule=config.schedule,
        switch_at=config.switch_at,
        compete_with_sources=config.compete_with_sources,
        margin_scale=config.margin_scale,
        loss_weight=config.loss_weight,
    )
    with atomic_directory(out) as folder:
        _copy_face_set(real.manifest, real_dir, folder)
        write_json(folder / "selection.json", plan.model_dump())
        if len(chosen):
            pool = open_face_set(pool_dir)
            (folder / "synthetic").mkdir()
            _copy_face_set(pool.manifest, pool_dir, folder / "synthetic")
            write_table(folder / SELECTION_NAME, chosen)
            pictures = _pictures(chosen, real, pool, config.images_per_class)
            contact_sheet(pictures, folder / "samples.png")
    anew = chosen[chosen["label"] < 0]
    return (
        f"mix_ratio {mix_ratio:g}, anew_ratio {config.anew_ratio:g}: {len(chosen) - len(anew)} "
        f"images of {plan.num_classes} mixed identities (rule {config.rule}) and {len(anew)} of "
        f"{anew['label'].nunique()} real people drawn anew beside {num_real} images of "
        f"{real.manifest.num_classes} real people"
    )


def _copy_face_set(manifest: Manifest, source: Path, target: Path) -> None:
    """Copies the files of a face set, which was checked when it was opened, byte by byte."""
    for name in (MANIFEST_NAME, *(shard.file for shard in manifest.shards)):
        shutil.copyfile(source / name, target / name)


def _pictures(
    chosen: pd.DataFrame, real: FaceSet, pool: FaceSet, columns: int
) -> list[list[Tensor]]:
    """Returns rows of an image of each source, then of chosen ones: best mixes, people anew."""
    rows = []
    for part in (chosen[chosen["label"] >= 0], chosen[chosen["label"] < 0]):
        for _, images in list(part.groupby("pool_label", sort=False))[:_PICTURE_CLASSES]:
            sources = [int(images[column].iloc[0]) for column in ("source_i", "source_j")]
            portraits = [real.images[int((real.labels == k).nonzero()[0])] for k in sources]
            shown = images["row"].head(columns).tolist()
            rows.append([*portraits, *(pool.images[row] for row in shown)])
    return rows
