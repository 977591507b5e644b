"""Files that are either whole or absent, and digests of what they hold."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auggen.core.errors import UserError


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path` that replaces `path` once the block succeeds."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(partial, path)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno:
            error.filename = error.filename or str(path)  # failed writes do not say where
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically and durably: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = str(path)  # a failed write does not say where
        raise


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON with a final newline, atomically. NaN and infinity are refused."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Reads JSON. Raises UserError naming the file if it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; run `dvc repro` to make it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete it and run again") from error


def digest_files(*roots: Path, pattern: str = "*") -> str:
    """Returns a SHA-256 over relative names and bytes of all files (matching) under the roots."""
    digest = hashlib.sha256()
    for root in roots:
        files = [root] if root.is_file() else sorted(p for p in root.rglob(pattern) if p.is_file())
        for file in files:
            name = file.name if file == root else file.relative_to(root).as_posix()
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
