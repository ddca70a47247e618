"""Tables in memory that does not change, Arrow's and polars': kept by reference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.types as arrow

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column, sql_type
from qtensor.types import Field, Schema

Addresses: TypeAlias = tuple[tuple[Any, ...], ...]


def schema_of(schema: pa.Schema) -> Schema:
    """The fields of an Arrow schema.

    Raises:
        DataError: names every column whose type is not supported.
    """
    fields, problems = [], []
    for field in schema:
        try:
            fields.append(Field(field.name, sql_type(field.name, field.type)))
        except DataError as problem:
            problems.append(str(problem))
    if problems:
        raise DataError("\n".join(problems))
    return tuple(fields)


class ArrowSource:
    """A pyarrow Table."""

    def __init__(self, table: pa.Table) -> None:
        """Raises DataError for columns of unsupported types."""
        self.fields = schema_of(table.schema)
        self.rows: int = table.num_rows
        self._table = table

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        chosen = [(self.fields[index], self._table.column(index)) for index in indices]
        return [encode_column(field.name, values, field.type, layout) for field, values in chosen]

    def is_current(self, indices: Collection[int]) -> bool:
        return True


class PolarsSource(ArrowSource):
    """A polars DataFrame.

    Its buffers are never written to while this source holds them; an assignment into the frame (`frame[0, "a"] = 1`,
    `frame.extend`) puts other buffers in their place, and so is seen by their addresses.
    """

    def __init__(self, frame: Any) -> None:
        """Raises DataError for columns of unsupported types."""
        columns = {name: _exported(name, frame.get_column(name)) for name in frame.columns}
        super().__init__(pa.table(columns))
        self._frame = frame
        self._types = frame.schema
        self._memory = [self._memory_of(index) for index in range(len(columns))]
        self._addresses = [_addresses(memory) for memory in self._memory]

    def is_current(self, indices: Collection[int]) -> bool:
        frame = self._frame
        return (
            frame.height == self.rows
            and frame.schema == self._types
            and frame.columns == [field.name for field in self.fields]
            and all(_addresses(self._memory_of(index)) == self._addresses[index] for index in indices)
        )

    def _memory_of(self, index: int) -> pa.ChunkedArray:
        """The frame's own buffers of a column. Categories are exported by a copy, so of them it is the codes."""
        series = self._frame.get_column(self.fields[index].name)
        return pa.chunked_array(series.to_physical() if arrow.is_dictionary(self._table.schema.field(index).type) else series)


def _exported(name: str, series: Any) -> pa.ChunkedArray:
    """A polars Series as Arrow, without a copy."""
    try:
        return pa.chunked_array(series)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f'column "{name}" has polars type {series.dtype}, which is not supported; cast it or drop it') from error


def _addresses(column: pa.ChunkedArray) -> Addresses:
    """Where the memory of `column` lies."""
    return tuple(
        (len(chunk), chunk.offset, *(buffer and buffer.address for buffer in chunk.buffers())) for chunk in column.chunks
    )
