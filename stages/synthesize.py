"""Searches the mixing weights; draws the pool of mixed identities and of real ones anew.

Params may have changed since `prepare`: a wrong value of any section, and a ratio beyond the pool,
stop both commands first.
"""

import json
from pathlib import Path

import typer

from auggen.core.errors import run_stage
from auggen.faces.manifest import read_manifest
from auggen.plan.settings import check_run, read_settings
from auggen.synthesis.runs import Models, run_search, run_synthesis
from auggen.synthesis.search_files import read_weights

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def search(
    real_dir: Path = typer.Argument(help="face set of the training people"),
    validation_dir: Path = typer.Argument(help="face set of held-out people, to compare with"),
    generator_dir: Path = typer.Argument(help="trained generator"),
    recogniser_dir: Path = typer.Argument(help="M_orig: the first real model, the judge"),
    out: Path = typer.Argument(help="folder of weights.json, grid.csv and pictures"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Find the weights (alpha, beta) of a mixed condition."""
    settings = read_settings(params)
    faces = read_manifest(real_dir)
    check_run(settings, faces.num_classes, faces.num_images)
    config, pool = settings.search, settings.synthesize
    batch_size, sampler = pool.batch_size, pool.sampler
    models = Models(real_dir, generator_dir, recogniser_dir)
    if dry_run:
        models.check()
        read_manifest(validation_dir)
        resolved = config.model_dump()
        resolved |= {"batch_size": batch_size, "sampler": sampler.model_dump()}
        print(json.dumps(resolved, indent=2))
        return
    line = run_search(models, validation_dir, out, config, batch_size, sampler)
    if line:
        print(f"search: {out}: {line}")


@app.command()
def synthesize(
    real_dir: Path = typer.Argument(help="face set of the training people"),
    generator_dir: Path = typer.Argument(help="trained generator"),
    recogniser_dir: Path = typer.Argument(help="M_orig: its space says which people are alike"),
    search_dir: Path = typer.Argument(help="folder of weights.json"),
    out: Path = typer.Argument(help="face set of the pool"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Draw the pool: images of mixed identities, and of real ones anew."""
    settings, faces = read_settings(params), read_manifest(real_dir)
    check_run(settings, faces.num_classes, faces.num_images)
    config = settings.synthesize
    models = Models(real_dir, generator_dir, recogniser_dir)
    if dry_run:
        models.check()
        weights = read_weights(search_dir)
        resolved = config.model_dump() | {"alpha": weights.alpha, "beta": weights.beta}
        print(json.dumps(resolved, indent=2))
        return
    line = run_synthesis(models, search_dir, out, config)
    if line:
        print(f"synthesize: {out}: {line}")


if __name__ == "__main__":
    run_stage(app)
