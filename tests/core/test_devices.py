"""Precision by hardware, threads by process count, a quiet progress bar."""

import io
from contextlib import redirect_stderr

import pytest
import torch

from auggen.core.devices import resolve_precision, start_accelerator
from auggen.core.progress import progress


@pytest.mark.parametrize(("native", "name"), [(True, "bf16"), (False, "no")])
def test_auto_is_bf16_only_where_native(
    native: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: native)
    assert resolve_precision("auto") == name
    assert resolve_precision("fp32") == "no"
    assert resolve_precision("bf16") == "bf16"


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    try:
        accelerator = start_accelerator("fp32")
        assert torch.get_num_threads() == 1
        assert accelerator.mixed_precision == "no"
    finally:
        torch.use_deterministic_algorithms(False)


def test_progress_is_silent_without_a_terminal() -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        assert list(progress(range(3), "steps", total=3)) == [0, 1, 2]
        assert list(progress([1], "steps", show=False)) == [1]
    assert stream.getvalue() == ""
