"""Everything that can be a table, asked by SQL: registered, given by keyword, found by its variable's name or its path."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import BindError, DataError
from tests.oracle import Answer, Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer
from tests.sql.tables import every_type

ARROW = pa.table(
    {
        "id": pa.array([3, 1, None, 2], pa.int32()),
        "name": pa.array(["b", None, "a", "ü"]),
        "price": pa.array([Decimal("1.50"), Decimal("-2.25"), None, Decimal("0.00")], pa.decimal128(15, 2)),
        "day": pa.array([datetime.date(2020, 1, 2), None, datetime.date(1969, 12, 31), datetime.date(2000, 2, 29)]),
        "ratio": pa.array([0.5, float("inf"), None, float("nan")]),
        "flag": pa.array([True, None, False, True]),
        "kind": pa.array(["y", "x", "y", None]).dictionary_encode(),
    }
)
QUERIES = [
    "SELECT * FROM t ORDER BY id",
    "SELECT kind, count(*), sum(price), min(name), max(day), bool_count FROM "
    "(SELECT *, CASE WHEN flag THEN 1 ELSE 0 END AS bool_count FROM t) GROUP BY kind, bool_count ORDER BY kind, bool_count",
    "SELECT id FROM t WHERE name >= 'b' AND NOT ratio < 1",
]


class Stream:
    """An object of a library that qtensor has never heard of."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Batch:
    """An object that offers one batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._batch.__arrow_c_array__(requested_schema)


def parquet(folder: Path) -> str:
    pq.write_table(ARROW, folder / "t.parquet", row_group_size=2)
    return str(folder / "t.parquet")


def ipc(folder: Path, make: Callable[..., Any]) -> str:
    with make(str(folder / "t.arrow"), ARROW.schema) as writer:
        writer.write_table(ARROW, max_chunksize=3)
    return str(folder / "t.arrow")


def parquet_folder(folder: Path) -> Path:
    for number in range(2):
        pq.write_table(ARROW.slice(2 * number, 2), folder / f"part{number}.parquet")
    return folder


KINDS: dict[str, Callable[[Path], object]] = {
    "pyarrow.Table": lambda _: ARROW,
    "pyarrow.Table of chunks": lambda _: pa.concat_tables([ARROW.slice(0, 1), ARROW.slice(1, 0), ARROW.slice(1, 3)]),
    "pyarrow.Table sliced": lambda _: pa.concat_tables([ARROW, ARROW, ARROW]).combine_chunks().slice(4, 4),
    "pyarrow.RecordBatch": lambda _: ARROW.to_batches()[0],
    "pyarrow.RecordBatchReader": lambda _: pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches(max_chunksize=3)),
    "pyarrow.Dataset": lambda _: pyarrow.dataset.dataset(ARROW),
    "pyarrow.Dataset of Parquet": lambda folder: pyarrow.dataset.dataset(parquet(folder)),
    "__arrow_c_stream__": lambda _: Stream(ARROW),
    "__arrow_c_array__": lambda _: Batch(ARROW.to_batches()[0]),
    "polars.DataFrame": lambda _: pl.from_arrow(ARROW),
    "polars.LazyFrame": lambda _: pl.from_arrow(ARROW).lazy(),  # type: ignore[union-attr]
    "pandas of Arrow types": lambda _: ARROW.to_pandas(types_mapper=pd.ArrowDtype),
    "duckdb": lambda _: duckdb.arrow(ARROW),
    "qtensor": lambda _: qtensor.connect().register("t", ARROW).sql("SELECT * FROM t"),
    "Parquet": parquet,
    "Arrow file": lambda folder: ipc(folder, pa.ipc.new_file),
    "Arrow stream": lambda folder: ipc(folder, pa.ipc.new_stream),
    "Parquet as a Path": lambda folder: Path(parquet(folder)),
    "Parquet folder": parquet_folder,
    "Parquet pattern": lambda folder: f"{parquet_folder(folder)}/*.parquet",
}


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    connection = duckdb.connect()
    connection.register("t", ARROW.set_column(6, "kind", ARROW["kind"].cast(pa.string())))
    return [answer_of_duckdb(connection, query) for query in QUERIES]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_registered(make: Callable[[Path], object], expected: list[Any], tmp_path: Path) -> None:
    connection = qtensor.connect().register("t", make(tmp_path))
    for query, answer in zip(QUERIES, expected, strict=True):
        assert_same_answer(answer_of_qtensor(connection.sql(query)), answer, ordered=True)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_given_by_keyword(make: Callable[[Path], object], expected: list[Any], tmp_path: Path) -> None:
    found = answer_of_qtensor(qtensor.sql(QUERIES[0], t=make(tmp_path)))
    assert_same_answer(found, expected[0], ordered=True)


def test_pandas_means_what_duckdb_takes_it_for() -> None:
    """None, NaT and NA are NULL, and so is the NaN of NumPy's floats."""
    frame = pd.DataFrame(
        {
            "x": [1.5, float("nan"), -0.5, 2.0],
            "i": np.array([1, 2, 3, 255], np.uint8),
            "s": ["b", None, "a", "b"],
            "o": pd.Series(["x", None, None, "y"], dtype=object),
            "n": pd.array([1, None, 3, 4], dtype="Int16"),
            "b": pd.array([True, None, False, True], dtype="boolean"),
            "m": pd.to_datetime(["2020-01-01 12:00", None, "1960-01-01 00:00", "2020-01-01 00:00"]),
        },
        index=[7, 8, 9, 10],
    )
    engines = Engines.over(t=frame)
    engines.check("SELECT * FROM t")
    engines.check("SELECT s, count(*), count(o), sum(n), max(m), min(x) FROM t GROUP BY s ORDER BY s")
    engines.check("SELECT i FROM t WHERE b AND m >= '2020-01-01'")


