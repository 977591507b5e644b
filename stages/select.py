"""Scores the pool; selects what the ratios ask for; exports a training folder for others."""

import json
from pathlib import Path

import typer

from auggen.core.errors import run_stage
from auggen.core.params import read_params
from auggen.faces.manifest import read_manifest
from auggen.recognition.checkpoint import load_recogniser
from auggen.selection.config import MixRatio, ScoreConfig, SelectConfig
from auggen.selection.export import ExportFormat, check_export, run_export
from auggen.selection.mixed_folder import run_select
from auggen.selection.score_files import read_scores, run_score

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def score(
    real_dir: Path = typer.Argument(help="face set of the training people"),
    pool_dir: Path = typer.Argument(help="face set of the pool"),
    recogniser_dir: Path = typer.Argument(help="M_orig: the first real model, the judge"),
    out: Path = typer.Argument(help="folder of scores.parquet, summary and pictures"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Judge every pool image by M_orig."""
    config = read_params(params, "score", ScoreConfig)
    if dry_run:
        read_manifest(real_dir)
        read_manifest(pool_dir)
        load_recogniser(recogniser_dir)
        print(json.dumps(config.model_dump(), indent=2))
        return
    line = run_score(real_dir, pool_dir, recogniser_dir, out, config)
    if line:
        print(f"score: {out}: {line}")


@app.command()
def select(
    real_dir: Path = typer.Argument(help="face set of the training people"),
    pool_dir: Path = typer.Argument(help="face set of the pool"),
    scores_dir: Path = typer.Argument(help="folder of scores.parquet"),
    out: Path = typer.Argument(help="mixed training folder"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Choose as much of the pool as the ratios ask for and join it to the real images."""
    mix_ratio = read_params(params, "mix_ratio", MixRatio)
    config = read_params(params, "select", SelectConfig)
    if dry_run:
        read_manifest(real_dir)
        read_scores(scores_dir, read_manifest(pool_dir).num_images)
        print(json.dumps({"mix_ratio": mix_ratio, **config.model_dump()}, indent=2))
        return
    line = run_select(real_dir, pool_dir, scores_dir, out, mix_ratio, config)
    print(f"select: {out}: {line}")


@app.command()
def export(
    train_dir: Path = typer.Argument(help="training folder, mixed or real"),
    out: Path = typer.Argument(help="new folder"),
    kind: ExportFormat = typer.Option(..., "--format", help="what other trainers read"),
    dry_run: bool = typer.Option(False, help="check inputs, stop"),
) -> None:
    """Write the training images, byte by byte, for other trainers; no stage, run by hand."""
    if dry_run:
        check_export(train_dir, out)
        return
    print(f"export: {out}: {run_export(train_dir, out, kind)}")


if __name__ == "__main__":
    run_stage(app)
