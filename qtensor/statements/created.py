"""A table that CREATE TABLE made: its definition and its rows, which a statement replaces as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import ArrowSource
from qtensor.statements.statement import Definition
from qtensor.table import Table
from qtensor.types import Schema


class CreatedSource(ArrowSource):
    """Rows of exactly the SQL types that were asked for: HUGEINT and DECIMAL(38,0) are one Arrow type."""

    def __init__(self, fields: Schema, rows: pa.Table) -> None:
        self.fields = fields
        self.rows = rows.num_rows
        self._table = rows

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        return [
            encode_column(self.fields[index].name, self._table.column(index), self.fields[index].type, layout)
            for index in indices
        ]


class CreatedTable:
    """`rows` have the Arrow types that belong to the definition's SQL types. Never changes."""

    def __init__(self, definition: Definition, rows: pa.Table) -> None:
        self.definition = definition
        self.rows = rows
        self.table = Table(definition.name, CreatedSource(definition.schema, rows))
