"""Queries over tables that do not fit a small limit of memory: read block by block, kept in parts on disk, and as DuckDB answers."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.streaming.prepare import PreparedStream
from tests.oracle.answers import Engines

ROWS = 30_000
GROUP = 3_000  # rows of a row group
WORDS = ["ash", "birch", "cedar", "", "dogwood", "elm", "fir", "Zürich", "ginkgo"]


def events(rows: int = ROWS) -> pa.Table:
    """Columns that change from block to block: ranges that grow, texts and NULLs that come late."""
    random = np.random.default_rng(7)
    row = np.arange(rows)
    late = row > rows * 2 // 3

    def nullable(values: np.ndarray, share: float) -> pa.Array:  # type: ignore[type-arg]
        return pa.array(values, mask=random.random(rows) < share)

    words = np.array([*WORDS, *(f"late {number}" for number in range(50))])
    floats = np.round(random.normal(50, 20, rows), 3)
    floats[random.random(rows) < 0.01] = np.nan
    floats[random.random(rows) < 0.01] = -0.0
    decimals = [Decimal(int(value)) / 100 for value in random.integers(-500_000, 500_000, rows)]
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(day)) for day in random.integers(0, 900, rows)]
    moments = [datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=int(at)) for at in random.integers(0, 10**7, rows)]
    return pa.table(
        {
            "id": pa.array(row, pa.int64()),
            "k": nullable(random.integers(0, 2_500, rows).astype(np.int32), 0.02),
            "g": pa.array(random.integers(0, 5, rows).astype(np.int8)),
            "wide": pa.array(row.astype(np.int64) ** 3 - 10**12),
            "late": pa.array(np.where(late, row, 3).astype(np.int16), mask=late & (row % 7 == 0)),
            "t": pa.array(np.where(late, words[random.integers(0, len(words), rows)], words[random.integers(0, 4, rows)])),
            "u": pa.array([None if at % 50 == 0 else f"user {at}" for at in random.integers(0, 9_000, rows)]),
            "f": nullable(floats, 0.03),
            "r": pa.array(random.random(rows).astype(np.float32)),
            "d": pa.array(decimals, pa.decimal128(12, 2)),
            "day": pa.array(days),
            "moment": pa.array(moments, pa.timestamp("us")),
            "b": nullable(random.random(rows) < 0.3, 0.1),
        }
    )


def others(rows: int = 8_000) -> pa.Table:
    random = np.random.default_rng(8)
    return pa.table(
        {
            "k": pa.array(random.integers(0, 4_000, rows).astype(np.int32), mask=random.random(rows) < 0.02),
            "u": pa.array([f"user {at}" for at in random.integers(0, 12_000, rows)]),
            "w": pa.array(random.integers(-9, 9, rows)),
        }
    )


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Both engines over files, ours with room for next to nothing, and over a small table in memory."""
    folder = tmp_path_factory.mktemp("streams")
    pq.write_table(events(), folder / "events.parquet", row_group_size=GROUP)
    pq.write_table(others(), folder / "others.parquet", row_group_size=GROUP)
    small = pa.table({"g": pa.array([0, 1, 2, 2, 9]), "name": ["nought", "one", "two", "zwei", "nine"]})
    engines = Engines(qtensor.connect(threads=2, memory_limit=3_000_000), duckdb.connect())
    for name in ("events", "others"):
        engines.ours.register(name, folder / f"{name}.parquet", stream=True)
        engines.theirs.execute(f"CREATE VIEW {name} AS FROM '{folder / name}.parquet'")
    engines.register("small", small)
    yield engines
    engines.close()


ROW_WISE = [
    "SELECT * FROM events",
    "SELECT id, t, d + 1, f * 2, upper(u), day + 1 FROM events WHERE g = 2 AND t <> 'ash'",
    "SELECT id, late, wide FROM events WHERE late IS NULL OR wide > 10000000000000",
    "SELECT count(*) FROM events WHERE id BETWEEN 5000 AND 5010",
    "SELECT id FROM events WHERE day = DATE '2020-02-02' AND id IN (3, 4000, 29999)",
    "SELECT id FROM events WHERE id < 0",
    "SELECT id, t LIKE 'late%', u IN ('user 5', 'user 7'), length(t) FROM events WHERE id % 3 = 0",
    "SELECT id, name FROM events JOIN small USING (g)",
    "SELECT id, name FROM events LEFT JOIN small ON events.g = small.g AND small.name < 'o'",
    "SELECT id, name FROM small JOIN events USING (g) WHERE id > 29000",
    "SELECT id FROM events WHERE g IN (SELECT g FROM small)",
    "SELECT id FROM events WHERE g NOT IN (SELECT g FROM small WHERE name > 'o')",
    "SELECT id, (SELECT max(name) FROM small WHERE small.g = events.g) FROM events",
    "SELECT id, t FROM events WHERE id < 100 UNION ALL SELECT w, u FROM others WHERE w = 3 UNION ALL SELECT g, name FROM small",
]

