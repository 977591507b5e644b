"""selection.parquet: which images of the pool a mixed training folder uses, and as whom."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from auggen.core.errors import UserError
from auggen.faces.shards import FaceSet

SELECTION_NAME = "selection.parquet"
_COLUMNS = ["row", "label", "pool_label", "source_i", "source_j"]


def read_selection(folder: Path, real: FaceSet, pool: FaceSet) -> pd.DataFrame:
    """Reads the chosen images of a mixed training folder, one row an image.

    Args:
        folder: the training folder.
        real: its real images.
        pool: the synthetic ones that the table chooses from.

    Returns:
        Columns of int64: row, of the pool; label, k >= 0 for the k-th mixed class, -1 - k for real
        class k drawn anew; pool_label, the class in the pool; source_i and source_j, the two real
        classes.

    Raises:
        UserError: missing, unreadable, empty, or a number that `real` or `pool` does not have.
    """
    path = folder / SELECTION_NAME
    try:
        table = pd.read_parquet(path, columns=_COLUMNS)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: not a readable Parquet file with {', '.join(_COLUMNS)} ({reason}); "
            "run `dvc repro select`"
        ) from error
    label = table["label"]
    if (
        table.empty
        or any(kind.kind != "i" for kind in table.dtypes)
        or not table["row"].between(0, len(pool.paths) - 1).all()
        or not table["pool_label"].between(0, pool.num_classes - 1).all()
        or not table[["source_i", "source_j"]].isin(range(real.num_classes)).all(axis=None)
        or not label.between(-real.num_classes, label[label >= 0].nunique() - 1).all()
    ):
        raise UserError(
            f"{path}: empty, or a row, label or source beyond the {len(pool.paths)} images and "
            f"{pool.num_classes} classes of synthetic/ and the {real.num_classes} real people; "
            "run `dvc repro select`"
        )
    return table.astype(np.int64)


def joint_labels(table: pd.DataFrame, num_real_classes: int) -> npt.NDArray[np.int64]:
    """Returns each chosen image's class where mixed classes follow the real ones [n]."""
    label = table["label"].to_numpy()
    return np.where(label >= 0, num_real_classes + label, -1 - label)


def mixed_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Returns one row a mixed class, the first of its images, in the order of their labels."""
    return table[table["label"] >= 0].drop_duplicates("label").sort_values("label")
