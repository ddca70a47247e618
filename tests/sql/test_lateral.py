"""Subqueries in FROM that read the relations before them, against DuckDB: tables with NULLs and duplicates, and empty ones."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines

LEFT = pa.table(
    {
        "id": pa.array(range(7), pa.int64()),
        "k": pa.array([1, 2, 2, None, 5, 0, -1], pa.int32()),
        "v": pa.array([10, None, 3, 4, -5, 0, 7], pa.int32()),
        "s": pa.array(["a", "b", None, "a", "", "c", "b"]),
    }
)
RIGHT = pa.table(
    {
        "n": pa.array(range(100, 108), pa.int64()),
        "k": pa.array([1, 1, 2, None, 0, 7, 2, None], pa.int64()),
        "w": pa.array([3, 10, None, 4, 0, 1, 3, 8], pa.int64()),
        "t": pa.array(["b", "a", "z", None, "c", "a", "b", ""]),
    }
)

# Of each row of l: what is computed of it, rows of r, groups, first rows, windows, sets of them.
LATERAL = {
    "values": "SELECT l.k + 1 AS a, upper(l.s) AS b",
    "condition": "SELECT l.v AS a WHERE l.k > 1",
    "constant": "SELECT 5 AS a WHERE l.k > 1",
    "rows": "SELECT r.w AS a, l.v AS b FROM r WHERE r.k = l.k",
    "inequality": "SELECT r.n AS a FROM r WHERE r.w > l.v OR r.t = l.s",
    "null_safe": "SELECT r.n AS a FROM r WHERE r.k IS NOT DISTINCT FROM l.k",
    "group": "SELECT sum(r.w) AS a, count(*) AS b, count(r.w) + l.k AS c FROM r WHERE r.k = l.k",
    "groups": "SELECT r.t AS a, sum(r.w + l.v) AS b FROM r WHERE r.k >= l.k GROUP BY r.t HAVING count(*) > l.k",
    "first": "SELECT r.n AS a FROM r WHERE r.k >= l.k ORDER BY r.w DESC, r.n LIMIT 2",
    "offset": "SELECT r.n AS a FROM r WHERE r.k = l.k ORDER BY r.n LIMIT 1 OFFSET 1",
    "window": "SELECT r.n AS a, row_number() OVER (ORDER BY r.w, r.n) AS b FROM r WHERE r.k >= l.k",
    "distinct": "SELECT DISTINCT r.k > l.k AS a FROM r",
    "union": "SELECT r.w AS a FROM r WHERE r.k = l.k UNION ALL SELECT l.v",
    "sets": "SELECT r.w AS a FROM r WHERE r.k = l.k UNION SELECT l.v EXCEPT SELECT 3",
    "list": "VALUES (l.k, l.s), (l.v, 'x')",
    "join": "SELECT r.n AS a, q.n AS b FROM r LEFT JOIN r AS q ON q.k = r.w + l.k WHERE r.k = l.k",
    "nested": "SELECT y.a AS a FROM (SELECT l.k AS x) AS z, (SELECT r.w AS a FROM r WHERE r.k = z.x AND r.w <> l.v) AS y",
    "subquery": "SELECT (SELECT max(r.w) FROM r WHERE r.k = z.x + l.id - 1) AS a FROM (SELECT l.k AS x) AS z",
    "exists": "SELECT l.v AS a WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)",
    "common_table": "WITH c AS (SELECT l.k + 1 AS x) SELECT x, (SELECT count(*) FROM r WHERE r.k < c.x) AS a FROM c",
}
JOINED = {
    "comma": "SELECT l.id, z.* FROM l, ({}) AS z",
    "lateral": "SELECT l.id, z.* FROM l, LATERAL ({}) AS z",
    "left": "SELECT l.id, z.* FROM l LEFT JOIN LATERAL ({}) AS z ON TRUE",
    "more": "SELECT l.id, z.* FROM l LEFT JOIN ({}) AS z(p) ON z.p IS NOT NULL AND l.id <> 2",
    "counted": "SELECT l.id, count(*), count(z.p) FROM l JOIN ({}) AS z(p) ON TRUE GROUP BY l.id",
}
QUERIES = [
    "SELECT * FROM l, (SELECT l.k * 2 AS d) AS a, (SELECT a.d + l.v AS e) AS b, (SELECT b.e - a.d + l.id AS f) AS c",
    "SELECT * FROM l, r JOIN (SELECT l.v AS c, r.k AS k) AS z USING (k)",
    "SELECT * FROM l, r NATURAL JOIN (SELECT l.v AS c, r.n AS n) AS z",
    "SELECT * FROM l, r CROSS JOIN (SELECT l.v AS c WHERE r.k = 1) AS z",
    "SELECT * FROM l JOIN r ON l.k = r.k LEFT JOIN (SELECT l.v + r.w AS x WHERE l.id > 0) AS z ON z.x > 3, (SELECT z.x + 1) AS y",
    "SELECT id, (SELECT sum(z.y) FROM r, (SELECT r.w + l.k AS y) AS z WHERE r.k = l.k) AS q FROM l",
    "SELECT id, (SELECT count(*) FROM (SELECT l.k AS k) AS a, (SELECT n FROM r WHERE r.k = a.k) AS z) AS q FROM l",
    "SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r, (SELECT r.w WHERE r.k = l.k) AS z(y) WHERE z.y > 2)",
    "SELECT id FROM l WHERE k IN (SELECT z.y FROM r, (SELECT r.k AS y WHERE r.w = l.v) AS z)",
    "SELECT id, x FROM l, (SELECT k AS x FROM (SELECT 7 AS k) AS q) AS z",  # the nearest k
    "SELECT count(*) FROM l AS a, l AS b, (SELECT a.k + b.k AS s WHERE a.id < b.id) AS c WHERE c.s > 1",
    "SELECT z.m, count(*) FROM l, (SELECT max(w) AS m FROM r WHERE r.k = l.k) AS z GROUP BY z.m ORDER BY count(*) DESC, z.m LIMIT 2",
    "SELECT * FROM l, ((SELECT l.k AS a)) AS z",
    "SELECT * FROM l, (SELECT l.k) WHERE l.id = 1",
]
REFUSED = [
    "SELECT * FROM l RIGHT JOIN (SELECT l.k) AS z ON TRUE",
    "SELECT * FROM l FULL JOIN (SELECT l.k AS a) AS z ON z.a = 1",
    "SELECT * FROM l, (SELECT sum(l.k)) AS z",
    "SELECT * FROM (SELECT r.k AS a) AS z, r",
    "SELECT * FROM l, (SELECT l.nothing) AS z",
    "SELECT * FROM l JOIN (SELECT l.k AS a)",
]


@pytest.fixture(scope="module", params=["both", "left empty", "right empty"])
def sides(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Both engines over l and r, one of which may be empty."""
    left = LEFT.slice(0, 0) if request.param == "left empty" else LEFT
    right = RIGHT.slice(0, 0) if request.param == "right empty" else RIGHT
    engines = Engines.over(threads=1, l=left, r=right)
    yield engines
    engines.close()


@pytest.mark.parametrize("query", LATERAL)
@pytest.mark.parametrize("join", JOINED)
def test_lateral(sides: Engines, join: str, query: str) -> None:
    sides.check(JOINED[join].format(LATERAL[query]))


@pytest.mark.parametrize("query", QUERIES)
def test_queries(sides: Engines, query: str) -> None:
    sides.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(sides: Engines, query: str) -> None:
    sides.check_refused(query)


@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_sizes(rows: int) -> None:
    numbers = pa.array(range(rows), pa.int64())
    engines = Engines.over(threads=2, l=pa.table({"id": numbers}), r=RIGHT)
    engines.check("SELECT count(*), sum(z.w), sum(z.a) FROM l, (SELECT r.w, l.id * 2 AS a FROM r WHERE r.k = l.id % 9) AS z")
    engines.check("SELECT count(*), sum(z.m) FROM l, (SELECT max(r.w) AS m FROM r WHERE r.k > l.id % 9) AS z")
    engines.close()
