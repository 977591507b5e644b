"""The stage train_fr, in this process: what stops it before it trains."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from auggen.core.errors import UserError
from stages.train_fr import app


def test_a_fault_of_a_later_stage_stops_it_first(tmp_path: Path, root: Path) -> None:
    params = tmp_path / "params.yaml"
    toy = (root / "presets" / "toy.yaml").read_text()
    assert "num_replicates: " in toy
    params.write_text(toy.replace("num_replicates: ", "num_replicates: -"))
    arguments = [
        str(tmp_path / "real"),
        str(tmp_path / "out"),
        "--seed",
        "0",
        "--params",
        str(params),
    ]
    with pytest.raises(UserError, match=r"`compare\.num_replicates` is -"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
