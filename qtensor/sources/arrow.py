"""Tables in memory that does not change, Arrow's and polars': kept by reference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.types as arrow

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column, sql_type
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts
from qtensor.sources.held import Reference
from qtensor.sources.parts import slices
from qtensor.types import Field, Schema, Unsupported

Addresses: TypeAlias = tuple[tuple[Any, ...], ...]

# What pyarrow raises for data that is damaged or not there; OverflowError: a length that Python's streams cannot have.
READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError)

_REMEDY = "cast it to a number, string, date or timestamp, or drop it"


def schema_of(schema: pa.Schema) -> Schema:
    """The fields of an Arrow schema; a type that is not supported is refused when a query reads the column.

    Raises DataError: a name is not UTF-8, which Arrow's streams may have.
    """
    try:
        return tuple(Field(field.name, sql_type(field.type)) for field in schema)
    except UnicodeDecodeError as error:
        raise DataError(f"the name of a column is not UTF-8: {error}") from error


def without_rows(schema: pa.Schema) -> pa.Table:
    """A table of `schema`; pyarrow's own way to make one does not know all types."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


_OCTETS = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}


def checked(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """`values` of the column `name`, looked at: buffers, offsets, codes of dictionaries, numbers of NULLs.

    Arrow itself believes all of that in what it reads from streams, and in what others give it in memory. Whether text is UTF-8
    is seen when it is encoded. Raises DataError: they are not as Arrow wants them.
    """
    try:
        for chunk in values.chunks:
            _validate(chunk)
    except pa.ArrowException as error:
        raise DataError(f'column "{name}" is damaged: {error}') from error
    return values


def _validate(array: pa.Array) -> None:
    """Raises ArrowException. Not in full where values that Arrow forbids are refused by value when they are encoded."""
    type = array.type
    if type in _OCTETS:
        array.validate()  # before the view, which is made of its buffers
        array.view(_OCTETS[type]).validate(full=True)
    elif arrow.is_dictionary(type) and type.value_type in _OCTETS:
        array.indices.validate(full=True)
        _validate(array.dictionary)
    else:
        array.validate(full=not arrow.is_date64(type))


def reader_of(source: object) -> pa.RecordBatchReader:
    """The batches of an object with __arrow_c_stream__.

    One of pyarrow's is taken as it is: on the way through C the sizes of buffers are lost, by which damage is seen.
    Raises ArrowException, TypeError: it is no such object.
    """
    return source if isinstance(source, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(source)


class ArrowSource:
    """A pyarrow Table.

    valid: whether its memory is known to be as Arrow wants it. Else each column is looked at before it is read.
    """

    def __init__(self, table: pa.Table, valid: bool = False) -> None:
        self.fields = schema_of(table.schema)
        self.rows: int = table.num_rows
        self._table = table
        self._valid = valid

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        chosen = [(self.fields[index], self._column(index)) for index in indices]
        return [encode_column(field.name, values, field.type, layout) for field, values in chosen]

    def _column(self, index: int) -> pa.ChunkedArray:
        values = self._table.column(index)
        return values if self._valid else checked(self.fields[index].name, values)

    def is_current(self, indices: Collection[int]) -> bool:
        return True

    def head(self, rows: int) -> ArrowSource:
        return _SomeRows(self, range(min(rows, self.rows)))

    def parts(self, rows: int) -> list[ArrowSource]:
        return [_SomeRows(self, found) for found in slices(self.rows, rows)]

    def facts(self, index: int) -> ColumnFacts:
        return NOTHING_SAID

    def forget(self, index: int) -> None:
        pass


class _SomeRows(ArrowSource):
    """Consecutive rows of another source, of its memory."""

    def __init__(self, whole: ArrowSource, rows: range) -> None:
        self._whole = whole
        self._table = whole._table.slice(rows.start, len(rows))
        self.fields = whole.fields
        self.rows = self._table.num_rows
        self._valid = whole._valid

    def is_current(self, indices: Collection[int]) -> bool:
        return self._whole.is_current(indices)


class PolarsSource(ArrowSource):
    """A polars DataFrame.

    Its buffers are never written to while this source holds them; an assignment into the frame (`frame[0, "a"] = 1`,
    `frame.extend`) puts other buffers in their place, and so is seen by their addresses.
    """

    def __init__(self, frame: Any, reference: Reference) -> None:
        """reference: to `frame`."""
        columns = {series.name: _exported(series) for series in frame.get_columns()}
        present = {name: values for name, values in columns.items() if values is not None}
        rows = pa.nulls(frame.height)
        super().__init__(pa.table({name: present.get(name, rows) for name in columns}), valid=True)
        self.fields = tuple(
            field if field.name in present else Field(field.name, Unsupported(str(frame.schema[field.name]), _REMEDY))
            for field in self.fields
        )
        self._frame = reference
        self._types = frame.schema
        self._memory = [self._memory_of(frame, index) for index in range(len(columns))]
        self._addresses = [_addresses(memory) for memory in self._memory]

    def is_current(self, indices: Collection[int]) -> bool:
        frame = self._frame()
        return (
            frame is not None
            and frame.height == self.rows
            and frame.schema == self._types
            and frame.columns == [field.name for field in self.fields]
            and all(_addresses(self._memory_of(frame, index)) == self._addresses[index] for index in indices)
        )

    def _memory_of(self, frame: Any, index: int) -> pa.ChunkedArray:
        """The frame's own buffers of a column. Categories are exported by a copy, so of them it is the codes."""
        if isinstance(self.fields[index].type, Unsupported):
            return pa.chunked_array([], pa.null())
        series = frame.get_column(self.fields[index].name)
        return pa.chunked_array(series.to_physical() if arrow.is_dictionary(self._table.schema.field(index).type) else series)


def _exported(series: Any) -> pa.ChunkedArray | None:
    """A polars Series as Arrow, without a copy; None where Arrow has no such type."""
    try:
        return pa.chunked_array(series)
    except (pa.ArrowException, TypeError, ValueError):
        return None


def _addresses(column: pa.ChunkedArray) -> Addresses:
    """Where the memory of `column` lies."""
    return tuple(
        (len(chunk), chunk.offset, *(buffer and buffer.address for buffer in chunk.buffers())) for chunk in column.chunks
    )