GROUPED = [
    "SELECT count(*), count(f), sum(id), sum(d), sum(f), avg(d), avg(id), avg(f), min(t), max(u), min(day), max(moment) FROM events",
    "SELECT g, count(*), sum(late), avg(late), min(f), max(f), min(b), bool_and(b), bool_or(b) FROM events GROUP BY g",
    "SELECT t, g, count(*), sum(wide), max(wide) FROM events GROUP BY t, g ORDER BY t, g",
    "SELECT k, count(*), sum(d), min(u), max(day) FROM events GROUP BY k",
    "SELECT u, count(*), sum(id) FROM events GROUP BY u",
    "SELECT id, count(*) FROM events GROUP BY id",
    "SELECT f, count(*) FROM events WHERE NOT isnan(f) GROUP BY f ORDER BY f",
    "SELECT count(*), sum(n), count(f) FROM (SELECT f, count(*) AS n FROM events GROUP BY f)",
    "SELECT day, moment, count(*) FROM events GROUP BY day, moment",
    "SELECT id % 10, sum(wide * 1000) FROM events GROUP BY 1",
    "SELECT sum(wide), sum(wide * 100000) FROM events",
    "SELECT k, median(d), quantile_cont(f, 0.25) FROM events WHERE NOT isnan(f) GROUP BY k",
    "SELECT median(id), quantile_disc(day, 0.9) FROM events",
    "SELECT count(DISTINCT k), sum(DISTINCT k), avg(DISTINCT k) FROM events",
    "SELECT g, count(DISTINCT u) FROM events GROUP BY g",
    "SELECT g, count(DISTINCT t), count(*) FROM events GROUP BY g",
    "SELECT k, string_agg(t, ',' ORDER BY id) FROM events GROUP BY k",
    "SELECT g, first(id ORDER BY moment, id), last(t ORDER BY moment, id), arg_min(u, d) FROM events GROUP BY g",
    "SELECT k, first(id ORDER BY id DESC) FILTER (g = 1), any_value(day) IS NOT NULL FROM events GROUP BY k",
    "SELECT g, var_samp(d), stddev_pop(late), var_pop(id), sem(d) FROM events GROUP BY g",
    "SELECT stddev(wide), variance(r), stddev(d) FILTER (id = 3) FROM events",
    "SELECT k, stddev(d), count(*) FROM events GROUP BY k",
    "SELECT g, corr(d, id), regr_slope(late, id) FROM events GROUP BY g",
    "SELECT bit_xor(id), bit_and(k), bit_or(g), product(1 + r / 100000) FROM events",
    "SELECT DISTINCT t, g FROM events",
    "SELECT DISTINCT k FROM events WHERE id > 100000",
    "SELECT g, t, sum(d) FROM events GROUP BY ROLLUP (g, t)",
    "SELECT count(*) FILTER (f > 50), sum(d) FILTER (b) FROM events",
    "SELECT g, sum(d) AS s FROM events GROUP BY g HAVING count(*) > 100 ORDER BY s DESC LIMIT 2",
    "SELECT sum(n), count(*) FROM (SELECT k, count(*) AS n FROM events GROUP BY k)",
    "SELECT name, sum(d) FROM events JOIN small USING (g) GROUP BY name",
    "SELECT avg(moment), count(*) FROM events",
]

ORDERED = [
    "SELECT id, d FROM events ORDER BY d, id",
    "SELECT id, f FROM events ORDER BY f DESC NULLS FIRST, id",
    "SELECT id, u FROM events ORDER BY u DESC NULLS LAST, id DESC",
    "SELECT id, t, k FROM events ORDER BY k NULLS FIRST, t, id",
    "SELECT id FROM events ORDER BY id",
    "SELECT id FROM events ORDER BY g, id LIMIT 10000 OFFSET 7000",
    "SELECT * FROM events ORDER BY moment, id LIMIT 10",
    "SELECT id, u FROM events WHERE g = 1 ORDER BY u, id LIMIT 50 OFFSET 5",
    "SELECT id FROM events ORDER BY abs(f - 50) NULLS LAST, id LIMIT 1000",
    "SELECT k, count(*) AS n FROM events GROUP BY k ORDER BY n DESC, k",
    "SELECT k, n FROM (SELECT k, count(*) AS n FROM events GROUP BY k) ORDER BY k LIMIT 5",
    "SELECT id + 1 AS x FROM (SELECT id FROM events ORDER BY d, id) ORDER BY x LIMIT 3",
]

LIMITED = [
    "SELECT count(*) FROM (SELECT id FROM events LIMIT 12345)",
    "SELECT count(*) FROM (SELECT id FROM events LIMIT 12345 OFFSET 29000)",
    "SELECT count(*) FROM (SELECT id FROM events OFFSET 29990)",
    "SELECT sum(id) FROM (SELECT id FROM events WHERE g = 1 LIMIT 100)",
    "SELECT id FROM events LIMIT 7 OFFSET 20000",
    "SELECT id FROM events WHERE id > 25000 LIMIT 7",
]

