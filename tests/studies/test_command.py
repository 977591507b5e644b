"""What the command refuses before it runs anything."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from auggen.core.errors import UserError
from studies import __main__ as command
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("benchmarks", "reason"),
    [
        ([{"name": "lfw", "protocol": "bin", "path": "lfw.bin", "headline": True}], "held-out"),
        ([{"name": "pairs", "protocol": "pears", "headline": True}], "`evaluate.benchmarks"),
    ],
)
def test_benchmarks_no_study_can_use(
    benchmarks: list[Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["evaluate"]["benchmarks"] = benchmarks
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    begun: list[object] = []
    monkeypatch.setattr(command, "check_committed", lambda: begun.append(1))
    with pytest.raises(UserError, match=f"arms: .*{reason}"):
        command.run(ROOT / "studies" / "arms.yaml")
    assert begun == []
