"""The scale benchmark keeps its table, notices what bends, and its pool is what it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale, scale_parts
from benchmarks.scale import Row


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "TABLE", tmp_path / "scale.csv")
    monkeypatch.setattr(scale, "CURVE", tmp_path / "scale.png")


def row(what: str, images: int, cpu: float, peak: float) -> Row:
    return Row(what, images, 2 * cpu, cpu, peak, "a, b")


def test_a_new_measurement_replaces_the_old_one() -> None:
    scale.record([row("score", 1000, 9.0, 300), row("prepare", 100, 1.0, 300)])
    table = scale.record([row("score", 1000, 7.0, 310), row("score", 100, 1.0, 300)])
    assert [(r.what, r.images, r.cpu_seconds) for r in table] == [
        ("prepare", 100, 1.0), ("score", 100, 1.0), ("score", 1000, 7.0),
    ]  # fmt: skip
    assert scale.record([]) == table


def test_what_bends_or_grows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    good = [row("score", 100, 1.0, 300), row("score", 1000, 10.0, 400)]
    scale.draw([*good, row("read", 100, 1.0, 300), row("read", 1000, 30.0, 300)])
    lines = capsys.readouterr().out.splitlines()
    assert [("not as promised" in line) for line in lines] == [False, True]
    scale.draw([row("score", 100, 1.0, 300), row("score", 1000, 5.0, 2500)])
    assert "2500 MB  <- not as promised" in capsys.readouterr().out
    assert scale.CURVE.stat().st_size > 0


def test_memory_and_time_are_those_of_the_child(tmp_path: Path, root: Path) -> None:
    """A process inherits its parent's peak, so that the benchmark itself must stay small."""
    work = "x = bytearray(300_000_000); sum(range(3_000_000)); print('done')"
    code = f"""
import sys, pathlib
from benchmarks import scale
found = scale.measure("child", 5, [sys.executable, "-c", {work!r}], pathlib.Path({str(tmp_path)!r}))
assert 300 < found.peak_mb < 400, found
assert found.cpu_seconds > 0
assert (found.what, found.images, found.note) == ("child", 5, "done")
scale.measure("failing", 5, [sys.executable, "-c", "raise SystemExit(3)"], pathlib.Path())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("failing: ")


def test_images_are_smooth_and_different() -> None:
    images = np.stack([scale_parts.smooth_image(k) for k in range(20)]).astype(np.float32)
    assert images.shape == (20, 112, 112, 3)
    assert len(np.unique(images.reshape(20, -1), axis=0)) == 20
    assert np.abs(np.diff(images, axis=2)).mean() < images.std() / 5
