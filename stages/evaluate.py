"""Evaluates one model on held-out people; compares real models with mixed ones."""

import json
from pathlib import Path

import typer

from auggen.core.devices import start_accelerator
from auggen.core.errors import run_stage
from auggen.core.files import atomic_directory
from auggen.core.params import read_params
from auggen.faces.manifest import read_manifest
from auggen.faces.shards import open_face_set
from auggen.protocols.compare import compare_models
from auggen.protocols.config import CompareConfig, EvaluateConfig, Seeds
from auggen.protocols.evaluate import embedder, evaluate_model, evaluate_test_sets, fill_caches
from auggen.protocols.external import open_test_sets
from auggen.protocols.report import format_table, tell_overlap, write_comparison
from auggen.protocols.results import read_results
from auggen.recognition.checkpoint import load_recogniser

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def evaluate(
    data_dir: Path = typer.Argument(help="held-out people: data/validation or data/test"),
    training: Path = typer.Argument(help="the real training set; test sets are searched for it"),
    model_dir: Path = typer.Argument(help="folder of one trained recogniser"),
    out: Path = typer.Argument(help="folder of its trials on every benchmark"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Run every benchmark on one model."""
    config = read_params(params, "evaluate", EvaluateConfig)
    sets = open_test_sets(config, read_manifest(data_dir))
    faces = open_face_set(training) if sets else None
    model = load_recogniser(model_dir)
    if dry_run:
        print(json.dumps(config.model_dump(), indent=2))
        return
    run = start_accelerator("fp32")
    embed = embedder(model, config, run.device)
    caches = fill_caches(sets, faces, model_dir, embed, config, run)
    if run.is_main_process:
        with atomic_directory(out) as folder:
            results = evaluate_model(embed, data_dir, folder, config)
            outcomes = evaluate_test_sets(sets, faces, caches, folder)
        counts = f"{len(results)} benchmarks, {len(sets)} test sets"
        print(*tell_overlap(outcomes), f"evaluate: {out}: {counts}", sep="\n")


@app.command()
def compare(
    results_dir: Path = typer.Argument(help="folder with the trials of every model"),
    out: Path = typer.Argument(help="folder of metrics and plots"),
    params: Path = typer.Option(Path("params.yaml"), "--params"),
    dry_run: bool = typer.Option(False, help="print the resolved config, check inputs, stop"),
) -> None:
    """Compare the arms: means over seeds, gains, intervals over people and seeds."""
    config = read_params(params, "compare", CompareConfig)
    benchmarks = read_params(params, "evaluate", EvaluateConfig)
    seeds: list[int] = read_params(params, "seeds", Seeds)
    results = read_results(results_dir, benchmarks, seeds)
    if dry_run:
        print(json.dumps(config.model_dump() | {"seeds": seeds}, indent=2))
        return
    comparison = compare_models(results, seeds, benchmarks, config)
    write_comparison(comparison, out)
    print(*map("warning: {}".format, comparison.warnings), format_table(out), sep="\n")


@app.command()
def show(metrics_dir: Path = typer.Argument(help="folder that `compare` wrote")) -> None:
    """Print the table of the last comparison."""
    print(format_table(metrics_dir))


if __name__ == "__main__":
    run_stage(app)
