"""Columns of types that queries do not compute with: they pass through every operator as they are. DuckDB and Arrow are the oracles."""

from __future__ import annotations

import csv
import datetime
import decimal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

import qtensor
from qtensor.errors import QTensorError, UnsupportedError

ROWS = 600
START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
VALUES: dict[str, tuple[Callable[[int], Any], pa.DataType]] = {
    "zoned": (lambda i: START + datetime.timedelta(hours=i, microseconds=i), pa.timestamp("us", "Europe/Berlin")),
    "list": (lambda i: [i, None, 3][: i % 4], pa.list_(pa.int64())),
    "texts": (lambda i: [f"a{i}", "b, c", None, "", "it's", "null"][i % 6 :], pa.large_list(pa.string())),
    "struct": (
        lambda i: {"x": i, "y": f"y {i}"} if i % 5 else {"x": None, "y": "q,r"},
        pa.struct({"x": pa.int32(), "y": pa.string()}),
    ),
    "map": (lambda i: [(f"k{j}", j) for j in range(i % 3)], pa.map_(pa.string(), pa.int64())),
    "blob": (lambda i: bytes([i % 256, 65]), pa.binary()),
    "fixed": (lambda i: bytes([i % 256, 1]), pa.binary(2)),
    "duration": (lambda i: datetime.timedelta(seconds=i * 997, microseconds=i), pa.duration("us")),
    "time": (lambda i: datetime.time(i % 24, i % 60, 5, i * 10), pa.time64("us")),
    "vector": (lambda i: [float(i), 0.5, -1.0], pa.list_(pa.float32(), 3)),
    "nested": (
        lambda i: [{"a": [i % 100], "b": {"c": None}}] * (i % 3),
        pa.list_(pa.struct({"a": pa.list_(pa.int8()), "b": pa.struct({"c": pa.int64()})})),
    ),
}
COLUMNS = ", ".join(f'"{name}"' for name in VALUES)
QUERIES = (
    "SELECT * FROM t ORDER BY id",
    "SELECT * FROM t WHERE g = 2 ORDER BY id DESC LIMIT 7",
    "SELECT * EXCLUDE (g) FROM t ORDER BY g, id LIMIT 20 OFFSET 5",
    f"SELECT t.id, {COLUMNS} FROM t JOIN few ON t.g = few.k ORDER BY t.id, few.n",
    f"SELECT few.n, r.* FROM few LEFT JOIN (SELECT id, {COLUMNS} FROM t WHERE id < 3) r ON few.k = r.id ORDER BY few.n",
    "SELECT * FROM (SELECT * FROM t WHERE id < 40 UNION ALL SELECT * FROM other) ORDER BY id, g",
    "SELECT DISTINCT ON (g) * FROM t ORDER BY g, id",
    "SELECT *, row_number() OVER (PARTITION BY g ORDER BY id) AS r FROM t ORDER BY id",
    "SELECT id, " + ", ".join(f'any_value("{name}") AS "{name}"' for name in VALUES) + " FROM t GROUP BY id ORDER BY id",
    "SELECT g, " + ", ".join(f'count("{name}") AS "{name}"' for name in VALUES) + " FROM t GROUP BY g ORDER BY g",
    'SELECT id, list IS NULL AS a, blob IS NOT NULL AS b FROM t WHERE "map" IS NULL OR "struct" IS NULL ORDER BY id',
    "WITH w AS (SELECT id, list, zoned FROM t) SELECT a.id, a.list AS x, b.list AS y, b.zoned FROM w a JOIN w b ON a.id = b.id + 1 ORDER BY a.id",
    "SELECT id, (SELECT list FROM t WHERE id = 6) AS l FROM other ORDER BY id",
    "SELECT * FROM t WHERE id < 0",
)


def table(first: int, rows: int, missing: float = 0.1) -> pa.Table:
    random = np.random.default_rng(first)
    made = {"id": pa.array(range(first, first + rows)), "g": pa.array(random.integers(0, 5, rows))}
    for name, (value, type) in VALUES.items():
        made[name] = pa.array([None if random.random() < missing else value(i) for i in range(first, first + rows)], type)
    return pa.table(made)


TABLES = {"t": table(0, ROWS), "other": table(1_000, 50), "few": pa.table({"k": [1, 2, 2, 9], "n": [1, 2, 3, 4]})}


@pytest.fixture(scope="module")
def theirs() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name, rows in TABLES.items():
            connection.register(name, rows)
        yield connection


@pytest.fixture(scope="module")
def ours() -> Iterator[qtensor.Connection]:
    with qtensor.connect(threads=2) as connection:
        for name, rows in TABLES.items():
            connection.register(name, rows)
        yield connection


