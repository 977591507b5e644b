"""Devices, ranks, threads and precision, all through accelerate."""

import os
from typing import Literal

import torch
from accelerate import Accelerator

Precision = Literal["auto", "fp32", "bf16"]


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

    accelerate without a configuration of the user's own sets one thread, which we undo.
    """
    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // local_processes))
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Without being told so accelerate overlooks a CPU-only launch of several processes.
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    cpu = several and not torch.accelerator.is_available()
    return Accelerator(mixed_precision=resolve_precision(precision), cpu=cpu)
