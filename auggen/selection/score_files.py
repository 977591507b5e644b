"""What scoring leaves on disk: scores.parquet, summary.json, histograms.png, samples.png."""

import io
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from torch import Tensor

from auggen.core.checkpoints import resume_folder
from auggen.core.devices import start_accelerator
from auggen.core.errors import UserError
from auggen.core.files import atomic_directory, write_bytes, write_json
from auggen.faces.pictures import contact_sheet
from auggen.faces.shards import FaceSet, open_face_set
from auggen.measures.embeddings import embed_images
from auggen.recognition.checkpoint import load_recogniser
from auggen.selection.config import ScoreConfig
from auggen.selection.scores import PLACES, score_pool

_TABLE = "scores.parquet"
_SHOWN = ("source_max", "real_similarity", "within", "difficulty")
_NEAR_SOURCE, _NEAR_REAL = 0.7, 0.9
_PICTURES_A_ROW = 10


def run_score(
    real_dir: Path, pool_dir: Path, recogniser_dir: Path, out: Path, config: ScoreConfig
) -> str:
    """Scores the pool and writes the scores folder; returns a line about it, "" off rank 0.

    Raises:
        UserError: broken inputs, or a pool that does not belong to the real images.
    """
    model = load_recogniser(recogniser_dir)
    real, pool = open_face_set(real_dir), open_face_set(pool_dir)
    run = start_accelerator("fp32")
    main, size = run.is_main_process, config.batch_size
    how = {"batch_size": size, "flip": True, "device": run.device}
    embed = partial(embed_images, model.to(run.device), **how)
    inputs = (real_dir, pool_dir, recogniser_dir)
    with resume_folder("score", config, *inputs, is_main=main) as state:
        run.wait_for_everyone()
        scores = score_pool(real, pool, embed, batch_size=size, folder=state, run=run)
        run.wait_for_everyone()
        if not main:
            return ""
        summary = {kind: summarise(part) for kind, part in by_kind(scores).items()}
        with atomic_directory(out) as folder:
            write_table(folder / _TABLE, scores)
            write_json(folder / "summary.json", summary)
            _draw_histograms(folder / "histograms.png", scores)
            contact_sheet(_examples(scores, real, pool), folder / "samples.png")
    return f"{len(scores)} images; " + "; ".join(_tell(kind, one) for kind, one in summary.items())


def _tell(kind: str, summary: dict[str, Any]) -> str:
    return (
        f"{kind}: within cosine {_NEAR_SOURCE} of a source {summary['near_source_ratio']:.1%}, "
        f"within {_NEAR_REAL} of a real image {summary['near_real_ratio']:.1%}, "
        f"more like another person {summary['other_person_ratio']:.1%}"
    )


def read_scores(folder: Path, num_images: int) -> pd.DataFrame:
    """Reads the score table. Raises UserError if missing, corrupt or of another pool."""
    path = folder / _TABLE
    try:
        scores = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; run `dvc repro score`") from error
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path}: not a readable Parquet file ({error}); delete it and run `dvc repro score`"
        ) from error
    if len(scores) != num_images or not set(PLACES) <= set(scores.columns):
        raise UserError(
            f"{path}: {len(scores)} rows for a pool of {num_images} images, or columns missing; "
            "run `dvc repro score`"
        )
    return scores


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as Parquet, atomically."""
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), stream, compression="zstd")
    write_bytes(path, stream.getvalue())


def by_kind(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns the rows of mixed people and of real people drawn anew, those there are."""
    is_anew = scores["source_i"] == scores["source_j"]
    parts = {"mixed": scores[~is_anew], "anew": scores[is_anew]}
    return {kind: part for kind, part in parts.items() if len(part)}


def summarise(scores: pd.DataFrame) -> dict[str, Any]:
    """Returns counts, shares of the images, and quantiles of every measure.

    `other_person_ratio`: more like a training person who is no source than like either source.
    """
    measures = scores.drop(columns=list(PLACES))
    quantiles = {"mean": measures.mean(), "low": measures.quantile(0.05)}
    quantiles |= {"median": measures.median(), "high": measures.quantile(0.95)}
    return {
        "num_images": len(scores),
        "num_classes": int(scores["label"].nunique()),
        "near_source_ratio": round(float((scores["source_max"] > _NEAR_SOURCE).mean()), 6),
        "near_real_ratio": round(float((scores["real_similarity"] > _NEAR_REAL).mean()), 6),
        "other_person_ratio": round(
            float((scores["nearest_other"] > scores["source_max"]).mean()), 6
        ),
        "measures": {
            name: {kind: round(float(values[name]), 6) for kind, values in quantiles.items()}
            for name in measures.columns
        },
    }


def _draw_histograms(path: Path, scores: pd.DataFrame) -> None:
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    for axes, name in zip(figure.subplots(2, 2).flat, _SHOWN, strict=True):
        parts = by_kind(scores)
        axes.hist([part[name] for part in parts.values()], bins=40, stacked=True, label=[*parts])
        axes.set_xlabel(name)
        axes.set_ylabel("images")
    figure.axes[0].legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    write_bytes(path, stream.getvalue())


def _examples(scores: pd.DataFrame, real: FaceSet, pool: FaceSet) -> list[list[Tensor]]:
    """Returns two rows a measure: images from its lowest to its highest; nearest real ones below.

    Images are taken at equal steps of rank.
    """
    rows: list[list[Tensor]] = []
    for name in _SHOWN:
        order = scores.sort_values([name, "row"])
        count = min(_PICTURES_A_ROW, len(order))
        steps = [round(k * (len(order) - 1) / max(1, count - 1)) for k in range(count)]
        shown = order.iloc[steps]
        rows.append([pool.images[row] for row in shown["row"].tolist()])
        rows.append([real.images[row] for row in shown["nearest_real"].tolist()])
    return rows