def values(rows: pa.Table) -> list[dict[str, Any]]:
    """The rows; durations, of which DuckDB makes intervals, as such."""
    return [{name: of_interval(value) for name, value in row.items()} for row in rows.to_pylist()]


def of_interval(value: Any) -> Any:
    if type(value).__name__ != "MonthDayNano":
        return value
    assert value.months == 0
    return datetime.timedelta(days=value.days, microseconds=value.nanoseconds // 1000)


@pytest.mark.parametrize("query", QUERIES)
def test_rows(ours: qtensor.Connection, theirs: duckdb.DuckDBPyConnection, query: str) -> None:
    assert values(ours.sql(query).arrow()) == values(theirs.sql(query).to_arrow_table())


@pytest.mark.parametrize("query", QUERIES[:6])
@pytest.mark.parametrize("kind", ["parquet", "arrow", "streamed"])
def test_files(theirs: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str, query: str) -> None:
    with qtensor.connect(threads=2) as connection:
        for name, rows in TABLES.items():
            path = tmp_path / f"{name}.{'arrow' if kind == 'arrow' else 'parquet'}"
            if kind == "arrow":
                with pa.ipc.new_file(path, rows.schema) as writer:
                    writer.write_table(rows, max_chunksize=70)
            else:
                pyarrow.parquet.write_table(rows, path, row_group_size=70)
            connection.register(name, path, stream=kind == "streamed" and name != "few")
        assert values(connection.sql(query).arrow()) == values(theirs.sql(query).to_arrow_table())


def test_types_that_only_arrow_has() -> None:
    """Rows and types are Arrow's own."""
    rows = 300
    columns = {
        "wide": pa.array([decimal.Decimal(f"{i}{'7' * 45}.25") for i in range(rows)], pa.decimal256(60, 2)),
        "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes([i % 256] * 16) for i in range(rows)], pa.binary(16))),
        "interval": pa.array([(i, 2, 3) for i in range(rows)], pa.month_day_nano_interval()),
        "seconds": pa.array([datetime.time(i % 24) for i in range(rows)], pa.time32("s")),
        "view": pa.array([[i % 100] for i in range(rows)], pa.list_view(pa.int8())),
        "coded": pa.array([[1], [2], [1]] * 100).dictionary_encode()
        if False
        else pa.array([b"x", None, b"y"] * 100).dictionary_encode(),
    }
    given = pa.table({"id": pa.array(range(rows)), **columns})
    with qtensor.connect() as connection:
        connection.register("t", given)
        found = connection.sql("SELECT * FROM t WHERE id % 3 = 1 ORDER BY id DESC").arrow()
    expected = given.filter(pa.array([i % 3 == 1 for i in range(rows)])).take(list(reversed(range(rows // 3))))
    assert found.to_pylist() == expected.to_pylist()
    assert found.schema.field("uuid").type == pa.uuid()
    assert found.schema.field("wide").type == pa.decimal256(60, 2)


def test_frames() -> None:
    moments = pd.to_datetime(["2024-01-01", None, "2024-07-01"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"id": [1, 2, 3], "m": moments, "d": pd.to_timedelta(["1s", None, "2h"]), "l": [[1], None, [2, 3]]})
    arrays = {"id": np.arange(3), "d": np.array([1, "NaT", 3], "m8[ms]")}
    polar = pl.DataFrame({"id": [1, 2], "l": [[1, 2], None], "s": [{"a": 1}, {"a": None}], "t": [datetime.time(1), None]})
    with qtensor.connect() as connection:
        found = connection.sql("SELECT * FROM frame ORDER BY id DESC").df()
        pd.testing.assert_series_equal(found["m"], frame["m"][::-1].reset_index(drop=True), check_dtype=False)
        assert found["d"].tolist()[0] == pd.Timedelta("2h") and pd.isna(found["d"].tolist()[1])
        assert connection.sql("SELECT id, d FROM arrays WHERE d IS NOT NULL").fetchall() == [
            (0, datetime.timedelta(milliseconds=1)),
            (2, datetime.timedelta(milliseconds=3)),
        ]
        assert connection.sql("SELECT * FROM polar").pl().equals(polar)
        assert arrays["id"][0] == 0


def test_texts(ours: qtensor.Connection, theirs: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """CSV and JSON as DuckDB writes them, and what is shown."""
    theirs.execute("SET TimeZone = 'Europe/Berlin'")
    query = "SELECT * FROM t ORDER BY id"
    for ending in ("csv", "json"):
        ours.sql(f"COPY ({query}) TO '{tmp_path}/ours.{ending}'")
        theirs.execute(f"COPY ({query}) TO '{tmp_path}/theirs.{ending}'")
        found, expected = ((tmp_path / f"{name}.{ending}").read_text() for name in ("ours", "theirs"))
        lines = [list(csv.reader(text.splitlines())) for text in (found, expected)]  # DuckDB quotes #A, too
        assert lines[0] == lines[1] if ending == "csv" else found == expected
    assert "[3, NULL, 3]" in repr(ours.sql("SELECT list FROM t WHERE id = 3"))
    assert "{'x': 3, 'y': y 3}" in repr(ours.sql('SELECT "struct" FROM t WHERE id = 3'))
    assert "<td>" in ours.sql("SELECT list, vector FROM t")._repr_html_()


def test_results(ours: qtensor.Connection) -> None:
    relation = ours.sql("SELECT id, list, blob, time FROM t WHERE id IN (4, 6) ORDER BY id")
    assert relation.fetchall() == [tuple(row.values()) for row in relation.arrow().to_pylist()]
    assert relation.fetchnumpy()["list"].dtype == object
    assert [str(type) for type in relation.types] == ["BIGINT", "BIGINT[]", "BLOB", "TIME"]
    assert ours.sql("SELECT list FROM relation WHERE id = 6").fetchall() == [([6, None],)]


def test_tables_that_statements_make(ours: qtensor.Connection, tmp_path: Path) -> None:
    ours.sql("CREATE TABLE made AS SELECT id, list, zoned FROM t WHERE id < 10")
    ours.sql("INSERT INTO made SELECT id, list, zoned FROM t WHERE id BETWEEN 20 AND 22")
    ours.sql("DELETE FROM made WHERE id % 2 = 0")
    expected = ours.sql(
        "SELECT id, list, zoned FROM t WHERE (id < 10 OR id BETWEEN 20 AND 22) AND id % 2 = 1 ORDER BY id"
    ).arrow()
    assert ours.sql("SELECT * FROM made ORDER BY id").arrow().to_pylist() == expected.to_pylist()
    ours.sql(f"COPY made TO '{tmp_path}/made.parquet'")
    assert ours.sql(f"SELECT * FROM '{tmp_path}/made.parquet' ORDER BY id").arrow().to_pylist() == expected.to_pylist()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT texts[1] FROM t", "subscripts of|column"),
        ("SELECT zoned + 1 FROM t", 'column "zoned" of type TIMESTAMP WITH TIME ZONE'),
        ("SELECT max(zoned) FROM t", 'column "zoned"'),
        ("SELECT count(DISTINCT list) FROM t", 'column "list"'),
        ("SELECT DISTINCT list FROM t", 'to compute with the column "list"'),
        ("SELECT * FROM t ORDER BY list", 'column "list"'),
        ("SELECT list FROM t UNION SELECT list FROM other", 'to compute with the column "list"'),
        ("SELECT list FROM t GROUP BY ALL", 'column "list"'),
        ("SELECT id FROM t WHERE time > '01:00'", 'column "time"'),
        ("SELECT * FROM t JOIN other USING (list)", 'column "list"'),
        ("SELECT coalesce(list, list) FROM t", 'column "list"'),
        ("SELECT CASE WHEN g = 1 THEN list END FROM t", 'column "list"'),
        ("SELECT zoned::DATE FROM t", 'column "zoned"'),
        ("SELECT id FROM t WHERE list IN (SELECT list FROM other)", 'column "list"'),
        ("SELECT lag(list) OVER (ORDER BY id) FROM t", 'column "list"'),
        ("SELECT first(list ORDER BY id) FROM t", "column"),
        ("SELECT list FROM t UNION ALL SELECT texts FROM other", "."),
        ("SELECT blob FROM t EXCEPT SELECT blob FROM other", 'column "blob"'),
    ],
)
def test_what_is_more_than_passing_on(ours: qtensor.Connection, query: str, message: str) -> None:
    with pytest.raises(QTensorError, match=message):
        ours.sql(query).fetchall()


def test_exports(ours: qtensor.Connection, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match='to export a query that reads the column "list"'):
        ours.sql("SELECT id, list FROM t").export(tmp_path / "x.qta")
    ours.sql("SELECT id FROM t WHERE g = 1").export(tmp_path / "y.qta")
    expected = ours.sql("SELECT id FROM t WHERE g = 1").arrow()
    assert qtensor.load(tmp_path / "y.qta")(t=TABLES["t"]).to_pylist() == expected.to_pylist()
