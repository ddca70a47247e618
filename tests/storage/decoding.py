"""Encoded columns as the Arrow columns that they were made of."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from qtensor.lowering.storage import EncodedColumn, ResultColumn, decode_column
from qtensor.sources.table import Table


def decoded(table: Table, column: EncodedColumn) -> pa.Array:
    valid = None if column.valid is None else column.valid.reshape(-1)[: table.rows]
    return decode_column(ResultColumn(column.type, column.data.reshape(-1)[: table.rows], None, valid, column.dictionary))


def rows_of(table: Table, names: Sequence[str] | None = None, threads: int = 2) -> pa.Table:
    """The columns `names` of a table, all of them if None."""
    places = {field.name: index for index, field in enumerate(table.fields)}
    names = list(places) if names is None else names
    columns = table.columns([places[name] for name in names], threads)
    return pa.table([decoded(table, column) for column in columns], names)
