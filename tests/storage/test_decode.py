"""Results to Arrow: exact values of every width, and an error instead of a wrapped one."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtensor.errors import ExecutionError, InternalError
from qtensor.lowering.storage import ResultColumn, arrow_type, decode_column
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    HUGEINT,
    INTEGER,
    INTERVAL,
    NULL,
    SMALLINT,
    TIMESTAMP,
    TINYINT,
    UBIGINT,
    UINTEGER,
    USMALLINT,
    UTINYINT,
    VARCHAR,
    Array,
    Decimal,
    SqlType,
)

WIDE = st.integers(-(2**95), 2**95 - 1)


def decode(type: SqlType, data: Any, *, low: Any = None, valid: Any = None, dictionary: pa.Array | None = None) -> pa.Array:
    result = decode_column(ResultColumn(type, np.asarray(data), low, valid, dictionary))
    result.validate(full=True)
    assert result.type == arrow_type(type)
    return result


def limbs(values: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The two parts of a wide sum, split by Python's integers."""
    return np.array([value >> 32 for value in values], np.int64), np.array([value & 0xFFFFFFFF for value in values], np.int64)


@pytest.mark.parametrize(
    "type",
    [
        *(TINYINT, SMALLINT, INTEGER, BIGINT, UTINYINT, USMALLINT, UINTEGER, UBIGINT, HUGEINT),
        *(BOOLEAN, FLOAT, DOUBLE, DATE, TIMESTAMP, VARCHAR, Decimal(4, 1), Decimal(38, 10), NULL, Array(FLOAT, 2)),
    ],
    ids=str,
)
def test_results_have_the_types_that_duckdb_exports(type: SqlType) -> None:
    exported = duckdb.sql(f"SELECT NULL::{type} AS a").to_arrow_table().schema.field("a").type
    assert arrow_type(type).equals(exported) or (
        exported.num_fields == 1 and str(arrow_type(type)).replace("item", "") == str(exported)
    )


@given(st.lists(WIDE), st.data())
def test_wide_sums(values: list[int], data: st.DataObject) -> None:
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), bool)
    high, low = limbs(values)
    assert [int(value) for value in decode(HUGEINT, high, low=low).to_pylist()] == values
    nullable = decode(Decimal(38, 0), high, low=low, valid=valid).to_pylist()
    assert nullable == [value if known else None for value, known in zip(values, valid, strict=True)]


@given(st.lists(WIDE, min_size=1), st.sampled_from([5, 18, 19, 25, 28]))
def test_decimals_are_exact_or_overflow(values: list[int], precision: int) -> None:
    values = [value % 10**28 - 10**27 for value in values]
    high, low = limbs(values)
    if max(map(abs, values)) < 10**precision:
        result = decode(Decimal(precision, 2), high, low=low).to_pylist()
        assert [int(value.scaleb(2)) for value in result] == values
    else:
        with pytest.raises(ExecutionError, match=rf"overflow: a result of type DECIMAL\({precision},2\) is outside"):
            decode(Decimal(precision, 2), high, low=low)


@pytest.mark.parametrize("sign", [1, -1])
def test_decimal_bounds(sign: int) -> None:
    for precision in (1, 18, 19, 28):
        largest = sign * (10**precision - 1)
        high, low = limbs([0, largest])
        assert int(decode(Decimal(precision, 0), high, low=low)[1].as_py()) == largest
        high, low = limbs([0, largest + sign])
        with pytest.raises(ExecutionError, match="overflow"):
            decode(Decimal(precision, 0), high, low=low)
        with_null = decode(Decimal(precision, 0), high, low=low, valid=np.array([True, False]))
        assert with_null.to_pylist() == [0, None]


@pytest.mark.parametrize("type", [TINYINT, SMALLINT, INTEGER, BIGINT, UTINYINT, USMALLINT, UINTEGER, UBIGINT], ids=str)
def test_integer_bounds(type: Any) -> None:
    bounds = [type.minimum, type.maximum]
    data = np.array(bounds, np.uint64 if type == UBIGINT else np.int64)
    assert decode(type, data).to_pylist() == bounds
    high, low = limbs(bounds) if type != UBIGINT else limbs([0, 2**63 - 1])
    assert decode(type, high, low=low).to_pylist() == (bounds if type != UBIGINT else [0, 2**63 - 1])


