"""`python -m auggen.protocols TRAINING_DATA MODEL OUT.csv`: overlap with every test set."""

import argparse
from pathlib import Path

from auggen.core.devices import start_accelerator
from auggen.core.errors import UserError, run_stage
from auggen.core.params import read_params
from auggen.faces.shards import open_face_set
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.evaluate import embedder, fill_caches
from auggen.protocols.external import open_test_sets
from auggen.protocols.overlap import (
    LEAST_COSINE,
    Finding,
    count_signs,
    find_overlap,
    tell_counts,
    write_findings,
)
from auggen.recognition.checkpoint import load_recogniser


def main(arguments: list[str] | None = None) -> None:
    """Writes the list and prints a line for each test set."""
    parser = argparse.ArgumentParser(description="Training people and images in the test sets")
    parser.add_argument("training", type=Path, help="the prepared face set, data/train/real")
    parser.add_argument("model", type=Path, help="folder of a trained recogniser")
    parser.add_argument("out", type=Path, help="CSV file to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--least-cosine", type=float, default=LEAST_COSINE)
    given = parser.parse_args(arguments)
    config = read_params(given.params, "evaluate", EvaluateConfig)
    training = open_face_set(given.training)
    sets = open_test_sets(config, training.manifest)
    if not sets:
        raise UserError(f"{given.params}: `evaluate.benchmarks` names no test set of the field")
    run = start_accelerator("fp32")
    embed = embedder(load_recogniser(given.model), config, run.device)
    *caches, known = fill_caches(sets, training, given.model, embed, config, run)
    if not run.is_main_process:
        return
    findings: list[Finding] = []
    for one, cache in zip(sets, caches, strict=True):
        found = find_overlap(training, known, one, cache, given.least_cosine)
        findings += found
        print(f"{one.row.name}: {tell_counts(count_signs(found))}")
    write_findings(given.out, findings)


if __name__ == "__main__":
    run_stage(main)
