"""Random Arrow columns of every type that can be stored, and what they must read back as."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

_INT64 = 2**63
_TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
_DICTIONARY_TEXT = st.sampled_from(["", "a", "Z", "ä", "\U0001f600", "\uffff", "zz"])


def _decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    bound = min(10**digits - 1, _INT64 - 1)
    return st.integers(-bound, bound).map(lambda unscaled: Decimal(unscaled).scaleb(-scale))


_VALUES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *[(getattr(pa, f"int{bits}")(), st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)) for bits in (8, 16, 32, 64)],
    *[(getattr(pa, f"uint{bits}")(), st.integers(0, min(1 << bits, _INT64) - 1)) for bits in (8, 16, 32, 64)],
    (pa.int64(), st.integers(-130, 130)),
    (pa.float16(), st.floats(width=16).map(np.float16)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.decimal32(9, 2), _decimals(9, 2)),
    (pa.decimal64(18, 18), _decimals(18, 18)),
    (pa.decimal128(15, 2), _decimals(15, 2)),
    (pa.decimal128(38, 3), _decimals(38, 3)),
    (pa.decimal256(38, 0), _decimals(38, 0)),
    (pa.date32(), st.integers(-(1 << 31), (1 << 31) - 1)),
    (pa.date64(), st.integers(-100_000, 100_000).map(lambda day: day * 86_400_000)),
    (pa.timestamp("s"), st.integers(-(_INT64 // 10**6), _INT64 // 10**6)),
    (pa.timestamp("ms"), st.integers(-(_INT64 // 10**3), _INT64 // 10**3)),
    (pa.timestamp("us"), st.integers(-_INT64, _INT64 - 1)),
    (pa.timestamp("ns"), st.integers(-(_INT64 // 10**3), _INT64 // 10**3).map(lambda microsecond: microsecond * 1000)),
    (pa.string(), _TEXT),
    (pa.large_string(), _TEXT),
    (pa.string_view(), _TEXT),
    (pa.null(), st.none()),
]


@st.composite
def columns(draw: st.DrawFn) -> pa.ChunkedArray:
    """A column of up to 60 rows, in chunks that may be empty and may be slices of longer arrays."""
    if draw(st.integers(0, 7)) == 0:
        return draw(_dictionary_columns())
    type, values = draw(st.sampled_from(_VALUES))
    nullable = st.none() | values if draw(st.booleans()) else values
    chunks = [_sliced(draw, _array(type, draw(st.lists(nullable, max_size=20)))) for _ in range(draw(st.integers(0, 3)))]
    return pa.chunked_array(chunks, type)


@st.composite
def _dictionary_columns(draw: st.DrawFn) -> pa.ChunkedArray:
    """Unsorted dictionaries with duplicates, NULLs and unused entries, another for each chunk."""
    index = draw(st.sampled_from([pa.int8(), pa.uint32(), pa.int64()]))
    text = draw(st.sampled_from([pa.string(), pa.large_string()]))
    chunks = []
    for _ in range(draw(st.integers(0, 3))):
        entries = draw(st.lists(st.none() | _DICTIONARY_TEXT, max_size=6))
        codes = st.none() | st.integers(0, len(entries) - 1) if entries else st.none()
        indices = pa.array(draw(st.lists(codes, max_size=20)), index)
        chunks.append(_sliced(draw, pa.DictionaryArray.from_arrays(indices, pa.array(entries, text))))
    return pa.chunked_array(chunks, pa.dictionary(index, text))


def _array(type: pa.DataType, values: list[Any]) -> pa.Array:
    """Python cannot hold all dates and timestamps: they are given as the integers they are stored as."""
    if pa.types.is_temporal(type):
        return pa.array(values, pa.int32() if type == pa.date32() else pa.int64()).view(type)
    return pa.array(values, type)


def _sliced(draw: st.DrawFn, array: pa.Array) -> pa.Array:
    start = draw(st.integers(0, len(array)))
    return array.slice(start, draw(st.integers(0, len(array) - start))) if draw(st.booleans()) else array


def stored(column: pa.ChunkedArray) -> list[Any]:
    """The values as Python has them: integers for dates and timestamps, the bits of floats, None for NULL.

    The oracle of a round trip: computed by Arrow's own casts, with arithmetic of unlimited precision where it overflows.
    """
    type = column.type
    if pa.types.is_dictionary(type):
        return stored(column.cast(type.value_type)) if len(column) else []
    if pa.types.is_date64(type):
        return [value and value // 86_400_000 for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_timestamp(type):
        numerator, denominator = {"s": (10**6, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}[type.unit]
        return [value and value * numerator // denominator for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_date32(type):
        return column.cast(pa.int32()).to_pylist()
    if pa.types.is_floating(type):
        dtype = np.float64 if type == pa.float64() else np.float32
        return [None if value is None else _bits(dtype(value)) for value in column.to_pylist()]
    return column.to_pylist()


def _bits(value: Any) -> str:
    return "nan" if np.isnan(value) else float(value).hex()