@pytest.mark.parametrize(
    ("type", "value"),
    [(TINYINT, 128), (TINYINT, -129), (UTINYINT, -1), (UINTEGER, 2**32), (UBIGINT, -1), (DATE, 2**31), (Decimal(4, 2), 10_000)],
    ids=str,
)
def test_values_beyond_their_type_are_errors(type: SqlType, value: int) -> None:
    with pytest.raises(ExecutionError, match="overflow: a result of type"):
        decode(type, np.array([0, value]))
    assert decode(type, np.array([0, value]), valid=np.array([True, False])).null_count == 1


def test_wide_sums_beyond_bigint() -> None:
    for value in (2**63, -(2**63) - 1):
        high, low = limbs([value])
        with pytest.raises(ExecutionError, match="overflow: a result of type BIGINT"):
            decode(BIGINT, high, low=low)


def test_uint64_keeps_its_highest_bit() -> None:
    data = np.array([2**64 - 1], np.uint64)
    assert decode(UBIGINT, data).to_pylist() == [2**64 - 1]
    assert int(decode(HUGEINT, data)[0].as_py()) == 2**64 - 1
    with pytest.raises(ExecutionError, match="overflow"):
        decode(BIGINT, data)


def test_codes_of_null_rows_may_be_anything() -> None:
    dictionary = pa.array(["a", "ä", "\U0001f600"], pa.large_string())
    codes, valid = np.array([2, 77, 0, -5, 1], np.int8), np.array([True, False, True, False, True])
    assert decode(VARCHAR, codes, valid=valid, dictionary=dictionary).to_pylist() == ["\U0001f600", None, "a", None, "ä"]
    empty = pa.array([], pa.large_string())
    assert decode(VARCHAR, np.zeros(2, np.int8), valid=np.zeros(2, bool), dictionary=empty).to_pylist() == [None, None]
    assert decode(VARCHAR, np.zeros(0, np.int8), dictionary=empty).to_pylist() == []


def test_sliced_dictionaries() -> None:
    dictionary = pa.array(["x", "a", "bb", "y"], pa.large_string()).slice(1, 2)
    assert decode(VARCHAR, np.array([1, 0, 1], np.int16), dictionary=dictionary).to_pylist() == ["bb", "a", "bb"]


def test_scores() -> None:
    scores = np.array([[0.25, 0.5, 1.0], [0.75, 0.5, 0.0]], np.float32)  # [k, n]: two scores, three rows
    valid = np.array([True, False, True])
    assert decode(Array(FLOAT, 2), scores).to_pylist() == [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
    assert decode(Array(FLOAT, 2), scores, valid=valid).to_pylist() == [[0.25, 0.75], None, [1.0, 0.0]]
    assert decode(Array(DOUBLE, 2), np.zeros((2, 0))).to_pylist() == []


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 1000])
def test_booleans_of_every_length(rows: int) -> None:
    data, valid = np.arange(rows) % 3 == 0, np.arange(rows) % 5 != 0
    assert decode(BOOLEAN, data).to_pylist() == data.tolist()
    expected = [bool(value) if known else None for value, known in zip(data, valid, strict=True)]
    assert decode(BOOLEAN, data, valid=valid).to_pylist() == expected


def test_strided_and_read_only_data() -> None:
    data = np.arange(10)[::3]
    data.flags.writeable = False
    assert decode(BIGINT, data).to_pylist() == [0, 3, 6, 9]
    assert decode(NULL, np.zeros(3, np.int8)).to_pylist() == [None] * 3


def test_broken_invariants() -> None:
    with pytest.raises(InternalError, match="without its dictionary"):
        decode(VARCHAR, np.zeros(1, np.int8))
    with pytest.raises(InternalError, match="a code beyond its dictionary"):
        decode(VARCHAR, np.array([1], np.int8), dictionary=pa.array(["a"], pa.large_string()))
    with pytest.raises(InternalError, match="came as float64"):
        decode(BIGINT, np.zeros(1))
    with pytest.raises(InternalError, match="32-bit floating point came as float64"):
        decode(FLOAT, np.zeros(1))
    with pytest.raises(InternalError, match="cannot be an INTERVAL"):
        decode(INTERVAL, np.zeros(1))
