"""A table that CREATE TABLE made: its definition and its rows, which a statement replaces as a whole."""

from __future__ import annotations

import pyarrow as pa

from qtensor.sources.typed import TypedSource
from qtensor.statements.statement import Definition
from qtensor.table import Table


class CreatedTable:
    """`rows` have the Arrow types that belong to the definition's SQL types. Never changes."""

    def __init__(self, definition: Definition, rows: pa.Table) -> None:
        self.definition = definition
        self.rows = rows
        self.table = Table(definition.name, TypedSource(definition.schema, rows))
