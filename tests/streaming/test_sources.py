"""What can be streamed, how it is asked for, and what comes of it: models, files of each kind, statements, errors, being stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import (
    CapacityError,
    DataError,
    ExecutionError,
    InterruptError,
    QTensorError,
    QueryTimeoutError,
    UnsupportedError,
)
from qtensor.streaming.prepare import PreparedStream
from tests.streaming.test_streams import events

QUERY = "SELECT g, t, count(*) AS n, sum(id) AS s, min(u) AS u FROM events GROUP BY g, t ORDER BY g, t"


def streaming(memory_limit: int = 1_000_000, **options: Any) -> qtensor.Connection:
    return qtensor.connect(threads=2, memory_limit=memory_limit, **options)


def is_streamed(relation: qtensor.Relation) -> bool:
    return isinstance(relation._prepare(), PreparedStream)


def parquet(folder: Path, table: pa.Table, name: str = "events", group: int = 3_000) -> Path:
    pq.write_table(table, folder / f"{name}.parquet", row_group_size=group)
    return folder / f"{name}.parquet"


def hive(folder: Path, table: pa.Table) -> str:
    for part in range(5):
        (folder / f"hive/g={part}").mkdir(parents=True)
        rows = table.filter(pa.compute.equal(table["g"], part)).drop_columns(["g"])
        pq.write_table(rows, folder / f"hive/g={part}/part.parquet", row_group_size=1_000)
    return str(folder / "hive/*/*.parquet")


def arrow_file(folder: Path, table: pa.Table, make: Callable[..., Any] = pa.ipc.new_file, name: str = "events.arrow") -> Path:
    with pa.OSFile(str(folder / name), "wb") as file, make(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2_500)
    return folder / name


def csv(folder: Path, table: pa.Table) -> Path:
    pa.csv.write_csv(table, folder / "events.csv")
    return folder / "events.csv"


SOURCES: dict[str, Callable[[Path, pa.Table], Any]] = {
    "parquet": parquet,
    "one row group": lambda folder, table: parquet(folder, table, group=1 << 20),
    "hive": hive,
    "list": lambda folder, table: [
        parquet(folder, table.slice(0, 11_111), "a"),
        parquet(folder, table.slice(11_111), "b"),
    ],
    "arrow file": arrow_file,
    "arrow stream": lambda folder, table: arrow_file(folder, table, pa.ipc.new_stream, "events.arrows"),
    "csv": csv,
    "table": lambda folder, table: table,
    "pandas": lambda folder, table: table.to_pandas(),
    "polars": lambda folder, table: pl.from_arrow(table),
    "dict": lambda folder, table: {
        "g": table["g"].to_numpy(),
        "id": table["id"].to_numpy(),
        "t": table["t"].to_numpy(zero_copy_only=False),
        "u": table["u"].to_numpy(zero_copy_only=False),
    },
    "dataset": lambda folder, table: pa.dataset.dataset(parquet(folder, table)),
    "reader": lambda folder, table: table.to_reader(2_000),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_table_streams(tmp_path: Path, kind: str) -> None:
    table = events(20_000).select(["id", "g", "t", "u"])
    table = table.filter(pa.compute.not_equal(table["t"], ""))  # which is NULL in a CSV file
    connection = streaming().register("events", SOURCES[kind](tmp_path, table), stream=True)
    relation = connection.sql(QUERY)
    assert is_streamed(relation)
    theirs = duckdb.connect()
    theirs.register("events", table)
    expected = theirs.execute(QUERY).fetchall()
    assert relation.fetchall() == expected
    assert relation.fetchall() == expected  # and once more
    assert connection._session.columns.size == 0


@pytest.mark.parametrize("rows", [0, 1, 2_047, 2_048, 2_049, 65_535, 65_536, 65_537])
def test_any_number_of_rows(tmp_path: Path, rows: int) -> None:
    table = pa.table({"x": pa.array(np.arange(rows), pa.int64()), "y": pa.array(np.arange(rows) % 3, pa.int8())})
    connection = streaming().register("t", parquet(tmp_path, table, "t", 10_000), stream=True)
    assert connection.sql("SELECT count(*), sum(x), max(x) FROM t").fetchall() == [
        (rows, sum(range(rows)) if rows else None, rows - 1 if rows else None)
    ]
    assert connection.sql("SELECT y, count(*) FROM t GROUP BY y ORDER BY y").fetchall() == [
        (y, len(range(y, rows, 3))) for y in range(min(3, rows))
    ]
    assert connection.sql("SELECT x FROM t").arrow()["x"].to_pylist() == list(range(rows))
    assert connection.sql("SELECT x FROM t ORDER BY x DESC LIMIT 2").fetchall() == [(x,) for x in range(rows - 1, -1, -1)][:2]


def test_tables_stream_when_their_columns_do_not_fit(tmp_path: Path) -> None:
    path = parquet(tmp_path, events())
    for limit, streamed in ((1_000_000, True), (1 << 30, False)):
        connection = streaming(limit).register("events", path)
        assert is_streamed(connection.sql("SELECT * FROM events WHERE id > 5")) is streamed
        assert not is_streamed(connection.sql("SELECT sum(g) FROM events"))
        assert is_streamed(connection.sql(f"SELECT * FROM '{path}' ORDER BY id")) is streamed


def test_the_number_of_a_row(tmp_path: Path) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    found = connection.sql("SELECT rowid, id FROM events WHERE id % 1000 = 7 ORDER BY rowid")
    assert is_streamed(found)
    assert found.fetchall() == [(number, number) for number in range(7, 30_000, 1_000)]


def test_models_run_block_by_block(tmp_path: Path) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    connection.create_function("score", lambda r, i: jnp.tanh(r * 3 - i / 30_000), arguments=2)
    rows = connection.sql("SELECT g, sum(score(r, id)), count(*) FROM events WHERE score(r, id) > 0 GROUP BY g ORDER BY g")
    assert is_streamed(rows)
    table = events()
    scores = np.tanh(table["r"].to_numpy().astype(np.float64) * 3 - table["id"].to_numpy() / 30_000)
    for g, total, count in rows.fetchall():
        mine = scores[(table["g"].to_numpy() == g) & (scores > 0)]
        assert count == len(mine)
        assert total == pytest.approx(mine.sum(), rel=1e-9)


def test_scores_pass_through_blocks_and_are_not_kept(tmp_path: Path) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    connection.create_function("scores", lambda r: jnp.stack([r, 1 - r]), arguments=1, output="scores")
    found = connection.sql("SELECT id, scores(r) AS s FROM events WHERE id > 29990").fetchall()
    assert [row[0] for row in found] == list(range(29_991, 30_000))
    assert connection.sql("SELECT count(*) FROM events WHERE scores(r)[1] > 0.5").fetchall() == [
        (int((events()["r"].to_numpy() > 0.5).sum()),)
    ]
    with pytest.raises(UnsupportedError, match=r"an array .* among rows that are sorted"):
        connection.sql("SELECT id, scores(r) AS s FROM events ORDER BY id").fetchall()


def test_rows_come_while_files_are_read(tmp_path: Path) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    relation = connection.sql("SELECT id, u FROM events WHERE g = 1")
    reader = relation.stream()
    first = reader.read_next_batch()
    (tmp_path / "events.parquet").write_bytes(b"changed meanwhile")
    assert first["id"].to_pylist() == [row["id"] for row in events().slice(0, 3_000).to_pylist() if row["g"] == 1]
    with pytest.raises(DataError, match="has changed"):
        reader.read_all()


def test_streams_of_queries_over_tables_in_memory() -> None:
    reader = qtensor.sql("SELECT a + 1 AS b FROM t", t=pa.table({"a": [1, 2]})).stream()
    assert reader.read_all().to_pydict() == {"b": [2, 3]}
    capsule = qtensor.sql("SELECT a FROM t", t=pa.table({"a": [1, 2]}))
    assert pa.RecordBatchReader.from_stream(capsule).read_all().to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow", "json", "csv.gz"])
def test_files_are_written_as_rows_come(tmp_path: Path, suffix: str) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    query = "SELECT id, t, day FROM events WHERE g <> 3 AND t <> ''"
    (count,) = connection.execute(f"COPY ({query}) TO '{tmp_path}/out.{suffix}'").fetchall()
    expected = duckdb.sql(query.replace("events", f"'{tmp_path}/events.parquet'")).fetchall()
    assert count == (len(expected),)
    if suffix == "arrow":
        found = [tuple(row.values()) for row in pa.ipc.open_file(str(tmp_path / "out.arrow")).read_all().to_pylist()]
    else:
        found = duckdb.sql(f"FROM '{tmp_path}/out.{suffix}'").fetchall()
    assert found == expected


def test_an_error_in_a_late_block(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([*range(1, 20_000), 0], pa.int64())})
    connection = streaming().register("t", parquet(tmp_path, table, "t"), stream=True)
    with pytest.raises(ExecutionError, match="zero"):
        connection.sql("SELECT sum(5 // x) FROM t").fetchall()
    with pytest.raises(ExecutionError, match="zero"):
        connection.execute(f"COPY (SELECT 5 % x AS y FROM t) TO '{tmp_path}/out.csv'")
    assert not (tmp_path / "out.csv").exists()
    assert connection.sql("SELECT count(*) FROM t").fetchall() == [(20_000,)]


def test_what_has_no_parts_is_a_capacity_error(tmp_path: Path) -> None:
    connection = streaming(600_000).register("events", parquet(tmp_path, events()), stream=True)
    for query, step in [
        ("SELECT median(wide) FROM events", "the aggregate quantile_cont needs all rows at once"),
        ("SELECT id, sum(wide) OVER (ORDER BY id) FROM events", "a window function needs all rows at once"),
        ("SELECT count(*) FROM events a JOIN events b ON a.wide < b.wide", "the right side of a join"),
    ]:
        with pytest.raises(CapacityError, match=step):
            connection.sql(query).fetchall()
    query = "SELECT median(wide) FROM events WHERE id < 3000"
    expected = duckdb.sql(query.replace("events", f"'{tmp_path}/events.parquet'")).fetchall()
    assert connection.sql(query).fetchall() == expected


def test_streams_can_be_stopped(tmp_path: Path) -> None:
    connection = streaming(timeout=None).register("events", parquet(tmp_path, events(200_000)), stream=True)
    query = "SELECT id, string_agg(t, ',') OVER (PARTITION BY id ORDER BY wide) FROM events"
    stopper = threading.Timer(0.5, connection.interrupt)
    stopper.start()
    with pytest.raises(InterruptError):
        connection.sql(query).fetchall()
    assert connection.sql("SELECT count(*) FROM events").fetchall() == [(200_000,)]
    short = streaming(timeout=0.3).register("events", tmp_path / "events.parquet", stream=True)
    with pytest.raises(QueryTimeoutError):
        short.sql(query).fetchall()


def test_a_relation_knows_when_its_file_changed(tmp_path: Path) -> None:
    connection = streaming().register("t", parquet(tmp_path, pa.table({"x": np.arange(5_000)}), "t"), stream=True)
    relation = connection.sql("SELECT sum(x) FROM t")
    assert relation.fetchall() == [(12_497_500,)]
    parquet(tmp_path, pa.table({"x": np.arange(10)}), "t")
    assert relation.fetchall() == [(45,)]


def test_frames_that_change(tmp_path: Path) -> None:
    connection = streaming(0)
    frame = pd.DataFrame({"a": np.arange(5_000), "b": ["x", "y"] * 2_500})
    relation = connection.sql("SELECT sum(a), min(b) FROM frame")
    assert is_streamed(relation)
    assert relation.fetchall() == [(12_497_500, "x")]
    frame.loc[0, "a"] = 1
    frame.loc[0, "b"] = "w"
    assert relation.fetchall() == [(12_497_501, "w")]


def test_closing_in_the_middle(tmp_path: Path) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    reader = connection.sql("SELECT id FROM events").stream()
    reader.read_next_batch()
    connection.close()
    with pytest.raises(QTensorError):
        reader.read_all()


def test_explain_says_what_streams(tmp_path: Path) -> None:
    connection = streaming().register("events", parquet(tmp_path, events()), stream=True)
    relation = connection.sql("SELECT sum(id) FROM events WHERE g = 1")
    assert "events: 30,000 rows in 3 blocks" in relation.explain()
    assert "Scan events" in relation.explain("logical")
    assert "run " in relation.explain("timings")
    assert "rows in 2 blocks" in connection.sql("EXPLAIN SELECT sum(id) FROM events").fetchall()[0][1]
