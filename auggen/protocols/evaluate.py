"""One model on every benchmark of the held-out people."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from auggen.core.files import write_json
from auggen.faces.shards import read_face_set
from auggen.measures.embeddings import Images
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.lowres import run_lowres
from auggen.protocols.pairs import run_pairs
from auggen.protocols.templates import run_templates
from auggen.protocols.trials import Trials, write_trials

METRICS_NAME = "metrics.json"


def evaluate_model(
    embed: Callable[[Images], Tensor], folder: Path, out: Path, config: EvaluateConfig
) -> dict[str, Trials]:
    """Runs the benchmarks and writes their trials and metrics.json into an existing folder.

    Args:
        embed: from uint8 images [n c h w] to raw embeddings [n d], any n.
        folder: face set of held-out people with its benchmark lists, as `prepare` writes it.
        out: gets one or two Parquet files of trials for each benchmark.
        config: which benchmarks.

    Raises:
        UserError: a list is missing or wrong, or the embeddings are not finite.
    """
    faces = read_face_set(folder)
    embeddings = embed(faces.images)
    results: dict[str, Trials] = {}
    for benchmark in config.benchmarks:
        match benchmark.protocol:
            case "pairs":
                trials = run_pairs(folder, faces, embeddings)
            case "templates":
                trials = run_templates(folder, faces, embeddings)
            case "lowres":
                trials = run_lowres(folder, faces, embeddings, embed)
        results[benchmark.name] = trials
        write_trials(out, benchmark.name, trials)
    figures = {
        benchmark.name: {"protocol": benchmark.protocol, **results[benchmark.name].figures}
        for benchmark in config.benchmarks
    }
    content = {"people": faces.manifest.identities, "benchmarks": figures}
    write_json(out / METRICS_NAME, content)
    return results
