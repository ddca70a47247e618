"""NumPy arrays of numbers, booleans and dates as Arrow arrays, without a copy where that can be.

pyarrow would do it, but imports pandas for it, which a user of NumPy may not need and would wait for.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import DataError
from qtensor.types import Unsupported

AnyArray: TypeAlias = NDArray[Any]

_DATE_UNITS = [(unit, 1) for unit in ("D", "s", "ms", "us", "ns")]


def numpy_type(dtype: np.dtype[Any]) -> pa.DataType | Unsupported:
    """The Arrow type that a column of NumPy type `dtype` will have."""
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    if dtype.kind == "M" and np.datetime_data(dtype) in _DATE_UNITS:
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    if dtype.kind == "m" and np.datetime_data(dtype) in _DATE_UNITS[1:]:
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    remedy = "datetime64[us]" if dtype.kind == "M" else "a number, datetime64[us] or object (for str)"
    return Unsupported(f"{dtype}", f"cast it to {remedy}")


def arrow_array(name: str, values: AnyArray, mask: NDArray[np.bool_] | None) -> pa.Array:
    """`values` [n], contiguous, as Arrow; NULL where `mask` is set, and for NaN and NaT.

    Raises:
        DataError: a day beyond the range of DATE.
    """
    type = numpy_type(values.dtype)
    assert isinstance(type, pa.DataType)
    rows = len(values)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    null = mask
    if values.dtype.kind in "fMm":
        unknown = np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
        null = unknown if mask is None else unknown | mask
    nulls = 0 if null is None else int(np.count_nonzero(null))
    bitmap = pa.py_buffer(np.packbits(~null, bitorder="little")) if null is not None and nulls else None
    if type == pa.date32():
        values = _days(name, values.view(np.int64), null)
    elif values.dtype.kind == "b":
        values = np.packbits(values, bitorder="little")
    # As bytes, since datetime64 has no buffer protocol.
    return pa.Array.from_buffers(type, rows, [bitmap, pa.py_buffer(values.view(np.uint8))], nulls)


def _days(name: str, days: AnyArray, null: NDArray[np.bool_] | None) -> AnyArray:
    """64-bit days as 32-bit days."""
    narrow = days.astype(np.int32)
    wrong = narrow != days
    if null is not None:
        wrong &= ~null
    if wrong.any():
        raise DataError(f'column "{name}": day {days[int(wrong.argmax())]} since 1970-01-01 is beyond the range of DATE')
    return narrow
