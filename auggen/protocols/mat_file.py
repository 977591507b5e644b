"""MATLAB files of version 5 to 7, as far as lists need them: cells, texts and numbers.

scipy.io.loadmat crashes the interpreter on some damaged files; this reader only slices bytes.
Layout: "MAT-File Format", The MathWorks, chapter 1.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auggen.core.errors import UserError

MAX_BYTES = 1 << 26
"""Largest file, and largest content once decompressed."""
_HEADER = 128
_NUMBERS = {
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8",
    13: "<u8",
}  # fmt: skip
_TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR, _NUMERIC = 1, 4, range(6, 16)
_MAX_DEPTH = 4

Value = list[Any] | str | npt.NDArray[Any]


@dataclass(frozen=True)
class _Matrix:
    """One array with its name."""

    name: str
    value: Value


def read_mat(path: Path) -> dict[str, Value]:
    """Reads all variables: a cell as a flat list, text as str, numbers as a flat array.

    Raises:
        UserError: too large, truncated, of another version, or with other things; names the file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES} bytes")
        content = path.read_bytes()
        if len(content) < _HEADER or content[126:128] != b"IM":
            raise ValueError("no little-endian MAT file of version 5 to 7; save it with -v7")
        found = [_matrix(body, 0) for body in _matrices(memoryview(content)[_HEADER:])]
    except (OSError, ValueError, struct.error, zlib.error, KeyError, StopIteration) as error:
        raise UserError(f"{path}: no readable .mat file ({error}); fetch it again") from error
    return {matrix.name: matrix.value for matrix in found}


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yields type and bytes of each data element."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # the small form: four bytes in the tag itself
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        else:
            start, step = at + 8, 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if size > len(data) - start or (step == 8 and size > 4):
            raise ValueError("it is truncated")
        yield kind, data[start : start + size]
        at += step


def _matrices(data: memoryview) -> Iterator[memoryview]:
    """Yields the arrays of a file, decompressed; together they may not exceed the limit."""
    left = MAX_BYTES
    for kind, body in _elements(data):
        if kind == _COMPRESSED:
            plain = zlib.decompressobj().decompress(bytes(body), left)
            left -= len(plain)
            if left <= 0:
                raise ValueError(f"it decompresses to more than {MAX_BYTES} bytes")
            yield from (part for number, part in _elements(memoryview(plain)) if number == _MATRIX)
        elif kind == _MATRIX:
            yield body


def _matrix(body: memoryview, depth: int) -> _Matrix:
    if depth > _MAX_DEPTH or not body:
        raise ValueError("cells are empty or nested too deep")
    parts = _elements(body)
    flags = next(parts)[1]
    sizes = np.frombuffer(next(parts)[1], "<i4").tolist()
    name = bytes(next(parts)[1]).decode("latin1")
    kind, count = flags[0], math.prod(sizes)
    if kind == _CELL:
        inner = [part for number, part in parts if number == _MATRIX]
        if len(inner) != count:
            raise ValueError(f"a cell array of {count} holds {len(inner)}")
        return _Matrix(name, [_matrix(part, depth + 1).value for part in inner])
    number, data = next(parts, (2, memoryview(b"")))
    if kind == _CHAR:
        return _Matrix(name, bytes(data).decode(_TEXTS[number]))
    if kind not in _NUMERIC:
        raise ValueError(f"an array of class {kind}")
    values = np.frombuffer(data, _NUMBERS[number])
    if len(values) != count:
        raise ValueError(f"an array of {count} holds {len(values)}")
    return _Matrix(name, values)
