"""Models and resume state as safetensors + JSON; never pickle, never foreign state."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from auggen.core.errors import UserError
from auggen.core.files import digest_files, write_bytes
from auggen.core.seeds import derive_seed

_META = "auggen"
_CODE = Path(__file__).parents[1]


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON-able description to one safetensors file, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={_META: json.dumps(meta, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads what `save_tensors` wrote. Raises UserError if missing, truncated or foreign."""
    try:
        with safe_open(path, framework="pt") as stream:
            meta = json.loads((stream.metadata() or {})[_META])
            return {name: stream.get_tensor(name) for name in stream.keys()}, meta
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; run `dvc repro` to make it") from error
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise UserError(
            f"{path}: truncated or not one of our checkpoints ({error}); delete it and run again"
        ) from error


@contextmanager
def resume_folder(stage: str, config: Any, *inputs: Path, is_main: bool = True) -> Iterator[Path]:
    """Yields the folder of a run's resume state, locked; removes it when the block ends well.

    The folder is `$DVC_ROOT/.checkpoints/<stage>-<key>` (DVC deletes outs before a run, so state
    lives elsewhere). The key hashes `config`, the contents of `inputs` and this package's code:
    changed params never meet foreign state, and a second run with the same key waits for the first.
    In a run of several processes only the main one locks and removes; the others get the path and
    must wait for it (`accelerator.wait_for_everyone`) before they read and before the block ends.
    """
    parts = [repr(config), torch.__version__, digest_files(_CODE, pattern="*.py")]
    parts += [digest_files(path) for path in inputs]
    root = Path(os.environ.get("DVC_ROOT", ".")) / ".checkpoints"
    folder = root / f"{stage}-{derive_seed(*parts):016x}"
    if not is_main:
        yield folder
        return
    root.mkdir(parents=True, exist_ok=True)
    lock_path = folder.with_suffix(".lock")
    with FileLock(lock_path):
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)
        lock_path.unlink()  # while held: a waiter sees that its file is gone and makes another
