"""Scores of models, which are ARRAYs: ordered as DuckDB orders its own, refused with a caret wherever they cannot stand."""

from __future__ import annotations

from typing import Any

import duckdb
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import BindError, UnsupportedError

A = [2.0, 1.0, 2.0, None, 0.0, -0.0, float("nan"), 1.0, float("inf"), None]
B = [1.0, 5.0, float("nan"), 1.0, -1.0, 1.0, 2.0, -5.0, 0.0, None]
TABLE = pa.table({"id": pa.array(range(len(A))), "a": pa.array(A, pa.float64()), "b": pa.array(B, pa.float64())})


@pytest.fixture(scope="module")
def connection() -> Any:
    with qtensor.connect(threads=1) as opened:
        opened.create_function("s", lambda a, b: jnp.stack([a, b, a - b])).register("t", TABLE)
        yield opened


@pytest.fixture(scope="module")
def oracle() -> Any:
    """The same scores as a column of DuckDB's; NULL where an argument is."""
    with duckdb.connect() as opened:
        opened.register("given", TABLE)
        row = "CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN [a, b, a - b]::DOUBLE[3] END"
        opened.execute(f"CREATE TABLE t AS SELECT id, a, b, {row} AS s FROM given")
        yield opened


@pytest.mark.parametrize("direction", ["", "DESC", "NULLS FIRST", "DESC NULLS FIRST", "DESC NULLS LAST"])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM t ORDER BY {s} {direction}, id",
        "SELECT id FROM t ORDER BY {s} {direction}, id LIMIT 4",
        "SELECT id FROM t ORDER BY a, {s} {direction}, id DESC",
        "SELECT id, row_number() OVER (ORDER BY {s} {direction}, id) AS n FROM t ORDER BY id",
        "SELECT id, rank() OVER (ORDER BY {s} {direction}) AS n FROM t ORDER BY id",
        "SELECT id, sum(id) OVER (ORDER BY {s} {direction} ROWS UNBOUNDED PRECEDING) AS n FROM t WHERE id > 1 ORDER BY id",
        "SELECT first(id ORDER BY {s} {direction}, id) AS n FROM t",
    ],
)
def test_order(connection: Any, oracle: Any, query: str, direction: str) -> None:
    found = connection.sql(query.format(s="s(a, b)", direction=direction)).fetchall()
    assert found == oracle.sql(query.format(s="s", direction=direction)).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT {s} AS x, count(*), sum(id) FROM t GROUP BY x ORDER BY 3",
        "SELECT count(*) AS n, max(id) FROM t GROUP BY {s}, id > 3 ORDER BY 2",
        "SELECT DISTINCT {s} AS x FROM t ORDER BY x",
        "SELECT DISTINCT ON ({s}) id FROM t ORDER BY {s}, id",
        "SELECT id, row_number() OVER (PARTITION BY {s} ORDER BY id) AS n FROM t ORDER BY id",
        "SELECT id, count(*) OVER (PARTITION BY {s}) AS n FROM t ORDER BY id",
        "SELECT {s} AS x FROM t UNION SELECT {s} FROM t WHERE id < 3 ORDER BY x",
        "SELECT {s} AS x FROM t INTERSECT SELECT {s} FROM t WHERE id > 1 ORDER BY x",
        "SELECT {s} AS x FROM t WHERE id < 9 EXCEPT ALL SELECT {s} FROM t WHERE id < 4 ORDER BY x",
        "SELECT {s} AS x FROM t EXCEPT SELECT {s} FROM t WHERE id < 4 ORDER BY x",
        "SELECT count({s}), count(DISTINCT {s}) FROM t",
        "SELECT id > 4 AS g, count({s}) FILTER (id <> 2), count(DISTINCT {s}) FROM t GROUP BY g ORDER BY g",
        "SELECT CASE WHEN id > 5 THEN {s} WHEN id > 2 THEN NULL ELSE {s} END AS x FROM t ORDER BY id",
        "SELECT (CASE WHEN id > 5 THEN {s} END)[2] AS x FROM t ORDER BY id",
        "SELECT if(id > 5, {s}, NULL) AS x, coalesce(CASE WHEN id < 2 THEN {s} END, {s}) AS y FROM t ORDER BY id",
        "SELECT TRY({s}) AS x FROM t ORDER BY id",
        "SELECT {s} AS x FROM t WHERE id = 1 UNION ALL SELECT NULL",
        "SELECT NULL AS x UNION ALL SELECT {s} FROM t WHERE id = 1",
        "SELECT {s} AS x, {s} AS y FROM t WHERE id = 1 UNION ALL SELECT {s}, NULL FROM t WHERE id < 2 ORDER BY x, y",
        "SELECT {s} AS x, {s}[1] AS y FROM t WHERE id < 2 UNION ALL SELECT {s}, b FROM t WHERE id < 2 ORDER BY x, y",
        "SELECT x, id FROM t LEFT JOIN (SELECT id AS key, {s} AS x FROM t WHERE id < 4) AS u ON id = key ORDER BY x, id",
        "SELECT arg_max(id, {s}), arg_min(id, {s}) FROM t WHERE id NOT IN (3, 7)",
    ],
)
def test_like_duckdb(connection: Any, oracle: Any, query: str) -> None:
    found = connection.sql(query.format(s="s(a, b)")).fetchall()
    assert repr(found) == repr(oracle.sql(query.format(s="s")).fetchall())


