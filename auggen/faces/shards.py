"""Face sets: a folder of Parquet shards and a manifest, which other tools open too.

Columns: `image` struct {bytes: PNG or JPEG, path}, `label` int32, then any provenance columns.
Dimensions: n images, c channels, h height, w width.
"""

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from auggen.core.errors import UserError
from auggen.core.files import write_bytes, write_json
from auggen.faces.decode import encode_png, stored_shape
from auggen.faces.images import ImageRows, ShardIndex, StoredImages
from auggen.faces.manifest import FORMAT_VERSION, MANIFEST_NAME, Manifest, Shard, read_manifest

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PREFIX = 4
_MEMORY_BUDGET = 256_000_000


@dataclass(frozen=True)
class FaceSet:
    """A face set: columns in memory, pixels in memory or on disk."""

    images: UInt8[Tensor, "n c h w"] | ImageRows
    """Pixels 0..255."""
    labels: Int64[Tensor, " n"]
    """Class of each image, 0..num_classes-1."""
    paths: list[str]
    """Where each image came from, relative to its source."""
    extra: pd.DataFrame
    """Provenance columns, n rows."""
    manifest: Manifest
    """What the folder says of itself."""

    @property
    def num_classes(self) -> int:
        """Number of identities."""
        return self.manifest.num_classes


def write_face_set(
    folder: Path,
    images: Iterable[UInt8[Tensor, "c h w"] | bytes],
    labels: Sequence[int] | Tensor,
    paths: Sequence[str],
    *,
    identities: Sequence[str],
    source_digest: str,
    extra: pd.DataFrame | None = None,
    rows_per_shard: int = 4096,
) -> Manifest:
    """Writes a face set into an existing empty folder; holds at most one shard in memory.

    Args:
        folder: usually an `atomic_directory`.
        images: all of one square size, stored as PNG, or JPEG or PNG bytes that are stored as
            they are; an iterator is consumed once.
        labels: class of each image, in 0..len(identities)-1.
        paths: name of each image.
        identities: name of each class, no name twice.
        source_digest: digest of what the images were made of.
        extra: provenance columns, one row an image.
        rows_per_shard: images in a file.

    Raises:
        ValueError: the arguments disagree in length, labels in range or images in shape.
    """
    classes = torch.as_tensor(labels, dtype=torch.int64).cpu()
    extra = pd.DataFrame(index=range(len(paths))) if extra is None else extra
    if not len(classes) == len(paths) == len(extra):
        raise ValueError(f"{len(classes)} labels, {len(paths)} paths, {len(extra)} extra rows")
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < len(identities):
        raise ValueError(f"labels outside 0..{len(identities) - 1}")
    shards: list[Shard] = []
    shape: list[int] = []
    encoded = (_encode(image, shape) for image in images)
    for start in range(0, len(paths), rows_per_shard):
        rows = slice(start, min(start + rows_per_shard, len(paths)))
        pictures = list(islice(encoded, rows.stop - rows.start))
        if len(pictures) != rows.stop - rows.start:
            raise ValueError(f"{start + len(pictures)} images for {len(paths)} paths")
        table = _to_table(pictures, classes[rows], paths[rows], extra.iloc[rows])
        shards.append(_write_shard(folder / f"shard-{len(shards):05d}.parquet", table))
    if not shape or next(encoded, None) is not None:
        raise ValueError(f"not one image for each of {len(paths)} paths")
    manifest = Manifest.model_validate(
        {
            "format_version": FORMAT_VERSION,
            "image_size": shape[1],
            "channels": shape[0],
            "num_classes": len(identities),
            "num_images": len(paths),
            "identities": list(identities),
            "images_per_identity": torch.bincount(classes, minlength=len(identities)).tolist(),
            "shards": shards,
            "source_digest": source_digest,
        }
    )
    write_json(folder / MANIFEST_NAME, manifest.model_dump())
    return manifest


def _encode(image: UInt8[Tensor, "c h w"] | bytes, shape: list[int]) -> bytes:
    """Bytes of an image of the given shape; the first image fills in an empty shape."""
    found = list((stored_shape(image) or ()) if isinstance(image, bytes) else image.shape)
    if not shape:
        shape.extend(found)
    if found != shape or len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"image of shape {found} in a set of {shape}")
    return image if isinstance(image, bytes) else encode_png(image.cpu())


