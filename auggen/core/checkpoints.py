"""Models and resume state as safetensors + JSON; never pickle, never foreign state."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from auggen.core.errors import UserError
from auggen.core.files import digest_files, write_bytes
from auggen.core.seeds import derive_seed

_META = "auggen"
_OWNER = ".owner"
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
    State that a killed run of the same DVC stage in the same checkout left under another key goes
    at the end too: nothing else would ever remove it.
    In a run of several processes only the main one locks and removes; the others get the path and
    must wait for it (`accelerator.wait_for_everyone`) before they read and after they have written.
    """
    parts = [repr(config), torch.__version__, digest_files(_CODE, pattern="*.py")]
    parts += [digest_files(path) for path in inputs]
    root = Path(os.environ.get("DVC_ROOT", ".")) / ".checkpoints"
    folder = root / f"{stage}-{derive_seed(*parts):016x}"
    if not is_main:
        yield folder
        return
    owner = f"{Path.cwd()}\n{os.environ.get('DVC_STAGE', folder.name)}"
    root.mkdir(parents=True, exist_ok=True)
    with _acquire(folder.with_suffix(".lock")):
        folder.mkdir(exist_ok=True)
        write_bytes(folder / _OWNER, owner.encode())
        yield folder
        _remove(folder)
        for other in root.glob("*.lock"):
            _remove_superseded(other, owner)


def _acquire(lock_path: Path) -> AbstractContextManager[object]:
    """Takes a lock, and says so if another run holds it."""
    lock = FileLock(lock_path)
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        print(f"{lock_path}: held by another run of the same; waiting for it", file=sys.stderr)
        return lock.acquire()


def _remove_superseded(lock_path: Path, owner: str) -> None:
    """Removes a state that nobody holds if `owner`, or a run killed as it began, left it."""
    folder = lock_path.with_suffix("")
    marker = folder / _OWNER
    with suppress(Timeout, FileNotFoundError), FileLock(lock_path, blocking=False):
        if not marker.exists() or marker.read_text() == owner:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Removes a state and its lock file, which the caller holds: a waiter makes another file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
