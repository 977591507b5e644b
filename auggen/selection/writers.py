"""Writers of the formats that other trainers read; images are bytes, given class by class."""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auggen.core.errors import UserError

EXACT = 1 << 24
"""float32, in which RecordIO keeps counts and labels, is exact up to here."""
_MAGIC = struct.pack("<I", 0xCED7230A)
_ROWS_PER_GROUP, _GROUPS_PER_FILE = 256, 256
_LONGEST_NAME = 200  # bytes; file systems hold 255
_VALUES = {"float": "float32", "double": "float64", "large_string": "string"}


def write_recordio(
    folder: Path, images: Iterable[bytes], labels: Sequence[int], image_size: int
) -> list[str]:
    """Writes train.rec, train.idx and property in the old layout; returns the keys.

    Key 0 says that images are the keys 1..n and that identity k has the key n + 1 + k, whose record
    names the keys of its images, [first, last + 1). `labels` must ascend without gaps from 0.

    Raises:
        UserError: more records than float32 counts exactly.
    """
    num_classes = labels[-1] + 1
    end = 1 + len(labels)
    if end + num_classes > EXACT:
        raise UserError(
            f"{end + num_classes} records: RecordIO counts in float32, exact up to {EXACT}; "
            "use --format parquet"
        )
    starts = {label: key for key, label in reversed(list(enumerate(labels, 1)))}
    edges = [starts[label] for label in range(num_classes)] + [end]
    with (folder / "train.rec").open("wb") as stream, (folder / "train.idx").open("w") as index:

        def write(key: int, label: int, more: Sequence[int], image: bytes) -> None:
            index.write(f"{key}\t{stream.tell()}\n")
            header = struct.pack("<IfQQ", len(more), label, key, 0)
            _write_record(stream, header + struct.pack(f"<{len(more)}f", *more) + image)

        write(0, 0, (end, end + num_classes), b"")
        for key, (label, image) in enumerate(zip(labels, images, strict=True), 1):
            write(key, label, (), image)
        for label in range(num_classes):
            write(end + label, 0, (edges[label], edges[label + 1]), b"")
    (folder / "property").write_text(f"{num_classes},{image_size},{image_size}\n")
    return [str(key) for key in range(1, end)]


def _write_record(stream: BinaryIO, data: bytes) -> None:
    """Cuts the data where they hold the magic at a multiple of 4, so that readers can resume."""
    cuts, at = [], data.find(_MAGIC)
    while at >= 0:
        aligned = at % 4 == 0
        if aligned:
            cuts.append(at)
        at = data.find(_MAGIC, at + (4 if aligned else 1))
    begins = [0, *(cut + 4 for cut in cuts)]
    for number, (begin, end) in enumerate(zip(begins, [*cuts, len(data)], strict=True)):
        last = number == len(cuts)
        kind = 0 if not cuts else 1 if number == 0 else 3 if last else 2
        part = data[begin:end]
        stream.write(_MAGIC + struct.pack("<I", kind << 29 | len(part)) + part)
        stream.write(bytes(-len(part) % 4))


def write_folder(
    folder: Path, images: Iterable[bytes], labels: Sequence[int], identities: Sequence[str]
) -> list[str]:
    """Writes `<identity>/<number>.png` or `.jpg`, numbered through; returns these paths.

    A mix `s1/s2` becomes the folder `s1+s2`.

    Raises:
        UserError: an identity whose name is no good name of a folder.
    """
    folders = [name.replace("/", "+") for name in identities]
    counts = Counter(folders)
    for name, place in zip(identities, folders, strict=True):
        odd = not place.isprintable() or "\\" in place or place.startswith(".")
        if odd or not 0 < len(place.encode()) <= _LONGEST_NAME or counts[place] > 1:
            raise UserError(f"identity {name!r} gives no folder name; use another format")
        (folder / place).mkdir()
    names = []
    for number, (label, image) in enumerate(zip(labels, images, strict=True)):
        suffix = "png" if image.startswith(b"\x89PNG") else "jpg"
        names.append(f"{folders[label]}/{number:08d}.{suffix}")
        (folder / names[-1]).write_bytes(image)
    return names


def write_parquet(
    folder: Path, images: Iterable[bytes], table: pd.DataFrame, identities: Sequence[str]
) -> None:
    """Writes `train-00000-of-0000N.parquet` in the Hugging Face form, a row group in memory.

    `table` has the columns label, identity, synthetic, path and provenance; path goes to the image,
    identity into the names of the classes.
    """
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = pa.Table.from_pandas(table.drop(columns=["identity", "path"]), preserve_index=False)
    kinds = {field.name: field.type for field in columns.schema}
    large = [name for name, kind in kinds.items() if kind == pa.large_string()]
    kinds = {"image": image} | kinds | dict.fromkeys(large, pa.string())
    schema = pa.schema(kinds.items(), metadata={"huggingface": _features(kinds, identities)})
    pictures = iter(images)
    per_file = _ROWS_PER_GROUP * _GROUPS_PER_FILE
    num_files = -(-len(table) // per_file)
    for file in range(num_files):
        name = folder / f"train-{file:05d}-of-{num_files:05d}.parquet"
        with pq.ParquetWriter(name, schema, compression="zstd", use_dictionary=False) as writer:
            end = min((file + 1) * per_file, len(table))
            for start in range(file * per_file, end, _ROWS_PER_GROUP):
                paths = table["path"].iloc[start : min(start + _ROWS_PER_GROUP, end)]
                group = zip(islice(pictures, len(paths)), paths, strict=True)
                stored = pa.array([{"bytes": b, "path": path} for b, path in group], image)
                part = columns.slice(start, len(paths)).add_column(0, "image", stored)
                writer.write_table(part.cast(schema))


def _features(kinds: dict[str, pa.DataType], identities: Sequence[str]) -> str:
    """The description of the columns that the `datasets` library reads."""
    features: dict[str, object] = {}
    for name, kind in kinds.items():
        features[name] = {"dtype": _VALUES.get(str(kind), str(kind)), "_type": "Value"}
    features["image"] = {"_type": "Image"}
    features["label"] = {"names": list(identities), "_type": "ClassLabel"}
    return json.dumps({"info": {"features": features}})
