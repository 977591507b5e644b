"""Verification `.bin` files: a pickle of (encoded images, is_same), read without running any of it.

Everything a pickle may name is replaced by a stand-in of ours: no code outside this module runs,
and what the stand-ins make together is at most twice the size of the file.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auggen.core.errors import UserError

MAX_BYTES = 1 << 30
"""Largest `.bin` file that is read."""
MAX_PAIRS = 200_000
_MAX_OPCODES = 60 * MAX_PAIRS
_MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}
_NUMPY = [
    f"numpy.{core}.{part}" for core in ("core", "_core") for part in ("multiarray", "numeric")
]
_DTYPES = {"u1": np.uint8, "b1": np.bool_, "i1": np.int8, "i4": np.int32, "i8": np.int64}


@dataclass(frozen=True)
class BinFile:
    """What a `.bin` file holds. Pair k is images 2k and 2k + 1; their order is the protocol."""

    images: list[bytes]
    """Encoded images, two a pair."""
    is_same: npt.NDArray[np.bool_]
    """Whether both images of a pair show one person."""


def read_bin(path: Path) -> BinFile:
    """Reads a `.bin` file written by Python 2 or 3, of bytes, bytearrays or uint8 arrays.

    Raises:
        UserError: too large, truncated, no such pickle, or one that names anything else than
            bytes, bytearrays, arrays and their types; names the file and the culprit.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size} bytes exceed the limit of {MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        _check_opcodes(content)
        found = _Unpickler(content).load()
        images, is_same = found
        return _check(images, is_same)
    except _RefusedError as error:
        raise UserError(f"{path}: {error}; refused, fetch the file from its publisher") from error
    except Exception as error:  # a damaged pickle raises whatever it meets first
        raise UserError(
            f"{path}: truncated, corrupt or no verification file "
            f"({type(error).__name__}: {error}); fetch an undamaged copy"
        ) from error


class _RefusedError(Exception):
    """The file asks for something that no verification file needs."""


def _check_opcodes(content: bytes) -> None:
    """Walks through the pickle without running it; a memo index sizes the unpickler's memory."""
    count = 0
    for count, (opcode, argument, place) in enumerate(pickletools.genops(content), start=1):
        if opcode.name in _MEMO_OPCODES and not 0 <= int(argument or 0) <= count:
            raise _RefusedError(f"memo index {argument} at byte {place}")
        if count > _MAX_OPCODES:
            raise _RefusedError(f"more than {_MAX_OPCODES} operations")
    if not count:
        raise ValueError("it is empty")


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: Any = b"", *_: Any) -> None:
        name = code.decode() if isinstance(code, bytes) else str(code)
        if name not in _DTYPES:
            raise _RefusedError(f"an array of type {name[:20]!r}")
        self.kind = _DTYPES[name]

    def __setstate__(self, state: Any) -> None:
        """Byte order, names and fields: only plain little-endian types are met."""
        if state[1] not in (b"|", "|", b"<", "<") or any(part is not None for part in state[2:5]):
            raise _RefusedError("an array of a compound or big-endian type")


class _Array:
    """Stands in for numpy.ndarray."""

    def __init__(self, *_: Any) -> None:
        self.values: npt.NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        """(version,) shape, dtype, is_fortran, bytes."""
        shape, dtype, _, data = state[-4:]
        self.values = _to_array(data, dtype, shape)


def _raw(data: Any) -> bytes:
    if not isinstance(data, str | bytes | bytearray):
        raise _RefusedError(f"an array out of a {type(data).__name__}")
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _to_array(data: Any, dtype: Any, shape: Any) -> npt.NDArray[Any]:
    content = _raw(data)
    if len(shape) != 1:
        raise _RefusedError(f"an array of {len(shape)} dimensions, not an encoded image")
    values = np.frombuffer(content, dtype.kind)
    if len(values) != shape[0]:
        raise ValueError(f"an array of {shape[0]} elements holds {len(values)}")
    return values


class _Unpickler(pickle.Unpickler):
    """Knows a few names, each of which gives a stand-in."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._left = 2 * len(content)  # Python 3's protocol 2 makes a bytearray out of bytes
        self._known: dict[tuple[str, str], Callable[..., Any]] = {
            ("_codecs", "encode"): self._encode,
            ("builtins", "bytearray"): self._encode,
            ("__builtin__", "bytearray"): self._encode,
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Dtype,
        }
        for module in _NUMPY:
            self._known[module, "_reconstruct"] = _Array
            self._known[module, "_frombuffer"] = self._frombuffer
            self._known[module, "scalar"] = self._scalar

    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in. Raises _RefusedError for any other name."""
        if (module, name) not in self._known:
            raise _RefusedError(f"it asks for `{module}.{name}`, which could run foreign code")
        return self._known[module, name]

    def _spend(self, size: int) -> None:
        """Bounds what a small file can blow up to by naming one thing many times."""
        self._left -= size
        if self._left < 0:
            raise _RefusedError("it unpacks to more than twice its own size")

    def _encode(self, content: Any = b"", encoding: Any = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1", b"latin1", b"latin-1"):
            raise _RefusedError(f"encoding {encoding!r}")
        if not isinstance(content, str | bytes):
            raise _RefusedError(f"bytes of a {type(content).__name__}")
        self._spend(len(content))
        return content.encode("latin1") if isinstance(content, str) else content

    def _frombuffer(self, data: Any, dtype: Any, shape: Any, *_: Any) -> _Array:
        self._spend(len(data))
        array = _Array()
        array.values = _to_array(data, dtype, shape)
        return array

    def _scalar(self, dtype: Any, data: Any) -> int:
        content = _raw(data)
        return int(np.frombuffer(content, dtype.kind)[0])


def _check(images: Any, is_same: Any) -> BinFile:
    flags = is_same.values[: MAX_PAIRS + 1].tolist() if isinstance(is_same, _Array) else is_same
    labels = list(flags)
    if not 0 < len(labels) <= MAX_PAIRS or len(images) != 2 * len(labels):
        raise ValueError(f"{len(images)} images for {len(labels)} pairs, limit {MAX_PAIRS}")
    for number, label in enumerate(labels):
        if not isinstance(label, int) or label not in (0, 1):
            raise ValueError(f"label {number} is neither true nor false")
    made: dict[int, bytes] = {}  # one object named many times is kept once
    for row, image in enumerate(images):
        if id(image) not in made:
            made[id(image)] = _to_bytes(row, image)
    return BinFile([made[id(image)] for image in images], np.array(labels) == 1)


def _to_bytes(row: int, image: Any) -> bytes:
    if isinstance(image, _Array) and image.values.dtype == np.uint8:
        return image.values.tobytes()
    if not isinstance(image, bytes | bytearray):
        raise ValueError(f"image {row} is a {type(image).__name__} and no encoded image")
    return bytes(image)
