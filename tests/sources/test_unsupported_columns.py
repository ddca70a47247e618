"""Tables with columns of types that no query computes with, and of names that are equal but for case: refused where they are used.

What the other columns hold DuckDB says, which is asked about a table without those columns; of the names it is asked as well.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import ArtifactError, UnsupportedError
from qtensor.sources.pipe import read_pipe
from tests.oracle import Answer, Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer

GOOD = pa.table({"id": [3, 1, None, 2], "s": ["x", "y", None, "x"], "Price": [1.5, -2.0, 0.25, None]})
NOON = datetime.datetime(2020, 1, 2, 12, tzinfo=datetime.UTC)
IN_FILES = {  # of every type that Parquet and Arrow files can hold
    "zoned": pa.array([NOON, None, NOON, NOON], pa.timestamp("us", "UTC")),
    "zoned_ns": pa.array([NOON, None, NOON, NOON], pa.timestamp("ns", "Europe/Berlin")),
    "wide": pa.array([1, 2, None, 3], pa.decimal256(50, 2)),
    "clock": pa.array([datetime.time(1), None, None, datetime.time(2)], pa.time64("us")),
    "bytes": pa.array([b"x", None, b"", b"\xff"]),
    "four": pa.array([b"abcd", None, b"abcd", b"abcd"], pa.binary(4)),
    "list": pa.array([[1, 2], [], None, [3]], pa.list_(pa.int32())),
    "pair": pa.array([[1, 2], [3, 4], None, [5, 6]], pa.list_(pa.float32(), 2)),
    "point": pa.array([{"x": 1, "s": "a"}, None, {"x": None, "s": "b"}, {"x": 2, "s": None}]),
    "map": pa.array([[("k", 1)], [], None, [("l", 2)]], pa.map_(pa.string(), pa.int64())),
}
IN_MEMORY = IN_FILES | {
    "span": pa.array([datetime.timedelta(1), None, None, datetime.timedelta(2)], pa.duration("us")),
    "calendar": pa.array([(1, 2, 3), None, None, (4, 5, 6)], pa.month_day_nano_interval()),
    "uuid": pa.array([b"0123456789abcdef"] * 4, pa.uuid()),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int32()), pa.array([7, 8])),
    "either": pa.UnionArray.from_dense(
        pa.array([0, 1, 0, 1], pa.int8()), pa.array([0, 0, 1, 1], pa.int32()), [pa.array([1, 2]), pa.array(["a", "b"])]
    ),
    "coded": pa.array([b"x", b"y", None, b"x"]).dictionary_encode(),
}
UNKNOWN_TO_DUCKDB = ("wide", "either")
QUERIES = [
    "SELECT count(*) FROM t",
    "SELECT s, count(*), sum(id), max(price) FROM t GROUP BY s ORDER BY s",
    "SELECT id, s FROM (SELECT * FROM t) WHERE id > 1 ORDER BY id",
    "WITH c AS (SELECT * FROM t LIMIT 3) SELECT count(*), count(s) FROM c",
    "SELECT id, EXISTS (SELECT * FROM t u WHERE u.id = t.id + 1) AS next FROM t ORDER BY id",
    "SELECT count(*) AS n FROM (SELECT * FROM t UNION ALL SELECT * FROM t)",
    "SELECT l.id, r.s FROM t l JOIN t r ON l.id = r.id ORDER BY ALL",
]


def between(bad: dict[str, pa.Array]) -> pa.Table:
    """The good columns with the others before, between and behind them."""
    half = len(bad) // 2
    columns = list(bad.items())
    first, second, third = GOOD.itercolumns()
    return pa.table(dict([*columns[:half], ("id", first), ("s", second), *columns[half:], ("Price", third)]))


def written(table: pa.Table, path: Path) -> str:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3)
    else:
        with (pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file)(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    return str(path)


def piped(table: pa.Table) -> Any:
    memory = io.BytesIO()
    with pa.ipc.new_stream(memory, table.schema) as writer:
        writer.write_table(table)
    return read_pipe("stdin", io.BytesIO(memory.getvalue()))


KINDS: dict[str, Callable[[Path], object]] = {
    "table": lambda folder: between(IN_MEMORY),
    "reader": lambda folder: between(IN_MEMORY).to_reader(2),
    "in-memory dataset": lambda folder: ds.dataset(between(IN_FILES)),
    "dataset": lambda folder: ds.dataset(written(between(IN_FILES), folder / "t.parquet")),
    "folder": lambda folder: str(Path(written(between(IN_FILES), folder / "t.parquet")).parent),
    "parquet": lambda folder: written(between(IN_FILES), folder / "t.parquet"),
    "arrow file": lambda folder: written(between(IN_MEMORY), folder / "t.arrow"),
    "arrow stream": lambda folder: written(between(IN_MEMORY), folder / "t.arrows"),
    "pipe": lambda folder: piped(between(IN_MEMORY)),
    "relation of DuckDB": lambda folder: duckdb.from_arrow(between({"list": IN_FILES["list"], "bytes": IN_FILES["bytes"]})),
    "pandas": lambda folder: GOOD.to_pandas().assign(
        span=pd.to_timedelta([1, 2, 3, 4], "s"),
        period=pd.period_range("2020-01", periods=4, freq="M"),
        sparse=pd.arrays.SparseArray([0, 1, 0, 2]),
        mixed=pd.Series([1, "a", None, 2.5], dtype=object),
        objects=[object()] * 4,
        lists=[[1], [2], None, []],
        zoned=[NOON] * 4,
        complex=[1j] * 4,
        interval=pd.interval_range(0, 4),
    ),
    "polars": lambda folder: pl.from_arrow(GOOD).with_columns(  # type: ignore[union-attr]
        pl.Series("huge", [1, 2, 3, 4], dtype=pl.Int128),
        pl.Series("lists", [[1], [], None, [2]]),
        pl.Series("objects", [object()] * 4, dtype=pl.Object),
        pl.Series("clock", [datetime.time(1)] * 4),
        pl.Series("span", [datetime.timedelta(1)] * 4),
    ),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_unused_columns_do_not_matter(make: Callable[[Path], object], tmp_path: Path) -> None:
    ours, theirs = qtensor.connect(threads=2), duckdb.connect()
    ours.register("t", make(tmp_path))
    theirs.register("t", GOOD if not isinstance(make(tmp_path), pd.DataFrame) else GOOD.to_pandas())
    for query in QUERIES:
        found = answer_of_qtensor(ours.sql(query))
        assert_same_answer(found, answer_of_duckdb(theirs, query), ordered="ORDER BY" in query)


UNKNOWN_TO_ARROW = {
    "pandas": ["sparse", "mixed", "objects", "complex"],
    "polars": ["huge", "objects"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_star_passes_columns_on(kind: str, tmp_path: Path) -> None:
    """All but those that Arrow does not know, which are named."""
    connection = qtensor.connect()
    connection.register("t", KINDS[kind](tmp_path))
    names = [name for name, *_ in connection.sql("DESCRIBE t").fetchall()]
    excluded = "*"
    if kind in UNKNOWN_TO_ARROW:
        with pytest.raises(UnsupportedError, match=r"(?s)not supported yet:.*\^") as caught:
            connection.sql("SELECT * FROM t")
        named = [name for name in names if f'the column "{name}" of type' in str(caught.value)]
        assert set(UNKNOWN_TO_ARROW[kind]) & set(names) >= set(named) > set()
        excluded = str(caught.value).rsplit("SELECT ", 1)[1].rstrip(".")
        names = [name for name in names if name not in named]
    found = connection.sql(f"SELECT {excluded} FROM t").arrow()
    assert found.column_names == names
    assert found.num_rows == 4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in UNKNOWN_TO_ARROW])
def test_more_than_passing_on_names_columns_and_how_to_leave_them_out(kind: str, tmp_path: Path) -> None:
    connection = qtensor.connect()
    connection.register("t", KINDS[kind](tmp_path))
    described = {name: type for name, type, *_ in connection.sql("DESCRIBE t").fetchall()}
    bad = [name for name in described if name not in GOOD.column_names]
    assert len(bad) >= 2
    for query in ("SELECT DISTINCT * FROM t", "SELECT count(*) FROM (SELECT DISTINCT * FROM t)"):
        with pytest.raises(UnsupportedError, match=r"(?s)not supported yet:.*\^") as caught:
            connection.sql(query)
        for name in bad:
            assert f'the column "{name}" of type {described[name]}; ' in str(caught.value)
    excluded = str(caught.value).rsplit("SELECT ", 1)[1].rstrip(".")
    assert connection.sql(f"SELECT {excluded} FROM t").columns == ["id", "s", "Price"]


def test_types_are_called_as_duckdb_calls_them() -> None:
    known = pa.table({name: values for name, values in IN_MEMORY.items() if name not in (*UNKNOWN_TO_DUCKDB, "runs")})
    engines = Engines.over(t=known)
    expected = engines.theirs.sql("SELECT column_name, column_type FROM (DESCRIBE t)").fetchall()
    assert [(name, type) for name, type, *_ in engines.ours.sql("DESCRIBE t").fetchall()] == expected


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("SELECT max({c}) FROM t", 1),
        ("SELECT id FROM t WHERE t.{c} IS NULL AND {c} > 3", 1),
        ("SELECT id FROM t GROUP BY id, {c}", 1),
        ("SELECT id FROM t ORDER BY {c}", 1),
        ("SELECT id, sum(id) OVER (PARTITION BY {c}) FROM t", 1),
        ("SELECT l.id FROM t l JOIN t r ON l.{c} = r.{c}", 2),
        ("SELECT l.id FROM t l JOIN t r USING ({c})", 1),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE u.id = t.id AND t.{c} = 3)", 1),
        ("SELECT * REPLACE ({c}::VARCHAR AS {c}) FROM t", 1),
    ],
)
def test_use_is_refused_at_its_place(query: str, places: int) -> None:
    for name in ("list", "zoned", "bytes"):
        connection = qtensor.connect()
        connection.register("t", between({name: IN_FILES[name]}))
        text = query.format(c=f'"{name}"')
        with pytest.raises(UnsupportedError, match=f'the column "{name}" of type') as caught:
            connection.sql(text)
        carets = [line for line in str(caught.value).splitlines() if set(line.strip()) == {"^"}]
        assert len(carets) == places
        start = carets[0].index("^") - 2
        assert name in text[start : start + carets[0].count("^")]


def test_views_pass_columns_on() -> None:
    connection = qtensor.connect()
    connection.register("t", between({"list": IN_FILES["list"]}))
    connection.sql("CREATE VIEW v AS SELECT * FROM t WHERE id > 1")
    assert connection.sql("SELECT sum(id) FROM v").fetchall() == duckdb.sql("SELECT sum(id) FROM GOOD WHERE id > 1").fetchall()
    connection.sql("CREATE TABLE made AS FROM v")
    assert (
        connection.sql("FROM v").fetchall()
        == connection.sql("FROM made").fetchall()
        == [(3, "x", [1, 2], 1.5), (2, "x", [3], None)]
    )
    for statement in ("SELECT DISTINCT * FROM v", "SUMMARIZE v"):
        with pytest.raises(UnsupportedError, match=r'(?s)the column "list" of type INTEGER\[\].*\^'):
            connection.sql(statement).fetchall()


def test_dict_of_arrays() -> None:
    arrays = {"id": np.array([1, 2]), "c": np.array([1j, 2]), "m": np.array([1, 2], "m8[s]"), "b": np.array([b"x", b"y"])}
    connection = qtensor.connect()
    connection.register("t", arrays)
    assert connection.sql("SELECT sum(id), count(*) FROM t").fetchall() == [(3, 2)]
    arrays["id"][0] = 5
    assert connection.sql("SELECT sum(id), count(*) FROM t").fetchall() == [(7, 2)]
    assert connection.sql("SELECT m FROM t").fetchall() == [(datetime.timedelta(seconds=1),), (datetime.timedelta(seconds=2),)]
    for name in "cb":
        with pytest.raises(UnsupportedError, match=f'the column "{name}" of type .*; cast it to a number'):
            connection.sql(f"SELECT {name} FROM t")


def test_calls_of_artifacts(tmp_path: Path) -> None:
    """Also columns that are there at the call only."""
    query = "SELECT s, count(*) AS n, max(price) AS highest FROM t GROUP BY s ORDER BY s"
    expected = duckdb.sql(query.replace("FROM t", "FROM GOOD")).fetchall()
    for number, source in enumerate((GOOD, between(IN_MEMORY), between(IN_MEMORY).schema)):
        path = tmp_path / f"{number}.qta"
        qtensor.export(query, path, tables={"t": source})
        artifact = qtensor.load(path, threads=2)
        for make in KINDS.values():
            folder = tmp_path / "sources"
            folder.mkdir(exist_ok=True)
            found = artifact(make(folder)).to_pylist()
            assert [tuple(row.values()) for row in found] == expected
        found = artifact.stream(between(IN_MEMORY).to_reader(3)).read_all().to_pylist()
        assert [tuple(row.values()) for row in found] == expected
    for bad in (GOOD.set_column(2, "Price", IN_FILES["list"]), GOOD.set_column(2, "Price", IN_FILES["zoned"])):
        with pytest.raises(ArtifactError, match='column "Price": assumed DOUBLE, found'):
            artifact(bad)
    with pytest.raises(UnsupportedError, match=r'(?s)the column "list" .*\^'):
        qtensor.export('SELECT "list" FROM t', tmp_path / "x.qta", tables={"t": between(IN_FILES)})
    with pytest.raises(UnsupportedError, match=r'(?s)the column "list" .*\^'):
        qtensor.export("SELECT * FROM t", tmp_path / "x.qta", tables={"t": between(IN_FILES)})


# --- names that are equal but for case ----------------------------------------------------------------------------------------

TWICE = pa.table([[1, 2], ["x", "y"], [5.5, 6.5], [300, 400]], ["a", "A", "a", "a_1"])
ALIKE: dict[str, Callable[[Path], object]] = {
    "table": lambda folder: TWICE,
    "pandas": lambda folder: pd.DataFrame([[1, 2.5, "x"], [3, 4.5, "y"]], columns=["a", "a", "A"]),
    "polars": lambda folder: pl.DataFrame({"a": [1, 2], "A": ["x", "y"], "b": [3, 4]}),
    "arrays": lambda folder: {"a": np.array([1, 2]), "A": np.array([2.5, 3.5])},
}
FILES: dict[str, Callable[[Path], str]] = {
    "parquet": lambda folder: written(TWICE, folder / "t.parquet"),
    "csv": lambda folder: str((folder / "t.csv").write_text("a,A,a,a_1\n1,x,5.5,300\n") and folder / "t.csv"),
}


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE.keys())
def test_equal_names_are_numbered(make: Callable[[Path], object], tmp_path: Path) -> None:
    t = make(tmp_path)
    names = duckdb.sql("SELECT * FROM t").columns
    assert qtensor.sql("SELECT * FROM t", t=t).columns == names
    for query in ("SELECT * FROM t", *(f'SELECT max("{name}") AS m FROM t' for name in names)):
        theirs = duckdb.sql(query)  # finds t, which may be a dict
        expected = Answer(theirs.columns, [str(type) for type in theirs.types], theirs.fetchall())
        assert_same_answer(answer_of_qtensor(qtensor.sql(query, t=t)), expected, ordered=True)


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
def test_equal_names_in_files(make: Callable[[Path], str], tmp_path: Path) -> None:
    path = make(tmp_path)
    connection = duckdb.connect()
    expected = answer_of_duckdb(connection, f"SELECT * FROM '{path}'")
    assert_same_answer(answer_of_qtensor(qtensor.sql(f"SELECT * FROM '{path}'")), expected, ordered=True)
    for name in expected.names:
        query = f"SELECT max(\"{name}\") AS m FROM '{path}'"
        assert_same_answer(answer_of_qtensor(qtensor.sql(query)), answer_of_duckdb(connection, query), ordered=True)


def test_equal_names_in_calls_of_artifacts(tmp_path: Path) -> None:
    qtensor.export("SELECT max(A_1) AS m FROM t", tmp_path / "q.qta", tables={"t": TWICE})
    artifact = qtensor.load(tmp_path / "q.qta")
    for found in (artifact(TWICE), artifact.stream(TWICE.to_reader(1)).read_all()):
        assert found.to_pylist() == [{"m": "y"}]
