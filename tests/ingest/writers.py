"""Plain writers of RecordIO, byte by byte, that share nothing with the readers under test."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

MAGIC = b"\x0a\x23\xd7\xce"


def jpegs(count: int, size: int = 8, mode: str = "L", seed: int = 0) -> list[bytes]:
    """Random pictures, all different."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        noise = draw.integers(0, 256, (size, size, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noise).convert(mode).save(stream, "JPEG", quality=95)
        found.append(stream.getvalue())
    return found


def chunk(kind: int, content: bytes) -> bytes:
    padding = bytes(-len(content) % 4)
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + padding


def record(data: bytes) -> bytes:
    """One record: cut wherever the magic stands at a multiple of 4, the magic left out."""
    parts, begun = [], 0
    for at in range(0, len(data) - 3, 4):
        if data[at : at + 4] == MAGIC:
            parts.append(data[begun:at])
            begun = at + 4
    parts.append(data[begun:])
    if len(parts) == 1:
        return chunk(0, data)
    kinds = [1, *[2] * (len(parts) - 2), 3]
    return b"".join(chunk(kind, part) for kind, part in zip(kinds, parts, strict=True))


def payload(label: float | Sequence[float], image: bytes, number: int = 0) -> bytes:
    if isinstance(label, (int, float)):
        return struct.pack("<IfQQ", 0, label, number, 0) + image
    labels = struct.pack(f"<{len(label)}f", *label)
    return struct.pack("<IfQQ", len(label), 0.0, number, 0) + labels + image


def write_records(folder: Path, payloads: dict[int, bytes], order: Sequence[int] = ()) -> Path:
    """Writes train.rec in this order of keys and train.idx in the order of `payloads`."""
    folder.mkdir(parents=True, exist_ok=True)
    content, offsets = b"", {}
    for key in order or payloads:
        offsets[key] = len(content)
        content += record(payloads[key])
    (folder / "train.rec").write_bytes(content)
    lines = [f"{key}\t{offsets[key]}\n" for key in payloads]
    (folder / "train.idx").write_text("".join(lines))
    return folder


def old_layout(labels: Sequence[int], images: Sequence[bytes], first: int = 1) -> dict[int, bytes]:
    """Header record, images from key `first` on, a record for each run of equal labels."""
    keys = list(range(first, first + len(images)))
    rows = zip(keys, labels, images, strict=True)
    records = {key: payload(label, image, key) for key, label, image in rows}
    end = keys[-1] + 1
    people = {}
    for number, label in enumerate(dict.fromkeys(labels)):
        own = [key for key, other in zip(keys, labels, strict=True) if other == label]
        people[end + number] = payload([own[0], own[-1] + 1], b"", end + number)
    head = payload([end, end + len(people)], b"")
    return {0: head, **records, **people}
