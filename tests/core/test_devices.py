"""Precision by hardware, threads by process count, a quiet progress bar."""

import io
from contextlib import redirect_stderr

import pytest
import torch
from accelerate import Accelerator

from auggen.core import devices
from auggen.core.devices import join_parts, resolve_precision, start_accelerator
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


def test_a_process_may_change_its_precision() -> None:
    """As `auggen.plan` does, which measures one stage after another."""
    found = [start_accelerator(wanted).mixed_precision for wanted in ("bf16", "fp32", "bf16")]
    start_accelerator("fp32")
    assert found == ["bf16", "no", "bf16"]


@pytest.mark.parametrize("has_cuda", [False, True])
def test_without_cuda_it_is_the_processor(has_cuda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    class Recorder(Accelerator):
        def __init__(self, **options: object) -> None:
            asked.update(options)

    monkeypatch.setattr(devices, "Accelerator", Recorder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    start_accelerator("fp32")
    assert asked["cpu"] is not has_cuda


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    try:
        accelerator = start_accelerator("fp32")
        assert torch.get_num_threads() == 1
        assert accelerator.mixed_precision == "no"
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("threads", [1, 3])
def test_parts_have_a_thread_each_and_keep_their_order(threads: int) -> None:
    seen: list[tuple[int, int]] = []

    def compute(rows: slice) -> torch.Tensor:
        seen.append((rows.stop - rows.start, torch.get_num_threads()))
        return torch.arange(rows.start, rows.stop)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert join_parts(compute, 40, torch.device("cpu")).tolist() == list(range(40))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert sorted(seen) == [(8, 1), (16, 1), (16, 1)]
    assert join_parts(compute, 40, torch.device("meta")).tolist() == list(range(40))
    assert seen[-1][0] == 40


def test_progress_is_silent_without_a_terminal() -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        assert list(progress(range(3), "steps", total=3)) == [0, 1, 2]
        assert list(progress([1], "steps", show=False)) == [1]
    assert stream.getvalue() == ""
