"""Benchmark lists: small CSV files of row numbers beside the face set they point into."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from auggen.core.errors import UserError

REMEDY = "delete the folder and run `dvc repro` to make it again"


def read_list(path: Path, columns: list[str]) -> pd.DataFrame:
    """Reads a list and checks that it has rows and the columns asked for.

    Raises:
        UserError: missing, not CSV, empty or without a column; names the file.
    """
    try:
        table = pd.read_csv(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; {REMEDY}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a CSV table ({error}); {REMEDY}") from error
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise UserError(f"{path}: has no column `{absent[0]}`; {REMEDY}")
    if table.empty:
        raise UserError(f"{path}: lists nothing; hold out more people (`prepare` in params.yaml)")
    return table


def row_numbers(path: Path, table: pd.DataFrame, column: str, size: int) -> npt.NDArray[np.int64]:
    """Returns a column as row numbers of a face set of `size` images.

    Raises:
        UserError: a value is not an integer in [0, size); names file, column and value.
    """
    values = table[column]
    if not pd.api.types.is_integer_dtype(values):
        raise UserError(f"{path}: column `{column}` holds other things than integers; {REMEDY}")
    rows = values.to_numpy(dtype=np.int64, copy=True)
    wrong = rows[(rows < 0) | (rows >= size)]
    if len(wrong):
        raise UserError(
            f"{path}: column `{column}` names image {wrong[0]} of a face set of {size}; {REMEDY}"
        )
    return rows
