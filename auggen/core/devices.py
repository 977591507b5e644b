"""Devices, ranks, threads and precision, all through accelerate."""

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from jaxtyping import Shaped
from torch import Tensor

Precision = Literal["auto", "fp32", "bf16"]

_PATIENCE = timedelta(hours=6)
"""How long processes wait for each other: the main one may wait for another run of the same key."""

_ROWS_A_THREAD = 16


def resolve_precision(precision: Precision) -> Literal["no", "bf16"]:
    """Returns accelerate's name: `auto` is bf16 where the hardware computes it natively.

    On a processor only its matrix unit (AMX) makes bf16 faster: convolutions through AVX-512's
    bf16 instructions ran at 0.65 times the speed of fp32, and without either bf16 is emulated.
    """
    if precision == "fp32":
        return "no"
    if precision == "bf16":
        return "bf16"
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "no"


def start_accelerator(precision: Precision) -> Accelerator:
    """Returns an Accelerator; sets torch's threads to cores / processes and asks for determinism.

    accelerate sets a number of threads of its own, which we undo.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # repeatable products on a GPU
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # else a GPU's fp32 convolutions round to 10 bits
    _keep_freed_memory()
    # Nothing reads uninitialised memory, and filling it costs time. The stub lacks the name.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    AcceleratorState._reset_state()  # it would refuse another precision than this process's first
    accelerator = Accelerator(
        mixed_precision=resolve_precision(precision),
        # Without being told so accelerate overlooks a CPU-only launch of several processes, and
        # takes Apple's GPU, which lacks float64.
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    torch.set_num_threads(count_cores())
    return accelerator


def count_cores() -> int:
    """Returns this process's share of the cores: those it may use / processes on this machine."""
    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _keep_freed_memory() -> None:
    """Lets glibc reuse the memory of large tensors; returned and faulted in anew it costs 10 %."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option:
        set_option(-3, 1 << 30)  # M_MMAP_THRESHOLD
        set_option(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor; to a GPU through pinned memory and without waiting for the copy."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def join_parts(
    compute: Callable[[slice], Tensor], num_rows: int, device: torch.device
) -> Shaped[Tensor, "n *rest"]:
    """Computes n rows; on a processor 16 at a time, each part on one thread, side by side.

    A layer's last bits may depend on the number of threads that share it, and one thread a part
    leaves no part of the work waiting. Other devices get all rows at once.
    """
    if device.type != "cpu":
        return compute(slice(0, num_rows))
    starts = range(0, num_rows, _ROWS_A_THREAD)
    parts = [slice(start, min(start + _ROWS_A_THREAD, num_rows)) for start in starts]
    threads = torch.get_num_threads()
    workers = min(threads, len(parts))
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(compute, parts)))
    finally:
        torch.set_num_threads(threads)  # a thread that begins later asks for the last setting
