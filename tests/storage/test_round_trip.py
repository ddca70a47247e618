"""Encoding, and decoding what was encoded: nothing may be lost, and every statistic must be true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtensor.lowering.storage import (
    CHUNK,
    EncodedColumn,
    Layout,
    ResultColumn,
    arrow_type,
    decode_column,
    encode_column,
    layout_for,
    sql_type,
)
from qtensor.types import Float, Null, Varchar
from tests.storage.arrays import columns, stored


def decoded(column: EncodedColumn) -> pa.Array:
    """Every row of an encoded column, as a query that selects it would give it back."""
    rows = column.statistics.rows
    valid = None if column.valid is None else column.valid.reshape(-1)[:rows]
    return decode_column(ResultColumn(column.type, column.data.reshape(-1)[:rows], None, valid, column.dictionary))


def encoded(values: pa.ChunkedArray | pa.Array, layout: Layout | None = None) -> EncodedColumn:
    return encode_column("a", values, sql_type(values.type), layout or layout_for(len(values), threads=2))


@given(columns(), st.sampled_from([None, (2, 3, 16), (3, 1, 64)]))
def test_round_trip(values: pa.ChunkedArray, shape: tuple[int, int, int] | None) -> None:
    layout = Layout(len(values), *shape) if shape and len(values) <= math.prod(shape) else None
    column = encoded(values, layout)
    result = decoded(column)
    result.validate(full=True)
    assert result.type == arrow_type(sql_type(values.type))
    assert stored(pa.chunked_array([result])) == stored(values)
    check_form(column)
    check_statistics(column, stored(values))


def check_form(column: EncodedColumn) -> None:
    """What compiled programs rely on without looking."""
    data, valid, statistics = column.data, column.valid, column.statistics
    assert data.flags.c_contiguous
    assert data.ctypes.data % 64 == 0
    rows, chunk = statistics.rows, data.shape[2]
    assert (valid is None) == (statistics.nulls == 0)
    if valid is not None:
        assert valid.shape == data.shape
        assert valid.dtype == np.bool_
        assert not valid.reshape(-1)[rows:].any()
        assert int(np.count_nonzero(valid)) == rows - statistics.nulls
    used = data.reshape(-1)[: -(-rows // chunk) * chunk]
    if data.dtype.kind == "f":
        beyond = used[rows:] if valid is None else np.concatenate([used[:rows][~valid.reshape(-1)[:rows]], used[rows:]])
        assert not beyond.any()
    elif statistics.minimum is None:
        assert not used.any()
    else:
        assert used.min() == statistics.minimum
        assert used.max() == statistics.maximum
    if isinstance(statistics.minimum, int) and data.dtype != np.bool_:
        assert statistics.maximum is not None
        narrower = {"int8": [], "int16": [np.int8], "int32": [np.int16], "int64": [np.int32]}[str(data.dtype)]
        for dtype in narrower:
            assert statistics.minimum < np.iinfo(dtype).min or statistics.maximum > np.iinfo(dtype).max


def check_statistics(column: EncodedColumn, values: list[Any]) -> None:
    """Against plain Python over the column's values."""
    statistics = column.statistics
    if isinstance(column.type, Float):
        values = [None if value is None else math.nan if value == "nan" else float.fromhex(value) for value in values]
    present = [value for value in values if value is not None]
    numbers = [value for value in present if value == value]
    assert statistics.rows == len(values)
    assert statistics.nulls == len(values) - len(present)
    assert statistics.has_nan == (len(numbers) < len(present))
    assert column.unique == (len(set(numbers)) == len(numbers) and len(present) - len(numbers) <= 1)
    assert len(set(numbers)) + statistics.has_nan <= statistics.distinct <= len(present)
    assert statistics.sorted == (len(numbers) == len(values) and numbers == sorted(numbers))
    if isinstance(column.type, Varchar):
        assert column.dictionary is not None
        assert column.dictionary.to_pylist() == sorted(set(present))  # Python, too, orders by code points
        assert statistics.distinct == len(set(present))
        assert (statistics.minimum, statistics.maximum) == ((0, len(set(present)) - 1) if present else (None, None))
        return
    assert column.dictionary is None
    if isinstance(column.type, Null) or not numbers:
        assert (statistics.minimum, statistics.maximum) == (None, None)
        return
    scale = 10**column.type.scale if hasattr(column.type, "scale") else 1
    assert (statistics.minimum, statistics.maximum) == (min(numbers) * scale, max(numbers) * scale)


