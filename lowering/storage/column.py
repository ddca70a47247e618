"""What a column is once encoded: a narrow array, a validity, a dictionary, and exact statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import InternalError
from qtensor.lowering.storage.layout import Layout
from qtensor.lowering.storage.levels import Level
from qtensor.types import SqlType

Values: TypeAlias = NDArray[Any]
Validity: TypeAlias = NDArray[np.bool_]

_ALIGNMENT = 64  # bytes: what XLA wants of a buffer that it may use without a copy
_BLOCK = 65_536
_WIDEST_CODE = 1 << 62


@dataclass(frozen=True)
class Statistics:
    """Exact facts about a column, in the encoded domain: unscaled decimals, days, microseconds, dictionary codes, 0 and 1.

    `minimum` and `maximum` are None when there is no value; those of floats ignore NaN. `distinct` is an upper bound of the
    number of different non-NULL values. `sorted`: non-decreasing, without NULL and NaN. `has_denormals`: whether a float is so
    small that XLA:CPU takes it for zero.
    """

    rows: int
    nulls: int
    minimum: int | float | None
    maximum: int | float | None
    has_nan: bool
    distinct: int
    sorted: bool
    has_denormals: bool = False


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """A column as compiled programs read it.

    data: [shares, chunks, chunk], C-contiguous and 64-byte aligned. The narrowest signed integer that holds minimum to
        maximum for integers, decimals (unscaled), dates (days), timestamps (microseconds) and text (codes); bool for
        BOOLEAN, float32 or float64 for FLOAT and DOUBLE.
    valid: of the same shape, False for NULL and beyond the last row; None when no row is NULL.
    dictionary: for VARCHAR the strings that the codes stand for, large_string without NULL.
    level: what codes tell about strings. "ordered": each different value once, in order of code points, so that code order is
        string order; "unique": each once, in any order; "plain": the string of each row, whose code is the row's number.

    NULL slots and the tail of the last used chunk hold a value between minimum and maximum (0 where there is none, 0.0
    for floats); chunks beyond it are zero.
    """

    type: SqlType
    data: Values
    valid: Validity | None
    dictionary: pa.Array | None
    statistics: Statistics
    level: Level = "ordered"

    def share(self, index: int, shares: int) -> tuple[Values, Validity | None]:
        """Views of the data and the validity of one of `shares` shares, each [chunks, chunk].

        These are as many as the column has, or, if that is one chunk, as many as it is to be cut into.
        """
        cut = Layout(self.statistics.rows, *self.data.shape).split(shares)
        first, size = cut.first_row(index), cut.chunks * cut.chunk

        def part(values: NDArray[Any]) -> NDArray[Any]:
            return values.reshape(-1)[first : first + size].reshape(cut.chunks, cut.chunk)

        return part(self.data), None if self.valid is None else part(self.valid)

    @property
    def size(self) -> int:
        """Bytes, those of the dictionary included."""
        parts = [self.data.nbytes, 0 if self.valid is None else self.valid.nbytes]
        return sum(parts) + (0 if self.dictionary is None else self.dictionary.nbytes)

    @cached_property
    def unique(self) -> bool:
        """Whether no two non-NULL rows are equal (NaN equals NaN, 0.0 equals -0.0). Computed when first asked."""
        if self.level == "plain":
            raise InternalError("codes that are row numbers do not tell whether strings are different")
        statistics = self.statistics
        count = statistics.rows - statistics.nulls
        if statistics.distinct < count:
            return False
        values = flat(self.data)[: statistics.rows]
        if statistics.sorted:
            return _all_pairs(values, np.less)
        if self.valid is not None:
            values = values[flat(self.valid)[: statistics.rows]]
        minimum, maximum = statistics.minimum, statistics.maximum
        if isinstance(minimum, int) and isinstance(maximum, int) and maximum - minimum < 8 * count:
            seen = np.zeros(maximum - minimum + 1, np.bool_)
            seen[values.astype(np.int64) - minimum] = True
            return int(np.count_nonzero(seen)) == count
        return len(np.unique(values)) == count


def unique_together(columns: Sequence[EncodedColumn]) -> bool:
    """Whether no two rows are equal in all columns (NaN equals NaN, 0.0 equals -0.0).

    Rows with a NULL in one of them count as different from all.
    """
    if any(column.unique for column in columns):
        return True
    rows = columns[0].statistics.rows
    kept = np.ones(rows, np.bool_)
    code, size = np.zeros(rows, np.int64), 1
    for column in columns:
        digits, radix = _digits(column)
        if size * radix >= _WIDEST_CODE:
            code, size = _ranks(code)
        if size * radix >= _WIDEST_CODE:
            digits, radix = _ranks(digits)
        code = code * radix + digits
        size *= radix
        if column.valid is not None:
            kept &= flat(column.valid)[:rows]
    code = code[kept]
    if size <= 8 * max(rows, 1 << 20):
        seen = np.zeros(size, np.bool_)
        seen[code] = True
        return int(np.count_nonzero(seen)) == len(code)
    if not _all_pairs(code, np.less_equal):
        code.sort()
    return _all_pairs(code, np.less)


def _digits(column: EncodedColumn) -> tuple[NDArray[np.int64], int]:
    """Integers, equal where the rows' values are, and what they are below; any for NULL."""
    statistics = column.statistics
    values = flat(column.data)[: statistics.rows]
    if values.dtype.kind == "f":
        return _ranks(values)
    minimum, maximum = int(statistics.minimum or 0), int(statistics.maximum or 0)
    radix = maximum - minimum + 1
    return (values.astype(np.int64) - minimum, radix) if radix < _WIDEST_CODE else _ranks(values)


def _ranks(values: Values) -> tuple[NDArray[np.int64], int]:
    """The number of each value among the different ones, and how many these are."""
    different, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64, copy=False), len(different)


def flat(array: Values) -> Values:
    """All slots of a contiguous array in row order, as a view."""
    return array.reshape(-1)


def allocate(layout: Layout, dtype: np.dtype[Any]) -> Values:
    """An array of the layout's shape, 64-byte aligned: zero beyond the rows, anything in them, since all are to be written.

    Not np.zeros: memory that the heap has kept from a former column would be cleared for nothing.
    """
    array = reserve(layout, dtype)
    pad(array, layout)
    return array


def reserve(layout: Layout, dtype: np.dtype[Any]) -> Values:
    """The same, but anything beyond the rows, too: so that rows which never come, though a file says so, take no memory."""
    size = layout.capacity * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(layout.shape)


def pad(array: Values, layout: Layout) -> None:
    """Put zeros beyond the rows."""
    flat(array)[layout.rows :] = 0


def narrowest(minimum: int, maximum: int) -> np.dtype[Any]:
    """The narrowest signed integer type that holds minimum to maximum.

    >>> narrowest(-128, 127), narrowest(0, 128)
    (dtype('int8'), dtype('int16'))
    """
    for bits in (8, 16, 32):
        if -(1 << (bits - 1)) <= minimum and maximum < 1 << (bits - 1):
            return np.dtype(f"int{bits}")
    return np.dtype(np.int64)


def is_sorted(values: Values) -> bool:
    """Whether `values` [n], without NaN, never decrease."""
    return _all_pairs(values, np.less_equal)


def _all_pairs(values: Values, relation: np.ufunc) -> bool:
    """Whether `relation` holds for all neighbours; stops soon after the first that breaks it."""
    return all(
        relation(values[start : start + _BLOCK][: len(values) - start - 1], values[start + 1 : start + 1 + _BLOCK]).all()
        for start in range(0, len(values) - 1, _BLOCK)
    )
