"""Photographs in an image folder `root/<identity>/<image>`, or in an uncompressed tar of one."""

import os
import re
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from auggen.core.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm")
MAX_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Photo:
    """One encoded image of a source."""

    identity: str
    """Name of the identity's folder."""
    name: str
    """`<identity>/<file>`."""
    fetch: Callable[[str], bytes]
    """Returns the bytes of a file of the source, by name."""

    def read(self) -> bytes:
        """Returns the encoded bytes."""
        return self.fetch(self.name)


class _Span(NamedTuple):
    """Where a member's bytes lie in a tar."""

    start: int
    size: int


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
        sizes = {}
        for place, _, files in os.walk(source, onerror=_cannot_list):
            folder = Path(place)
            for file in files:
                if (path := folder / file).is_file():
                    sizes[path.relative_to(source).as_posix()] = path.stat().st_size
        yield _list_photos(source, sizes, lambda name: (source / name).read_bytes())
    elif source.is_file():
        try:
            with tarfile.open(source, "r:") as archive:
                members = _list_members(source, archive)
        except tarfile.TarError as error:
            raise UserError(
                f"{source}: neither a folder nor an uncompressed tar ({error}); decompress it"
            ) from error
        with source.open("rb") as stream:

            def read(name: str) -> bytes:
                stream.seek(members[name].start)
                content = stream.read(members[name].size)
                if len(content) != members[name].size:
                    raise UserError(f"{source}: {name} is cut short; fetch the tar again")
                return content

            yield _list_photos(source, {name: span.size for name, span in members.items()}, read)
    else:
        raise UserError(f"{source}: no such folder or tar; check `prepare.source`")


def _cannot_list(error: OSError) -> None:
    raise UserError(f"{error.filename}: unreadable ({error.strerror}); repair it") from error


def _list_members(source: Path, archive: tarfile.TarFile) -> dict[str, _Span]:
    """Regular files by their name without `./` and without a leading folder shared by all."""
    members: dict[str, _Span] = {}
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # the stub lacks it; a kilobyte a file
        path = PurePosixPath(member.name)
        plain = (member.isfile() and not member.issparse()) or member.isdir()
        if path.is_absolute() or ".." in path.parts or not plain:
            raise UserError(
                f"{source}: {member.name} leaves the tar or is no plain file; pack it again without"
            )
        if member.isfile():
            if str(path) in members:
                raise UserError(f"{source}: {path} is there twice; pack the tar again")
            members[str(path)] = _Span(member.offset_data, member.size)
    tops = {
        name.split("/")[0] if name.count("/") == 2 else "" for name in members if _is_image(name)
    }
    leading = tops - {""}
    if len(leading) == 1 and leading == tops:
        prefix = f"{leading.pop()}/"
        members = {name.removeprefix(prefix): span for name, span in members.items()}
    return members


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _list_photos(source: Path, files: dict[str, int], read: Callable[[str], bytes]) -> list[Photo]:
    photos: list[Photo] = []
    for name in _in_natural_order(files):
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
        photos.append(Photo(sys.intern(path.parts[0]), name, read))
    if not photos:
        raise UserError(f"{source}: no images; expected <identity>/<image> inside")
    return photos


def _in_natural_order(names: Iterable[str]) -> Iterator[str]:
    """Sorts folder by folder, for a sort key takes ten times the memory of its name."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.split("/")[0] + "/", []).append(name)
    for folder in sorted(folders, key=natural_key):
        yield from sorted(folders[folder], key=natural_key)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts `s2` before `s10`: digits compare as numbers, then the name itself decides."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if part.isdigit() else part for part in parts], name
