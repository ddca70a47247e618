"""Tables for exporting and for calling, and DuckDB's word on what a query says of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

TEXTS = ["", "a", "A", "ab", "b", "a%c", "é", "\U0001f600", "zz "]
NUMERALS = ["7", "-3", "x", "1e3", "0.5"]
_EPOCH = datetime.date(1970, 1, 1)


def sample(rows: int, seed: int = 1) -> pa.Table:
    """A table of `rows` rows of all that there is: each column's values lie within those of `exported_sample`.

    All floats add up exactly, whatever the order. Without NULLs: id, g, k, y, e, w.
    """
    return _sample(rows, seed, extremes=False)


def exported_sample(rows: int = 300) -> pa.Table:
    """The table to export with: its first two rows hold the least and the greatest value of each column."""
    return _sample(rows, 0, extremes=True)


def _sample(rows: int, seed: int, *, extremes: bool) -> pa.Table:
    random = np.random.default_rng([seed, rows])

    def integers(low: int, high: int) -> np.ndarray[Any, Any]:
        values = random.integers(low, high, rows, endpoint=True)
        if extremes:
            values[0], values[1] = low, high
        return values

    def nullable(values: Any, type: pa.DataType) -> pa.Array:
        missing = random.random(rows) < 0.2
        missing[:2] &= not extremes
        return pa.array(values, type, mask=missing, from_pandas=False)

    def decimals(low: int, high: int, type: pa.Decimal128Type) -> pa.Array:
        return pa.array([Decimal(int(value)).scaleb(-type.scale) for value in integers(low, high)], type)

    def texts(values: Sequence[str], type: pa.DataType) -> pa.Array:
        return nullable([values[number] for number in integers(0, len(values) - 1)], type)

    wide = np.random.default_rng(0).integers(-(10**15), 10**15, 500)
    halves = np.array([-1024.25, -0.5, 0.0, 0.5, 1.5, 3.0, 1e6])
    return pa.table(
        {
            "id": integers(0, 1 << 22),
            "g": pa.array(integers(-2, 2), pa.int32()),
            "k": np.sort(wide)[integers(0, len(wide) - 1)],
            "n": nullable(integers(-5, 100), pa.int16()),
            "big": nullable(integers(-(1 << 62), 1 << 62), pa.int64()),
            "u": nullable(integers(0, (1 << 32) - 1), pa.uint32()),
            "x": nullable(halves[integers(0, len(halves) - 1)], pa.float64()),
            "y": halves[integers(0, len(halves) - 1)],
            "z": nullable(np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 2.5])[integers(0, 5)], pa.float64()),
            "f": nullable(halves[integers(0, 4)].astype(np.float32), pa.float32()),
            "d": decimals(-99_999, 99_999, pa.decimal128(9, 2)),
            "e": decimals(-(10**12), 10**12, pa.decimal128(15, 4)),
            "day": nullable([_EPOCH + datetime.timedelta(days=int(value)) for value in integers(-2000, 12_000)], pa.date32()),
            "moment": nullable(integers(-(10**15), 10**15).astype("datetime64[us]"), pa.timestamp("us")),
            "b": nullable(integers(0, 1) == 1, pa.bool_()),
            "s": texts(TEXTS, pa.string()),
            "c": texts(["red", "green", "blue"], pa.string()).dictionary_encode(),
            "w": pa.array([NUMERALS[number] for number in integers(0, len(NUMERALS) - 1)]),
        }
    )


def duckdb_says(sql: str, table: pa.Table | None, parameters: Sequence[object] | Mapping[str, object] | None = None) -> pa.Table:
    """What DuckDB makes of `sql` over the table t."""
    with duckdb.connect() as connection:
        if table is not None:
            connection.register("t", table)
        return connection.sql(sql, params=parameters).to_arrow_table()


def assert_same(found: pa.Table, expected: pa.Table, *, ordered: bool = True) -> None:
    """Equal names, types and rows, exactly; NaN equals NaN. `ordered`: in the same order."""
    assert found.schema.remove_metadata() == expected.schema.remove_metadata()
    assert found.num_rows == expected.num_rows
    with duckdb.connect() as connection:
        for name, table in (("found", found), ("expected", expected)):
            numbered = [f"c{number}" for number in range(table.num_columns)]
            table = table.rename_columns(numbered)
            connection.register(name, table.append_column("row", pa.array(range(len(table)))) if ordered else table)
        for left, right in (("found", "expected"), ("expected", "found")):
            others = connection.execute(f"FROM {left} EXCEPT ALL FROM {right} LIMIT 3").fetchall()
            assert not others, f"only in {left}: {others}"


def odd_batches(table: pa.Table, seed: int = 0) -> pa.RecordBatchReader:
    """The table as batches of odd sizes, some of them empty, slices of larger memory."""
    random = np.random.default_rng(seed)
    whole = table.combine_chunks()

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        yield from whole.slice(0, 0).to_batches() or [pa.RecordBatch.from_pylist([], whole.schema)]
        while start < len(whole):
            size = int(random.integers(0, max(3, len(whole) // 3)))
            yield from whole.slice(start, size).to_batches()
            start += size

    return pa.RecordBatchReader.from_batches(whole.schema, batches())
