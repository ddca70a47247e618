"""The columns of a table as they are stored, and whether they are those that pyarrow reads of the same file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import ResultColumn, decode_column
from qtensor.sources.table import Table
from qtensor.types import Unsupported
from tests.storage.arrays import stored


@dataclass(frozen=True)
class Columns:
    """values: of each column that was read, by its number. whole: whether all columns were read."""

    values: dict[int, list[Any]]
    whole: bool


def columns_of(table: Table) -> Columns:
    """All columns of supported types that can be read. Raises DataError: none can."""
    arrays = arrays_of(table)
    return Columns(
        {index: stored(pa.chunked_array([values])) for index, values in arrays.items()}, len(arrays) == len(table.fields)
    )


def arrays_of(table: Table) -> dict[int, pa.Array]:
    """The same, as Arrow arrays of the types that results have."""
    read: dict[int, pa.Array] = {}
    refused: DataError | None = None
    for index, field in enumerate(table.fields):
        if isinstance(field.type, Unsupported):
            continue
        try:
            column = table.column(index, threads=1)
        except DataError as error:
            refused = error
            continue
        valid = None if column.valid is None else column.valid.reshape(-1)[: table.rows]
        result = ResultColumn(column.type, column.data.reshape(-1)[: table.rows], None, valid, column.dictionary)
        read[index] = decode_column(result)
    if not read:
        raise refused or DataError("no column is of a type that is supported")
    return read


def difference(found: Columns, expected: pa.Table | Exception) -> str:
    """What is wrong with what was read; "" if nothing is. expected: what pyarrow reads, or why it reads nothing.

    Of a file that pyarrow does not read as a whole, some columns may be read.
    """
    if isinstance(expected, Exception):
        return f"read, though pyarrow says {expected}" if found.whole else ""
    for index, values in found.values.items():
        if values != stored(expected.column(index)):
            return f"column {index} has other rows"
    return ""
