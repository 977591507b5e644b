"""One model on every benchmark of the held-out people, and on test sets of the field."""

import hashlib
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
from auggen.faces.images import ImageRows
from auggen.faces.shards import FaceSet, read_face_set
from auggen.measures.embeddings import Images, embed_images
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.embedding_cache import EmbeddingCache
from auggen.protocols.external import TestSet
from auggen.protocols.lowres import run_lowres
from auggen.protocols.outcome import Outcome, write_outcome
from auggen.protocols.overlap import (
    OVERLAP_NAME,
    Finding,
    find_overlap,
    overlap_facts,
    write_findings,
)
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
    training: FaceSet | None,
    model_dir: Path,
    embed: Callable[[Images], Tensor],
    config: EvaluateConfig,
    run: Accelerator,
) -> list[EmbeddingCache]:
    """Embeds all images of every test set, then the training set; processes share the work.

    Args:
        sets: see `open_test_sets`.
        training: what the models were trained on; None: its cache is not made.
        model_dir: folder of the model.
        embed: see `embedder`.
        config: batch size and flip.
        run: all processes call this.

    Returns:
        A cache for each test set; the last is the training set's.

    Raises:
        UserError: an image cannot be decoded; names the test set and the image.
    """
    lists: list[tuple[str, Tensor | ImageRows, str]]
    lists = [(one.row.name, one.images, one.digest) for one in sets]
    if training is not None:
        digest = hashlib.sha256(training.manifest.model_dump_json().encode()).hexdigest()
        lists.append(("training set", training.images, digest))
    caches = []
    for name, images, digest in lists:
        key = (model_dir, images, digest)
        caches.append(EmbeddingCache.of(*key, batch_size=config.batch_size, flip=config.flip))
        with _named(name):
            caches[-1].fill(images, embed, run)
    return caches


def evaluate_test_sets(
    sets: list[TestSet], training: FaceSet | None, caches: list[EmbeddingCache], out: Path
) -> dict[str, Outcome]:
    """Runs the test sets of the field; says what of the training set is in them.

    Args:
        sets: see `open_test_sets`.
        training: what the models were trained on; None: no look for an overlap.
        caches: what `fill_caches` returned for these two.
        out: gets a JSON and a Parquet file for each test set, and overlap.csv.

    Raises:
        UserError: an embedding is not finite or a cache is damaged; names the test set.
    """
    outcomes: dict[str, Outcome] = {}
    findings: list[Finding] = []
    for one, cache in zip(sets, caches, strict=training is None):
        with _named(one.row.name):
            outcome = one.run(cache.read())
        facts = {**outcome.facts, "list": one.digest}
        if training is not None:
            found = find_overlap(training, caches[-1], one, cache)
            facts |= overlap_facts(found)
            findings += found
        outcome = replace(outcome, facts=facts)
        write_outcome(out, one.row.name, one.row.protocol, outcome)
        outcomes[one.row.name] = outcome
    if training is not None:
        write_findings(out / OVERLAP_NAME, findings)
    return outcomes


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"`{name}`: {error}") from error
