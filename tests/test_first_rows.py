"""LIMIT without WHERE and ORDER BY reads no more than the first rows, and gives what DuckDB gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor

ROWS = 300_000
QUERIES = [
    "SELECT * FROM t LIMIT 5",
    "SELECT * FROM t LIMIT 5 OFFSET 3000",
    "SELECT b + 1 AS c, s || 'x' FROM t LIMIT 4 OFFSET 99999",
    "SELECT a FROM t LIMIT 0",
    "SELECT a FROM t LIMIT 3 OFFSET 299998",
    "SELECT a FROM t LIMIT 3 OFFSET 400000",
    "SELECT count(*) FROM (SELECT a FROM t LIMIT 10)",
    "SELECT a FROM t WHERE a >= 250000 LIMIT 2",
]


def table() -> pa.Table:
    numbers = np.arange(ROWS)
    return pa.table({"a": numbers, "b": numbers / 2, "s": [None if i % 5 == 0 else f"s{i}" for i in range(ROWS)]})


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first") / "t.parquet"
    pq.write_table(table(), path, row_group_size=10_000)
    return path


@pytest.mark.parametrize("kind", ["parquet", "arrow", "pandas", "polars"])
def test_rows(parquet: Path, kind: str) -> None:
    whole = table()
    source: Any = {"parquet": parquet, "arrow": whole, "pandas": whole.to_pandas(), "polars": pl.from_arrow(whole)}[kind]
    connection = qtensor.connect().register("t", source)
    oracle = duckdb.connect()
    oracle.register("t", whole)
    for query in QUERIES:
        assert connection.sql(query).fetchall() == oracle.sql(query).fetchall(), query


def test_only_the_first_row_groups_are_read(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def record(self: pq.ParquetFile, group: int, **options: Any) -> pa.Table:
        read.append(group)
        return original(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", record)
    connection = qtensor.connect().register("t", parquet)
    assert connection.sql("SELECT a, b FROM t LIMIT 2 OFFSET 1").fetchall() == [(1, 0.5), (2, 1.0)]
    assert read == [0, 0]
    connection.sql("SELECT a FROM t LIMIT 10000 OFFSET 15000").fetchall()
    assert set(read) == {0, 1, 2, 3}  # 32,768 rows


def test_rows_that_change() -> None:
    arrays = {"a": np.arange(ROWS)}
    frame = pd.DataFrame(arrays)
    polars = pl.DataFrame(arrays)
    connection = qtensor.connect().register("arrays", arrays).register("frame", frame).register("polars", polars)
    for number in range(3):
        arrays["a"][1] = frame.loc[1, "a"] = number
        polars[1, "a"] = number
        for name in ("arrays", "frame", "polars"):
            assert connection.sql(f"SELECT a FROM {name} LIMIT 2").fetchall() == [(0,), (number,)]
    arrays["a"][ROWS - 1] = -1
    assert connection.sql("SELECT min(a) FROM arrays").fetchall() == [(-1,)]


def test_a_type_that_the_first_rows_do_not_tell() -> None:
    frame = pd.DataFrame({"o": pd.Series([None] * (ROWS - 1) + ["text"], dtype=object)})
    relation = qtensor.connect().register("frame", frame).sql("SELECT o FROM frame LIMIT 1")
    assert (relation.types, relation.fetchall()) == (["VARCHAR"], [(None,)])