@pytest.mark.parametrize("rows", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK + 5, 9 * CHUNK])
@pytest.mark.parametrize(("threads", "cut"), [(1, 1), (3, 1), (4, 4)])
def test_shares(rows: int, threads: int, cut: int) -> None:
    """Shares, cut out and put together again, are the column."""
    numbers = np.random.default_rng(rows).integers(-1000, 100_000, rows)
    mask = numbers % 7 == 0
    values = pa.array(numbers, mask=mask)
    layout = layout_for(rows, threads)
    column = encoded(values, layout)
    assert column.data.shape == layout.shape
    parts, valids = [], []
    if layout.shape == (1, 1, CHUNK):
        layout = layout.split(cut)
    for share in range(layout.shares):
        data, valid = column.share(share, layout.shares)
        assert data.shape == layout.shape[1:]
        assert data.ctypes.data % 64 == 0
        parts.append(data.reshape(-1)[: layout.rows_in_share(share)])
        valids.append(np.ones(len(parts[-1]), bool) if valid is None else valid.reshape(-1)[: layout.rows_in_share(share)])
    assert np.array_equal(np.concatenate(valids), ~mask)
    assert np.array_equal(np.concatenate(parts)[~mask], numbers[~mask])
    check_form(column)
    assert decoded(column).equals(values)


def test_large_text_in_several_pieces() -> None:
    rows = 5 * CHUNK
    words = np.array([f"w{number % 1009}" for number in range(rows)], dtype=object)
    words[::5] = None
    values = pa.array(words)
    column = encoded(values)
    check_form(column)
    assert column.data.dtype == np.int16
    assert decoded(column).equals(values)


def test_range_that_no_sample_shows() -> None:
    """A single wide value in the middle of a large column: the first pass has guessed too narrow a type."""
    numbers = np.ones(6 * CHUNK, np.int64)
    numbers[3 * CHUNK + 17] = 2**40
    column = encoded(pa.array(numbers))
    assert column.data.dtype == np.int64
    assert column.statistics.maximum == 2**40
    assert np.array_equal(column.data.reshape(-1)[: len(numbers)], numbers)
    check_form(column)


def test_blocks_without_a_value_are_filled_within_the_range() -> None:
    numbers = np.full(3 * CHUNK, 50_000, np.int64)
    mask = np.zeros(len(numbers), bool)
    mask[: 2 * CHUNK] = True
    column = encoded(pa.array(numbers, mask=mask))
    check_form(column)
    assert column.statistics.nulls == 2 * CHUNK


def test_many_small_chunks() -> None:
    values = pa.chunked_array([pa.array([number, None]) for number in range(1000)])
    assert decoded(encoded(values)).equals(values.combine_chunks())


def test_sorted_across_blocks() -> None:
    numbers = np.arange(4 * CHUNK)
    assert encoded(pa.array(numbers)).statistics.sorted
    numbers[2 * CHUNK], numbers[2 * CHUNK - 1] = numbers[2 * CHUNK - 1], numbers[2 * CHUNK]
    column = encoded(pa.array(numbers))
    assert not column.statistics.sorted
    assert column.unique


def test_values_are_not_compared_where_they_are_null() -> None:
    """What lies under a NULL is nobody's business: a decimal too wide, a date64 within a day, nanoseconds."""
    wide = pa.array([10**30, 7], pa.decimal128(38, 0))
    bitmap = pa.py_buffer(b"\x02")
    hidden = pa.Array.from_buffers(wide.type, 2, [bitmap, wide.buffers()[1]], 1)
    assert decoded(encoded(hidden)).to_pylist() == [None, 7]
    odd = pa.Array.from_buffers(pa.timestamp("ns"), 2, [bitmap, pa.py_buffer(np.array([1, 7000]))], 1)
    assert encoded(odd).statistics.minimum == 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormal_numbers_are_seen(dtype: type[np.floating[Any]]) -> None:
    tiny = np.finfo(dtype).tiny
    normal = [0.0, -0.0, tiny, -tiny, np.inf, -np.inf, np.nan, 1.0]
    assert not encoded(pa.array(np.array(normal, dtype))).statistics.has_denormals
    assert not encoded(pa.array(np.array([], dtype))).statistics.has_denormals
    for denormal in (np.finfo(dtype).smallest_subnormal, np.nextafter(tiny, dtype(0)), -tiny / 2):
        for others in ([], [np.nan], [1.0], [-1.0, np.inf]):
            values = np.array([*others, denormal], dtype)
            assert encoded(pa.array(values)).statistics.has_denormals
            assert not encoded(pa.array(values, mask=values == denormal)).statistics.has_denormals  # where it is NULL
