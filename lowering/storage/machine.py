"""One Arrow array as NumPy values of the encoded domain, exactly or as a DataError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as arrow

from qtensor.errors import DataError
from qtensor.lowering.storage.column import Validity, Values
from qtensor.types import MICROSECONDS_PER_DAY

_MILLISECONDS_PER_DAY = MICROSECONDS_PER_DAY // 1000
_INT64 = np.iinfo(np.int64)
_TOO_WIDE = "does not fit 64 bits; cast the column to a decimal of at most 18 digits, or to float64"

_DTYPES: dict[pa.DataType, np.dtype[Any]] = {
    pa.int8(): np.dtype(np.int8),
    pa.int16(): np.dtype(np.int16),
    pa.int32(): np.dtype(np.int32),
    pa.int64(): np.dtype(np.int64),
    pa.uint8(): np.dtype(np.uint8),
    pa.uint16(): np.dtype(np.uint16),
    pa.uint32(): np.dtype(np.uint32),
    pa.float16(): np.dtype(np.float16),
    pa.float32(): np.dtype(np.float32),
    pa.float64(): np.dtype(np.float64),
    pa.date32(): np.dtype(np.int32),
    pa.timestamp("us"): np.dtype(np.int64),
}


def validity(array: pa.Array) -> Validity | None:
    """bool[n], False for NULL; None when no value of `array` is NULL."""
    if array.null_count == 0:
        return None
    if array.null_count == len(array):  # also arrays of type null, which have no bitmap
        return np.zeros(len(array), np.bool_)
    bitmap = array.buffers()[0]
    if bitmap is None:  # NULLs without a bitmap: a dictionary that holds NULL is resolved by the caller
        return None
    return _bits(bitmap, array.offset, len(array))


def machine_values(name: str, array: pa.Array, valid: Validity | None) -> Values:
    """The values [n] of `array`, a view where Arrow's memory is already what is wanted; anything in slots that are not valid.

    Raises:
        DataError: a valid value has no exact representation; names the column and the value.
    """
    type = array.type
    if type in _DTYPES:
        return _buffer(array, _DTYPES[type])
    if arrow.is_boolean(type):
        return _bits(array.buffers()[1], array.offset, len(array))
    if arrow.is_uint64(type):
        values = _buffer(array, np.dtype(np.int64))
        _refuse(name, array, valid, values < 0, "is beyond the range of BIGINT; cast the column to float64")
        return values
    if arrow.is_decimal(type):
        return _decimal(name, array, valid)
    if arrow.is_date64(type):
        days, rest = np.divmod(_buffer(array, np.dtype(np.int64)), _MILLISECONDS_PER_DAY)
        _refuse(name, array, valid, rest != 0, "is not a whole day; cast the column to timestamp[ms]")
        return days
    if arrow.is_timestamp(type):
        return _timestamp(name, array, valid)
    raise DataError(f'column "{name}" has Arrow type {type}, which is not supported')


def _decimal(name: str, array: pa.Array, valid: Validity | None) -> Values:
    """Unscaled decimals: the lowest 64 bits, once the higher ones are seen to be only their sign."""
    width = array.type.bit_width
    if width <= 64:
        return _buffer(array, np.dtype(f"int{width}"))
    count = width // 64
    first = array.offset * count
    limbs = np.frombuffer(array.buffers()[1], np.int64)[first : first + len(array) * count].reshape(-1, count)
    low = np.ascontiguousarray(limbs[:, 0])
    sign = low >> 63
    for limb in range(1, count):
        unlike = limbs[:, limb] != sign
        _refuse(name, array, valid, unlike, _TOO_WIDE)
    return low


def _timestamp(name: str, array: pa.Array, valid: Validity | None) -> Values:
    """Microseconds from seconds, milliseconds or nanoseconds."""
    values = _buffer(array, np.dtype(np.int64))
    if array.type.unit == "ns":
        quotient, rest = np.divmod(values, 1000)
        _refuse(name, array, valid, rest != 0, "is not a whole number of microseconds; cast the column to timestamp[us]", "ns")
        return quotient
    factor = {"s": 1_000_000, "ms": 1_000}[array.type.unit]
    beyond = (values > _INT64.max // factor) | (values < -(_INT64.max // factor))
    _refuse(name, array, valid, beyond, "is beyond the range of TIMESTAMP", array.type.unit)
    return values * factor


def _refuse(name: str, array: pa.Array, valid: Validity | None, bad: Validity, reason: str, unit: str = "") -> None:
    """Raise the DataError about the first valid value of `array` that is marked in `bad`, if there is one."""
    if not bad.any():
        return
    if valid is not None:
        bad = bad & valid
        if not bad.any():
            return
    row = int(bad.argmax())
    raw = array.slice(row, 1)
    # A timestamp beyond what Python can show is shown as the number it is stored as.
    shown = f"{raw.cast(pa.int64())[0]} {unit} since 1970-01-01" if unit else str(raw[0])
    raise DataError(f'column "{name}" ({array.type}): the value {shown} {reason}')


def _buffer(array: pa.Array, dtype: np.dtype[Any]) -> Values:
    """The value buffer of `array`, cut to its rows."""
    if len(array) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * dtype.itemsize)


def _bits(bitmap: pa.Buffer, offset: int, count: int) -> Validity:
    """`count` bits from bit `offset` on, as bool."""
    first, shift = divmod(offset, 8)
    octets = np.frombuffer(bitmap, np.uint8, count=(shift + count + 7) // 8, offset=first)
    return np.unpackbits(octets, count=shift + count, bitorder="little")[shift:].view(np.bool_)
