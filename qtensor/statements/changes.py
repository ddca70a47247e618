"""INSERT, DELETE and UPDATE: the rows after them, and what NOT NULL, UNIQUE and PRIMARY KEY ask of these.

Queries say which rows, and which values: what is left is to put columns together, which Arrow does.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import ExecutionError
from qtensor.lowering.storage.machine import machine_values, validity
from qtensor.statement import Key, TableDefinition
from qtensor.statements.created import CreatedTable

MOST_CHUNKS = 32  # of a column: every INSERT adds one, and each costs time in all that reads the column


def arrow_rows(definition: TableDefinition, rows: pa.Table) -> pa.Table:
    """`rows` under the names of the table's columns.

    Raises:
        ExecutionError: a NULL in a column that is NOT NULL.
        DataError: a value of more than 64 bits.
    """
    for column, values in zip(definition.columns, rows.columns, strict=True):
        if not column.nullable and values.null_count:
            number = int(np.flatnonzero(values.is_null().to_numpy())[0])
            message = (
                f'NULL in the column "{column.name}" of {definition.name}, which is NOT NULL (row {number + 1} of {len(values)})'
            )
            raise ExecutionError(message)
        if pa.types.is_decimal(values.type) or pa.types.is_uint64(values.type):
            refuse_wide(column.name, values)
    return rows.rename_columns([column.name for column in definition.columns])


def refuse_wide(name: str, values: pa.ChunkedArray) -> None:
    """Raise DataError for numbers of more than 64 bits, which no query could read back."""
    for chunk in values.chunks:
        machine_values(name, chunk, validity(chunk))


def appended(table: CreatedTable, rows: pa.Table, threads: int) -> CreatedTable:
    """The table with `rows` behind its own. threads: of the queries that will read it."""
    whole = pa.concat_tables([table.rows, arrow_rows(table.definition, rows).cast(table.rows.schema)])
    if whole.num_columns and whole.column(0).num_chunks > MOST_CHUNKS:
        whole = whole.combine_chunks()
    end = table.next_number + rows.num_rows
    numbers = np.concatenate([table.numbers, np.arange(table.next_number, end)])
    return with_keys_checked(CreatedTable(table.definition, whole, numbers, end), threads)


def without(table: CreatedTable, numbers: NDArray[np.int64]) -> CreatedTable:
    """The table without the rows of these numbers."""
    kept = np.ones(table.rows.num_rows, np.bool_)
    kept[table.places(numbers)] = False
    return CreatedTable(table.definition, table.rows.filter(pa.array(kept)), table.numbers[kept], table.next_number)


def changed(table: CreatedTable, columns: tuple[int, ...], rows: pa.Table, threads: int) -> tuple[CreatedTable, int]:
    """The table with new values in `columns` of some rows, and how many rows these are.

    rows: the rows' numbers, then a column of values for each of `columns`. Of several that are for one row, the first counts.
    """
    numbers, first = np.unique(rows.column(0).to_numpy(), return_index=True)
    taken = np.arange(table.rows.num_rows)
    taken[table.places(numbers)] = table.rows.num_rows + first
    whole = table.rows
    for index, values in zip(columns, rows.columns[1:], strict=True):
        old = whole.column(index)
        both = pa.chunked_array([*old.chunks, *values.cast(old.type).chunks], old.type)
        whole = whole.set_column(index, whole.schema.field(index), both.take(pa.array(taken)))
    new = CreatedTable(table.definition, arrow_rows(table.definition, whole), table.numbers, table.next_number)
    touched = any(set(key.columns) & set(columns) for key in table.definition.keys)
    return (with_keys_checked(new, threads) if touched else new), len(numbers)


def with_keys_checked(table: CreatedTable, threads: int) -> CreatedTable:
    """The table itself.

    Raises:
        ExecutionError: two rows have the same values in all columns of a key.
    """
    for key in table.definition.keys:
        if not table.table.unique(key.columns, threads):
            raise ExecutionError(duplicate_text(table, key))
    return table


def duplicate_text(table: CreatedTable, key: Key) -> str:
    """What to say of a key's values that are there twice: which they are."""
    names = [f"k{index}" for index in range(len(key.columns))]
    columns = pa.Table.from_arrays([table.rows.column(index) for index in key.columns], names=names).drop_null()
    counted = columns.group_by(names, use_threads=False).aggregate([([], "count_all")])
    number = int(np.argmax(counted.column("count_all").to_numpy() > 1))
    shown = ", ".join(
        f"{table.definition.columns[i].name} = {counted.column(n)[number]}" for i, n in zip(key.columns, names, strict=True)
    )
    what = "PRIMARY KEY" if key.primary else "UNIQUE"
    return f"two rows of {table.definition.name} would have {shown}, which is {what}"
