"""`python -m auggen.protocols TRAINING_DATA MODEL OUT.csv`: overlap with every test set."""

import argparse
from collections import Counter
from pathlib import Path

from auggen.core.devices import start_accelerator
from auggen.core.errors import UserError, run_stage
from auggen.core.params import read_params
from auggen.faces.shards import read_face_set
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.evaluate import embedder
from auggen.protocols.external import open_test_sets
from auggen.protocols.overlap import find_overlap, write_findings
from auggen.recognition.checkpoint import load_recogniser

LEAST_COSINE = 0.7


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
    training = read_face_set(given.training)
    sets = open_test_sets(config, training.manifest)
    if not sets:
        raise UserError(f"{given.params}: `evaluate.benchmarks` names no test set of the field")
    embed = embedder(load_recogniser(given.model), config, start_accelerator("fp32").device)
    findings = find_overlap(training, sets, embed, given.least_cosine)
    write_findings(given.out, findings)
    for one in sets:
        signs = Counter(f.sign for f in findings if f.benchmark == one.row.name)
        told = ", ".join(f"{signs[sign]} by {sign}" for sign in ("name", "pixels", "embedding"))
        print(f"{one.row.name}: {told}")


if __name__ == "__main__":
    run_stage(main)
