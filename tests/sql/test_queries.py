"""Order, limits, derived tables, CTEs and names, against DuckDB."""

from __future__ import annotations

import pytest

from tests.oracle import Engines

ORDER = [
    "SELECT i8, s, id FROM t ORDER BY i8 DESC NULLS FIRST, s NULLS FIRST, id",
    "SELECT x, id FROM t ORDER BY x, id",
    "SELECT x, id FROM t ORDER BY x DESC NULLS LAST, id DESC",
    "SELECT b, moment, id FROM t ORDER BY b DESC, moment NULLS FIRST, id",
    "SELECT h, id FROM t ORDER BY h DESC NULLS FIRST, id",
    "SELECT i64, id FROM t ORDER BY b, i64, id",
    "SELECT y, f, id FROM t ORDER BY y DESC, f DESC NULLS LAST, id",
    "SELECT c, e, id FROM t ORDER BY c, e",
    "SELECT id, i8 + i16 AS z FROM t ORDER BY z DESC, id",
    "SELECT id FROM t ORDER BY -id",
    "SELECT id, i8 FROM t ORDER BY 2, 1",
    "SELECT id FROM t ORDER BY i8 + id, id DESC",
    "SELECT id FROM t ORDER BY CASE WHEN b THEN 0 ELSE 1 END, d IS NULL, id",
    "SELECT b, id FROM t ORDER BY ALL",
    "SELECT b, id FROM t ORDER BY * DESC",
    "SELECT v.id, u.b FROM t AS u, (VALUES (3), (NULL), (1)) v(id) ORDER BY id, b, u.id",
    "SELECT v.* RENAME (id AS g) FROM t AS u, (VALUES (3), (NULL), (1)) v(id) ORDER BY g",
    "SELECT DISTINCT ON (id) v.id, u.g AS k FROM t AS u, (VALUES (3), (NULL), (1)) v(id) ORDER BY id, k",
    "SELECT v.id, u.b AS id FROM t AS u, (VALUES (3), (NULL), (1)) v(id) ORDER BY id, v.id",
    "SELECT id FROM t ORDER BY n, id",
    "SELECT g, count(*) AS q FROM t GROUP BY g ORDER BY q DESC, g",
]

LIMIT = [
    "SELECT d, id FROM t ORDER BY d DESC, id LIMIT 5",
    "SELECT s, id FROM t ORDER BY s, id LIMIT 4 OFFSET 3",
    "SELECT id FROM t ORDER BY h, id LIMIT 5",
    "SELECT id FROM t ORDER BY e LIMIT 7",
    "SELECT id FROM t ORDER BY i64 DESC NULLS FIRST, id LIMIT 3 OFFSET 200",
    "SELECT id FROM t ORDER BY x DESC, id LIMIT 6",
    "SELECT id FROM t ORDER BY f NULLS FIRST, y, id LIMIT 100",
    "SELECT id, s FROM t WHERE b ORDER BY id LIMIT 2",
    "SELECT id FROM t ORDER BY id LIMIT 0",
    "SELECT id FROM t LIMIT 0",
    "SELECT id FROM t LIMIT 1000",
    "SELECT id FROM t ORDER BY id OFFSET 5",
    "SELECT count(*) FROM (SELECT id FROM t LIMIT 5)",
    "SELECT count(*) FROM (SELECT id FROM t WHERE i8 > 0 LIMIT 5 OFFSET 2)",
    "SELECT count(*), count(i8) FROM (SELECT * FROM t OFFSET 300)",
    "SELECT sum(q) FROM (SELECT i16 AS q FROM t ORDER BY i16, id LIMIT 5)",
    "SELECT g, count(*) FROM t GROUP BY g ORDER BY count(*) DESC, g LIMIT 2",
    "SELECT DISTINCT s FROM t ORDER BY s LIMIT 3",
]

