"""A results folder that does not fit the params says so and names the way out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from auggen.core.errors import UserError
from auggen.core.files import write_json
from auggen.protocols.config import EvaluateConfig
from auggen.protocols.results import ARMS, read_results
from auggen.protocols.trials import write_trials
from tests.protocols.conftest import BENCHMARKS, Faces

SEEDS = [0, 3]
CONFIG = EvaluateConfig.model_validate(
    {"identities": "test", "batch_size": 8, "flip": True, "benchmarks": BENCHMARKS}
)
LIST = CONFIG.held_out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of two simulated models an arm, as `evaluate` leaves them."""
    faces = Faces(5, 3, seed=0)
    results = faces.results({arm: [faces.train() for _ in SEEDS] for arm in ARMS})
    for arm in ARMS:
        for position, seed in enumerate(SEEDS):
            out = tmp_path / "results" / f"{arm}-{seed}"
            out.mkdir(parents=True)
            figures = {}
            for benchmark in LIST:
                trials = results.trials[benchmark.name][arm][position]
                write_trials(out, benchmark.name, trials)
                figures[benchmark.name] = {"protocol": benchmark.protocol, **trials.figures}
            write_json(out / "metrics.json", {"people": results.people, "benchmarks": figures})
    return tmp_path / "results"


def test_what_was_written_is_read(folder: Path) -> None:
    results = read_results(folder, CONFIG, SEEDS)
    assert results.people == ["s0", "s1", "s2", "s3", "s4"]
    assert list(results.trials) == ["pairs", "templates", "lowres"]
    for benchmark in results.trials.values():
        assert {arm: len(trials) for arm, trials in benchmark.items()} == {"real": 2, "mixed": 2}
    assert results.trials["pairs"]["real"][0].figures == {
        "accuracy_10_fold": 0.5,
        "accuracy_std": 0.1,
    }
    written = pd.read_parquet(folder / "mixed-3" / "templates-identification.parquet")
    found = results.trials["templates"]["mixed"][1].identification
    assert found is not None
    pd.testing.assert_frame_equal(found, written)


def test_hidden_files_are_none_of_ours(folder: Path) -> None:
    (folder / ".gitignore").write_text("/real-0\n")
    (folder / ".real-0.partial").mkdir()
    read_results(folder, CONFIG, SEEDS)


def drop(name: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> object:
        path = folder / name
        return shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def edit_metrics(old: str, new: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> object:
        path = folder / "mixed-0" / "metrics.json"
        return path.write_text(path.read_text().replace(old, new))

    return spoil


def edit_trials(column: str, value: object) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        path = folder / "mixed-0" / "pairs-verification.parquet"
        table = pd.read_parquet(path)
        table.loc[0, column] = value
        table.to_parquet(path)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop("mixed-3"), "mixed-3: missing; run `dvc repro`"),
        (drop("real-0/metrics.json"), r"metrics\.json: missing; run `dvc repro`"),
        (drop("real-0/lowres-identification.parquet"), r"lowres-ident.*: missing; run `dvc repro`"),
        (lambda f: (f / "real-7").mkdir(), r"real-7: unexpected, .*`rm -r .*real-7`.*`dvc repro`"),
        (
            lambda f: [(f / name).mkdir() for name in ("real-7", "mixed-7")],
            r"mixed-7, .*real-7: unexpected, .*`rm -r .*mixed-7 .*real-7`",
        ),
        (lambda f: (f / "mixed-0/old.csv").touch(), r"old\.csv: unexpected, .*`rm -r .*old\.csv`"),
        (edit_metrics('"s1"', '"other"'), "about other people than real-0; remove it"),
        (edit_metrics('"lowres"', '"faces"'), "it holds .*faces.* and not .*lowres"),
        (edit_metrics('"people"', '"names"'), "not what `evaluate` writes"),
        (edit_metrics("{", ""), "not valid JSON"),
        (edit_trials("person_a", 5), "names a person that metrics.json does not"),
        (edit_trials("person_a", 1), "trials of `pairs` differ from those of real-0"),
        (edit_trials("is_same", False), "trials of `pairs` differ from those of real-0"),
    ],
)
def test_a_folder_that_does_not_fit_is_one_clear_error(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=message):
        read_results(folder, CONFIG, SEEDS)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="results: missing; run `dvc repro`"):
        read_results(tmp_path / "results", CONFIG, SEEDS)


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing"])
def test_a_corrupt_table_is_named(folder: Path, content: bytes) -> None:
    (folder / "real-3" / "pairs-verification.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"pairs-verification\.parquet: no readable Parquet"):
        read_results(folder, CONFIG, SEEDS)


def test_a_table_of_something_else_is_named(folder: Path) -> None:
    path = folder / "real-3" / "pairs-verification.parquet"
    pd.DataFrame({"score": [1.0]}).to_parquet(path)
    with pytest.raises(UserError, match="lacks trials or a column"):
        read_results(folder, CONFIG, SEEDS)


def test_metrics_name_each_protocol(folder: Path) -> None:
    content = json.loads((folder / "real-0" / "metrics.json").read_text())
    content["benchmarks"]["pairs"]["protocol"] = "templates"
    write_json(folder / "real-0" / "metrics.json", content)
    with pytest.raises(UserError, match="it holds"):
        read_results(folder, CONFIG, SEEDS)
