"""The columns of a result as pandas, NumPy, JAX and Python know them, each type as DuckDB gives it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from qtensor.errors import DataError
from qtensor.types import (
    DATE,
    INFINITE_DAY,
    INFINITE_MOMENT,
    TIMESTAMP,
    Array,
    Boolean,
    Date,
    Decimal,
    Enum,
    Float,
    Integer,
    Schema,
    SqlType,
    Timestamp,
    Varchar,
)
from qtensor.values.texts import format_value

Row: TypeAlias = tuple[Any, ...]

EXACT_INTEGERS = 1 << 53  # a double holds every integer below
ROWS_AT_ONCE = 2_048  # what stepping through a result makes Python objects of at a time
_EPOCH = datetime.datetime(1970, 1, 1)


# --- NumPy --------------------------------------------------------------------------------------------------------------------


def numpy_column(name: str, column: pa.ChunkedArray, type: SqlType) -> np.ndarray[Any, Any]:
    """A column as an array [rows], masked where it has NULLs.

    DECIMAL and HUGEINT become float64, DATE and TIMESTAMP datetime64[us]; VARCHAR and arrays are objects.

    Raises:
        DataError: an infinite date.
    """
    values = _values(name, column, type)
    if not values.flags.writeable:  # a look into Arrow's memory
        values = values.copy()
    if not column.null_count:
        return values
    return np.ma.MaskedArray(values, np.asarray(column.is_null()))


def _values(name: str, column: pa.ChunkedArray, type: SqlType) -> np.ndarray[Any, Any]:
    """The same without a mask: at NULLs stands any value."""
    values: np.ndarray[Any, Any]
    match type:
        case Decimal() | Integer(bits=128):
            values = floats_of_decimals(column)
        case Date():
            days = column.cast(pa.int32()).fill_null(0).to_numpy()
            if days.size and int(np.abs(days.astype(np.int64)).max()) >= INFINITE_DAY:
                raise DataError(f'column "{name}" has an infinite date, which datetime64 does not know: fetch it as Arrow')
            values = days.astype("M8[D]").astype("M8[us]")
        case Timestamp():
            values = column.cast(pa.int64()).fill_null(0).to_numpy().astype("M8[us]")
        case Boolean():
            values = column.fill_null(False).to_numpy()
        case Integer() | Float():
            values = column.fill_null(0).to_numpy()
        case Array():
            values = np.empty(len(column), object)
            for index, row in enumerate(_matrix(column, type)):  # NumPy would take them together for one array
                values[index] = row
        case _:
            values = np.empty(len(column), object)
            values[:] = column.to_pylist()
    return values


def floats_of_decimals(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """The doubles nearest to decimals; 0.0 or NaN for NULL."""
    chunks = [_nearest_floats(chunk) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0)


def _nearest_floats(decimals: pa.Array) -> np.ndarray[Any, Any]:
    """Arrow's own cast multiplies by a power of ten: off by one in the last place."""
    limbs = np.frombuffer(decimals.buffers()[1], np.int64).reshape(-1, 2)[decimals.offset : decimals.offset + len(decimals)]
    low, high = limbs[:, 0], limbs[:, 1]
    mask = decimals.is_null().to_numpy(zero_copy_only=False)
    if ((high == low >> 63) & (np.abs(low) < EXACT_INTEGERS) | mask).all():
        quotients: np.ndarray[Any, Any] = np.where(mask, 0, low) / 10.0**decimals.type.scale
        return quotients
    return np.array([np.nan if value is None else float(value) for value in decimals.to_pylist()])


def _matrix(column: pa.ChunkedArray, type: Array) -> np.ndarray[Any, Any]:
    """Arrays of one length as one array [rows, length]; rows of NaN for NULL."""
    parts = []
    for chunk in column.chunks:
        # `flatten` leaves NULL rows out, `values` knows nothing of offsets.
        elements = chunk.values.slice(chunk.offset * type.length, len(chunk) * type.length)
        part = np.array(elements.to_numpy(zero_copy_only=False)).reshape(len(chunk), type.length)
        part[np.asarray(chunk.is_null())] = np.nan
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty((0, type.length), f"f{type.element.bits // 8}")


def jax_ready(name: str, column: pa.ChunkedArray, type: SqlType) -> np.ndarray[Any, Any]:
    """A column of numbers as an array [rows], of arrays [rows, length]; floats with NaN for NULL.

    Raises:
        DataError: a column of another type, or NULLs where there is no NaN.
    """
    if isinstance(type, Array):
        return _matrix(column, type)
    values = numpy_column(name, column, type)
    if values.dtype.kind not in "biuf":
        raise DataError(f'column "{name}" is no number and cannot be a JAX array: leave it out of the query or cast it')
    if isinstance(values, np.ma.MaskedArray):
        if values.dtype.kind != "f":
            raise DataError(
                f'column "{name}" has NULLs, which a JAX array of {values.dtype} cannot hold: use coalesce or CAST AS DOUBLE'
            )
        return values.filled(np.nan)
    return values


