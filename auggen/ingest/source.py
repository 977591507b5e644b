"""Decides what kind of source the images are in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auggen.core.errors import UserError
from auggen.ingest.folder import open_folder, open_tar
from auggen.ingest.photos import Photos
from auggen.ingest.recordio import open_records


@contextmanager
def open_photos(source: Path) -> Iterator[Photos]:
    """Lists the photographs of a source; they can be read while the context lasts.

    A folder with `train.rec` is RecordIO, any other an image folder; a file is a tar.

    Raises:
        UserError: missing, empty or unreadable source; see the reader of its kind.
    """
    if source.is_dir():
        records = (source / "train.rec").is_file()
        yield open_records(source) if records else open_folder(source)
    elif source.suffix == ".rec":
        raise UserError(f"{source}: `prepare.source` is the folder that holds train.rec")
    elif source.is_file():
        with source.open("rb") as stream:
            yield open_tar(source, stream)
    else:
        raise UserError(f"{source}: no such folder or tar; check `prepare.source`")
