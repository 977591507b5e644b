"""Photographs in an image folder `root/<identity>/<image>`, or in an uncompressed tar of one."""

import os
import tarfile
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from auggen.core.errors import UserError
from auggen.ingest.photos import MAX_BYTES, MAX_IMAGES, Photos, natural_key, sort_labels

SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm")
_LITTER = ("thumbs.db", "desktop.ini")
_TOLD = 5
"""Files told of those that do not belong."""
_EMPTY = bytes(tarfile.BLOCKSIZE)
_TAR_ERRORS = (tarfile.TarError, ValueError, OverflowError, LookupError, EOFError)


class _Listing:
    """Image files of a source in the order in which they are found: names and nothing else."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._people: dict[str, int] = {}
        self._files: list[str] = []
        self._labels = array("i")
        self._foreign: list[str] = []

    def add(self, name: str, size: int) -> bool:
        """Takes `<identity>/<image>`; says False to all else: hidden files, notes, faults."""
        path = PurePosixPath(name)
        hidden = any(part.startswith(".") for part in path.parts) or path.name.lower() in _LITTER
        if hidden or (len(path.parts) == 1 and path.suffix.lower() not in SUFFIXES):
            return False
        if not name.isprintable():
            raise UserError(
                f"{self._source}: {name!a} holds a character that cannot be printed or is not in "
                "UTF-8; rename it"
            )
        if len(path.parts) != 2 or path.suffix.lower() not in SUFFIXES:
            self._foreign.append(name)
            return False
        if size > MAX_BYTES:
            raise UserError(
                f"{self._source}: {name} has {size} bytes, the limit is {MAX_BYTES}; remove it"
            )
        if len(self._files) >= MAX_IMAGES:
            raise UserError(f"{self._source}: more than {MAX_IMAGES} images; split the set")
        self._files.append(path.name)
        self._labels.append(self._people.setdefault(path.parts[0], len(self._people)))
        return True

    def sort(self, fetch: Callable[[str, int], bytes], beside: Callable[[str], bytes]) -> Photos:
        """Returns the images in natural order; `fetch` gets a name and the place it was found at.

        Sorts person by person, for a sort key takes ten times the memory of its name.
        """
        if self._foreign:
            told, more = ", ".join(self._foreign[:_TOLD]), len(self._foreign) - _TOLD
            raise UserError(
                f"{self._source}: {told}{f' and {more} more' if more > 0 else ''}: no "
                f"<identity>/<image> with one of {', '.join(SUFFIXES)}; move or remove such files"
            )
        if not self._files:
            raise UserError(f"{self._source}: no images; expected <identity>/<image> inside")
        people, files = list(self._people), self._files
        found = np.array(self._labels, np.int64)
        identities, rows, labels = sort_labels(found, lambda label: people[label])
        edges = np.searchsorted(labels, np.arange(len(people) + 1))
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            group = sorted(rows[start:end].tolist(), key=lambda row: natural_key(files[row]))
            rows[start:end] = group
            for one, other in pairwise(group):
                if files[one] == files[other]:
                    name = f"{identities[labels[start]]}/{files[one]}"
                    raise UserError(f"{self._source}: {name} is there twice; pack it again")
        return Photos(
            identities,
            labels,
            file=lambda row: files[rows[row]],
            fetch=lambda row: fetch(
                f"{identities[labels[row]]}/{files[rows[row]]}", int(rows[row])
            ),
            beside=beside,
        )


def open_folder(source: Path) -> Photos:
    """Lists the photographs of a folder.

    Raises:
        UserError: empty or unreadable; a file where none belongs.
    """
    listing = _Listing(source)
    for place, folders, files in os.walk(source, onerror=_cannot_list):
        folder = Path(place)
        for path in (folder / name for name in folders + files if not name.startswith(".")):
            if path.is_symlink() and not path.is_file():
                raise UserError(f"{path}: a link to a folder or to nothing; put the files there")
        inside = folder.relative_to(source).as_posix()
        for file in files:
            if (path := folder / file).is_file():
                listing.add(file if inside == "." else f"{inside}/{file}", path.stat().st_size)
    return listing.sort(
        lambda name, _: (source / name).read_bytes(), lambda name: (source / name).read_bytes()
    )


def _cannot_list(error: OSError) -> None:
    raise UserError(f"{error.filename}: unreadable ({error.strerror}); repair it") from error


def open_tar(source: Path, stream: BinaryIO) -> Photos:
    """Lists the photographs of a tar, which may hold everything in one leading folder.

    `stream` reads the tar and must stay open.

    Raises:
        UserError: empty, damaged or compressed; a file where none belongs; a name that leaves the
            tar; a link.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            names, starts, sizes = _list_members(source, archive)
            stream.seek(archive.offset)
            whole = stream.read(len(_EMPTY)) == _EMPTY
    except _TAR_ERRORS as error:
        raise UserError(
            f"{source}: neither a folder nor an uncompressed tar ({error}); decompress it"
        ) from error
    if not whole:
        raise UserError(
            f"{source}: cut short or damaged at byte {archive.offset}, after {len(names)} files; "
            "fetch the tar again"
        )
    prefix = _leading_folder(names)
    notes: dict[str, int] = {}
    listing, rows = _Listing(source), array("q")
    for row, name in enumerate(names):
        plain = name.removeprefix(prefix)
        if listing.add(plain, sizes[row]):
            rows.append(row)
        elif "/" not in plain:
            notes[plain] = row

    def read(name: str, row: int) -> bytes:
        stream.seek(starts[row])
        content = stream.read(sizes[row])
        if len(content) != sizes[row]:
            raise UserError(f"{source}: {name} is cut short; fetch the tar again")
        return content

    def read_note(name: str) -> bytes:
        if name not in notes:
            raise FileNotFoundError(name)
        return read(name, notes[name])

    return listing.sort(lambda name, place: read(name, rows[place]), read_note)


def _list_members(
    source: Path, archive: tarfile.TarFile
) -> tuple[list[str], "array[int]", "array[int]"]:
    """Names without `./`, first bytes and sizes of the regular files."""
    names: list[str] = []
    starts, sizes = array("q"), array("q")
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # the stub lacks it; a kilobyte a file
        path = PurePosixPath(member.name)
        plain = (member.isfile() and not member.issparse()) or member.isdir()
        if member.size < 0 or len(names) > 2 * MAX_IMAGES:
            raise UserError(f"{source}: {member.name}: an impossible size, or too many files")
        if path.is_absolute() or ".." in path.parts or not plain:
            raise UserError(
                f"{source}: {member.name} leaves the tar or is no plain file; pack it again without"
            )
        if member.isfile():
            names.append(str(path))
            starts.append(member.offset_data)
            sizes.append(member.size)
    return names, starts, sizes


def _leading_folder(names: list[str]) -> str:
    """Returns `<folder>/` if all images lie in one, else the empty text."""
    tops = set()
    for name in names:
        path = PurePosixPath(name)
        if path.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in path.parts):
            tops.add(path.parts[0] if len(path.parts) == 3 else "")
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
