"""PNG files, byte by byte, that Pillow does not write."""

import zlib

import numpy as np


def png(width: int, height: int, kind: bytes, data: bytes) -> bytes:
    """Of a header's last five bytes (depth, colour, ..) and compressed rows."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + kind
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def deep_png(pixels: np.ndarray) -> bytes:
    """RGB of 16 bits a channel; pixels [h w 3]."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(width, height, bytes([16, 2, 0, 0, 0]), zlib.compress(rows))


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + check
