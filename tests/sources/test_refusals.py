"""Columns that cannot be represented exactly are refused, by name, with the value and what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import DataError
from qtensor.lowering.storage import encode_column, layout_for, sql_type
from qtensor.types import Unsupported


@pytest.mark.parametrize(
    ("type", "remedy"),
    [
        (pa.timestamp("ms", "UTC"), r"cast it to timestamp\[ms\] without a time zone"),
        (pa.decimal256(50, 2), "cast it to a decimal of at most 38 digits"),
        (pa.decimal128(3, -2), "a scale between 0 and its precision"),
        (pa.time32("s"), "cast it to an integer"),
        (pa.time64("us"), "cast it to an integer"),
        (pa.duration("ms"), "cast it to an integer"),
        (pa.binary(), "cast it to string if it holds UTF-8 text"),
        (pa.binary(4), "cast it to string if it holds UTF-8 text"),
        (pa.large_binary(), "cast it to string if it holds UTF-8 text"),
        (pa.struct({"x": pa.int8()}), "flatten it"),
        (pa.list_(pa.int8()), "give each element a column of its own"),
        (pa.list_(pa.float32(), 3), "give each element a column of its own"),
        (pa.map_(pa.string(), pa.int8()), "give each element a column of its own"),
        (pa.month_day_nano_interval(), "or drop it"),
        (pa.dictionary(pa.int8(), pa.binary()), "cast it to string"),
        (pa.uuid(), "or drop it"),
    ],
    ids=str,
)
def test_types(type: pa.DataType, remedy: str) -> None:
    """Nothing computes with such a column; it is encoded to be passed on, if Arrow knows its type."""
    found = sql_type(type)
    assert isinstance(found, Unsupported)
    assert re.search(remedy, found.remedy)
    values = pa.nulls(3, type)
    column = encode_column("c", values, found, layout_for(3, threads=1))
    assert column.level == "plain"
    assert column.dictionary == (values.dictionary_decode() if pa.types.is_dictionary(type) else values)
    assert column.valid is not None and not column.valid.any()
    with pytest.raises(DataError, match=rf'^column "c" is of type {re.escape(found.name)}, which cannot be read; .*{remedy}'):
        encode_column("c", values, replace(found, arrow=None), layout_for(3, threads=1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1, 2**63], pa.uint64()), r"\(uint64\): the value 9223372036854775808 is beyond the range of BIGINT; cast"),
        (
            pa.array([Decimal(1), Decimal(2**63)], pa.decimal128(38, 0)),
            r"\(decimal128\(38, 0\)\): the value 9223372036854775808 does not fit 64 bits; cast the column to a decimal of at",
        ),
        (pa.array([Decimal(-(2**63)) - 1], pa.decimal128(20, 0)), "the value -9223372036854775809 does not fit 64 bits"),
        (pa.array([Decimal(2**64)], pa.decimal256(38, 0)), "the value 18446744073709551616 does not fit 64 bits"),
        (pa.array([Decimal(2**128 // 10)], pa.decimal256(38, 0)), "does not fit 64 bits"),
        (pa.array([1, 86_400_001]).view(pa.date64()), r"\(date64\[ms\]\): .* is not a whole day; cast the column to timestamp"),
        (pa.array([1_000, 1_001]).view(pa.timestamp("ns")), r"the value 1001 ns since 1970-01-01 is not a whole number of micro"),
        (pa.array([2**60]).view(pa.timestamp("s")), r"the value 1152921504606846976 s since 1970-01-01 is beyond the range of"),
        (pa.array([-(2**62)]).view(pa.timestamp("ms")), "is beyond the range of TIMESTAMP"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
@pytest.mark.parametrize("rows_before", [0, 100_000])
def test_values(values: pa.Array, message: str, rows_before: int) -> None:
    """Wherever in the column the value is."""
    column = pa.chunked_array([pa.nulls(rows_before, values.type), values])
    with pytest.raises(DataError, match=f'^column "c" {message}' if message.startswith(r"\(") else message):
        encode_column("c", column, sql_type(column.type), layout_for(len(column), threads=2))


def test_dictionary_of_numbers() -> None:
    """Dictionary encoding is a matter of storage, for numbers as for text."""
    values = pa.array([300, None, 7, 300]).dictionary_encode()
    column = encode_column("c", values, sql_type(values.type), layout_for(4, threads=1))
    assert np.array_equal(column.data[0, 0, :4], [300, 300, 7, 300])
    assert (column.statistics.minimum, column.statistics.maximum, column.statistics.nulls) == (7, 300, 1)
