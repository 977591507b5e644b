"""Parquet as Hugging Face shares images: columns `image` {bytes, path} and `label`."""

import json
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from auggen.core.errors import UserError
from auggen.ingest.photos import MAX_BYTES, MAX_IMAGES, Photos, natural_key, sort_labels

MAX_GROUP = 1 << 31
"""Largest row group that is read, bytes before compression."""
_BATCH = 64
_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError)


@contextmanager
def open_parquet(source: Path) -> Iterator[Photos]:
    """Lists the images of a Parquet file, or of all `*.parquet` in a folder.

    An identity's name is its label, or the name that the `huggingface` metadata of the schema give
    it; an image's name is its row. Rows of one person lie anywhere, compressed: the first image
    read brings all of them into a temporary file, one after another.

    Raises:
        UserError: unreadable files, other columns, a missing image or label, no room for the
            temporary file.
    """
    files = [source]
    if source.is_dir():
        files = sorted(source.glob("[!.]*.parquet"), key=lambda path: natural_key(path.name))
    labels, called = _read_labels(files)
    identities, rows, labels32 = sort_labels(labels, lambda label: called[label])
    with _temporary(source) as store:
        ends = array("q")

        def fetch(row: int) -> bytes:
            if not ends:
                try:
                    _store_images(files, store, ends)
                except OSError as error:  # of writing, for `_naming` takes those of reading
                    raise _no_room(source, error) from error
                if len(ends) != len(labels):
                    raise UserError(f"{source}: {len(ends)} images for {len(labels)} labels")
            place = int(rows[row])
            start = ends[place - 1] if place else 0
            return os.pread(store.fileno(), ends[place] - start, start)

        yield Photos(
            identities,
            labels32,
            file=lambda row: str(rows[row]),
            fetch=fetch,
            beside=lambda name: _read_beside(source, name),
        )


def _temporary(source: Path) -> FileIO:
    """Opens a file without a buffer, which a full disk would leave to be written on closing."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(source, error) from error


def _no_room(source: Path, error: OSError) -> UserError:
    return UserError(
        f"{tempfile.tempdir or 'TMPDIR'}: no room for the images of {source} ({error.strerror}); "
        "free some space there or set TMPDIR to a folder with more"
    )


def _read_beside(source: Path, name: str) -> bytes:
    """Reads a file of the source; beside a single file DVC would not see it change."""
    if not source.is_dir():
        raise UserError(f"{source}: put it in a folder with {name} and name that folder instead")
    return (source / name).read_bytes()


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Turns whatever the library says of a damaged file into an error that names it."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{file}: no readable Parquet ({error}); fetch it again") from error


def _read_labels(files: Sequence[Path]) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """Returns the label of each row of all files, and what the labels are called."""
    columns, names = [], _class_names(files[0])
    for file in files:
        if _class_names(file) != names:
            raise UserError(f"{file}: other class names than {files[0]}; fetch one version of both")
        with _naming(file), pq.ParquetFile(file) as opened:
            _check_layout(file, opened)
            column = opened.read(columns=["label"]).column("label")
        if column.null_count:
            raise UserError(f"{file}: {column.null_count} rows without a label; remove them")
        columns += column.chunks
    if sum(map(len, columns)) > MAX_IMAGES:
        raise UserError(f"{files[0].parent}: more than {MAX_IMAGES} images; split the set")
    if not sum(map(len, columns)):
        raise UserError(f"{files[0]}: no images")
    try:
        column = pa.chunked_array(columns)
    except pa.ArrowException as error:
        raise UserError(f"{files[0].parent}: labels of several types ({error})") from error
    if pa.types.is_integer(column.type):
        with _naming(files[0]):
            labels = column.cast(pa.int64()).to_numpy()
        found = np.unique(labels).tolist()
        if names is not None and not 0 <= found[0] <= found[-1] < len(names):
            raise UserError(f"{files[0]}: labels {found[0]}..{found[-1]} for {len(names)} names")
        return labels, {label: names[label] if names else str(label) for label in found}
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    called = coded.dictionary.to_pylist()
    _check_names(files[0], called)
    return coded.indices.to_numpy().astype(np.int64), dict(enumerate(called))


def _check_names(file: Path, names: list[str]) -> None:
    bad = next((name for name in names if not name or not name.isprintable()), None)
    if bad is not None:
        raise UserError(f"{file}: label {bad!r} is no name of a person; rename it")


def _check_layout(file: Path, opened: pq.ParquetFile) -> None:
    kinds = {field.name: field.type for field in opened.schema_arrow}
    image, label = kinds.get("image", pa.null()), kinds.get("label", pa.null())
    if isinstance(label, pa.DictionaryType):
        label = label.value_type
    binary = (pa.binary(), pa.large_binary())
    has_bytes = isinstance(image, pa.StructType) and image.get_field_index("bytes") >= 0
    if not has_bytes or image.field("bytes").type not in binary:
        raise UserError(f"{file}: no column `image` of {{bytes, path}}, but {image}")
    if not (pa.types.is_integer(label) or label in (pa.string(), pa.large_string())):
        raise UserError(f"{file}: no column `label` of numbers or names, but {label}")
    groups = [opened.metadata.row_group(number) for number in range(opened.num_row_groups)]
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > MAX_GROUP:
        raise UserError(f"{file}: a row group of {largest} bytes, the limit is {MAX_GROUP}")


def _class_names(file: Path) -> list[str] | None:
    """Returns the names that the schema's `huggingface` metadata give to labels 0, 1, ..."""
    with _naming(file):
        stored = (pq.read_schema(file).metadata or {}).get(b"huggingface")
        if stored is None:
            return None
        names: object = (
            json.loads(stored).get("info", {}).get("features", {}).get("label", {}).get("names")
        )
    if names is None:
        return None
    called = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if "" in called or called != names or len(set(called)) != len(called):
        raise UserError(f"{file}: class names in its `huggingface` metadata are empty or repeated")
    _check_names(file, called)
    return called


def _store_images(files: Sequence[Path], store: FileIO, ends: "array[int]") -> None:
    """Writes all images one after another, and notes where each ends."""
    end = 0
    for file in files:
        first = len(ends)
        for column in _image_columns(file):
            for image in column:
                content = image.as_py()
                if content is None or len(content) > MAX_BYTES:
                    size = "no image" if content is None else f"an image of {len(content)} bytes"
                    raise UserError(
                        f"{file}: row {len(ends) - first} holds {size}; images must be inside, "
                        f"of at most {MAX_BYTES} bytes"
                    )
                rest = memoryview(content)
                while rest:
                    rest = rest[store.write(rest) :]
                end += len(content)
                ends.append(end)


def _image_columns(file: Path) -> Iterator[pa.Array]:
    with _naming(file), pq.ParquetFile(file, pre_buffer=False) as opened:
        for batch in opened.iter_batches(_BATCH, columns=["image.bytes"], use_threads=False):
            image = batch.column("image")
            empty = pa.nulls(len(image), image.type.field("bytes").type)
            yield pa.compute.if_else(image.is_valid(), image.field("bytes"), empty)