def _to_table(
    encoded: Sequence[bytes], labels: Tensor, paths: Sequence[str], extra: pd.DataFrame
) -> pa.Table:
    pictures = [
        {"bytes": content, "path": path} for content, path in zip(encoded, paths, strict=True)
    ]
    table = pa.table(
        {
            "image": pa.array(pictures, _IMAGE),
            "label": pa.array(labels.tolist(), pa.int32()),
        }
    )
    provenance = pa.Table.from_pandas(extra, preserve_index=False)
    for name in provenance.column_names:
        table = table.append_column(name, provenance.column(name))
    return table


def _write_shard(path: Path, table: pa.Table) -> Shard:
    """Writes a shard; images lie in it as they are, so that any one can be read by itself."""
    codecs = dict.fromkeys(["image.path", *table.column_names[1:]], "zstd")
    codecs["image.bytes"] = "none"
    stream = io.BytesIO()
    pq.write_table(table, stream, compression=codecs, use_dictionary=False, write_statistics=False)
    content = stream.getvalue()
    write_bytes(path, content)
    digest = hashlib.sha256(content).hexdigest()
    return Shard(file=path.name, rows=table.num_rows, sha256=digest)


def open_face_set(folder: Path) -> FaceSet:
    """Opens a face set, checking every shard against the manifest; images stay on disk.

    Holds one shard in memory, afterwards only the columns beside the images.

    Raises:
        UserError: a shard is missing, corrupt or disagrees with the manifest; names the file.
    """
    manifest = read_manifest(folder)
    index: list[ShardIndex] = []
    labels: list[Tensor] = []
    paths: list[str] = []
    extras: list[pd.DataFrame] = []
    for shard in manifest.shards:
        file = folder / shard.file
        content, table = _read_shard(file, shard)
        pictures = table.column("image").combine_chunks()
        index.append(_find_images(file, content, pictures.field("bytes")))
        paths += pictures.field("path").to_pylist()
        labels.append(torch.tensor(table.column("label").to_numpy().astype("int64")))
        if not 0 <= int(labels[-1].min()) <= int(labels[-1].max()) < manifest.num_classes:
            raise _corrupt(file, f"a label is none of {manifest.num_classes} classes")
        extras.append(table.select(table.column_names[2:]).to_pandas())
    classes = torch.cat(labels)
    counts = torch.bincount(classes, minlength=manifest.num_classes).tolist()
    if counts != manifest.images_per_identity:
        raise _corrupt(folder / MANIFEST_NAME, "images_per_identity disagrees with the labels")
    extra = pd.concat(extras).set_axis(range(manifest.num_images))
    images = StoredImages(index, manifest.channels, manifest.image_size)
    return FaceSet(images, classes, paths, extra, manifest)


def read_face_set(folder: Path) -> FaceSet:
    """Opens a face set and, if its pixels fit in 256 MB, decodes them into memory.

    Raises:
        UserError: as `open_face_set`, or an image that cannot be decoded.
    """
    faces = open_face_set(folder)
    if math.prod(faces.images.shape) > _MEMORY_BUDGET:
        return faces
    return replace(faces, images=faces.images[:])


def _find_images(file: Path, content: bytes, pictures: pa.BinaryArray) -> ShardIndex:
    """Locates each image in a shard: plain Parquet puts four bytes of length before each."""
    offsets, lengths, position = [], [], 0
    for picture in pictures:
        image = picture.as_py()
        if not content.startswith(image, position + _PREFIX):  # another page begins
            position = content.find(len(image).to_bytes(_PREFIX, "little") + image, position)
            if position < 0:
                raise _corrupt(file, "its images are compressed or encoded")
        offsets.append(position + _PREFIX)
        lengths.append(len(image))
        position += _PREFIX + len(image)
    return ShardIndex(file, np.array(offsets, np.int64), np.array(lengths, np.int32))


def _read_shard(path: Path, shard: Shard) -> tuple[bytes, pa.Table]:
    if not path.is_file():
        raise UserError(f"{path}: missing; delete {path.parent} and run `dvc repro` again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        raise _corrupt(path, "its digest is not the one in the manifest")
    try:
        table = pq.read_table(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise _corrupt(path, f"no Parquet file ({error})") from error
    if table.num_rows != shard.rows or table.column_names[:2] != ["image", "label"]:
        raise _corrupt(path, "other rows or columns than the manifest says")
    return content, table


def _corrupt(file: Path, what: str) -> UserError:
    return UserError(f"{file}: corrupt ({what}); delete {file.parent} and run `dvc repro` again")
