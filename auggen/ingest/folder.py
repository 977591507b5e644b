"""Photographs in an image folder `root/<identity>/<image>`, or in an uncompressed tar of one."""

import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from auggen.core.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm")
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Photo:
    """One encoded image of a source."""

    identity: str
    """Name of the identity's folder."""
    name: str
    """`<identity>/<file>`."""
    read: Callable[[], bytes]
    """Fetches the encoded bytes."""


@contextmanager
def open_photos(source: Path) -> Iterator[list[Photo]]:
    """Lists the photographs of a folder or tar, in natural order (s2 before s10).

    Hidden files, and files beside the identity folders that are no images, are left out; a tar may
    hold everything in one leading folder. Photographs can be read while the context lasts.

    Raises:
        UserError: missing, empty or unreadable source; a file where none belongs; a name in the
            tar that leaves it; a link in the tar.
    """
    if source.is_dir():
        files = {
            path.relative_to(source).as_posix(): path.stat().st_size
            for path in source.rglob("*")
            if path.is_file()
        }
        yield _list_photos(source, files, lambda name: (source / name).read_bytes())
    elif source.is_file():
        try:
            with tarfile.open(source, "r:") as archive:
                members = _list_members(source, archive)

                def read(name: str) -> bytes:
                    stream = archive.extractfile(members[name])
                    content = stream.read() if stream else b""
                    if len(content) != members[name].size:
                        raise UserError(f"{source}: {name} is cut short; fetch the tar again")
                    return content

                sizes = {name: member.size for name, member in members.items()}
                yield _list_photos(source, sizes, read)
        except tarfile.TarError as error:
            raise UserError(
                f"{source}: neither a folder nor an uncompressed tar ({error}); decompress it"
            ) from error
    else:
        raise UserError(f"{source}: no such folder or tar; check `prepare.source`")


def _list_members(source: Path, archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """Regular files by their name without `./` and without a leading folder shared by all."""
    members: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise UserError(
                f"{source}: {member.name} leaves the tar or is no plain file; pack it again without"
            )
        if member.isfile():
            if str(path) in members:
                raise UserError(f"{source}: {path} is there twice; pack the tar again")
            members[str(path)] = member
    images = [PurePosixPath(name).parts for name in members if _is_image(name)]
    leading = {parts[0] for parts in images if len(parts) == 3}
    if len(leading) == 1 and all(len(parts) == 3 for parts in images):
        prefix = f"{leading.pop()}/"
        members = {name.removeprefix(prefix): member for name, member in members.items()}
    return members


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _list_photos(source: Path, files: dict[str, int], read: Callable[[str], bytes]) -> list[Photo]:
    photos: list[Photo] = []
    for name in sorted(files, key=natural_key):
        path = PurePosixPath(name)
        if _is_hidden(path) or (len(path.parts) == 1 and not _is_image(name)):
            continue
        if len(path.parts) != 2 or not _is_image(name):
            raise UserError(
                f"{source}: {name} is no <identity>/<image> with one of {', '.join(SUFFIXES)}; "
                "move or remove it"
            )
        if files[name] > MAX_BYTES:
            raise UserError(
                f"{source}: {name} has {files[name]} bytes, the limit is {MAX_BYTES}; remove it"
            )
        photos.append(Photo(path.parts[0], name, partial(read, name)))
    if not photos:
        raise UserError(f"{source}: no images; expected <identity>/<image> inside")
    return photos


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts `s2` before `s10`: digits compare as numbers, then the name itself decides."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if part.isdigit() else part for part in parts], name
