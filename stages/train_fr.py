"""Trains one face recogniser on a real or mixed training folder."""

import json
from pathlib import Path

import typer

from auggen.core.errors import run_stage
from auggen.plan.settings import read_settings
from auggen.recognition.training import train_recogniser
from auggen.recognition.training_data import read_training_data

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_fr(
    data_dir: Path = typer.Argument(help="training folder: data/train/real or data/train/mixed"),
    out: Path = typer.Argument(help="folder of the trained model"),
    seed: int = typer.Option(help="decides initial weights, batches and augmentation"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Train a face recogniser from scratch; the same recipe for real and mixed data.

    Params may have changed since `prepare`: a wrong value of any section stops it first.
    """
    config = read_settings(params).train_fr
    data = read_training_data(data_dir)
    if dry_run:
        print(json.dumps(config.model_dump(), indent=2))
        return
    summary = train_recogniser(data, config, seed, out, data_dir)
    if summary:
        print(
            f"train_fr: {out}: {summary['steps']:.0f} updates on {summary['num_images']:.0f} "
            f"images of {summary['num_classes']:.0f} classes, last loss {summary['loss']:.3f}"
        )


if __name__ == "__main__":
    run_stage(app)
