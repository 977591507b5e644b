"""Reading every record of a `train.rec` without decoding: label and encoded bytes.

The peer is the loop that scripts without mxnet have: seek to each offset of the index, read and
unpack the record's head, read its data, unpack the header, cut the image off. Ours are views of the
mapped file, which `prepare` hashes and hands to the decoder; `copies` makes bytes of each.
"""

import struct
from collections.abc import Callable
from pathlib import Path

from auggen.core.seeds import numpy_generator
from auggen.ingest.recordio import open_records
from auggen.selection.writers import write_recordio
from benchmarks.contenders import SEED, Contender

_IMAGES, _PER_CLASS = 20_000, 40
_SMALLEST, _LARGEST = 3_000, 8_000  # bytes, as JPEGs of 112x112 have
_MAGIC = 0xCED7230A


def _write(scratch: Path) -> Path:
    draw = numpy_generator(SEED, "records")
    sizes = draw.integers(_SMALLEST, _LARGEST, _IMAGES)
    labels = [row // _PER_CLASS for row in range(_IMAGES)]
    write_recordio(scratch, (draw.bytes(int(size)) for size in sizes), labels, 112)
    return scratch


def _ours(scratch: Path) -> Contender:
    folder = _write(scratch)

    def run() -> int:
        photos = open_records(folder)
        images = map(photos.fetch, range(len(photos)))
        labels = photos.labels.tolist()
        found = [(label, len(image)) for label, image in zip(labels, images, strict=True)]
        return len(found)

    return Contender(run)


def _copies(scratch: Path) -> Contender:
    folder = _write(scratch)

    def run() -> int:
        photos = open_records(folder)
        return sum(len(bytes(image)) > 0 for image in map(photos.fetch, range(len(photos))))

    return Contender(run)


def _listing(scratch: Path) -> Contender:
    folder = _write(scratch)
    return Contender(lambda: len(open_records(folder)))


def _struct_loop(scratch: Path) -> Contender:
    folder = _write(scratch)

    def run() -> int:
        found: list[tuple[float, int]] = []
        with (folder / "train.idx").open() as lines, (folder / "train.rec").open("rb") as stream:
            for line in lines:
                stream.seek(int(line.split("\t")[1]))
                magic, kind_length = struct.unpack("<II", stream.read(8))
                assert magic == _MAGIC
                data = stream.read(kind_length & (1 << 29) - 1)
                flag, label, _, _ = struct.unpack("<IfQQ", data[:24])
                image = data[24 + 4 * flag :]
                if not flag:
                    found.append((label, len(image)))
        return len(found)

    return Contender(run)


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "ours": _ours,
    "copies": _copies,
    "listing": _listing,
    "struct_loop": _struct_loop,
}
