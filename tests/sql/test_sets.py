"""Set operations, VALUES, DISTINCT ON, changes of `*`, limits that are computed, against DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.oracle import Engines
from tests.sql.tables import every_type

COLUMNS = ["b", "i8", "i32", "u64", "f", "x", "d", "h", "day", "moment", "s", "c", "n"]

BRANCHES = [
    ("SELECT i8 FROM t", "SELECT i16 FROM u"),
    ("SELECT s FROM t", "SELECT w FROM u"),
    ("SELECT c, b FROM t", "SELECT s, b FROM u WHERE g > 0"),
    ("SELECT x FROM t", "SELECT y FROM u"),
    ("SELECT f, g FROM t", "SELECT x, g FROM u"),
    ("SELECT i8, d FROM t WHERE b", "SELECT u8, i16 FROM u"),
    ("SELECT day FROM t", "SELECT moment FROM u"),
    ("SELECT n, g FROM t", "SELECT i8, n FROM u"),
    ("SELECT b FROM t", "SELECT i8 FROM u"),
    ("SELECT g, count(*) FROM t GROUP BY g", "SELECT g, count(*) FROM u GROUP BY g"),
    ("SELECT g FROM t", "SELECT NULL"),
    ("SELECT 1, 'a' WHERE 1 = 0", "SELECT i8, s FROM u"),
    ("(SELECT id FROM t ORDER BY id LIMIT 3)", "(SELECT id FROM u ORDER BY id DESC LIMIT 2)"),
    ("SELECT i8 FROM t", "SELECT s FROM u"),
    ("SELECT day, b FROM t", "SELECT w, s FROM u"),
]

SETS = [
    "SELECT g FROM t UNION ALL SELECT g FROM u UNION SELECT 7",
    "SELECT g FROM t UNION SELECT g FROM u UNION ALL SELECT 1",
    "SELECT g FROM t EXCEPT SELECT 1 UNION SELECT 2 INTERSECT SELECT g FROM u",
    "(SELECT g FROM t EXCEPT SELECT 1 UNION SELECT 2) INTERSECT SELECT g FROM u",
    "SELECT g FROM t EXCEPT (SELECT g FROM u WHERE g > 0 EXCEPT SELECT 2)",
    "SELECT g AS k FROM t UNION SELECT i8 FROM u ORDER BY k DESC NULLS LAST LIMIT 4",
    "SELECT g AS k FROM t UNION SELECT i8 AS l FROM u ORDER BY l, 1 LIMIT 4 OFFSET 1",
    "SELECT g + 1 FROM t UNION SELECT i8 FROM u ORDER BY g + 1",
    "SELECT g AS k FROM t UNION SELECT i8 FROM u ORDER BY -k, k LIMIT 3",
    "SELECT g FROM t UNION SELECT i8 FROM u ORDER BY t.g",
    "SELECT g, b FROM t UNION SELECT g, b FROM u ORDER BY ALL",
    "SELECT g, b FROM t UNION SELECT g, b FROM u ORDER BY *",
    "SELECT g FROM t UNION SELECT * FROM (SELECT i8 FROM u) ORDER BY i8",
    "SELECT * FROM (SELECT g, b FROM t) UNION ALL SELECT * FROM (SELECT id AS p, b AS q FROM u) ORDER BY p, q DESC",
    "(SELECT id, s FROM t) ORDER BY g, id LIMIT 5",
    "((SELECT id, s FROM t)) ORDER BY s, id",
    "(SELECT id FROM t ORDER BY id LIMIT 5) ORDER BY id DESC LIMIT 2",
    "SELECT count(*), sum(q) FROM (SELECT g AS q FROM t UNION ALL SELECT i16 FROM u)",
    "SELECT q, count(*) FROM (SELECT s FROM t UNION ALL SELECT w FROM u) v(q) GROUP BY q ORDER BY q",
    "SELECT k, sum(n) FROM (SELECT s AS k, 1 AS n FROM t UNION ALL SELECT c, 2 FROM u) GROUP BY k",
    "SELECT upper(k) FROM (SELECT s AS k FROM t UNION SELECT w FROM u)",
    "SELECT g, b FROM t UNION BY NAME SELECT b, s FROM u",
    "SELECT g, i8 FROM t UNION ALL BY NAME SELECT I8, G FROM u",
    "SELECT g FROM t UNION ALL BY NAME SELECT i8 FROM u UNION ALL BY NAME SELECT 1 AS z ORDER BY z, i8, g",
    "WITH a AS (SELECT g, count(*) AS n FROM t GROUP BY g) SELECT * FROM a UNION ALL SELECT g, n + 1 FROM a ORDER BY n, g",
    "WITH a(k) AS MATERIALIZED (SELECT g FROM t UNION SELECT 9), b AS NOT MATERIALIZED (SELECT k FROM a WHERE k > 0) "
    "SELECT count(*) FROM a, b",
    "WITH RECURSIVE a AS (SELECT g FROM t) SELECT DISTINCT g FROM a",
    "FROM t UNION ALL FROM t ORDER BY id, g LIMIT 3",
    "SELECT g FROM t WHERE g IN (SELECT i8 FROM u UNION SELECT 2)",
    "SELECT id, (SELECT max(q) FROM (SELECT t.g AS q UNION ALL SELECT i16 FROM u WHERE u.g = t.g)) AS m FROM t",
    "SELECT id FROM t WHERE EXISTS (SELECT g FROM u WHERE u.g = t.g INTERSECT SELECT 1)",
    "SELECT id FROM t WHERE g NOT IN (SELECT i8 FROM u WHERE i8 IS NOT NULL EXCEPT SELECT 0)",
    "SELECT a.id, b.k FROM t a JOIN (SELECT g AS k FROM u UNION SELECT 1) b ON a.g = b.k",
    " UNION ALL ".join(f"SELECT {number} AS n" for number in range(30)),
]

COPIES = [
    "SELECT g FROM t INTERSECT ALL SELECT g FROM u",
    "SELECT g FROM t EXCEPT ALL SELECT g FROM u",
    "SELECT s, b FROM t INTERSECT ALL SELECT w, b FROM u",
    "SELECT x FROM t EXCEPT ALL SELECT y FROM u",
    "SELECT i8, n FROM t EXCEPT ALL SELECT i16, n FROM u ORDER BY ALL",
]

VALUES = [
    "VALUES (1, 'a', NULL), (2, 'b', 2.5), (NULL, 'a', 1)",
    "VALUES (1)",
    "VALUES (NULL), (NULL)",
    "VALUES (1::TINYINT), (1)",
    "VALUES (1::TINYINT), (1000)",
    "VALUES (TRUE, DATE '2020-01-31'), (FALSE, NULL)",
    "VALUES (2), (1) ORDER BY 1 DESC LIMIT 1",
    "VALUES ('nan'::DOUBLE, 0.0::DOUBLE, 1::FLOAT), (NULL, -0.0, 2.5), (1e300, 1, NULL), (NULL, '-inf', 0.1)",
    "SELECT a, b FROM (VALUES (INTERVAL 1 DAY, 1), (INTERVAL 2 DAY, 2)) v(i, b) JOIN (VALUES (1), (2)) w(a) ON a = b",
    "SELECT s, count(*), sum(n) FROM (VALUES ('b', 1), ('a', 2), (NULL, 3), ('b', NULL), ('', 5)) v(s, n) GROUP BY s ORDER BY s",
    "SELECT upper(s) || n, n + 1, d + 1 FROM (VALUES ('b', 1, DATE '2020-02-28'), ('a', 2, NULL)) v(s, n, d) WHERE n > 0 AND s < 'c'",
    "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y' UNION ALL SELECT NULL, NULL UNION ALL SELECT 1, 'x'",
    "SELECT * FROM (VALUES (1, 2.5), (3, 4)) AS v(a)",
    "SELECT col1, unnamed_subquery.col0 FROM (VALUES (1, 'x'), (3, 'y'))",
    "SELECT id, v.name FROM t JOIN (VALUES (1, 'one'), (-1, 'minus one'), (1, 'uno')) v(g, name) USING (g)",
    "SELECT id, v.name FROM t LEFT JOIN (VALUES ('a', 'A'), ('b', NULL)) v(w, name) ON t.w = v.w",
    "SELECT id FROM t WHERE g IN (VALUES (1), (NULL))",
    "SELECT id FROM t WHERE g = ANY (VALUES (1), (2))",
    "SELECT id FROM t WHERE EXISTS (VALUES (1))",
    "SELECT (VALUES (1)) AS one",
    "VALUES (1) UNION ALL SELECT g FROM t",
    "FROM (VALUES (3), (1), (2)) SELECT sum(col0), min(col0)",
    "VALUES ((SELECT max(g) FROM t)), (7)",
]

DISTINCT = [
    "SELECT DISTINCT ON (g) g, id, s FROM t ORDER BY g, id",
    "SELECT DISTINCT ON (g) id FROM t ORDER BY g, i8 DESC NULLS LAST, id",
    "SELECT DISTINCT ON (s) id, s, x, d, h, day, moment, b, c, n FROM t ORDER BY s, id DESC",
    "SELECT DISTINCT ON (g % 2, b) g, b, id FROM t ORDER BY id",
    "SELECT DISTINCT ON (1) g, id FROM t ORDER BY id LIMIT 3",
    "SELECT DISTINCT ON (k) g AS k, id FROM t ORDER BY id DESC",
    "SELECT DISTINCT ON (x) x, id FROM t ORDER BY x, id",
    "SELECT DISTINCT ON (count(*)) g, count(*) FROM t GROUP BY g ORDER BY g",
    "SELECT DISTINCT ON (s) s, sum(i16) FROM t GROUP BY s, b ORDER BY s, b",
    "SELECT count(*) FROM (SELECT DISTINCT ON (g) id FROM t)",
    "SELECT DISTINCT g FROM t GROUP BY g ORDER BY max(id)",
    "SELECT DISTINCT g, b FROM t ORDER BY g + 1, b DESC",
    "SELECT DISTINCT g AS k FROM t ORDER BY t.g DESC",
    "SELECT DISTINCT id // 4 AS k FROM t ORDER BY -(id // 4)",
]

STARS = [
    "SELECT * REPLACE (g + 1 AS g, upper(s) AS S) FROM t",
    "SELECT * EXCLUDE (x, y) REPLACE (id * 2 AS id) RENAME (g AS k) FROM t",
    "SELECT t.* EXCLUDE (x) FROM t",
    "SELECT * RENAME (g AS b, b AS g) FROM t",
    "SELECT * RENAME (nothing AS z) FROM t",
    "SELECT * EXCLUDE (v.k) FROM t, (VALUES (1, 2)) v(k, l)",
    "SELECT * REPLACE (sum(g) AS g) FROM (SELECT g FROM t)",
    "SELECT 1 AS k, v.* EXCLUDE (l) FROM (VALUES (5), (6)) v(l)",
    "FROM t",
    "FROM t SELECT g, count(*) GROUP BY g",
]

LIMITS = [
    "SELECT id FROM t ORDER BY id LIMIT 1 + 1",
    "SELECT id FROM t ORDER BY id LIMIT 2.5",
    "SELECT id FROM t ORDER BY id LIMIT 1.5 OFFSET '2'",
    "SELECT id FROM t ORDER BY id LIMIT TRUE",
    "SELECT id FROM t ORDER BY id LIMIT NULL OFFSET NULL",
    "SELECT id FROM t ORDER BY id LIMIT ALL",
    "SELECT id FROM t ORDER BY id LIMIT (SELECT 2)",
    "SELECT id FROM t ORDER BY id LIMIT abs(-3) OFFSET 7 // 3",
]

REFUSED = [
    ("SELECT g, id FROM t UNION SELECT g FROM t", "equally many columns"),
    ("SELECT g FROM t UNION SELECT g FROM t ORDER BY id", "no column"),
    ("SELECT g FROM t UNION SELECT g FROM t ORDER BY 2", "out of range"),
    ("SELECT g FROM t UNION SELECT g FROM t ORDER BY max(g)", "aggregates"),
    ("SELECT g FROM t ORDER BY g UNION SELECT 1", "parentheses"),
    ("SELECT g, g AS G FROM t UNION BY NAME SELECT g FROM t", "several columns"),
    ("VALUES (1, 2), (3)", "different lengths"),
    ("VALUES (1), ('a')", "cannot convert"),
    ("VALUES ('2020-01-01'), (DATE '2020-01-01')", "no common type"),
    ("VALUES (count(*))", "aggregates"),
    ("SELECT * EXCLUDE (z) FROM t", "no column"),
    ("SELECT * EXCLUDE (g, G) FROM t", "twice"),
    ("SELECT * EXCLUDE (g) REPLACE (1 AS g) FROM t", "twice"),
    ("SELECT * REPLACE (1 AS z) FROM t", "no column"),
    ("SELECT * EXCLUDE (l) FROM (VALUES (5), (6)) v(l)", "every column is excluded"),
    ("SELECT id FROM t LIMIT -1", "negative"),
    ("SELECT id FROM t LIMIT 'x'", None),
    ("SELECT id FROM t LIMIT id", "not a column"),
    ("SELECT DISTINCT ON (2) g FROM t", "out of range"),
]


@pytest.fixture(scope="module", params=[(40, 0), (60, 90)])
def two(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Both engines over tables t and u that share most values; one of them may be empty."""
    rows, others = request.param
    engines = Engines.over(threads=2, t=every_type(rows), u=every_type(others, seed=1))
    yield engines
    engines.close()


