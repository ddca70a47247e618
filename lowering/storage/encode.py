"""From Arrow to an encoded column, in one pass over the data, as it arrives and from several threads at once.

The width of the encoded integers has to be known before the first value is written, their range only after the last. So
an encoder starts from an expected range (sampled, or a Parquet footer's), measures while it writes, and when the data
turns out to be wider, asks for one more pass, which then knows. Expectations make it fast; they are never trusted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as arrow

from qtensor.errors import DataError, InternalError
from qtensor.lowering.storage.column import (
    EncodedColumn,
    Statistics,
    Validity,
    Values,
    allocate,
    flat,
    is_sorted,
    narrowest,
    pad,
    reserve,
)
from qtensor.lowering.storage.layout import Layout
from qtensor.lowering.storage.machine import machine_values, validity
from qtensor.lowering.storage.text import TextEncoder
from qtensor.types import Boolean, Date, Decimal, Float, Integer, Null, SqlType, Timestamp, Unsupported, Varchar

Range: TypeAlias = tuple[int, int]
Item = TypeVar("Item")

_BLOCK = 131_072  # rows: the temporaries of a block stay in cache, and calls are few enough not to fight for Python's lock
_PIECE = 2 * _BLOCK  # rows: what one thread takes at a time
_SAMPLED_ROWS = 4_096
_SAMPLED_CHUNKS = 32
_SMALL_CHUNK = 4_096  # rows: shorter Arrow chunks are joined first, since the work of a block would be mostly overhead


class ColumnEncoder(Protocol):
    """Collects one column, written in any order and from any threads, each row exactly once."""

    def write(self, start: int, array: pa.Array) -> None:
        """Take `array` as the rows from `start` on.

        Raises:
            DataError: a value that cannot be represented exactly; names column and value.
        """

    def finish(self) -> EncodedColumn | None:
        """The column; None when the expected range was too narrow: then write every row again and finish again."""


def encode_column(name: str, values: pa.ChunkedArray | pa.Array, type: SqlType, layout: Layout) -> EncodedColumn:
    """Encode the `layout.rows` rows of `values`, whose type is `sql_type(values.type)`, which is `type`.

    Raises:
        DataError: a value that cannot be represented exactly; names column and value.

    >>> from qtensor.lowering.storage import layout_for
    >>> from qtensor.types import BIGINT
    >>> column = encode_column("a", pa.array([7, None, 300]), BIGINT, layout_for(3, threads=1))
    >>> column.data[0, 0, :4], column.valid[0, 0, :4], column.statistics.maximum
    (array([  7,   7, 300,   7], dtype=int16), array([ True, False,  True, False]), 300)
    """
    if len(values) != layout.rows:
        raise InternalError(f'column "{name}" has {len(values)} rows, its table {layout.rows}')
    chunks = _chunks(values)
    encoder = column_encoder(name, type, layout, _sampled_range(name, chunks, type))
    # Text hashes every value; numbers wait for memory, and a second thread gained nothing.
    threads = layout.shares if isinstance(type, Varchar) else 1
    column = None
    while column is None:
        for_each(lambda piece: encoder.write(*piece), _pieces(chunks), threads)
        column = encoder.finish()
    return column


def column_encoder(
    name: str, type: SqlType, layout: Layout, expected: Range | None = None, *, keep_width: bool = False
) -> ColumnEncoder:
    """An encoder for a column of SQL type `type`.

    expected: the range of the encoded values, where something is known of it; a wrong one costs time and nothing else.
    keep_width: whether integers have the width that the expected range needs, though that of the values needed less: parts of
    one column then are of one width.

    Raises:
        DataError: the type is not supported.
    """
    if isinstance(type, Unsupported):
        return _RowEncoder(name, type, layout)
    if isinstance(type, Varchar):
        return TextEncoder(name, layout)
    return _NumberEncoder(name, type, layout, expected, keep_width)


def for_each(function: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """Call `function` on every item, on up to `threads` threads (and no more than there are cores).

    For work that spends its time in NumPy and Arrow, which release the interpreter's lock.
    """
    items = list(items)
    workers = min(threads, len(items), os.cpu_count() or 1)
    if workers <= 1:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(function, item) for item in items]:
            done.result()


class _RowEncoder:
    """A column that programs pass on: they see the numbers of its rows, as codes of plain text are, and whether it is NULL."""

    def __init__(self, name: str, type: Unsupported, layout: Layout) -> None:
        if type.arrow is None:
            raise DataError(f'column "{name}" is of type {type}, which cannot be read; {type.remedy}')
        self._name = name
        self._type = type
        self._layout = layout
        self._written: list[tuple[int, pa.Array]] = []  # appending is atomic

    def write(self, start: int, array: pa.Array) -> None:
        self._written.append((start, _plain(array)))

    def finish(self) -> EncodedColumn:
        rows = self._layout.rows
        parts = [array for _, array in sorted(self._written, key=lambda part: part[0])]
        try:
            whole = pa.concat_arrays(parts) if parts else pa.array([], self._type.arrow)
        except pa.ArrowException as error:
            raise DataError(f'column "{self._name}" of type {self._type} cannot be read: {error}') from error
        data = allocate(self._layout, np.min_scalar_type(-max(rows, 1)))
        flat(data)[:rows] = np.arange(rows)
        valid = None
        if whole.null_count:
            valid = allocate(self._layout, np.dtype(np.bool_))
            flat(valid)[:rows] = np.asarray(whole.is_valid())
        statistics = Statistics(rows, whole.null_count, 0, max(rows - 1, 0), False, rows, False)
        return EncodedColumn(self._type, data, valid, whole, statistics, "plain")


class _NumberEncoder:
    """Everything that is not text: integers, decimals, dates, timestamps, booleans, floats, and the type of a bare NULL."""

    def __init__(self, name: str, type: SqlType, layout: Layout, expected: Range | None, keep_width: bool) -> None:
        self._name = name
        self._type = type
        self._layout = layout
        self._keep_width = keep_width
        self._lock = Lock()
        self._start_over(_dtype(type, expected))

    def _start_over(self, dtype: np.dtype[np.generic]) -> None:
        self._data = reserve(self._layout, dtype)
        self._valid: Validity | None = None
        self._nulls: list[int] = []  # per block; lists, since appending is atomic
        self._ranges: list[tuple[int | float, int | float]] = []
        self._blanks: list[slice] = []  # blocks without a value
        self._has_nan = False
        self._has_denormals = False

    def write(self, start: int, array: pa.Array) -> None:
        array = _plain(array)
        for offset in range(0, len(array), _BLOCK):
            block = array.slice(offset, _BLOCK)
            rows = slice(start + offset, start + offset + len(block))
            valid = validity(block)
            if valid is not None:
                self._nulls.append(block.null_count)
                flat(self._validity())[rows] = valid
                if not valid.any():
                    self._blanks.append(rows)
                    continue
            values = machine_values(self._name, block, valid)
            if isinstance(self._type, Float):
                self._write_floats(rows, values, valid)
            else:
                self._write_integers(rows, values, valid)

    def _write_integers(self, rows: slice, values: Values, valid: Validity | None) -> None:
        if valid is not None:
            values = np.where(valid, values, values[valid.argmax()])
        self._ranges.append((int(values.min()), int(values.max())))
        flat(self._data)[rows] = values  # may wrap where the expectation was wrong: `finish` looks at the ranges

    def _write_floats(self, rows: slice, values: Values, valid: Validity | None) -> None:
        flat(self._data)[rows] = values if valid is None else np.where(valid, values, values.dtype.type(0))
        present = values if valid is None else values[valid]
        low, high = present.min(), present.max()
        if np.isnan(low):
            self._has_nan = True
            present = present[~np.isnan(present)]
            if len(present) == 0:
                return
            low, high = present.min(), present.max()
        self._ranges.append((float(low), float(high)))
        tiny = np.finfo(values.dtype).tiny
        if low < tiny and high > -tiny and has_denormals(present):
            self._has_denormals = True

    def _validity(self) -> Validity:
        with self._lock:
            if self._valid is None:
                valid = allocate(self._layout, np.dtype(np.bool_))
                flat(valid)[: self._layout.rows] = True
                self._valid = valid
            return self._valid

    def finish(self) -> EncodedColumn | None:
        minimum = min((low for low, _ in self._ranges), default=None)
        maximum = max((high for _, high in self._ranges), default=None)
        if isinstance(minimum, int) and isinstance(maximum, int):
            dtype = _dtype(self._type, (minimum, maximum))
            if dtype.itemsize > self._data.dtype.itemsize:
                self._start_over(dtype)
                return None
            if not self._keep_width:
                self._narrow(dtype)
            self._fill(0 if minimum <= 0 <= maximum else minimum)
        else:
            self._fill(0)
        return EncodedColumn(self._type, self._data, self._valid, None, self._statistics(minimum, maximum))

    def _narrow(self, dtype: np.dtype[np.generic]) -> None:
        """Copy to a narrower type, when less was known beforehand than is known now."""
        if dtype == self._data.dtype:
            return
        data = allocate(self._layout, dtype)
        flat(data)[: self._layout.rows] = flat(self._data)[: self._layout.rows]
        self._data = data

    def _fill(self, value: int) -> None:
        """Put `value` where nothing was written: blocks without a value and the tail of the last used chunk; zeros beyond."""
        rows, chunk = self._layout.rows, self._layout.chunk
        pad(self._data, self._layout)
        for rows_without_value in [*self._blanks, slice(rows, -(-rows // chunk) * chunk)]:
            flat(self._data)[rows_without_value] = value

    def _statistics(self, minimum: int | float | None, maximum: int | float | None) -> Statistics:
        rows, nulls = self._layout.rows, sum(self._nulls)
        distinct = rows - nulls
        if isinstance(minimum, int) and isinstance(maximum, int):
            distinct = min(distinct, maximum - minimum + 1)
        ordered = nulls == 0 and not self._has_nan and is_sorted(flat(self._data)[:rows])
        return Statistics(rows, nulls, minimum, maximum, self._has_nan, distinct, ordered, self._has_denormals)


def has_denormals(values: Values) -> bool:
    """Whether a float is neither zero nor as far from it as normal numbers are: told by the bits, without those of the sign."""
    bits = np.dtype(f"uint{8 * values.dtype.itemsize}").type
    shifted = np.ascontiguousarray(values).view(bits) << bits(1)
    smallest = np.array(np.finfo(values.dtype).tiny).view(bits) << bits(1)
    shifted -= bits(1)  # zero becomes the greatest number
    return bool(shifted.min(initial=smallest) < smallest - bits(1))


def _dtype(type: SqlType, expected: Range | None) -> np.dtype[np.generic]:
    """The array type for a column whose values are expected, or known, to lie in `expected`."""
    match type:
        case Boolean():
            return np.dtype(np.bool_)
        case Float(bits):
            return np.dtype(f"float{bits}")
        case Null():
            return np.dtype(np.int8)
        case Integer() | Decimal() | Date() | Timestamp():
            return narrowest(*expected) if expected is not None else np.dtype(np.int64)
        case _:
            raise InternalError(f"a column of type {type} cannot be stored")


def _chunks(values: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    if isinstance(values, pa.Array):
        return [values]
    # Arrow cannot join an empty chunk with an offset that came through its C interface.
    values = pa.chunked_array([chunk for chunk in values.chunks if len(chunk)], values.type)
    many = values.num_chunks > 1 and len(values) < values.num_chunks * _SMALL_CHUNK
    if many and not arrow.is_dictionary(values.type):  # each chunk may have another dictionary; the encoder merges them
        values = values.combine_chunks()
        return values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return list(values.chunks)


def _plain(array: pa.Array) -> pa.Array:
    """`array` itself, or its values when it is dictionary-encoded, as only text stays, or run-end-encoded."""
    if arrow.is_run_end_encoded(array.type):
        return pc.run_end_decode(array)
    return array.dictionary_decode() if arrow.is_dictionary(array.type) else array


def _pieces(chunks: Sequence[pa.Array]) -> list[tuple[int, pa.Array]]:
    """The rows of `chunks` in pieces of at most _PIECE rows, each with the number of its first row."""
    pieces = []
    start = 0
    for chunk in chunks:
        pieces += [(start + offset, chunk.slice(offset, _PIECE)) for offset in range(0, len(chunk), _PIECE)]
        start += len(chunk)
    return pieces


def _sampled_range(name: str, chunks: Sequence[pa.Array], type: SqlType) -> Range | None:
    """The range of the first and last rows of some chunks; None where there is no value, or none is needed."""
    if not isinstance(type, Integer | Decimal | Date | Timestamp):
        return None
    lows, highs = [], []
    for chunk in chunks[:: max(1, len(chunks) // _SAMPLED_CHUNKS)]:
        for end in (chunk.slice(0, _SAMPLED_ROWS), chunk.slice(max(0, len(chunk) - _SAMPLED_ROWS))):
            sample = _plain(end)
            valid = validity(sample)
            values = machine_values(name, sample, valid) if sample.null_count < len(sample) else np.empty(0)
            if valid is not None and len(values):
                values = values[valid]
            if len(values):
                lows.append(int(values.min()))
                highs.append(int(values.max()))
    return (min(lows), max(highs)) if lows else None
