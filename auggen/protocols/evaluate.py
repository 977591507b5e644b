"""One model on every benchmark of the held-out people, and on test sets of the field."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from auggen.core.errors import UserError
from auggen.core.files import write_json
from auggen.faces.shards import read_face_set
from auggen.measures.embeddings import Images, embed_images
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.embedding_cache import EmbeddingCache
from auggen.protocols.external import TestSet
from auggen.protocols.lowres import run_lowres
from auggen.protocols.outcome import Outcome, write_outcome
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
    for benchmark in config.held_out:
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
        for benchmark in config.held_out
    }
    content = {"people": faces.manifest.identities, "benchmarks": figures}
    write_json(out / METRICS_NAME, content)
    return results


def embedder(
    model: nn.Module, config: EvaluateConfig, device: torch.device
) -> Callable[[Images], Tensor]:
    """Returns a function from images to raw embeddings, on a device, as params.yaml says."""
    batch_size, flip = config.batch_size, config.flip
    placed = model.to(device)
    return partial(embed_images, placed, batch_size=batch_size, flip=flip, device=device)


def fill_caches(
    sets: list[TestSet],
    model_dir: Path,
    embed: Callable[[Images], Tensor],
    config: EvaluateConfig,
    run: Accelerator,
) -> list[EmbeddingCache]:
    """Embeds the images of every test set; all processes call this and share the work.

    Raises:
        UserError: an image cannot be decoded; names the test set and the image.
    """
    caches = []
    for one in sets:
        key = (model_dir, one.images, one.digest)
        caches.append(EmbeddingCache.of(*key, batch_size=config.batch_size, flip=config.flip))
        with _named(one):
            caches[-1].fill(one.images, embed, run)
    return caches


def evaluate_test_sets(
    sets: list[TestSet], caches: list[EmbeddingCache], out: Path
) -> dict[str, Outcome]:
    """Runs the test sets of the field and writes figures and replicates of each.

    Args:
        sets: see `open_test_sets`.
        caches: their embeddings.
        out: gets a JSON and a Parquet file for each.

    Raises:
        UserError: an embedding is not finite or a cache is damaged; names the test set.
    """
    outcomes: dict[str, Outcome] = {}
    for one, cache in zip(sets, caches, strict=True):
        with _named(one):
            outcome = one.run(cache.read())
        outcome = replace(outcome, facts={**outcome.facts, "list": one.digest})
        write_outcome(out, one.row.name, one.row.protocol, outcome)
        outcomes[one.row.name] = outcome
    return outcomes


@contextmanager
def _named(one: TestSet) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"`{one.row.name}`: {error}") from error
