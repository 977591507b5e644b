"""Decides what kind of source the images are in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auggen.core.errors import UserError
from auggen.ingest.folder import open_folder, open_tar
from auggen.ingest.parquet import open_parquet
from auggen.ingest.photos import Photos
from auggen.ingest.recordio import open_records


@contextmanager
def open_photos(source: Path) -> Iterator[Photos]:
    """Lists the photographs of a source; they can be read while the context lasts.

    A folder with `train.rec` is RecordIO, one with `*.parquet` Parquet, any other an image folder;
    a file is Parquet or a tar.

    Raises:
        UserError: missing, empty or unreadable source; see the reader of its kind.
    """
    if source.suffix == ".rec":
        raise UserError(f"{source}: `prepare.source` is the folder that holds train.rec")
    if source.is_dir() and (source / "train.rec").is_file():
        yield open_records(source)
    elif _is_parquet(source):
        with open_parquet(source) as photos:
            yield photos
    elif source.is_dir():
        yield open_folder(source)
    elif source.is_file():
        with source.open("rb") as stream:
            yield open_tar(source, stream)
    else:
        raise UserError(f"{source}: no such folder or tar; check `prepare.source`")


def _is_parquet(source: Path) -> bool:
    if source.is_dir():
        return next(source.glob("[!.]*.parquet"), None) is not None
    if not source.is_file():
        return False
    with source.open("rb") as stream:
        return stream.read(4) == b"PAR1"