def test_dict_of_numpy_arrays() -> None:
    """As DuckDB reads them, which takes NaN and NaT of NumPy for NULL."""
    arrays = {  # noqa: F841
        "x": np.array([1.0, np.nan, np.inf], np.float32),
        "i": np.arange(6, dtype=np.int16)[::2],
        "b": np.array([True, False, True]),
        "s": np.array(["x", "yy", ""]),
        "masked": np.ma.masked_array([1, 2, 3], mask=[False, True, False]),
        "m": np.array(["2020-01-01T00:00:01", "NaT", "1960-01-01"], "M8[s]"),
    }
    query = "SELECT x, i, b, CAST(s AS VARCHAR) AS s, masked, CAST(m AS TIMESTAMP) AS m FROM arrays"
    connection = duckdb.connect()
    expected = connection.sql(query)
    answer = Answer(expected.columns, [str(type) for type in expected.types], expected.fetchall())
    assert_same_answer(answer_of_qtensor(qtensor.sql(query)), answer, ordered=True)


def test_given_what_is_no_table() -> None:
    with pytest.raises(DataError, match=r"t is a builtins\.list; a table can be"):
        qtensor.sql("SELECT * FROM t", t=[1, 2])


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('id,name,day,price,flag\n1,"a, b",2020-01-02,1.5,true\n2,,2021-01-01,,false\n,"",1969-12-31,-3,\n')
    for query in [f"SELECT * FROM '{path}'", f"SELECT count(*), sum(price), min(day) FROM '{path}' WHERE flag IS NOT NULL"]:
        assert_same_answer(answer_of_qtensor(qtensor.sql(query)), answer_of_duckdb(duckdb.connect(), query), ordered=True)


def test_every_type_through_parquet(tmp_path: Path) -> None:
    """What is read of a file is what is read of the table that was written."""
    table = every_type(300)
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=70, compression="zstd")
    engines = Engines.over(t=table)
    engines.ours.register("t", str(tmp_path / "t.parquet"))
    engines.check("SELECT * FROM t")
    engines.check("SELECT g, count(*), min(s), sum(h), max(moment) FROM t GROUP BY g ORDER BY g")


def test_a_file_named_in_the_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert qtensor.sql("SELECT count(*) FROM 't.parquet'").fetchall() == [(4,)]
    assert qtensor.sql("SELECT q.id FROM 't.parquet' AS q WHERE q.name = 'b'").fetchall() == [(3,)]


# --- variables of the caller ------------------------------------------------------------

GLOBAL_TABLE = pa.table({"a": [1, 2, 3]})


def test_variables_are_found_by_name() -> None:
    local_frame = pd.DataFrame({"a": [10, 20]})  # noqa: F841
    assert qtensor.sql("SELECT sum(a) FROM local_frame").fetchall() == [(30,)]
    assert qtensor.sql("SELECT sum(a) FROM GLOBAL_TABLE").fetchall() == [(6,)]
    connection = qtensor.connect()
    assert connection.sql("SELECT sum(a) FROM local_frame WHERE a > 10").fetchall() == [(20,)]

    def inner() -> list[tuple[Any, ...]]:
        inner_frame = pl.DataFrame({"a": [5]})  # noqa: F841
        return connection.sql("SELECT a FROM inner_frame").fetchall()

    assert inner() == [(5,)]
    with pytest.raises(BindError, match='no table "inner_frame"'):
        connection.sql("SELECT a FROM inner_frame")


def test_a_local_variable_hides_a_global_one_and_a_registered_table_hides_both() -> None:
    GLOBAL_TABLE = pa.table({"a": [100]})  # noqa: F841, N806
    connection = qtensor.connect()
    assert connection.sql("SELECT sum(a) FROM GLOBAL_TABLE").fetchall() == [(100,)]
    connection.register("global_table", pa.table({"a": [-1]}))
    assert connection.sql("SELECT sum(a) FROM GLOBAL_TABLE").fetchall() == [(-1,)]
    connection.unregister("Global_Table")
    assert connection.sql("SELECT sum(a) FROM GLOBAL_TABLE").fetchall() == [(100,)]


def test_what_is_no_table_is_not_found() -> None:
    number, words, mixed = 5, ["a"], {"a": [1]}  # noqa: F841
    for name in ("number", "words", "mixed"):
        with pytest.raises(BindError, match=f'no table "{name}"'):
            qtensor.sql(f"SELECT * FROM {name}")


