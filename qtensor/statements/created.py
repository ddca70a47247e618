"""A table that CREATE TABLE made: its definition and its rows, which a statement replaces as a whole."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.sources.table import Table
from qtensor.sources.typed import TypedSource
from qtensor.statement import TableDefinition


class CreatedTable:
    """`rows` have the Arrow types that belong to the definition's SQL types. Never changes.

    numbers: int64[rows], each row's `rowid`, ascending: a row keeps its own when others are deleted. next_number: that of the
    next row to come.
    """

    def __init__(
        self,
        definition: TableDefinition,
        rows: pa.Table,
        numbers: NDArray[np.int64] | None = None,
        next_number: int | None = None,
    ) -> None:
        self.definition = definition
        self.rows = rows
        self.numbers = np.arange(rows.num_rows) if numbers is None else numbers
        self.next_number = rows.num_rows if next_number is None else next_number
        self.table = Table(definition.name, TypedSource(definition.schema, rows), numbers)

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the rows of these numbers are."""
        return np.searchsorted(self.numbers, numbers)
