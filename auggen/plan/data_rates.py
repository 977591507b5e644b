"""What everything but the networks costs: starting a stage, images, benchmarks, intervals."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor

from auggen.core.errors import UserError
from auggen.faces.shards import read_face_set, write_face_set
from auggen.ingest.benchmarks import write_benchmarks
from auggen.ingest.prepare import prepare
from auggen.measures.embeddings import Images
from auggen.measures.identity import nearest_similarity
from auggen.plan.clock import time_call, time_once
from auggen.plan.samples import draw_faces, write_faces, write_photos
from auggen.plan.settings import Settings, Sizes
from auggen.protocols.bootstrap import person_weights
from auggen.protocols.compare import all_figures
from auggen.protocols.evaluate import evaluate_model
from auggen.protocols.trials import Trials

_PEOPLE, _FACES = 8, 64
_PHOTO_SIDE = 112
_SMALL_SIDE = 16
_QUERIES, _REFERENCES = 1024, 4096
_REPLICATES = 20
_DVC_STAGES = 9


@dataclass(frozen=True)
class DataRates:
    """Seconds, and bytes where it says so."""

    start: dict[str, float]
    """Of starting each stage: launcher, interpreter, imports."""
    base_bytes: float
    """Peak memory of the largest of these."""
    dvc_start: float
    """Of starting `dvc repro`."""
    dvc_stage: float
    """Of what DVC does around a stage."""
    prepare_image: float
    """Of one photograph, from file to face set."""
    write_image: float
    """Of adding one image to a face set."""
    read_image: float
    """Of reading one image of a face set."""
    image_bytes: float
    """Size of one image in a face set."""
    compare_numbers: float
    """Of one multiplication and addition in comparing embeddings."""
    benchmarks: float
    """Of all benchmarks of one model, embeddings given."""
    replicate: float
    """Of one replicate of the intervals for one model."""


def measure_data(settings: Settings, sizes: Sizes, folder: Path) -> DataRates:
    """Measures for a few seconds each, at the real image size and number of held-out people."""
    side, channels = settings.prepare.image_size, settings.prepare.channels
    photos = folder / "photos"
    write_photos(photos, draw_faces(_FACES, channels, max(side, _PHOTO_SIDE)), _PEOPLE)
    few = {"validation": 2, "test": 2, "validation_identities": [], "min_images": 2}
    few |= {"landmarks": "none", "exclude": os.devnull, "max_images": 0}
    config = settings.prepare.model_copy(update=few | {"images_per_template": 1})
    train, validation, test = (folder / f"prepared-{name}" for name in ("train", "val", "test"))
    preparing = time_once(
        lambda: prepare(photos, config, train=train, validation=validation, test=test)
    )
    faces = draw_faces(_FACES, channels, side)
    written = folder / "written"
    writing = time_call(lambda: write_faces(written, faces, [0] * _FACES, 1))
    shards = sum(path.stat().st_size for path in written.glob("*.parquet"))
    embeddings = torch.randn(_REFERENCES, settings.train_fr.embedding_size)
    comparing = time_call(lambda: nearest_similarity(embeddings[:_QUERIES], embeddings))
    start, base_bytes = measure_starts(Path("dvc.yaml"))
    dvc_start, dvc_stage = measure_dvc(folder / "dvc")
    benchmarks, replicate = _time_benchmarks(settings, sizes, folder)
    return DataRates(
        start=start,
        base_bytes=base_bytes,
        dvc_start=dvc_start,
        dvc_stage=dvc_stage,
        prepare_image=preparing / _FACES,
        write_image=writing / _FACES,
        read_image=time_call(lambda: read_face_set(written)) / _FACES,
        image_bytes=shards / _FACES,
        compare_numbers=comparing / (_QUERIES * embeddings.numel()),
        benchmarks=benchmarks,
        replicate=replicate,
    )


def measure_starts(dvc_yaml: Path) -> tuple[dict[str, float], float]:
    """Starts each stage's script for its help, as dvc.yaml does; seconds each, peak bytes."""
    if not dvc_yaml.is_file():
        raise UserError(f"{dvc_yaml}: missing; run from the project's root")
    stages = yaml.safe_load(dvc_yaml.read_text())["stages"]
    seconds: dict[tuple[str, ...], float] = {}
    commands: dict[str, tuple[str, ...]] = {}
    for name, stage in stages.items():
        launcher, module, rest = stage["cmd"].partition("-m stages.")
        command = (*launcher.split(), *(module + rest.split()[0]).split(), "--help")
        commands[name] = command
        if command not in seconds:
            seconds[command] = time_once(_starter(command, Path()))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    starts = {name: seconds[command] for name, command in commands.items()}
    return starts, float(peak if sys.platform == "darwin" else peak * 1024)


def measure_dvc(folder: Path) -> tuple[float, float]:
    """Runs two graphs of empty stages; seconds of starting DVC, seconds of a stage."""
    folder.mkdir()
    _starter(["dvc", "init", "-q", "--no-scm"], folder)()
    seconds = []
    for count in (1, _DVC_STAGES):
        outs = [f"out-{count}-{number}" for number in range(count)]
        stages = {out: {"cmd": f"echo > {out}", "outs": [out]} for out in outs}
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        seconds.append(time_once(_starter(["dvc", "repro", "-q"], folder)))
    each = max(0.0, seconds[1] - seconds[0]) / (_DVC_STAGES - 1)
    return max(0.0, seconds[0] - each), each


def _starter(command: Sequence[str], folder: Path) -> Callable[[], object]:
    """Returns what runs a command with this environment's programs."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    return lambda: subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True
    )


def _time_benchmarks(settings: Settings, sizes: Sizes, folder: Path) -> tuple[float, float]:
    """Runs the benchmarks of as many people and images as there are, on random embeddings."""
    people, each = sizes.held_out_people, sizes.images_per_person
    held_out = folder / "held out"
    held_out.mkdir()
    small = draw_faces(_FACES, 1, _SMALL_SIDE)
    paths = [f"{number}.png" for number in range(people * each)]
    manifest = write_face_set(
        held_out,
        (small[number % _FACES] for number in range(len(paths))),
        [number // each for number in range(len(paths))],
        paths,
        identities=[f"p{label}" for label in range(people)],
        source_digest="made up",
    )
    config = settings.prepare.model_copy(update={"lowres_pixels": _SMALL_SIDE // 2})
    write_benchmarks(held_out, manifest, paths, config)
    results: dict[str, Trials] = {}

    def embed(images: Images) -> Tensor:
        return torch.randn(len(images), settings.train_fr.embedding_size)

    def evaluate() -> None:
        (folder / "results").mkdir(exist_ok=True)
        results.update(evaluate_model(embed, held_out, folder / "results", settings.evaluate))

    def replicate(count: int) -> None:
        weights = person_weights(people, count, 0)
        for trials in results.values():
            all_figures(trials, weights)

    seconds = time_once(evaluate)
    replicate(1)
    few = max(1, min(_REPLICATES, settings.compare.num_replicates))
    return seconds, time_once(lambda: replicate(few)) / few
