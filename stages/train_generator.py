"""Trains the class-conditional diffusion model on the training people alone."""

from pathlib import Path

import typer

from auggen.core.errors import run_stage
from auggen.diffusion.network import build_denoiser
from auggen.diffusion.training import architecture_of, train_generator
from auggen.faces.shards import read_face_set
from auggen.plan.settings import check_run, read_settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    real: Path = typer.Argument(help="Training face set, e.g. data/train/real."),
    out: Path = typer.Argument(help="Folder for the generator, e.g. models/generator."),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="Print the settings, check the inputs, stop."),
) -> None:
    """Trains the generator and writes weights, description, loss curve and sample picture.

    Params may have changed since `prepare`: what the stages after it would refuse stops it first.
    """
    settings = read_settings(params)
    config = settings.train_generator
    faces = read_face_set(real)
    check_run(settings, faces.num_classes, faces.manifest.num_images)
    if dry_run:
        build_denoiser(architecture_of(config, faces), seed=0)
        print(config.model_dump_json(indent=2))
        return
    summary = train_generator(config, faces, real, out)
    if summary:
        print(summary)


if __name__ == "__main__":
    run_stage(app)