WINDOWS = [
    "SELECT id, row_number() OVER (PARTITION BY k ORDER BY id), sum(d) OVER (PARTITION BY k ORDER BY id) FROM events",
    "SELECT id, rank() OVER (PARTITION BY t ORDER BY d, id), lag(id) OVER (PARTITION BY t ORDER BY d, id) FROM events",
    "SELECT id FROM events QUALIFY row_number() OVER (PARTITION BY u ORDER BY id) = 1",
    "SELECT id, count(*) OVER () FROM events",
    "SELECT DISTINCT ON (u) u, id FROM events ORDER BY u, id",
]

JOINS = [
    "SELECT events.id, others.w FROM events JOIN others USING (k)",
    "SELECT count(*), sum(w) FROM events JOIN others USING (u)",
    "SELECT events.id, others.w FROM events LEFT JOIN others USING (u)",
    "SELECT events.id, others.w FROM others RIGHT JOIN events ON others.u = events.u AND others.w > 3",
    "SELECT count(*), count(id), count(w) FROM events FULL JOIN others USING (k)",
    "SELECT id FROM events WHERE EXISTS (SELECT 1 FROM others WHERE others.u = events.u)",
    "SELECT id FROM events WHERE NOT EXISTS (SELECT 1 FROM others WHERE others.k = events.k)",
    "SELECT id FROM events WHERE u NOT IN (SELECT u FROM others)",
    "SELECT count(*) FROM events WHERE d > (SELECT avg(d) FROM events)",
    "SELECT id FROM events e WHERE d >= (SELECT max(d) FROM events f WHERE f.k = e.k)",
    "SELECT count(*) FROM events a JOIN events b ON a.id = b.id + 1",
    "SELECT small.name, count(*) FROM small LEFT JOIN events ON small.g = events.g GROUP BY ALL",
    "WITH c AS (SELECT k, sum(d) AS s FROM events GROUP BY k) SELECT a.k, a.s FROM c a JOIN c b ON a.k = b.k + 1 WHERE a.s > b.s",
    "WITH c AS (SELECT id, d FROM events WHERE g < 3) SELECT count(*) FROM c a JOIN c b ON a.id = b.id AND a.d = b.d",
    "SELECT count(*) FROM events, small WHERE events.id < 10",
    "(SELECT k FROM events EXCEPT SELECT k FROM others) ORDER BY k",
    "SELECT u FROM events INTERSECT SELECT u FROM others",
    "SELECT k FROM events UNION SELECT w FROM others",
]


@pytest.mark.parametrize("query", [*ROW_WISE, *GROUPED, *ORDERED, *LIMITED, *WINDOWS, *JOINS])
def test_streams_answer_as_duckdb_does(engines: Engines, query: str) -> None:
    prepared = engines.ours.sql(query)._prepare()
    small = "LIMIT 7" in query  # reads so little that it does not matter how large the table is
    assert isinstance(prepared, PreparedStream) or small
    engines.check(query)


CLUSTERED = [
    "SELECT key, count(*), sum(x), min(y), avg(x) FROM clustered GROUP BY key",
    "SELECT key, y, count(*) FROM clustered GROUP BY key, y",
    "SELECT key + 1, sum(x) FROM clustered GROUP BY 1",
    "SELECT maybe, count(*), max(key) FROM clustered GROUP BY maybe",
    "SELECT DISTINCT key FROM clustered WHERE y = 1",
]


@pytest.mark.parametrize("query", CLUSTERED)
def test_groups_by_keys_that_come_together(tmp_path: Path, query: str) -> None:
    """Each block has few of all keys: a slot for each of these, counted from the least one, which is another in each block."""
    rows = 40_000
    key = np.sort(np.random.default_rng(1).integers(-(10**6), 10**6, 9_000))[np.arange(rows) * 9_000 // rows]
    key[rows // 2 : rows // 2 + 2_000] = np.linspace(-(10**6), 10**6, 2_000)  # a block that is not like the others
    columns = {"key": key, "x": np.arange(rows), "y": np.arange(rows) % 3}
    table = pa.table({**columns, "maybe": pa.array(key, mask=np.arange(rows) % 11 == 0)})
    pq.write_table(table, tmp_path / "clustered.parquet", row_group_size=2_000)
    engines = Engines(qtensor.connect(threads=2, memory_limit=1_500_000), duckdb.connect())
    engines.ours.register("clustered", tmp_path / "clustered.parquet", stream=True)
    engines.theirs.execute(f"CREATE VIEW clustered AS FROM '{tmp_path}/clustered.parquet'")
    assert isinstance(engines.ours.sql(query)._prepare(), PreparedStream)
    engines.check(query)
