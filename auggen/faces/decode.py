"""Image bytes to uint8 tensors and back. Dimensions: n images, c channels, h height, w width."""

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from auggen.core.errors import UserError

# Pillow warns of what it passes over (damaged EXIF, a palette's transparency); pixels are sound.
# Once and for all: what a thread sets for a moment may stay set.
warnings.filterwarnings("ignore", module="PIL")

MAX_PIXELS = 1 << 26
_LEVEL = 1  # of zlib: a third of the time of the default 6 for files a seventh larger
_FORMATS = ("JPEG", "PNG", "PPM")
_STORED = ("JPEG", "PNG")
_PNG_DEPTH = 24  # byte of a PNG that tells the bits of a channel
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises on damaged files."""
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


def decode_image(
    source: bytes | memoryview | Path,
    *,
    channels: int,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> UInt8[Tensor, "c h w"]:
    """Decodes one JPEG, PNG or PGM/PPM image of 8 bits a channel, upright as its EXIF says.

    Grey is ITU-R 601 luma (0.299 R + 0.587 G + 0.114 B); transparency is ignored; a grey image
    asked for in colour repeats its one channel.

    Args:
        source: encoded bytes, or the file that holds them.
        channels: 1 for grey, 3 for RGB.
        name: how errors call the image; the path by default.
        max_pixels: largest height times width that is decoded.

    Raises:
        UserError: unreadable, truncated, of another format or depth, or too large.
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_header(image, content, name, max_pixels)
            ImageOps.exif_transpose(image, in_place=True)
            mode = "L" if channels == 1 else "RGB"
            pixels = np.array(image if image.mode == mode else image.convert(mode))
    except DECODE_ERRORS as error:
        foreign = isinstance(error, UnidentifiedImageError)  # it tells an address in memory
        reason = ("another format" if len(content) else "empty") if foreign else error
        raise UserError(
            f"{name}: not a readable JPEG, PNG or PGM image ({reason}); repair or remove it"
        ) from error
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)


def _check_header(
    image: Image.Image, content: bytes | memoryview, name: str, max_pixels: int
) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UserError(
            f"{name}: {width}x{height} pixels exceed the limit of {max_pixels}; shrink or remove it"
        )
    if image.mode not in _MODES:
        raise UserError(f"{name}: pixels of type {image.mode}; save it with 8 bits a channel")
    if content[:2] in (b"P5", b"P6") and isinstance(image, ImageFile.ImageFile):
        spare = len(content) - image.tile[0].offset - width * height * len(image.getbands())
        if spare > 0:  # a reader would return a shifted picture and not complain
            raise UserError(
                f"{name}: {spare} bytes too long for {width}x{height} pixels (line ends converted "
                "in transfer?); fetch an undamaged copy"
            )


def encode_png(image: UInt8[Tensor, "c h w"]) -> bytes:
    """Encodes a grey (c = 1) or RGB (c = 3) image without loss."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
    picture.save(stream, "PNG", compress_level=_LEVEL)
    return stream.getvalue()


def stored_shape(content: bytes | memoryview) -> tuple[int, int, int] | None:
    """Returns the shape (c, h, w) of a JPEG or PNG that a face set can hold as it is.

    None for what `decode_image` would change: another format, a palette, transparency, 16 bits, an
    EXIF turn. Reads the header alone; the pixels may still be damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_STORED) as image:
            if image.mode not in ("L", "RGB") or image.getexif().get(_ORIENTATION, 1) != 1:
                return None
            if image.format == "PNG" and content[_PNG_DEPTH] != 8:  # Pillow cuts to 8 bits
                return None
            return (len(image.getbands()), image.height, image.width)
    except DECODE_ERRORS:
        return None


def decode_stored(content: bytes, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Decodes a JPEG or PNG of a face set, of this shape (c, h, w); safe in threads.

    Raises:
        OSError, SyntaxError, ValueError: it is something else.
    """
    with Image.open(io.BytesIO(content), formats=_STORED) as image:
        found = (len(image.getbands()), image.height, image.width)
        if found != tuple(shape):
            raise ValueError(f"its shape is {found}, the manifest's {tuple(shape)}")
        pixels = np.asarray(image)
    return pixels[None] if shape[0] == 1 else pixels.transpose(2, 0, 1)


def to_unit(images: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Maps bytes 0..255 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Maps [-1, 1] to bytes: the inverse of `to_unit`; what lies outside is clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
