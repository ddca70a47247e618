"""A table that CREATE TABLE made: its definition and its rows, which a statement replaces as a whole."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from qtensor.sources.typed import TypedSource
from qtensor.statements.statement import ROW, Definition, numbered
from qtensor.table import Table
from qtensor.types import BIGINT, Field


class CreatedTable:
    """`rows` have the Arrow types that belong to the definition's SQL types. Never changes."""

    def __init__(self, definition: Definition, rows: pa.Table) -> None:
        self.definition = definition
        self.rows = rows
        self.table = Table(definition.name, TypedSource(definition.schema, rows))

    @cached_property
    def numbered(self) -> Table:
        """The table with the number of each row as one more column, for statements that change some of its rows."""
        numbers = pa.array(np.arange(self.rows.num_rows, dtype=np.int64))
        fields = (*self.definition.schema, Field(ROW, BIGINT))
        columns = [*self.rows.columns, pa.chunked_array([numbers])]
        rows = pa.Table.from_arrays(columns, names=[field.name for field in fields])
        return Table(numbered(self.definition.name), TypedSource(fields, rows))