def test_null_scores(connection: Any, oracle: Any) -> None:
    query = "SELECT id, {s} IS NULL, {s} IS NOT NULL FROM t WHERE {s} IS NULL OR id < 4 ORDER BY id"
    assert connection.sql(query.format(s="s(a, b)")).fetchall() == oracle.sql(query.format(s="s")).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT min(s(a, b)) FROM t",
        "SELECT sum(s(a, b)) FROM t",
        "SELECT first(s(a, b)) FROM t",
        "SELECT mode(s(a, b)) FROM t",
        "SELECT arg_max(s(a, b), a) FROM t",
        "SELECT s(a, b) = s(b, a) FROM t",
        "SELECT s(a, b) < s(b, a) FROM t",
        "SELECT s(a, b) IS DISTINCT FROM s(b, a) FROM t",
        "SELECT s(a, b) IN (s(b, a), s(a, a)) FROM t",
        "SELECT s(a, b) BETWEEN s(b, a) AND s(a, a) FROM t",
        "SELECT CASE s(a, b) WHEN s(b, a) THEN 1 END FROM t",
        "SELECT nullif(s(a, b), s(b, a)) FROM t",
        "SELECT greatest(s(a, b), s(b, a)) FROM t",
        "SELECT t.a FROM t JOIN t AS u ON s(t.a, t.b) = s(u.a, u.b)",
        "SELECT s(a, b) IN (SELECT s(b, a) FROM t) FROM t",
        "SELECT lag(s(a, b)) OVER (ORDER BY a) FROM t",
        "SELECT max(s(a, b)) OVER () FROM t",
        "SELECT s(a, b)::VARCHAR FROM t",
        "SELECT s(a, b) + 1 FROM t",
        "SELECT -s(a, b) FROM t",
        "SELECT abs(s(a, b)) FROM t",
        "SELECT upper(s(a, b)) FROM t",
        "SELECT s(a, b) || 'x' FROM t",
        "SELECT s(s(a, b), b) FROM t",
        "SELECT a FROM t WHERE s(a, b)",
        "SELECT NOT s(a, b) FROM t",
        "SELECT s(a, b) = [1, 2, 3] FROM t",
        "SELECT a FROM t LIMIT s(1, 2)",
        "CREATE TABLE w AS SELECT s(a, b) AS x FROM t",
    ],
)
def test_what_scores_cannot_do_is_said(connection: Any, query: str) -> None:
    with pytest.raises((UnsupportedError, BindError)) as caught:
        connection.sql(query).fetchall()
    assert "^" in str(caught.value) or "UNION" in query, str(caught.value)


def test_scores_are_passed_on(connection: Any) -> None:
    rows = TABLE.slice(0, 3)
    connection.register("u", rows)
    scores = [[a, b, a - b] for a, b in zip(A[:3], B[:3], strict=True) if a is not None and b is not None]
    found = connection.sql("SELECT x FROM u JOIN (SELECT id, s(a, b) AS x FROM t) AS v ON u.id = v.id ORDER BY u.id").fetchall()
    np.testing.assert_array_equal([row[0] for row in found], scores)
    doubled = connection.sql("SELECT s(a, b) FROM u UNION ALL SELECT s(a, b) FROM u").fetchall()
    np.testing.assert_array_equal([row[0] for row in doubled], scores * 2)
