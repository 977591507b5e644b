"""RecordIO as face data sets are shared in: `train.rec`, `train.idx` (key, offset).

A record is u32 magic, u32 (kind << 29 | length), data, zeros up to 4 bytes; little endian. Data
that held the magic at a multiple of 4 are cut there into several records (kind 1, 2.., 3; whole
ones have kind 0). The data are a header (u32 flag, f32 label, u64, u64), `flag` more f32 labels, an
image. Old layout: key 0 tells the first identity record A, images are the keys below A. New layout:
images alone. Format: dmlc-core `recordio.h`, mxnet `recordio.py`. Dimension: n records.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from auggen.core.errors import UserError
from auggen.ingest.photos import MAX_BYTES, MAX_IMAGES, Photos, sort_labels
from auggen.ingest.record_lists import find_list, read_list

MAGIC = 0xCED7230A
EXACT = 1 << 24
"""Above this float32 skips whole numbers."""
_HEADER = struct.Struct("<IfQQ")
_SMALLEST = 8 + _HEADER.size
_LENGTH = (1 << 29) - 1
_BLOCK = 1 << 16
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Records:
    """Where the records of a file lie, in order of key. All arrays are [n]."""

    path: Path
    """The `.rec`."""
    content: mmap.mmap
    """Its bytes."""
    keys: Numbers
    """Number of each record."""
    offsets: Numbers
    """First byte of each record."""
    limits: Numbers
    """First byte of whatever record comes next in the file, or its end."""
    starts: Numbers
    """First byte of each image; -1 if the record is in several parts."""
    sizes: Numbers
    """Bytes of each image."""
    flags: Numbers
    """Number of labels after the header; 0: the label is in the header."""
    labels: npt.NDArray[np.float32]
    """(First) label of each record."""

    def error(self, number: int, what: str) -> UserError:
        """Returns an error that says which record it is about."""
        key, offset = self.keys[number], self.offsets[number]
        return UserError(
            f"{self.path}: record {key} at byte {offset}: {what}; fetch .rec and .idx again"
        )


def open_records(folder: Path) -> Photos:
    """Lists the images of `train.rec`; an identity's name is its label, an image's its key.

    Labels that cannot be right (all equal, no whole numbers, beyond what float32 holds) are
    replaced by those of a list file beside it, see `record_lists`.

    Raises:
        UserError: broken files, with key and offset of the record; unusable labels and no list.
    """
    path = folder / "train.rec"
    keys, offsets = _read_index(folder / "train.idx")
    size = path.stat().st_size
    if size < _SMALLEST:
        raise UserError(f"{path}: {size} bytes, no whole record; fetch it again")
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)  # its last user closes it
    records = _find_records(path, content, keys, offsets)
    numbers = _find_images(records)
    identities, rows, labels = sort_labels(_read_labels(records, numbers, folder), str)
    numbers = numbers[rows]
    return Photos(
        identities,
        labels,
        file=lambda row: str(keys[numbers[row]]),
        fetch=_fetcher(records, numbers),
        beside=lambda name: (folder / name).read_bytes(),
    )


def _fetcher(records: Records, numbers: Numbers) -> Callable[[int], bytes | memoryview]:
    """Returns what gives the image of a row: a view of the file, or a joined copy."""
    content = memoryview(records.content)
    # of a memoryview a number comes out as an int, much faster than of an array
    starts = records.starts[numbers].data
    ends = (records.starts[numbers] + records.sizes[numbers]).data

    def fetch(row: int) -> bytes | memoryview:
        start = starts[row]
        if start >= 0:
            return content[start : ends[row]]
        number = int(numbers[row])
        data = _join(records, number)
        return data[len(data) - int(records.sizes[number]) :]

    return fetch


def _read_index(path: Path) -> tuple[Numbers, Numbers]:
    """Keys in ascending order, and their offsets."""
    kinds = pa.csv.ConvertOptions(column_types={"f0": pa.int64(), "f1": pa.int64()})
    try:
        table = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(autogenerate_column_names=True),
            parse_options=pa.csv.ParseOptions(delimiter="\t"),
            convert_options=kinds,
        )
        keys, offsets = (column.to_numpy() for column in table.columns)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; it belongs to train.rec, fetch it too") from error
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path}: no lines `key TAB offset` ({error}); fetch it again") from error
    if keys.dtype != np.int64 or offsets.dtype != np.int64:  # an empty field makes them floats
        raise UserError(f"{path}: a line without key or offset; fetch it again")
    if len(keys) > MAX_IMAGES:
        raise UserError(f"{path}: {len(keys)} records, the limit is {MAX_IMAGES}; split the set")
    order = np.argsort(keys, kind="stable")
    keys, offsets = keys[order], offsets[order]
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if keys[0] < 0 or len(twice):
        raise UserError(
            f"{path}: key {keys[twice[0] if len(twice) else 0]} is negative or there twice; "
            "fetch it again"
        )
    return keys, offsets


def _find_records(path: Path, content: mmap.mmap, keys: Numbers, offsets: Numbers) -> Records:
    """Reads the headers of all records, many at a time."""
    limits = np.empty_like(offsets)
    order = np.argsort(offsets, kind="stable")
    limits[order] = np.append(offsets[order[1:]], len(content))
    count = len(keys)
    starts, sizes, flags = (np.zeros(count, np.int64) for _ in range(3))
    records = Records(
        path, content, keys, offsets, limits, starts, sizes, flags, np.zeros(count, np.float32)
    )
    short = (offsets < 0) | (offsets % 4 != 0) | (limits - offsets < _SMALLEST)
    if short.any():
        number = int(np.flatnonzero(short)[0])
        raise records.error(number, f"no record fits in before byte {limits[number]}")
    for first in range(0, count, _BLOCK):
        _read_headers(records, slice(first, min(first + _BLOCK, count)))
    split = np.flatnonzero(starts < 0)
    for number in split.tolist():
        data = _join(records, number)
        flags[number], records.labels[number] = _HEADER.unpack_from(data)[:2]
        sizes[number] = len(data) - _HEADER.size - 4 * flags[number]
        if flags[number] and sizes[number] >= 0:
            records.labels[number] = struct.unpack_from("<f", data, _HEADER.size)[0]
    for bad, what in (
        (sizes < 0, "it has fewer bytes than labels"),
        (sizes > MAX_BYTES, f"an image of more than {MAX_BYTES} bytes"),
    ):
        if bad.any():
            raise records.error(int(np.flatnonzero(bad)[0]), what)
    return records


def _read_headers(records: Records, rows: slice) -> None:
    """Fills in starts, sizes, flags and labels of some records."""
    words = np.frombuffer(records.content, "<u4", len(records.content) // 4)
    offsets = records.offsets[rows]
    at = offsets // 4
    kind_lengths = words[at + 1]
    kinds, lengths = kind_lengths >> 29, (kind_lengths & _LENGTH).astype(np.int64)
    whole = kinds == 0
    checks = (
        (words[at] != MAGIC, "it does not begin with the magic number"),
        (kinds > 1, "it begins in the middle of another"),
        (whole & (lengths < _HEADER.size), "shorter than its header"),
        (offsets + 8 + lengths > records.limits[rows], "cut short"),
    )
    for bad, what in checks:
        if bad.any():
            raise records.error(rows.start + int(np.flatnonzero(bad)[0]), what)
    flags = words[at + 2].astype(np.int64)
    sizes = lengths - _HEADER.size - 4 * flags
    inside = whole & (flags > 0) & (sizes >= 0)
    records.starts[rows] = np.where(whole, offsets + _SMALLEST + 4 * flags, -1)
    records.sizes[rows], records.flags[rows] = sizes, flags
    records.labels[rows] = words[np.where(inside, at + 8, at + 3)].view(np.float32)


def _join(records: Records, number: int) -> bytes:
    """Returns the data of a record in several parts, with the magic between them put back."""
    content, offset = records.content, int(records.offsets[number])
    limit = int(records.limits[number])
    parts: list[bytes] = []
    while offset + 8 <= limit:
        magic, kind_length = struct.unpack_from("<II", content, offset)
        kind, length = kind_length >> 29, kind_length & _LENGTH
        if magic != MAGIC or (kind == 1) != (not parts) or offset + 8 + length > limit:
            break
        parts.append(content[offset + 8 : offset + 8 + length])
        if kind == 3:
            data = struct.pack("<I", MAGIC).join(parts)
            if len(data) < _HEADER.size:
                break
            return data
        offset += 8 + length + -length % 4
    raise records.error(number, f"part {len(parts) + 1} of it is damaged or missing")


def _find_images(records: Records) -> Numbers:
    """Returns the numbers of the records that hold an image, checked against the layout."""
    empty = records.sizes == 0
    leads = records.keys[0] == 0 and empty[0] and records.flags[0] == 2 and records.starts[0] >= 0
    if not leads:
        if empty.any():
            raise records.error(int(np.flatnonzero(empty)[0]), "it holds no image")
        return np.arange(len(records.keys))
    numbers, people = np.flatnonzero(~empty), np.flatnonzero(empty)[1:]
    end = int(records.keys[-1]) + 1
    first = int(records.keys[people[0]]) if len(people) else end
    wrong = people[records.flags[people] != 2]
    late = numbers[records.keys[numbers] > first]
    if len(wrong) or len(late):
        number = int(wrong[0] if len(wrong) else late[0])
        raise records.error(number, f"images end before the identity record {first}, not there")
    start = int(records.starts[0])
    told = np.frombuffer(records.content[start - 8 : start], "<f4")
    if not np.array_equal(told, np.array([first, end], np.float32)):  # a float: not exact
        raise records.error(
            0, f"it counts to {told[0]:.0f} and {told[1]:.0f}, the index to {first} and {end}"
        )
    if not len(numbers):
        raise records.error(0, "no image follows")
    return numbers


def _read_labels(records: Records, numbers: Numbers, folder: Path) -> Numbers:
    labels = records.labels[numbers]
    whole = (labels >= 0) & (labels < EXACT) & (np.floor(labels) == labels)
    if whole.all() and (labels != labels[0]).any():
        return labels.astype(np.int64)
    if (path := find_list(folder)) is not None:
        return read_list(path, records.keys[numbers])
    if whole.all():
        what = f"all {len(labels)} images have the label {labels[0]:.0f}"
    else:
        number = int(np.flatnonzero(~whole)[0])
        what = (
            f"record {records.keys[numbers[number]]} has the label {labels[number]}, no whole "
            f"number in 0..{EXACT - 1}"
        )
    raise UserError(
        f"{records.path}: {what}; put the true labels beside it in list.txt or train.lst, one line "
        "an image in order of key: `path label`"
    )
