"""Parquet files: row groups, nulls, strings, footers that say little or say wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtensor.lowering.storage import CHUNK, arrow_type
from qtensor.sources import open_table
from qtensor.sources.facts import ColumnFacts
from qtensor.sources.footer import without_decimals
from tests.storage.arrays import columns, stored
from tests.storage.decoding import decoded, rows_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parquet")


@given(columns(), st.sampled_from([1, 7, 1000]), st.booleans(), st.booleans())
@settings(max_examples=60)
def test_round_trip(folder: Path, values: pa.ChunkedArray, group: int, statistics: bool, as_integer: bool) -> None:
    if pa.types.is_float16(values.type) or pa.types.is_decimal32(values.type) or pa.types.is_decimal64(values.type):
        values = values.cast(pa.float64() if pa.types.is_float16(values.type) else pa.decimal128(38, values.type.scale))
    if pa.types.is_dictionary(values.type):
        values = (
            pa.chunked_array([values.cast(pa.string()).combine_chunks()]) if len(values) else pa.chunked_array([], pa.string())
        )
    path = folder / "one.parquet"
    options = {"row_group_size": group, "write_statistics": statistics, "store_decimal_as_integer": as_integer}
    pq.write_table(pa.table({"a.b": values}), path, **options)
    table = open_table("t", path)
    result = decoded(table, table.column(0, threads=2))
    assert result.type == arrow_type(table.fields[0].type)
    assert stored(pa.chunked_array([result])) == stored(pq.read_table(path).column(0)) == stored(values)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("group", [5_000, 10**6])
def test_against_duckdb(folder: Path, threads: int, group: int) -> None:
    path = folder / "many.parquet"
    query = f"""
        SELECT i AS id, (i * 7 % 1000 / 100)::DECIMAL(15,2) AS price,
               (i % 999)::DECIMAL(4,1) AS narrow, (i * 10)::DECIMAL(30,5) AS wide,
               CASE WHEN i % 3 = 0 THEN NULL ELSE 'w' || i % 300 END AS word,
               DATE '1992-01-01' + (i % 2000)::INTEGER AS day, NULLIF(i % 11, 5) AS small, i % 2 = 0 AS even,
               TIMESTAMP '2020-01-01' + INTERVAL 1 MINUTE * i AS moment, i / 7 AS ratio
        FROM range({5 * CHUNK}) r(i)
    """
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE {group})")
    expected = duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table()
    table = open_table("t", path)
    assert table.rows == expected.num_rows
    result = rows_of(table, threads=threads)
    for name in expected.column_names:
        assert result[name].equals(expected[name].cast(result[name].type)), name
    assert str(table.column(0, threads).data.dtype) == "int32"
    assert table.column(0, threads).statistics.sorted
    dtypes = {
        field.name: str(column.data.dtype) for field, column in zip(table.fields, table.columns(range(10), threads), strict=True)
    }
    assert (dtypes["price"], dtypes["narrow"], dtypes["small"], dtypes["even"]) == ("int16", "int16", "int8", "bool")


def test_a_footer_that_is_wrong_costs_time_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "lying.parquet"
    numbers = np.arange(100_000)
    pq.write_table(pa.table({"a": numbers, "b": numbers}), path, row_group_size=10_000)
    table = open_table("t", path)
    ranges = iter([(0, 1), (-(2**62), 2**62)])
    monkeypatch.setattr(type(table._source), "facts", lambda self, index: ColumnFacts(next(ranges)))
    for column in table.columns([0, 1], threads=2):
        assert column.data.dtype == np.int32
        assert np.array_equal(column.data.reshape(-1)[: len(numbers)], numbers)
        assert (column.statistics.minimum, column.statistics.maximum) == (0, len(numbers) - 1)


def test_only_the_footer_is_read_at_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "lazy.parquet"
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]}), path)
    reads: list[Any] = []
    original = pq.ParquetFile.read_row_group

    def record(self: pq.ParquetFile, group: int, columns: list[str], **options: Any) -> pa.Table:
        reads.extend(columns)
        return original(self, group, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", record)
    table = open_table("t", path)
    assert reads == []
    table.column(1, threads=1)
    assert reads == ["b"]
    table.columns([0, 1, 2], threads=1)
    assert reads == ["b", "a", "c"]


def test_names_with_dots(folder: Path) -> None:
    path = folder / "dots.parquet"
    data = pa.table({"a": [1, 2], "a.b": ["x", "y"], "a.b.c": [0.5, 1.5]})
    pq.write_table(data, path)
    assert rows_of(open_table("t", path)).to_pydict() == data.to_pydict()


def test_no_row_groups(folder: Path) -> None:
    path = folder / "empty.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64()), "s": pa.array([], pa.string())}), path)
    table = open_table("t", path)
    assert table.rows == 0
    assert rows_of(table).to_pydict() == {"a": [], "s": []}


def test_decimals_are_read_as_the_integers_they_are_stored_as(folder: Path) -> None:
    path = folder / "decimals.parquet"
    types = {"a": pa.decimal128(9, 2), "b": pa.decimal128(18, 0), "c": pa.decimal128(19, 1), "d": pa.int32(), "e": pa.date32()}
    decimals, days = [Decimal("1"), None, Decimal("-7")], [1, None, -7]
    data = pa.table({name: pa.array(decimals if name in "abc" else days, type) for name, type in types.items()})
    pq.write_table(data, path, store_decimal_as_integer=True)
    metadata = without_decimals(path)
    assert metadata is not None
    types |= {"a": pa.int32(), "b": pa.int64()}
    assert {field.name: field.type for field in metadata.schema.to_arrow_schema()} == types
    assert metadata.num_rows == 3
    assert metadata.row_group(0).to_dict()["columns"][4] == pq.read_metadata(path).row_group(0).to_dict()["columns"][4]
    assert rows_of(open_table("t", path)).equals(data)


@pytest.mark.parametrize("octets", [b"", b"PAR1", b"PAR1" + b"\xff" * 40 + b"\x28\0\0\0PAR1", b"\x19" * 40 + b"\x1e\0\0\0PAR1"])
def test_a_footer_of_another_form_is_left_alone(folder: Path, octets: bytes) -> None:
    path = folder / "strange.parquet"
    path.write_bytes(octets)
    assert without_decimals(path) is None
