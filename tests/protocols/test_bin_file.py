"""Every encoding of a `.bin` file that is met, and files that must not be read."""

import os
import pickle
import pickletools
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auggen.core.errors import UserError
from auggen.faces.decode import encode_png
from auggen.protocols import bin_file
from auggen.protocols.bin_file import read_bin

IMAGES = [
    encode_png(torch.full((1, 4, 4), level, dtype=torch.uint8)) for level in (0, 10, 200, 255, 7, 8)
]
LABELS = [True, False, True]


def python_2(images: list[bytes], labels: list[bool]) -> bytes:
    """Protocol 2 of Python 2: its str is BINSTRING."""
    out = b"\x80\x02("
    out += b"](" + b"".join(b"T" + struct.pack("<i", len(image)) + image for image in images) + b"e"
    return out + b"](" + b"".join(b"\x88" if same else b"\x89" for same in labels) + b"et."


def old_numpy(content: bytes) -> bytes:
    """As numpy < 2 names its modules; protocol 3 has no length of names to mend."""
    return content.replace(b"cnumpy._core.", b"cnumpy.core.")


WRITERS: dict[str, Callable[[], bytes]] = {
    "python 2": lambda: python_2(IMAGES, LABELS),
    **{
        f"bytes, protocol {p}": lambda p=p: pickle.dumps((IMAGES, LABELS), p)  # type: ignore[misc]
        for p in range(6)
    },
    **{
        f"bytearray, protocol {p}": lambda p=p: pickle.dumps(  # type: ignore[misc]
            ([bytearray(i) for i in IMAGES], LABELS), p
        )
        for p in range(2, 6)
    },
    **{
        f"arrays, protocol {p}": lambda p=p: pickle.dumps(  # type: ignore[misc]
            ([np.frombuffer(i, np.uint8) for i in IMAGES], np.array(LABELS)), p
        )
        for p in range(2, 6)
    },
    "arrays of an old numpy": lambda: old_numpy(
        pickle.dumps(([np.frombuffer(i, np.uint8) for i in IMAGES], np.array(LABELS)), 3)
    ),
    "numpy bools": lambda: pickle.dumps((IMAGES, list(np.array(LABELS))), 4),
    "numpy bools, protocol 2": lambda: pickle.dumps((IMAGES, list(np.array(LABELS))), 2),
    "a list of two": lambda: pickle.dumps([IMAGES, LABELS]),
    "numbers": lambda: pickle.dumps((IMAGES, [1, 0, 1])),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_encoding_is_read(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(WRITERS[writer]())
    found = read_bin(path)
    assert found.images == IMAGES
    assert found.is_same.tolist() == LABELS


class Evil:
    """What a malicious file holds."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch PWNED",), "system"),
        (eval, ("1",), "eval"),
        (getattr, (1, "real"), "getattr"),
        (np.load, ("x",), "load"),
        (np.memmap, ("x",), "memmap"),
    ],
)
@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_file_is_refused_and_named(
    function: Any, arguments: Any, name: str, protocol: int, tmp_path: Path
) -> None:
    path = tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(([Evil(function, *arguments)], LABELS), protocol))
    with pytest.raises(UserError, match=rf"evil\.bin: it asks for `.*{name}`.*refused"):
        read_bin(path)
    assert list(tmp_path.iterdir()) == [path]


def blow_up(times: int) -> bytes:
    """One string in the file, encoded again and again out of the memo."""
    text = b"X" + struct.pack("<i", 1000) + b"a" * 1000 + b"q\x00"
    again = b"c_codecs\nencode\nh\x00\x85R"
    return b"\x80\x02" + text + b"0](" + again * times + b"e."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated, corrupt"),
        (b"\x80\x02K\x01.", "truncated, corrupt"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memo index 2147483647 at byte 3"),
        (b"p99999999999\n.", "truncated|memo index"),
        (b"c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR.", "bytes of a int"),
        (blow_up(500), "more than twice its own size"),
        (b"\x80\x02cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.", "type 'O8'"),
        (pickle.dumps((IMAGES, LABELS[:2])), "6 images for 2 pairs"),
        (pickle.dumps(([], [])), "0 images"),
        (pickle.dumps((IMAGES, [True, None, False])), "label 1"),
        (pickle.dumps(([*IMAGES[:5], "text"], LABELS)), "image 5 is a str"),
        (pickle.dumps(([np.zeros((4, 4), np.uint8)] * 6, LABELS)), "2 dimensions"),
        (pickle.dumps(([np.zeros(4)] * 6, LABELS)), "type 'f8'"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.bin: .*({message})"):
        read_bin(path)


def test_size_is_capped_and_absence_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"absent\.bin: cannot be read"):
        read_bin(tmp_path / "absent.bin")
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps((IMAGES, LABELS)))
    monkeypatch.setattr(bin_file, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="exceed the limit of 100"):
        read_bin(path)


def read_or_refuse(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        read_bin(path)
    except UserError as error:
        return str(path) not in str(error)
    return True


def test_mutations_raise_nothing_but_our_error(tmp_path: Path) -> None:
    """Each file cut short everywhere, and with bytes changed, within a few megabytes."""
    path = tmp_path / "x.bin"
    random = np.random.default_rng(0)
    refused = 0
    tracemalloc.start()
    for writer in ("python 2", "bytes, protocol 4", "arrays, protocol 2", "numpy bools"):
        whole = WRITERS[writer]()
        for cut in range(0, len(whole), 11):
            refused += not read_or_refuse(path, whole[:cut])
        for _ in range(120):
            damaged = bytearray(whole)
            for place in random.integers(0, len(whole), random.integers(1, 4)):
                damaged[place] = random.integers(0, 256)
            refused += not read_or_refuse(path, bytes(damaged))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 100
    assert peak < 20_000_000


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.binary(max_size=200)
    | st.lists(
        st.sampled_from(sorted(opcode.code.encode("latin1") for opcode in pickletools.opcodes)),
        max_size=40,
    ).map(b"".join)
)
def test_random_bytes_and_operations(content: bytes, tmp_path: Path) -> None:
    assert not read_or_refuse(tmp_path / "x.bin", content)


def test_stand_ins_bring_no_numpy_objects_of_the_file() -> None:
    """The unpickler hands out our own classes for every name that it knows."""
    unpickler = bin_file._Unpickler(b"")
    known = unpickler._known
    assert {f"{module}.{name}" for module, name in known} == {
        "_codecs.encode", "builtins.bytearray", "__builtin__.bytearray",
        "numpy.ndarray", "numpy.dtype",
        *(
            f"numpy.{core}.{part}.{name}"
            for core in ("core", "_core")
            for part in ("multiarray", "numeric")
            for name in ("_reconstruct", "_frombuffer", "scalar")
        ),
    }  # fmt: skip
    assert all(value.__module__ == bin_file.__name__ for value in known.values())
