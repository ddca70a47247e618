"""The last stage of a query: the live rows of its program's results as an Arrow table, or a raised flag as its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import ExecutionError
from qtensor.lowering.physical import OutputColumn, Slot, SourceSlot
from qtensor.lowering.storage import ResultColumn, decode_column
from qtensor.prepared import Prepared


def decode(prepared: Prepared, parts: list[list[jax.Array]]) -> pa.Table:
    """The result as an Arrow table, a chunk for each part.

    Raises ExecutionError: what a check found.
    """
    opened = [Part.of(prepared, number, outputs) for number, outputs in enumerate(parts)]
    output = prepared.planned.output
    schema = prepared.arrow_schema
    if not output:
        return pa.table({}, schema=schema)
    batches = [pa.RecordBatch.from_arrays([part.decoded(column) for column in output], schema=schema) for part in opened]
    return pa.Table.from_batches(batches, schema)


@dataclass(frozen=True)
class Part:
    """One part of a result: columns with dead rows among them, and how to pick the live ones."""

    prepared: Prepared
    share: int
    columns: list[NDArray[Any]]
    rows: slice | NDArray[np.int64]

    @staticmethod
    def of(prepared: Prepared, share: int, outputs: list[jax.Array]) -> Part:
        *columns, live, flags = (np.asarray(output) for output in outputs)
        if prepared.planned.checks and flags.any():
            check = prepared.planned.checks[int(flags.argmax())]
            raise ExecutionError(check.message, prepared.query.sql, [check.span] if check.span else [])
        live = live.reshape(-1)
        count = int(np.count_nonzero(live))
        # Taking by number is five times faster than a Boolean index; most results have their live rows in front anyway.
        rows = slice(0, count) if live[:count].all() else np.flatnonzero(live)
        return Part(prepared, share, columns, rows)

    def decoded(self, column: OutputColumn) -> pa.Array:
        data = self.picked(column.data)
        assert data is not None
        if column.elements:
            data = np.stack([values for slot in column.elements if (values := self.picked(slot)) is not None])
        dictionary = None if column.dictionary is None else self.prepared.host.strings(column.dictionary)
        return decode_column(ResultColumn(column.type, data, self.picked(column.low), self.picked(column.valid), dictionary))

    def picked(self, slot: Slot | None) -> NDArray[Any] | None:
        """The live rows of a column of the result, or of the source."""
        if slot is None:
            return None
        values = self.from_source(slot) if isinstance(slot, SourceSlot) else self.columns[slot]
        values = values.reshape(-1)
        return values[self.rows] if isinstance(self.rows, slice) else values.take(self.rows)

    def from_source(self, slot: SourceSlot) -> NDArray[Any]:
        source = self.prepared.planned.plan.source
        data, valid = self.prepared.encoded(source.table, slot.column).share(self.share)
        if not slot.validity:
            return data
        assert valid is not None
        return valid
