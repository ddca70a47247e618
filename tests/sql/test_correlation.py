"""Predicates and values of correlated and nested subqueries against DuckDB, wherever an expression may stand."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.oracle import Engines

OUTER = pa.table(
    {
        "id": pa.array(range(7), pa.int64()),
        "k": pa.array([1, 2, 2, None, 5, 0, -1], pa.int32()),
        "v": pa.array([10, None, 3, 4, -5, 0, 7], pa.int32()),
        "s": pa.array(["a", "b", None, "a", "", "c", "b"]),
    }
)
INNER = pa.table(
    {
        "id": pa.array(range(100, 108), pa.int64()),
        "k": pa.array([1, 1, 2, None, 0, 7, 2, None], pa.int64()),
        "v": pa.array([3, 10, None, 4, 0, 1, 3, 8], pa.int64()),
        "s": pa.array(["b", "a", "z", None, "c", "a", "b", ""]),
    }
)

PREDICATES = [
    "k IN (SELECT k FROM i)",
    "k NOT IN (SELECT k FROM i)",
    "k NOT IN (SELECT k FROM i WHERE k IS NOT NULL)",
    "k IN (SELECT k FROM i WHERE FALSE)",
    "k NOT IN (SELECT k FROM i WHERE FALSE)",
    "(k, v) IN (SELECT k, v FROM i)",
    "(k, v) NOT IN (SELECT k, v FROM i)",
    "(k, s) NOT IN (SELECT k, s FROM i WHERE k > 0)",
    "s IN (SELECT s FROM i)",
    "s NOT IN (SELECT s FROM i WHERE i.k = o.k)",
    "k NOT IN (SELECT k FROM i WHERE i.v = o.v)",
    "v IN (SELECT v FROM i WHERE i.k = o.k)",
    "v IN (SELECT i.v FROM i WHERE i.k < o.k OR i.s = o.s)",
    "v + 0.5 IN (SELECT v + 0.5 FROM i)",
    "v > ANY (SELECT v FROM i)",
    "v > ALL (SELECT v FROM i)",
    "v >= ALL (SELECT v FROM i WHERE v IS NOT NULL)",
    "v < ANY (SELECT v FROM i WHERE i.k = o.k)",
    "v <= ALL (SELECT v FROM i WHERE i.k = o.k)",
    "v <> ALL (SELECT v FROM i WHERE i.s = o.s)",
    "v <> ANY (SELECT v FROM i)",
    "v = ALL (SELECT v FROM i WHERE FALSE)",
    "s > ALL (SELECT s FROM i WHERE i.k = o.k)",
    "EXISTS (SELECT 1 FROM i)",
    "NOT EXISTS (SELECT 1 FROM i WHERE FALSE)",
    "EXISTS (SELECT 1 FROM i WHERE i.k = o.k)",
    "NOT EXISTS (SELECT 1 FROM i WHERE i.k = o.k)",
    "EXISTS (SELECT 1 FROM i WHERE i.k = o.k AND i.v < o.v)",
    "EXISTS (SELECT 1 FROM i WHERE i.v < o.v)",
    "EXISTS (SELECT 1 FROM i WHERE i.k = o.k OR i.s = o.s)",
    "EXISTS (SELECT 1 FROM i WHERE i.k IS NOT DISTINCT FROM o.k)",
    "EXISTS (SELECT 1 FROM i WHERE o.v > 3)",
    "EXISTS (SELECT count(*) FROM i WHERE i.k = o.k)",
    "EXISTS (SELECT k FROM i WHERE i.k = o.k GROUP BY k HAVING count(*) > 1)",
    "v = (SELECT max(v) FROM i)",
    "v >= (SELECT max(v) FROM i WHERE i.k = o.k)",
    "v > (SELECT avg(v) FROM i WHERE i.s = o.s)",
    "(SELECT count(*) FROM i WHERE i.k = o.k) = 0",
    "(SELECT count(*) FROM i WHERE i.k = o.k) + (SELECT count(*) FROM i WHERE i.s = o.s) > 2",
    "(SELECT sum(v) FROM i WHERE i.k = o.k) IS NULL",
    "(SELECT count(DISTINCT v) FROM i WHERE i.k <= o.k) > 1",
    "k IN (SELECT k FROM i) OR v > 5",
    "NOT (k IN (SELECT k FROM i) AND v > 5)",
    "(k IN (SELECT k FROM i)) IS NULL",
    "CASE WHEN v > 3 THEN k IN (SELECT k FROM i) ELSE EXISTS (SELECT 1 FROM i WHERE i.v = o.v) END",
    "k IN (SELECT max(k) FROM i GROUP BY s)",
    "k IN (SELECT k FROM i ORDER BY v, id LIMIT 2)",
    "k = (SELECT k FROM i WHERE i.id = o.id + 100)",
    "EXISTS (SELECT 1 FROM i WHERE i.k = o.k AND i.v IN (SELECT v FROM o AS p WHERE p.s = o.s))",
    "EXISTS (SELECT 1 FROM i WHERE i.k = o.k AND EXISTS (SELECT 1 FROM o AS p WHERE p.s = i.s AND p.id < o.id))",
    "k IN (SELECT i.k FROM i WHERE NOT EXISTS (SELECT 1 FROM o AS p WHERE p.k = i.k AND p.v > o.v))",
    "v > (SELECT min(v) FROM i WHERE i.k = (SELECT max(k) FROM i AS j WHERE j.s = o.s))",
    "EXISTS (SELECT 1 FROM i JOIN o AS p ON i.k = p.k WHERE p.v = o.v)",
    "EXISTS (SELECT 1 FROM i LEFT JOIN o AS p ON i.k = p.k AND p.v = o.v WHERE p.id IS NULL AND i.s = o.s)",
    "k IN (SELECT k FROM i WHERE i.v = o.v UNION ALL SELECT 5)",
    "EXISTS (SELECT k FROM i WHERE i.v = o.v EXCEPT SELECT 1)",
    "EXISTS (SELECT DISTINCT s FROM i WHERE i.k = o.k)",
    "EXISTS (FROM (SELECT k, count(*) AS n FROM i WHERE i.v > o.v GROUP BY k) q WHERE q.n > 1 AND q.k = o.k)",
]

VALUES = [
    "(SELECT max(v) FROM i)",
    "(SELECT v FROM i WHERE i.id = o.id + 100)",
    "(SELECT max(v) FROM i WHERE i.k = o.k)",
    "(SELECT count(*) FROM i WHERE i.k = o.k)",
    "(SELECT count(v) + 1 FROM i WHERE i.k = o.k)",
    "(SELECT coalesce(sum(v), -1) FROM i WHERE i.k = o.k AND i.v > o.v)",
    "(SELECT sum(i.v * o.v) FROM i WHERE i.k = o.k)",
    "(SELECT max(i.v) + o.v FROM i WHERE i.s = o.s)",
    "(SELECT max(s) FROM i WHERE i.v < o.v)",
    "(SELECT o.v)",
    "(SELECT o.v + 1 WHERE o.k > 1)",
    "(SELECT (SELECT o.v + max(i.v) FROM i))",
    "(SELECT sum((SELECT count(*) FROM o AS p WHERE p.k = i.k AND p.v <= o.v)) FROM i)",
    "(SELECT sum(n) FROM (SELECT k, count(*) AS n FROM i WHERE i.v >= o.v GROUP BY k))",
    "(SELECT count(*) FROM (SELECT DISTINCT k FROM i WHERE i.v >= o.v))",
    "(SELECT count(*) FROM i, o AS p WHERE i.k = p.k AND p.v = o.v)",
    "(SELECT max(CASE WHEN i.v > o.v THEN i.s END) FROM i)",
    "(WITH q AS (SELECT v FROM i WHERE i.k = o.k) SELECT max(a.v + b.v) FROM q a, q b)",
    "k IN (SELECT k FROM i)",
    "k NOT IN (SELECT k FROM i WHERE i.s = o.s)",
    "EXISTS (SELECT 1 FROM i WHERE i.k = o.k)",
    "v < ANY (SELECT v FROM i WHERE i.k = o.k)",
    "v > ALL (SELECT v FROM i WHERE i.s = o.s)",
    "CASE WHEN EXISTS (SELECT 1 FROM i WHERE i.k = o.k) THEN (SELECT min(v) FROM i WHERE i.k = o.k) ELSE -1 END",
]

PLACES = [
    "SELECT k, count(*) FROM o GROUP BY k HAVING count(*) >= (SELECT count(*) FROM i WHERE i.k = o.k)",
    "SELECT s, sum(v) FROM o GROUP BY s HAVING sum(v) > (SELECT avg(v) FROM i)",
    "SELECT s, (SELECT max(v) FROM i WHERE i.s = o.s) AS m, count(*) FROM o GROUP BY s",
    "SELECT (SELECT max(v) FROM i WHERE i.s = o.s) AS m, count(*) FROM o GROUP BY m",
    "SELECT (SELECT max(v) FROM i WHERE i.k = o.k) AS m, count(*) FROM o GROUP BY ALL",
    "SELECT sum((SELECT count(*) FROM i WHERE i.k = o.k)) FROM o",
    "SELECT sum(v) FILTER (WHERE k IN (SELECT k FROM i)) FROM o",
    "SELECT id FROM o ORDER BY (SELECT count(*) FROM i WHERE i.k = o.k), id",
    "SELECT id FROM o ORDER BY EXISTS (SELECT 1 FROM i WHERE i.k = o.k) DESC, id LIMIT 3",
    "SELECT DISTINCT k IN (SELECT k FROM i) FROM o",
    "SELECT o.id, p.id FROM o JOIN i AS p ON o.k = p.k AND p.v > (SELECT avg(v) FROM i)",
    "SELECT o.id, p.id FROM o LEFT JOIN i AS p ON o.k = p.k AND p.v IN (SELECT v FROM o)",
    "SELECT o.id, p.id FROM o JOIN i AS p ON EXISTS (SELECT 1 FROM i AS j WHERE j.k = o.k AND j.v = p.v)",
    "SELECT id, (SELECT max(v) FROM i WHERE i.k = o.k) AS m FROM o WHERE m > 3",
    "SELECT * FROM (SELECT id, (SELECT max(v) FROM i WHERE i.k = o.k) AS m FROM o) WHERE m IS NOT NULL",
    "SELECT a.id FROM o AS a WHERE a.v = (SELECT max(b.v) FROM o AS b WHERE b.s = a.s)",
    "SELECT max(v) FROM o WHERE v < (SELECT max(v) FROM o)",
    "SELECT (SELECT count(*) FROM o) AS a, (SELECT count(*) FROM i) AS b",
    "SELECT (SELECT max(x) FROM (SELECT max(o.v) AS x)) FROM o",
    "SELECT CASE WHEN (SELECT count(*) FROM i) > 3 THEN 'many' ELSE 'few' END",
    "WITH q AS (SELECT k, max(v) AS m FROM i GROUP BY k) SELECT id FROM o WHERE v >= (SELECT m FROM q WHERE q.k = o.k)",
    "SELECT id FROM o WHERE (SELECT TRUE)",
    "SELECT id FROM o WHERE (SELECT NULL)",
    "SELECT id IN (SELECT id FROM o WHERE k > 1) AND k IN (SELECT k FROM i) FROM o",
]

# Rows are counted within the row around: by window functions.
COUNTED = [
    "SELECT id FROM o WHERE EXISTS (SELECT 1 FROM i WHERE i.k = o.k LIMIT 0)",
    "SELECT id FROM o WHERE EXISTS (SELECT 1 FROM i WHERE i.k = o.k OFFSET 1)",
    "SELECT id, (SELECT v FROM i WHERE i.k = o.k ORDER BY v DESC NULLS LAST, id LIMIT 1) AS best FROM o",
    "SELECT id, (SELECT i.s FROM i WHERE i.k > o.k ORDER BY i.id LIMIT 1 OFFSET 1) AS second FROM o",
]

# An aggregate of columns of a query further out is an aggregate of that query.
OUTER_AGGREGATES = [
    "SELECT (SELECT max(o.v)) AS z FROM o",
    "SELECT (SELECT max(o.v) + min(i.v) FROM i) AS z FROM o",
    "SELECT id, (SELECT max(o.v + i.v) FROM i) AS z FROM o",
    "SELECT (SELECT sum(o.v)) AS z FROM o GROUP BY k HAVING (SELECT sum(o.v)) > 3",
    "SELECT k, (SELECT count(*) FROM i WHERE i.k = o.k AND i.v < sum(o.v)) AS z FROM o GROUP BY k",
    "SELECT id, (SELECT count(1) FROM i) AS z FROM o",
    "SELECT (SELECT 1) AS z, count(*) FROM o WHERE FALSE GROUP BY ALL",
]

REFUSED = [
    ("SELECT (SELECT max(o.v) FROM i) FROM o", "more than one row"),
    ("SELECT id FROM o WHERE (SELECT max(o.v) FROM i) > 3", "WHERE cannot contain aggregates"),
    ("SELECT id FROM o ORDER BY (SELECT max(o.v))", "must appear in the GROUP BY"),
    ("SELECT (SELECT max(v) FROM i WHERE i.k = o.k) + sum(v) AS m FROM o GROUP BY ALL", "GROUP BY ALL"),
    ("SELECT (SELECT v FROM i) FROM o", None),
    ("SELECT id FROM o WHERE v = (SELECT v FROM i WHERE i.k = o.k)", None),
    ("SELECT (SELECT k, v FROM i) FROM o", "one column"),
    ("SELECT k IN (SELECT k, v FROM i) FROM o", "compared with 2 columns"),
    ("SELECT (k, v) IN (SELECT k FROM i) FROM o", "compared with 1 column"),
    ("SELECT id FROM o WHERE EXISTS (SELECT 1 FROM i WHERE i.k = p.k)", "no table"),
    ("SELECT id FROM o WHERE EXISTS (SELECT nothing FROM i)", "no column"),
    ("SELECT id FROM (SELECT 1 AS id) a, o WHERE EXISTS (SELECT 1 FROM i WHERE i.k = o.k)", "ambiguous"),
]


@pytest.fixture(scope="module", params=["both", "inner empty"])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Both engines over o and i; i may be empty."""
    made = Engines.over(threads=1, o=OUTER, i=INNER if request.param == "both" else INNER.slice(0, 0))
    yield made
    made.close()


@pytest.fixture(scope="module")
def filled() -> Iterator[Engines]:
    """Both engines over o and i."""
    made = Engines.over(threads=1, o=OUTER, i=INNER)
    yield made
    made.close()


@pytest.mark.parametrize("predicate", PREDICATES)
def test_in_where_and_as_a_value(filled: Engines, predicate: str) -> None:
    filled.check(f"SELECT id FROM o WHERE {predicate}")
    if "OR" in predicate or "NOT" in predicate or "ALL" in predicate:
        filled.check(f"SELECT id, {predicate} AS holds FROM o")


@pytest.mark.parametrize("value", VALUES)
def test_in_select(engines: Engines, value: str) -> None:
    engines.check(f"SELECT id, {value} AS value FROM o")


@pytest.mark.parametrize("query", COUNTED)
def test_limits_for_each_row(filled: Engines, query: str) -> None:
    filled.check(query)


@pytest.mark.parametrize("query", [*PLACES, *OUTER_AGGREGATES])
def test_places(filled: Engines, query: str) -> None:
    filled.check(query)


@pytest.mark.parametrize(("query", "match"), REFUSED)
def test_refused(filled: Engines, query: str, match: str | None) -> None:
    filled.check_refused(query, match=match)
