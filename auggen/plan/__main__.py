"""Predicts what a run will cost: `python -m auggen.plan`, before `dvc repro`."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

from auggen.core.errors import UserError, run_stage
from auggen.plan.costs import Work, predict_stages
from auggen.plan.data_rates import measure_data
from auggen.plan.network_rates import measure_networks, scale_rates
from auggen.plan.networks import describe_backbone, describe_generator
from auggen.plan.report import (
    Plan,
    as_dict,
    format_comparison,
    format_plan,
    read_measured,
)
from auggen.plan.settings import Settings, Sizes, count_photos, read_settings, size_up

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def plan(
    params: Annotated[Path, typer.Option(help="Params of the run.")] = Path("params.yaml"),
    people: Annotated[
        int | None, typer.Option(min=4, help="People of the source, if it is not there yet.")
    ] = None,
    images: Annotated[int | None, typer.Option(min=16, help="Their images.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Devices that will share the work.")] = 1,
    scale_from: Annotated[
        Path | None,
        typer.Option(help="Measure these smaller params and scale their networks by arithmetic."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Measured stages to compare with (CSV).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measures a few steps here; predicts time, memory and disk of each stage."""
    if (people is None) != (images is None):
        raise UserError("--people and --images belong together: name both or neither")
    if against and as_json:
        raise UserError("--against prints a table: leave out --json, or --against")
    settings = read_settings(params)
    measured = read_measured(against) if against else None
    if people is None or images is None:
        people, images = count_photos(settings.prepare)
    target = settings, size_up(settings, people, images)
    base = _sized(scale_from) if scale_from else None
    result = Plan(
        params=str(params),
        people=people,
        images=images,
        device=_device(),
        devices=devices,
        scaled_from=str(scale_from) if scale_from else "",
        stages=predict_stages(_measure(target, base, devices)),
    )
    if as_json:
        print(json.dumps(as_dict(result), indent=2))
    else:
        print(format_plan(result))
    if measured is not None:
        print(format_comparison(result, measured))


def _sized(params: Path) -> tuple[Settings, Sizes]:
    settings = read_settings(params)
    return settings, size_up(settings, *count_photos(settings.prepare))


def _measure(
    target: tuple[Settings, Sizes], base: tuple[Settings, Sizes] | None, devices: int
) -> Work:
    settings, sizes = target
    with tempfile.TemporaryDirectory(prefix="auggen-plan-") as name:
        folder = Path(name)
        os.environ["DVC_ROOT"] = name  # resume state of the trial runs goes there
        data = measure_data(settings, sizes, folder)
        if base is None:
            networks = measure_networks(settings, sizes, devices, folder)
        else:
            networks = scale_rates(measure_networks(*base, 1, folder), base, target, devices)
    return Work(
        settings=settings,
        sizes=sizes,
        generator=describe_generator(settings, sizes),
        backbone=describe_backbone(settings),
        networks=networks,
        data=data,
        devices=devices,
    )


def _device() -> str:
    """Returns what the networks were measured on."""
    if torch.cuda.is_available():
        return "cuda"
    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    return f"{len(usable(0)) if usable else os.cpu_count()} processor core(s)"


if __name__ == "__main__":
    run_stage(app)