@pytest.mark.parametrize("count", [2, 63, 64, 65, 1000])
def test_many_rows_of_values(full: Engines, count: int) -> None:
    rows = [
        f"({number * 1_000_003 % 7919 - 4000}, {'NULL' if number % 5 == 0 else number / 8}, '{'abc'[number % 3] * (number % 4)}', "
        f"{'NULL' if number % 7 == 0 else f'true AND {number} > 9'}, DATE '2020-01-01' + {number})"
        for number in range(count)
    ]
    values = f"(VALUES {', '.join(rows)}) AS v(i, x, s, b, day)"
    full.check(f"SELECT * FROM {values}")
    full.check(f"SELECT s, b, count(*), sum(i), max(x), min(day) FROM {values} WHERE i <> 5 GROUP BY s, b ORDER BY s, b")


@pytest.mark.parametrize("operation", ["UNION ALL", "UNION", "INTERSECT", "EXCEPT"])
@pytest.mark.parametrize("branches", BRANCHES, ids=lambda pair: " | ".join(pair))
def test_operations_and_types(two: Engines, operation: str, branches: tuple[str, str]) -> None:
    left, right = branches
    two.check(f"{left} {operation} {right}", signed_zeros=False)


@pytest.mark.parametrize("operation", ["UNION", "INTERSECT", "EXCEPT"])
def test_rows_of_every_type(two: Engines, operation: str) -> None:
    """Whole rows are the same only if all columns are, NULL equal to NULL."""
    columns = ", ".join(COLUMNS)
    halves = f"SELECT {columns} FROM t WHERE id < 30", f"SELECT {columns} FROM t WHERE id > 20"
    two.check(f"{halves[0]} {operation} {halves[1]}")


