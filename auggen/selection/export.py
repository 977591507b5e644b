"""A training folder, real or mixed, in the formats that other trainers read.

Encoded images are copied byte by byte. Rows go class by class, real images before synthetic ones.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from auggen.core.errors import UserError
from auggen.core.files import atomic_directory, write_bytes
from auggen.core.progress import progress
from auggen.faces.images import StoredImages
from auggen.faces.shards import FaceSet, open_face_set
from auggen.recognition.selection_table import (
    SELECTION_NAME,
    joint_labels,
    mixed_classes,
    read_selection,
)
from auggen.selection.writers import write_folder, write_parquet, write_recordio


class ExportFormat(StrEnum):
    """What `export` writes."""

    recordio = "recordio"
    """train.rec, train.idx, property: the old layout, which every RecordIO trainer reads."""
    folder = "folder"
    """`<identity>/<number>.png` (or .jpg)."""
    parquet = "parquet"
    """Hugging Face form with named classes; provenance as columns."""


@dataclass(frozen=True)
class ExportSet:
    """What will be written. Dimension: n images."""

    identities: list[str]
    """Name of class k at position k; `s1/s2` is a mix of two."""
    table: pd.DataFrame
    """Columns label, identity, synthetic, path, then provenance, empty for real images; n rows."""
    image_size: int
    """Height and width, pixels."""
    stored: list[StoredImages]
    """Real images, synthetic images."""
    rows: npt.NDArray[np.int64]
    """Row of each image in its collection [n]."""

    def images(self) -> Iterator[bytes]:
        """Yields the encoded images, n of them."""
        synthetic = self.table["synthetic"].tolist()
        for row, kind in zip(progress(self.rows.tolist(), "export"), synthetic, strict=True):
            yield self.stored[kind].encoded(row)


def run_export(train_dir: Path, out: Path, kind: ExportFormat) -> str:
    """Writes a training folder in another format; returns a line about it.

    RecordIO and folder get a `provenance.csv`: one line an image, its key or path first.

    Raises:
        UserError: broken input, `out` is in use, names or counts that the format cannot hold.
    """
    chosen = check_export(train_dir, out)
    with atomic_directory(out) as folder:
        if kind is ExportFormat.parquet:
            write_parquet(folder, chosen.images(), chosen.table, chosen.identities)
        else:
            labels = chosen.table["label"].tolist()
            if kind is ExportFormat.recordio:
                size = chosen.image_size
                names = write_recordio(folder, chosen.images(), labels, size)
            else:
                names = write_folder(folder, chosen.images(), labels, chosen.identities)
            table = chosen.table.copy()
            table.insert(0, "image", names)
            content = table.to_csv(index=False, lineterminator="\n")
            write_bytes(folder / "provenance.csv", content.encode())
    synthetic = int(chosen.table["synthetic"].sum())
    return (
        f"{len(chosen.table) - synthetic} real and {synthetic} synthetic images of "
        f"{len(chosen.identities)} identities as {kind.value}"
    )


def check_export(train_dir: Path, out: Path) -> ExportSet:
    """Returns what would be written. Raises UserError, see `run_export`; writes nothing."""
    if (
        out.is_symlink()
        or not out.name
        or (out.exists() and not (out.is_dir() and not any(out.iterdir())))
    ):
        raise UserError(f"{out}: is there already; remove it or name another folder")
    real = open_face_set(train_dir)
    tables = [_describe(real, real.labels.numpy(), real.manifest.identities, synthetic=False)]
    identities, stored = real.manifest.identities, [_stored(real)]
    rows = [np.arange(len(real.paths))]
    if (train_dir / SELECTION_NAME).is_file():
        pool = open_face_set(train_dir / "synthetic")
        selection = read_selection(train_dir, real, pool)
        taken = selection["row"].to_numpy()
        classes = mixed_classes(selection)["pool_label"]
        identities = identities + [pool.manifest.identities[k] for k in classes]
        label = joint_labels(selection, real.num_classes)
        tables.append(_describe(pool, label, identities, synthetic=True, rows=taken))
        stored.append(_stored(pool))
        rows.append(taken)
    name, count = Counter(identities).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{train_dir}: a real and a mixed identity have one name, {name!r}; rename the real "
            "one in `prepare.source` and run `dvc repro`"
        )
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    order = np.argsort(table["label"].to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    size = real.manifest.image_size
    return ExportSet(identities, table, size, stored, np.concatenate(rows)[order])


def _describe(
    faces: FaceSet,
    labels: npt.NDArray[np.int64],
    identities: list[str],
    *,
    synthetic: bool,
    rows: npt.NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    chosen = np.arange(len(faces.paths)) if rows is None else rows
    table = pd.DataFrame(
        {
            "label": labels,
            "identity": [identities[label] for label in labels],
            "synthetic": synthetic,
            "path": [faces.paths[row] for row in chosen],
        }
    )
    extra = faces.extra.iloc[chosen].reset_index(drop=True)
    extra = extra.drop(columns=[name for name in table if name in extra])
    whole = {name: str(kind) for name, kind in extra.dtypes.items() if kind.kind in "iu"}
    nullable = {name: kind.replace("u", "U").replace("i", "I") for name, kind in whole.items()}
    return pd.concat([table, extra.astype(nullable)], axis=1)


def _stored(faces: FaceSet) -> StoredImages:
    assert isinstance(faces.images, StoredImages)
    return faces.images
