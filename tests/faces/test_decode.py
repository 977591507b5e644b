"""Bytes to pixels: what is read, what is refused, and that nothing changes on the way."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auggen.core.errors import UserError
from auggen.faces.decode import (
    decode_image,
    decode_stored,
    encode_png,
    stored_shape,
    to_uint8,
    to_unit,
)
from tests.faces.pngs import deep_png, png

brief = settings(deadline=None, max_examples=30)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@brief
@given(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_png_round_trip(channels: int, height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = (channels, height, width)
    image = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    assert torch.equal(decode_image(encode_png(image), channels=channels), image)


def test_unit_round_trip_and_clamping() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    unit = to_unit(levels)
    assert (unit.min().item(), unit.max().item()) == (-1, 1)
    assert torch.equal(to_uint8(unit), levels)
    assert to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


@pytest.mark.parametrize("kind", ["PNG", "PPM"])
def test_grey_and_colour(kind: str) -> None:
    grey = Image.fromarray(np.array([[0, 100], [200, 255]], np.uint8))
    colour = decode_image(encode(grey, kind), channels=3)
    assert colour.shape == (3, 2, 2)
    assert all(torch.equal(c, torch.from_numpy(np.asarray(grey).copy())) for c in colour)
    red = encode(Image.new("RGB", (2, 2), (255, 0, 0)), kind)
    assert decode_image(red, channels=1).unique().tolist() == [round(0.299 * 255)]


def test_transparency_and_palette() -> None:
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert decode_image(encode(clear, "PNG"), channels=3)[:, 0, 0].tolist() == [10, 20, 30]
    palette = Image.new("RGB", (2, 2), (10, 20, 30)).quantize()
    assert decode_image(encode(palette, "PNG"), channels=3)[:, 0, 0].tolist() == [10, 20, 30]
    clear_palette = encode(palette, "PNG", transparency=bytes([128]))
    assert decode_image(clear_palette, channels=3)[:, 0, 0].tolist() == [10, 20, 30]


def test_exif_orientation() -> None:
    left_dark = np.repeat(np.array([[0, 255]], np.uint8), 16, axis=0).repeat(8, axis=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    jpeg = encode(Image.fromarray(left_dark), "JPEG", exif=exif)
    seen = decode_image(jpeg, channels=1)[0]
    assert seen[:4].max() < 50
    assert seen[-4:].min() > 200


def test_damaged_exif_and_threads() -> None:
    """Sound pixels beside damaged EXIF; what decoding ignores, it ignores in threads too."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "a face" * 9
    jpeg = bytearray(encode(Image.fromarray(noise), "JPEG", exif=exif))
    at = jpeg.index(b"\x01\x0e\x00\x02")
    jpeg[at + 4 : at + 8] = b"\x7f\xff\xff\xff"  # a text longer than the file
    plain = decode_image(encode(Image.fromarray(noise), "JPEG"), channels=1)
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as threads:
        for image in threads.map(lambda _: decode_image(bytes(jpeg), channels=1), range(40)):
            assert torch.equal(image, plain)
    assert warnings.filters == filters


PGM = b"P5\n3 2\n255\n" + bytes(6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"not a readable .* \(empty\)"),
        (b"no image at all", r"not a readable .* \(another format\)"),
        (PGM[:-1], "not a readable"),
        (PGM.replace(b"\n", b"\r\n"), "line ends converted"),
        (b"P5\n3 2\n65535\n" + bytes(12), "8 bits a channel"),
        (b"GIF89a" + bytes(40), "not a readable"),
    ],
)
def test_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "face.pgm"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught:
        decode_image(path, channels=1)
    assert str(path) in str(caught.value)


def test_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.png"):
        decode_image(tmp_path / "absent.png", channels=1)


def test_truncated_jpeg() -> None:
    jpeg = encode(Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)), "JPEG")
    with pytest.raises(UserError, match=r"a\.jpg: not a readable"):
        decode_image(jpeg[: len(jpeg) // 2], channels=1, name="a.jpg")


def test_bombs_are_refused_before_decoding() -> None:
    small = encode(Image.new("L", (20, 20)), "PNG")
    with pytest.raises(UserError, match="20x20 pixels exceed the limit of 399"):
        decode_image(small, channels=1, max_pixels=399)
    for side in (9_000, 15_000, 60_000):  # below, between and above the library's own limits
        with pytest.raises(UserError, match=r"exceed|not a readable"):
            decode_image(huge_png(side), channels=1)


def huge_png(side: int) -> bytes:
    return png(side, side, bytes([8, 0, 0, 0, 0]), b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_can_be_stored_decodes_alike(kind: str, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise).convert(mode), kind)
    shape = stored_shape(content)
    assert shape == (len(mode), 9, 7)
    expected = decode_image(content, channels=len(mode))
    assert np.array_equal(decode_stored(content, shape), expected.numpy())
    with pytest.raises(ValueError, match="its shape is"):
        decode_stored(content, (len(mode), 9, 8))


def test_what_cannot_be_stored() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    grey = Image.new("L", (4, 4))
    for content in (
        encode(grey, "PPM"),
        encode(grey, "JPEG", exif=turned),
        encode(grey, "PNG", exif=turned),
        encode(Image.new("RGBA", (4, 4)), "PNG"),
        encode(Image.new("P", (4, 4)), "PNG"),
        encode(Image.new("CMYK", (4, 4)), "JPEG"),
        encode(Image.new("I;16", (4, 4)), "PNG"),
        deep_png(np.zeros((4, 4, 3))),
        b"",
        b"words",
    ):
        assert stored_shape(content) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PPM"])
def test_damage_ends_in_our_error(kind: str) -> None:
    """Bytes changed, cut out and put in, in a file with EXIF data."""
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 3, "a face"
    options = {} if kind == "PPM" else {"exif": exif}
    whole = encode(Image.fromarray(noise), kind, **options)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(int(draw.integers(1, 4))):
            at = int(draw.integers(len(content)))
            content[at : at + int(draw.integers(0, 3))] = draw.bytes(int(draw.integers(0, 3)))
        try:
            decode_image(bytes(content), channels=3)
        except UserError:
            refused += 1
        stored_shape(bytes(content))
    assert refused > 20