@pytest.mark.parametrize("query", SETS)
def test_sets(two: Engines, query: str) -> None:
    two.check(query, signed_zeros=False)


@pytest.mark.parametrize("query", COPIES)
def test_copies(two: Engines, query: str) -> None:
    two.check(query, signed_zeros=False)


@pytest.mark.parametrize("query", VALUES)
def test_values(two: Engines, query: str) -> None:
    two.check(query)


@pytest.mark.parametrize("query", [*DISTINCT, *STARS, *LIMITS])
def test_distinct_stars_and_limits(two: Engines, query: str) -> None:
    two.check(query, signed_zeros=False)


@pytest.mark.parametrize(("query", "match"), REFUSED)
def test_refused(two: Engines, query: str, match: str | None) -> None:
    two.check_refused(query, match=match)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT s, g FROM t UNION ALL SELECT s, g FROM t",
        "SELECT i8 FROM t UNION SELECT i16 FROM t",
        "SELECT id FROM t WHERE id % 3 = 0 EXCEPT SELECT id FROM t WHERE id % 5 = 0",
        "SELECT DISTINCT ON (i16) i16, id FROM t ORDER BY i16, id",
    ],
)
def test_several_chunks(large: Engines, query: str) -> None:
    large.check(query, signed_zeros=False)


def test_columns_without_a_common_type_are_named(full: Engines) -> None:
    """DuckDB finds out while it casts."""
    full.check_refused("SELECT g FROM t EXCEPT SELECT day FROM t", match="INTEGER in one query and DATE in the other")


def test_texts_of_different_dictionaries() -> None:
    left = pa.table({"k": ["b", "d", None, "a", "d"]})
    right = pa.table({"k": ["d", "c", "c", None, ""]})
    engines = Engines.over(threads=1, t=left, u=right)
    for operation in ("UNION ALL", "UNION", "INTERSECT", "EXCEPT"):
        engines.check(f"SELECT k FROM t {operation} SELECT k FROM u ORDER BY k NULLS FIRST")
    engines.close()