# --- pandas -------------------------------------------------------------------------------------------------------------------


def data_frame(table: pa.Table, names: Sequence[str], schema: Schema) -> Any:
    """A result as pandas has it from DuckDB, under other names.

    DECIMAL and HUGEINT become float64, DATE and TIMESTAMP datetime64[us]; of the columns with NULLs, integers and BOOLEAN
    become pandas' nullable types, floats have NaN, dates NaT, text what this pandas takes for missing. ENUMs become categories.

    Raises:
        DataError: an infinite date.
    """
    import pandas

    columns = {
        name: _series(pandas, field.name, column, field.type)
        for name, column, field in zip(names, table.columns, schema, strict=True)
    }
    return pandas.DataFrame(columns, index=pandas.RangeIndex(table.num_rows))


def _series(pandas: ModuleType, name: str, column: pa.ChunkedArray, type: SqlType) -> Any:
    """A column as what pandas makes a Series of."""
    if isinstance(type, Enum):
        return pandas.Categorical(column.to_pandas(), type.values, ordered=True)
    if isinstance(type, Varchar):
        return column.to_pandas()
    values, nulls = _values(name, column, type), np.asarray(column.is_null())
    if not nulls.any():
        return values
    match type:
        case Boolean():
            return pandas.arrays.BooleanArray(values, nulls)
        case Integer(bits=8 | 16 | 32 | 64):
            return pandas.arrays.IntegerArray(values, nulls)
        case Date() | Timestamp():
            return np.where(nulls, np.datetime64("NaT", "us"), values)
        case Integer() | Decimal() | Float():
            return np.where(nulls, values.dtype.type(np.nan), values)
        case Array():
            values[nulls] = pandas.NA
            return values
        case _:
            return values


# --- Python -------------------------------------------------------------------------------------------------------------------


def python_rows(table: pa.Table, schema: Schema) -> list[Row]:
    """The rows as tuples: int, float, Decimal, str, date, datetime, bool, tuples of floats, None.

    Dates that Python does not know are text, as SQL writes them; infinite ones the first and the last that Python knows.
    """
    columns = [_python_values(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows


def _python_values(column: pa.ChunkedArray, type: SqlType) -> list[Any]:
    match type:
        case Integer(bits=128):
            return [None if value is None else int(value) for value in column.to_pylist()]
        case Array():
            return [None if value is None else tuple(value) for value in column.to_pylist()]
        case Date() | Timestamp():
            try:
                return list(column.to_pylist())
            except (OverflowError, ValueError):  # Python's years are 1 to 9999
                numbers = column.cast(pa.int32() if isinstance(type, Date) else pa.int64())
                return [None if value is None else _moment(value, type) for value in numbers.to_pylist()]
        case _:
            return list(column.to_pylist())


def _moment(value: int, type: Date | Timestamp) -> datetime.date | str:
    """A date in days since 1970, or a timestamp in microseconds, as Python has it."""
    is_date = isinstance(type, Date)
    if abs(value) >= (INFINITE_DAY if is_date else INFINITE_MOMENT):
        last = datetime.datetime.max if value > 0 else datetime.datetime.min
        return last.date() if is_date else last
    try:
        moment = _EPOCH + (datetime.timedelta(days=value) if is_date else datetime.timedelta(microseconds=value))
    except OverflowError:
        return format_value(value, DATE if is_date else TIMESTAMP)
    return moment.date() if is_date else moment


def rows_in_batches(table: pa.Table, schema: Schema) -> Iterator[Row]:
    """The rows of `python_rows`, made a batch at a time."""
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        yield from python_rows(table.slice(start, ROWS_AT_ONCE), schema)


class Cursor:
    """One pass over the rows of one result. Safe to use from several threads."""

    def __init__(self, table: pa.Table, schema: Schema) -> None:
        self._schema = schema
        self._lock = threading.Lock()
        self._ahead: list[Row] = []  # made already, the next one last
        self._rest = table

    def take(self, count: int | None) -> list[Row]:
        """The next `count` rows, fewer where there are no more; all that are left without a count."""
        with self._lock:
            wanted = len(self._ahead) + self._rest.num_rows if count is None else count
            taken = [self._ahead.pop() for _ in range(min(wanted, len(self._ahead)))]
            if len(taken) < wanted and self._rest.num_rows:
                missing = wanted - len(taken)
                made = python_rows(self._cut(max(missing, ROWS_AT_ONCE)), self._schema)
                taken += made[:missing]
                self._ahead = made[missing:][::-1]
            return taken

    def _cut(self, count: int) -> pa.Table:
        """The next rows of the table; the last ones let go of its memory."""
        cut, rest = self._rest.slice(0, count), self._rest.slice(count)
        self._rest = rest if rest.num_rows else rest.schema.empty_table()
        return cut