DERIVED = [
    "SELECT count(*) FROM (SELECT DISTINCT g, b FROM t)",
    "SELECT max(q) FROM (SELECT count(*) AS q FROM t GROUP BY s)",
    "SELECT g, sum(q), count(*) FROM (SELECT g, b, sum(i16) AS q FROM t GROUP BY g, b) GROUP BY g ORDER BY g",
    "SELECT avg(q), max(q), min(k) FROM (SELECT s AS k, sum(d) AS q FROM t GROUP BY s)",
    "SELECT q, count(*) FROM (SELECT s, count(*) AS q FROM t GROUP BY s) GROUP BY q ORDER BY q",
    "SELECT s, q FROM (SELECT s, count(*) AS q FROM t GROUP BY s ORDER BY q, s LIMIT 3) ORDER BY s",
    "SELECT * FROM (SELECT id, s FROM t ORDER BY id LIMIT 3) ORDER BY id DESC",
    "SELECT sum(i16), count(*) FROM (SELECT * FROM t ORDER BY id LIMIT 3) WHERE i16 IS NOT NULL",
    "SELECT q.g, q.c FROM (SELECT g, count(*) AS c FROM t GROUP BY g) AS q WHERE q.c > 1 ORDER BY 1",
    "SELECT p + 1 FROM (SELECT g FROM t) AS q(p) ORDER BY 1",
    "SELECT k, count(*) FROM (SELECT CASE WHEN s < 'b' THEN 'low' WHEN s >= 'b' THEN 'high' END AS k FROM t) "
    "GROUP BY k ORDER BY 1",
    "SELECT z, z * 2 FROM (SELECT x + y AS z FROM t WHERE b) WHERE z > 0",
    "SELECT id, q FROM (SELECT id, i8 + 1 AS q FROM (SELECT id, i8 FROM t WHERE i8 < 100)) WHERE q > 1",
    "SELECT v FROM (SELECT avg(d) AS v, g FROM t GROUP BY g) WHERE v > 0 ORDER BY v LIMIT 2",
    "SELECT one + 1 FROM (SELECT 1 AS one)",
]

CTE = [
    "WITH a AS (SELECT g, sum(i16) AS v FROM t GROUP BY g), b AS (SELECT max(v) AS m FROM a) SELECT * FROM b",
    "WITH a AS (SELECT * FROM t WHERE i8 > 0) SELECT g, count(*) FROM a GROUP BY g ORDER BY g",
    "WITH a(p, q) AS (SELECT g, sum(i16) FROM t GROUP BY g) SELECT p, q FROM a ORDER BY p",
    "WITH a AS (WITH b AS (SELECT g FROM t) SELECT DISTINCT g FROM b) SELECT * FROM a ORDER BY g",
    "WITH t AS (SELECT id, i8 FROM t WHERE id < 5) SELECT count(*) FROM t",
    "WITH a AS (SELECT 1 AS one) SELECT one + 1 FROM a",
]

NAMES = [
    "SELECT * FROM t",
    "SELECT * EXCLUDE (x, y, n) FROM t WHERE id < 3",
    "SELECT t.id, t.* FROM t WHERE id < 2",
    'SELECT "ID", Id FROM T WHERE iD < 2',
    'SELECT id AS "My Col", id AS id2, id2 + 1 FROM t ORDER BY "My Col" LIMIT 2',
    "SELECT q.id FROM t AS q WHERE q.id < 2",
    "SELECT i8 AS i16, i16 AS i8 FROM t WHERE i8 > 0",
    "SELECT i8, i8, i8 / 2, sum(i8) FROM t GROUP BY i8 ORDER BY i8",
    "SELECT -i16, NOT b, i8 IS NULL, i8 BETWEEN 1 AND 2, i8 IN (1, 2), s LIKE 'a', CASE WHEN b THEN 1 END, "
    "coalesce(i8, 0), count(*) FROM t GROUP BY ALL",
    "SELECT 1, 1.5, 'a', TRUE, NULL, DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:01', 1e3, -5, 12345678901, 0x10 FROM t",
    "SELECT sum(i8), avg(i8), min(s), count(*), count(DISTINCT i8), sum(i8) FILTER (WHERE b), sum(i16 + 1) FROM t",
    "SELECT 1 WHERE FALSE",
]


@pytest.mark.parametrize("query", ORDER)
def test_order(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", LIMIT)
def test_limit(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", DERIVED)
def test_derived_tables(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", CTE)
def test_common_table_expressions(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", NAMES)
def test_names(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize(
    "order", ["x", "x DESC", "i8 NULLS FIRST", "s DESC NULLS LAST", "b", "d", "h DESC", "i64", "day DESC", "f", "e"]
)
def test_limit_takes_the_first_rows_of_the_order(full: Engines, order: str) -> None:
    """Ties may come in any order: only the ordering column itself is compared."""
    column = order.split()[0]
    for limit in ("LIMIT 3", "LIMIT 40", "LIMIT 5 OFFSET 17"):
        full.check(f"SELECT {column} FROM t ORDER BY {order} {limit}", signed_zeros=False)


def test_hundreds_of_conditions(full: Engines) -> None:
    pairs = [(i % 7, i // 7) for i in range(350)]
    full.check(f"SELECT id FROM t WHERE {' OR '.join(f'(i8 = {a} AND i16 = {b})' for a, b in pairs)}")
    full.check(f"SELECT id FROM t WHERE (i8, i16) NOT IN ({', '.join(f'({a}, {b})' for a, b in pairs)})")
