"""Rows cut into parts by their keys, on the host: by hashes, so that equal keys come together, or by order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as arrow
from numpy.typing import NDArray

from qtensor.lowering.host.inputs import as_numpy, order_keys

PARTS = 64
_BITS = 6
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio. Source: D. Knuth, TAOCP 3, section 6.4.
_WORD = 8


def hashed_parts(columns: Sequence[pa.ChunkedArray]) -> NDArray[np.int64]:
    """For each row one of PARTS numbers, the same for rows that are equal in all columns.

    NULL equals NULL here, NaN equals NaN, and 0.0 equals -0.0.
    """
    code = np.zeros(len(columns[0]), np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            values = joined(column)
            bits = text_bits(values) if is_text(values.type) else number_bits(values).astype(np.uint64)
            if values.null_count:
                bits[as_numpy(values.is_null())] = 0
            code = (code ^ bits) * _ODD
            code ^= code >> np.uint64(32)
    return ((code * _ODD) >> np.uint64(64 - _BITS)).astype(np.int64)


def number_bits(values: pa.Array) -> NDArray[Any]:
    """Numbers, dates and truth values as integers in their order; of NULLs any."""
    type = values.type
    if arrow.is_null(type):
        return np.zeros(len(values), np.int64)
    if arrow.is_decimal(type):
        words = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)
        return words[values.offset : values.offset + len(values), 0]  # between steps no value has more than 64 bits
    if arrow.is_floating(type):
        return order_keys(as_numpy(values.cast(pa.float64()).fill_null(0.0)))
    if arrow.is_date32(type):
        values = values.cast(pa.int32())
    elif arrow.is_timestamp(type):
        values = values.cast(pa.int64())
    elif arrow.is_boolean(type):
        values = values.cast(pa.int8())
    return as_numpy(values.fill_null(0)).astype(np.int64)


def text_bits(values: pa.Array) -> NDArray[np.uint64]:
    """Integers for texts, the same for equal ones: made of their first, last and middle bytes and their lengths."""
    values = values.cast(pa.large_string())
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    starts, ends = offsets[:-1], offsets[1:]
    data = values.buffers()[2]
    octets = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    code = (ends - starts).astype(np.uint64)
    last = np.maximum(ends - _WORD, starts)
    with np.errstate(over="ignore"):
        for first in (starts, last, (starts + last) // 2):
            word = np.zeros(len(values), np.uint64)
            for place in range(_WORD):
                at = first + place
                octet = np.where(at < ends, octets[np.minimum(at, len(octets) - 1)], 0).astype(np.uint64)
                word = (word << np.uint64(8)) | octet
            code = (code ^ word) * _ODD
            code ^= code >> np.uint64(29)
    return code


@dataclass(frozen=True)
class Order:
    """What rows are ordered by first: column `column`."""

    column: int
    descending: bool
    nulls_first: bool

    def key(self, rows: pa.Table) -> pa.Array:
        return joined(rows.column(self.column))

    def before(self, keys: pa.Array, bound: object) -> int:
        """How many of `keys`, which are in order, come before those that equal `bound`: a text, or a number of `number_bits`."""
        valid = len(keys) - keys.null_count
        nulls_before = keys.null_count if self.nulls_first else 0
        values = keys.slice(nulls_before, valid)
        if is_text(keys.type):
            compared = pc.greater(values, bound) if self.descending else pc.less(values, bound)
            return nulls_before + int(pc.sum(compared).as_py() or 0)
        numbers = number_bits(values)
        return nulls_before + int(np.count_nonzero(numbers > bound if self.descending else numbers < bound))

    def precedes(self, first: Any, second: Any) -> bool:
        """Whether one key, as `samples` gives them, comes before another."""
        one, other = in_order(first), in_order(second)
        return bool(one > other) if self.descending else bool(one < other)

    def samples(self, keys: pa.Array, every: int) -> list[Any]:
        """Some of the keys that are no NULL, as `before` takes them."""
        values = keys.drop_null()
        values = values.take(pa.array(np.arange(0, len(values), every)))
        return values.to_pylist() if is_text(keys.type) else [int(number) for number in number_bits(values)]

    def bounds(self, samples: Sequence[Any], parts: int) -> list[Any]:
        """Keys that cut rows into about `parts` parts of about the same size, in order, no two of them equal."""
        ordered = sorted(samples, key=in_order, reverse=self.descending)
        return list(dict.fromkeys(ordered[len(ordered) * part // parts] for part in range(1, parts))) if ordered else []


def in_order(key: Any) -> Any:
    """A key as Python orders it: texts by code points, which is the order of their bytes."""
    return key.encode() if isinstance(key, str) else key


def is_text(type: pa.DataType) -> bool:
    return bool(arrow.is_string(type) or arrow.is_large_string(type))


def joined(column: pa.ChunkedArray) -> pa.Array:
    """The chunks as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