def test_a_suggestion_of_a_variable() -> None:
    measurements = pa.table({"a": [1]})  # noqa: F841
    with pytest.raises(BindError, match='Did you mean "measurements"'):
        qtensor.sql("SELECT * FROM measurement")


def test_a_relation_is_a_table_of_another_query() -> None:
    connection = qtensor.connect().register("t", ARROW)
    first = connection.sql("SELECT kind, count(*) AS n FROM t GROUP BY kind")  # noqa: F841
    assert connection.sql("SELECT sum(n), count(*) FROM first").fetchall() == [(4, 3)]
    assert duckdb.sql("SELECT sum(n), count(*) FROM first").fetchall() == [(4, 3)]


# --- data that change ------------------------------------------------------------


def test_a_frame_that_changes_between_queries() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "s": ["x", "y", "z"]})
    connection = qtensor.connect().register("registered", frame)
    for name in ("registered", "frame"):
        frame.loc[0, "a"] = 1
        relation = connection.sql(f"SELECT sum(a), min(s) FROM {name}")
        assert relation.fetchall() == [(6, "x")]
        frame.loc[0, "a"] = 100
        assert relation.fetchall() == [(105, "x")]
        assert connection.sql(f"SELECT sum(a), min(s) FROM {name}").fetchall() == [(105, "x")]
    frame.loc[1, "s"] = "a"
    assert connection.sql("SELECT sum(a), min(s) FROM frame").fetchall() == [(105, "a")]
    frame["new"] = [7, 8, 9]
    assert connection.sql("SELECT sum(new) FROM frame").fetchall() == [(24,)]
    frame = frame.iloc[:1]
    assert connection.sql("SELECT sum(a) FROM frame").fetchall() == [(100,)]


def test_arrays_that_change_between_queries() -> None:
    arrays = {"a": np.arange(5), "x": np.zeros(5)}
    connection = qtensor.connect().register("t", arrays)
    assert connection.sql("SELECT sum(a), sum(x) FROM t").fetchall() == [(10, 0.0)]
    arrays["a"][0] = 1000
    arrays["x"] += 1
    assert connection.sql("SELECT sum(a), sum(x) FROM t").fetchall() == [(1010, 5.0)]


def test_an_array_that_changes_after_the_result_was_fetched() -> None:
    """A result does not share memory with its source."""
    arrays = {"x": np.arange(100_000, dtype=np.float64)}
    table = qtensor.sql("SELECT x FROM t", t=arrays).arrow()
    arrays["x"][:] = -1
    assert table["x"][5].as_py() == 5.0


def test_registering_anew() -> None:
    connection = qtensor.connect()
    for values, total in [([1, 2], 3), ([5, 5, 5], 15), ([], None), ([2**40], 2**40), ([None, 1], 1)]:
        connection.register("t", pa.table({"a": pa.array(values, pa.int64())}))
        assert connection.sql("SELECT sum(a) FROM t").fetchall() == [(total,)]
    connection.register("T", pa.table({"a": ["text"]}))
    assert connection.sql("SELECT a FROM t").fetchall() == [("text",)]
    with pytest.raises(BindError, match="sum takes a number"):
        connection.sql("SELECT sum(a) FROM t")


def test_a_relation_sees_the_table_of_the_moment_it_runs() -> None:
    connection = qtensor.connect().register("t", pa.table({"a": [1]}))
    relation = connection.sql("SELECT sum(a) FROM t")
    connection.register("t", pa.table({"a": [2, 3]}))
    assert relation.fetchall() == [(5,)]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_file_rewritten_between_queries(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data.{suffix}"

    def write(values: list[int]) -> None:
        table = pa.table({"a": values})
        if suffix == "parquet":
            pq.write_table(table, path)
        else:
            pyarrow.csv.write_csv(table, path)
        time.sleep(0.01)  # file systems count time in ticks

    write([1, 2, 3])
    connection = qtensor.connect().register("t", str(path))
    relations = [connection.sql("SELECT sum(a) FROM t"), connection.sql(f"SELECT sum(a) FROM '{path}'")]
    assert [relation.fetchall() for relation in relations] == [[(6,)], [(6,)]]
    write([4, 5, 6])
    assert [relation.fetchall() for relation in relations] == [[(15,)], [(15,)]]
    write([1000, 2000, 3000, 4000])
    assert [relation.fetchall() for relation in relations] == [[(10_000,)], [(10_000,)]]
    assert connection.sql("SELECT count(*) FROM t").fetchall() == [(4,)]
    path.unlink()
    with pytest.raises(DataError, match=f"data.{suffix}: no such file"):
        connection.sql("SELECT sum(a) FROM t").fetchall()


def test_a_reader_is_read_once_and_kept() -> None:
    reader = pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches())
    connection = qtensor.connect().register("t", reader)
    for _ in range(2):
        assert connection.sql("SELECT count(*), count(id) FROM t").fetchall() == [(4, 3)]
        assert connection.sql("SELECT count(name) FROM t").fetchall() == [(3,)]
