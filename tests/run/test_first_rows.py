"""LIMIT without WHERE and ORDER BY reads no more than the first rows, and gives what DuckDB gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

import qtensor
from qtensor.errors import DataError
from qtensor.run import first_rows

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of 100,000 rows, each in ten row groups."""
    folder = tmp_path_factory.mktemp("first") / "files"
    for number in range(3):
        (folder / f"part={number}").mkdir(parents=True)
        rows = table().slice(number * ROWS // 3, ROWS // 3)
        pq.write_table(rows, folder / f"part={number}" / "t.parquet", row_group_size=10_000)
    return folder


def arrow_file(path: Path) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table().schema) as writer:
        writer.write_table(table(), max_chunksize=10_000)
    return path


KINDS = ["parquet", "arrow", "pandas", "polars", "folder", "pattern", "dataset", "arrow file"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows(parquet: Path, folder: Path, tmp_path: Path, kind: str) -> None:
    whole = table()
    sources: dict[str, Callable[[], Any]] = {
        "parquet": lambda: parquet,
        "arrow": lambda: whole,
        "pandas": lambda: whole.to_pandas(),
        "polars": lambda: pl.from_arrow(whole),
        "folder": lambda: folder,
        "pattern": lambda: f"{folder}/*/*.parquet",
        "dataset": lambda: dataset.dataset(sorted(map(str, folder.rglob("*.parquet")))),
        "arrow file": lambda: arrow_file(tmp_path / "t.arrow"),
    }
    connection = qtensor.connect().register("t", sources[kind]())
    oracle = duckdb.connect()
    oracle.register("t", whole)
    added = ", (a // 100000)::BIGINT AS part" if kind in ("folder", "pattern") else ""
    oracle.execute(f"CREATE VIEW v AS SELECT *{added} FROM t")
    for query in [*QUERIES, "SELECT rowid, b FROM t LIMIT 3 OFFSET 3000", "SELECT rowid FROM t LIMIT 4 OFFSET 299997"]:
        expected = oracle.sql(query.replace("rowid", "a", 1).replace("FROM t", "FROM v")).fetchall()
        assert connection.sql(query).fetchall() == expected, query


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of each row group that is read, once for each column."""
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def record(self: pq.ParquetFile, group: int, **options: Any) -> pa.Table:
        read.append(group)
        return original(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", record)
    return read


def test_only_the_first_row_groups_are_read(parquet: Path, read: list[int]) -> None:
    connection = qtensor.connect().register("t", parquet)
    assert connection.sql("SELECT a, b FROM t LIMIT 2 OFFSET 1").fetchall() == [(1, 0.5), (2, 1.0)]
    assert read == [0, 0]
    connection.sql("SELECT a FROM t LIMIT 10000 OFFSET 15000").fetchall()
    assert set(read) == {0, 1, 2, 3}  # 32,768 rows


def test_the_numbers_of_the_first_rows(parquet: Path, read: list[int]) -> None:
    query = "SELECT rowid, b FROM t LIMIT 2 OFFSET 1"
    assert qtensor.connect().register("t", parquet).sql(query).fetchall() == [(1, 0.5), (2, 1.0)]
    assert read == [0]


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ("SELECT b FROM t WHERE a % 3 = 0 LIMIT 5", {0}),  # 8,192 rows are read at first
        ("SELECT b FROM t WHERE a >= 5000 AND b > 0 LIMIT 5 OFFSET 10", {0}),
        ("SELECT b FROM t WHERE a >= 50000 LIMIT 5", set(range(7))),  # then four times as many, up to a power of two
        ("SELECT b + 1 AS c FROM (SELECT a, b FROM t WHERE a > 40000) WHERE b < 20500 LIMIT 2000", set(range(30))),
        ("SELECT b FROM t WHERE a < 0 LIMIT 1", set(range(30))),
        ("SELECT b FROM t WHERE a < 5 LIMIT 9", set(range(30))),
        ("SELECT b FROM t WHERE a % 3 = 0 LIMIT 0", {0}),
        ("SELECT b FROM t WHERE a % 3 = 0 ORDER BY a DESC LIMIT 5", set(range(30))),
        ("SELECT a, count(*) FROM t WHERE a % 3 = 0 GROUP BY a ORDER BY a LIMIT 5", set(range(30))),
    ],
)
def test_filters_read_row_groups_until_there_are_enough_rows(
    query: str, groups: set[int], parquet: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_rows, "FILTERED", 8_192)
    monkeypatch.setattr(first_rows, "MORE", 4)
    connection = qtensor.connect().register("t", parquet)
    oracle = duckdb.connect()
    oracle.register("t", table())
    expected = oracle.sql(query).fetchall()
    relation = connection.sql(query)
    assert relation.fetchall() == expected
    assert set(read) == groups
    read.clear()
    assert relation.fetchall() == connection.sql(query).fetchall() == expected
    assert read == []  # what a run has shown is known to the next ones


def test_more_rows_and_more_room(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement, and rows that are found late."""
    monkeypatch.setattr(first_rows, "FILTERED", 8_192)
    connection = qtensor.connect().register("t", parquet)
    connection.execute("CREATE TABLE late AS SELECT a, s FROM t WHERE a > 250000 AND a % 7 = 0 LIMIT 3")
    assert connection.sql("SELECT * FROM late").fetchall() == [(250_005, None), (250_012, "s250012"), (250_019, "s250019")]


def test_only_the_first_files_of_a_folder_are_read(folder: Path, read: list[int]) -> None:
    connection = qtensor.connect(threads=1).register("t", folder)
    assert connection.sql("SELECT a, part FROM t LIMIT 1 OFFSET 15000").fetchall() == [(15_000, 0)]
    assert read == [0, 1]
    read.clear()
    assert connection.sql("SELECT a, part FROM t LIMIT 1 OFFSET 105000").fetchall() == [(105_000, 1)]
    assert read == [*range(10), 0, 1, 2, 3]  # 131,072 rows


@pytest.mark.parametrize("kind", ["arrow file", "dataset"])
def test_what_is_behind_the_first_rows_may_be_damaged(kind: str, folder: Path, tmp_path: Path) -> None:
    """Since it is not read: of what pyarrow reads itself, nobody can count what that is."""
    if kind == "arrow file":
        source: Any = arrow_file(tmp_path / "t.arrow")
        content = bytearray(source.read_bytes())
        place = content.index(b"s299991")
        content[place] = 255  # no UTF-8
        source.write_bytes(content)
    else:
        paths = [tmp_path / f"{number}.parquet" for number in range(3)]
        for path, file in zip(paths, sorted(folder.rglob("*.parquet")), strict=True):
            path.write_bytes(file.read_bytes())
        content = bytearray(paths[2].read_bytes())
        content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
        paths[2].write_bytes(content)
        source = dataset.dataset(list(map(str, paths)))
    connection = qtensor.connect().register("t", source)
    assert connection.sql("SELECT s FROM t LIMIT 2 OFFSET 3").fetchall() == [("s3",), ("s4",)]
    assert connection.sql("SELECT rowid, s FROM t LIMIT 1 OFFSET 4").fetchall() == [(4, "s4")]
    with pytest.raises(DataError):
        connection.sql("SELECT max(s) FROM t").fetchall()


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
