"""From a program's results to Arrow, exactly. Tiny results pass here in microseconds, so Arrow's buffers are made directly."""

from __future__ import annotations

from typing import Any, NamedTuple, assert_never

import numpy as np
import pyarrow as pa

from qtensor.errors import CapacityError, ExecutionError, InternalError
from qtensor.lowering.storage.column import Validity, Values
from qtensor.lowering.storage.types import arrow_type
from qtensor.types import (
    DATE,
    DOUBLE,
    FLOAT,
    TIMESTAMP,
    Array,
    Boolean,
    Date,
    Decimal,
    Float,
    Integer,
    Interval,
    Null,
    SqlType,
    Timestamp,
    Unsupported,
    Varchar,
)

_LIMB = 32  # bits of the low part of a wide sum
_DTYPES: dict[SqlType, np.dtype[Any]] = {
    **{Integer(bits, signed=True): np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{Integer(bits, signed=False): np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    DATE: np.dtype(np.int32),
    TIMESTAMP: np.dtype(np.int64),
    FLOAT: np.dtype(np.float32),
    DOUBLE: np.dtype(np.float64),
}

# What the integer types hold: looking here takes a tenth of the time of np.iinfo.
_LIMITS = {np.dtype(name): (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in np.typecodes["AllInteger"]}

_MAXIMUM_TEXT_BYTES = 2**31 - 1  # what the 32-bit offsets of a string array can address


class ResultColumn(NamedTuple):
    """A column of a result as a program leaves it.

    data: [n] of any integer width, bool, float32 or float64; [k, n] for ARRAY. Of a wide sum the high part.
    low: int64[n], of a wide sum the low part: the value is data * 2**32 + low, where 0 <= low < 2**32. Else None.
    valid: bool[n], False for NULL; None when there is none. Data of NULL rows may be anything.
    dictionary: for VARCHAR the strings that the codes in `data` stand for.
    """

    type: SqlType
    data: Values
    low: Values | None
    valid: Validity | None
    dictionary: pa.Array | None


def decode_column(column: ResultColumn) -> pa.Array:
    """The column as an Arrow array of type `arrow_type(column.type)`, which may share the column's memory.

    Raises:
        ExecutionError: a value beyond the range of its type.
        CapacityError: more text than an Arrow string array can hold.
    """
    type, data = column.type, column.data
    rows = data.shape[-1]
    bitmap, nulls = _bitmap(column.valid)
    if type in _DTYPES and data.dtype == _DTYPES[type] and column.low is None:
        return _array(type, rows, bitmap, nulls, data)  # what most columns are: already as Arrow has it
    match type:
        case Null():
            return pa.nulls(rows)
        case Decimal(precision):
            return _decimals(column, precision, bitmap, nulls)
        case Integer(bits=128):
            return _decimals(column, 38, bitmap, nulls)
        case Integer() | Date() | Timestamp():
            values = _single(column)
            dtype = _DTYPES[type]
            _check_range(type, values, column.valid, *_LIMITS[dtype])
            return _array(type, rows, bitmap, nulls, values.astype(dtype, copy=False))
        case Float(bits):
            return _array(type, rows, bitmap, nulls, _floats(data, bits))
        case Boolean():
            return _array(type, rows, bitmap, nulls, np.packbits(data, bitorder="little"))
        case Varchar():
            return _strings(column, bitmap, nulls)
        case Array(element, length):
            values = np.ascontiguousarray(_floats(data, element.bits).T).reshape(-1)
            child = pa.Array.from_buffers(arrow_type(element), rows * length, [None, pa.py_buffer(values)], 0)
            return pa.Array.from_buffers(arrow_type(type), rows, [bitmap], nulls, children=[child])
        case Interval():
            raise InternalError("a result column cannot be an INTERVAL")
        case Unsupported():
            assert column.dictionary is not None
            return column.dictionary.take(pa.array(data, mask=None if column.valid is None else ~column.valid))
        case _:
            assert_never(type)


def _bitmap(valid: Validity | None) -> tuple[pa.Buffer | None, int]:
    """Arrow's validity bitmap, None when no row is NULL; and the number of NULL rows."""
    if valid is None:
        return None, 0
    nulls = valid.size - int(np.count_nonzero(valid))
    return (pa.py_buffer(np.packbits(valid, bitorder="little")), nulls) if nulls else (None, 0)


def _array(type: SqlType, rows: int, bitmap: pa.Buffer | None, nulls: int, values: Values) -> pa.Array:
    """An Arrow array of a fixed-width type over the memory of `values`."""
    return pa.Array.from_buffers(arrow_type(type), rows, [bitmap, pa.py_buffer(np.ascontiguousarray(values))], nulls)


def _single(column: ResultColumn) -> Values:
    """The values of `column` in one array of at most 64 bits: int64 of a wide sum, which must fit."""
    if column.low is None:
        return column.data
    high = column.data
    _check_range(column.type, high, column.valid, -(1 << (63 - _LIMB)), (1 << (63 - _LIMB)) - 1)
    return (high.astype(np.int64) << _LIMB) | column.low


def _check_range(type: SqlType, values: Values, valid: Validity | None, minimum: int, maximum: int) -> None:
    """Refuse valid integers outside minimum..maximum; costs nothing where the array's own type cannot hold one."""
    limits = _LIMITS.get(values.dtype)
    if limits is None:
        raise InternalError(f"a result of type {type} came as {values.dtype}")
    if minimum <= limits[0] and limits[1] <= maximum:
        return
    if valid is not None:
        values = values[valid]
    if values.size and not (minimum <= int(values.min()) and int(values.max()) <= maximum):
        raise ExecutionError(f"overflow: a result of type {type} is outside {minimum} to {maximum}")


def _floats(values: Values, bits: int) -> Values:
    if values.dtype.kind != "f" or values.dtype.itemsize * 8 > bits:
        raise InternalError(f"a result of {bits}-bit floating point came as {values.dtype}")
    return values.astype(np.dtype(f"float{bits}"), copy=False)


def _decimals(column: ResultColumn, precision: int, bitmap: pa.Buffer | None, nulls: int) -> pa.Array:
    """DECIMAL and HUGEINT: 128-bit integers in two's complement, the low 64 bits first."""
    high, low = column.data, column.low
    maximum: int = 10**precision - 1
    rows = len(high)
    limbs = np.empty((rows, 2), np.int64)
    if low is None:
        _check_range(column.type, high, column.valid, -maximum, maximum)
        limbs[:, 0] = high  # of uint64 the bits
        limbs[:, 1] = 0 if high.dtype.kind == "u" else high >> (8 * high.itemsize - 1)
    else:
        _check_wide_range(column, low, maximum)
        wide = high.astype(np.int64, copy=False)
        limbs[:, 0] = (wide << _LIMB) | low
        limbs[:, 1] = wide >> _LIMB
    return pa.Array.from_buffers(arrow_type(column.type), rows, [bitmap, pa.py_buffer(limbs)], nulls)


def _check_wide_range(column: ResultColumn, low: Values, maximum: int) -> None:
    """Refuse valid values data * 2**32 + low outside -maximum..maximum."""
    high, valid = column.data, column.valid
    if maximum >> (63 + _LIMB):
        return  # more digits than 64 + 32 bits can make
    if valid is not None:
        high, low = high[valid], low[valid]
    if not high.size:
        return
    largest, smallest = int(high.max()), int(high.min())
    greatest = (largest << _LIMB) + int(low[high == largest].max())
    least = (smallest << _LIMB) + int(low[high == smallest].min())
    if greatest > maximum or least < -maximum:
        raise ExecutionError(f"overflow: a result of type {column.type} is outside {-maximum} to {maximum}")


def _strings(column: ResultColumn, bitmap: pa.Buffer | None, nulls: int) -> pa.Array:
    """The strings of a column of codes, with Arrow's 32-bit offsets."""
    if column.dictionary is None:
        raise InternalError("a result of type VARCHAR came without its dictionary")
    rows = len(column.data)
    if nulls == rows:
        return pa.nulls(rows, pa.string())
    codes = column.data if column.valid is None else np.where(column.valid, column.data, 0)
    indices = pa.Array.from_buffers(pa.int64(), rows, [bitmap, pa.py_buffer(codes.astype(np.int64))], nulls)
    try:
        strings = column.dictionary.take(indices)
    except pa.ArrowIndexError as error:
        raise InternalError(f"a result of type VARCHAR has a code beyond its dictionary: {error}") from error
    bitmap, offsets, text = strings.buffers()
    ends = np.frombuffer(offsets, np.int64, rows + 1)
    if ends[-1] > _MAXIMUM_TEXT_BYTES:
        raise CapacityError("a text column of the result has more than 2 GiB; select fewer rows at a time")
    return pa.Array.from_buffers(pa.string(), rows, [bitmap, pa.py_buffer(ends.astype(np.int32)), text], nulls)
