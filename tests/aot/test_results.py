"""An artifact over other data than it was exported with gives DuckDB's rows, at once and from a stream."""

from __future__ import annotations

import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.blocks import BLOCK
from qtensor.lowering.storage.layout import CHUNK
from tests.aot.conftest import Export
from tests.aot.samples import assert_same, duckdb_says, odd_batches, sample

QUERIES = {
    "rows": """SELECT id, g + 1 AS a, x * 2 AS b, -d AS d, CASE WHEN s LIKE 'a%' THEN s ELSE 'none' END AS t, s, c, day, z, u
               FROM t WHERE n > 0 OR n IS NULL""",
    "casts": """SELECT TRY_CAST(w AS INTEGER) AS w, CAST(g AS VARCHAR) AS g, CAST(d AS DOUBLE) AS d, CAST(y AS FLOAT) AS y,
                CAST(day AS TIMESTAMP) AS day, CAST(b AS INTEGER) AS b, w = s AS same, s < 'ab' AS less, f FROM t""",
    "limit": "SELECT id, s, e FROM t WHERE g > 0 LIMIT 70 OFFSET 3",
    "best": "SELECT id, x, s, moment FROM t ORDER BY x DESC NULLS LAST, s, id LIMIT 20",
    "sorted": "SELECT g, s, day, id FROM t WHERE n < 3 ORDER BY s, day DESC, id, g",
    "texts": "SELECT s, c, count(*) AS n, sum(e) AS e, avg(y) AS y, min(day) AS day, max(moment) AS m, sum(big) AS b FROM t GROUP BY s, c",
    "wide": "SELECT k, sum(x) AS x, count(n) AS n, max(d) AS d FROM t GROUP BY k HAVING count(*) > 1",
    "doubles": "SELECT z, count(*) AS n, count(DISTINCT k) AS k FROM t GROUP BY z",
    "count": "SELECT count(*) AS n FROM t",
    "totals": """SELECT count(*) FILTER (WHERE s IN ('a', 'ab')) AS a, sum(big) AS big, sum(d) AS d, avg(e) AS e, min(s) AS least,
                 count(DISTINCT n) AS n, max(moment) AS m, sum(y) AS y, max(c) AS c FROM t WHERE s >= 'a' OR s IS NULL""",
    "distinct": "SELECT DISTINCT g, b, s FROM t",
    "nothing": "SELECT g FROM t WHERE false",
}  # fmt: skip
ANY_ORDER = ("texts", "wide", "doubles", "distinct")
ROWS = [0, 1, 2047, 2048, 2049, CHUNK - 1, CHUNK, CHUNK + 1]


def check(name: str, path: str, table: pa.Table) -> None:
    """Called at once and fed by a stream, the artifact says what DuckDB says."""
    artifact = qtensor.load(path)
    expected = duckdb_says(QUERIES[name], table)
    assert artifact.schema == expected.schema
    assert_same(artifact(table), expected, ordered=name not in ANY_ORDER)
    assert_same(artifact.stream(odd_batches(table)).read_all(), expected, ordered=name not in ANY_ORDER)


@pytest.mark.parametrize("name", QUERIES)
def test_other_data(name, export: Export):
    for rows in ROWS:
        check(name, export(QUERIES[name]), sample(rows))


@pytest.mark.parametrize("name", ["rows", "best", "texts", "limit"])
def test_several_blocks(name, export: Export):
    tail = sample(CHUNK)
    whole = pa.concat_tables([tail] * (BLOCK // CHUNK)).combine_chunks()
    for table in (whole.slice(1), pa.concat_tables([whole, tail.slice(0, 1)])):
        check(name, export(QUERIES[name]), table)


def test_without_a_table(export: Export):
    sql = "SELECT 1 + 1 AS a, DATE '2020-02-29' AS d, 'x' AS s, NULL AS n, 2.50 AS e"
    artifact = qtensor.load(export(sql))
    assert_same(artifact(), duckdb_says(sql, None))
    assert artifact.tables == []
    with pytest.raises(qtensor.errors.ArtifactError, match="the query reads no table; 1 given"):
        artifact(sample(1))
    with pytest.raises(qtensor.errors.ArtifactError, match="the query reads no table: call it"):
        artifact.stream()
