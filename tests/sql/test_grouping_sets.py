"""GROUPING SETS, ROLLUP, CUBE and GROUPING, against DuckDB."""

from __future__ import annotations

import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

QUERIES = [
    "SELECT sum(i8) FROM t GROUP BY ()",
    "SELECT sum(i8) FROM t WHERE FALSE GROUP BY ()",
    "SELECT g, b, sum(i8), count(*) FROM t GROUP BY ROLLUP(g, b)",
    "SELECT g, b, sum(i8) FROM t WHERE FALSE GROUP BY ROLLUP (g, b)",
    "SELECT g, b, c, count(*), grouping(g, b, c), grouping_id(c) FROM t GROUP BY CUBE (g, b, c)",
    "SELECT g, s, count(*), stddev(i8), median(d), first(id ORDER BY id) FROM t GROUP BY GROUPING SETS ((g), (s), (g, s), ())",
    "SELECT g, count(*) FROM t GROUP BY GROUPING SETS ((g), (g))",
    "SELECT g, count(*) FROM t GROUP BY ROLLUP (g, g)",
    "SELECT g, b, count(*) FROM t GROUP BY g, ROLLUP (b)",
    "SELECT g, b, count(*) FROM t GROUP BY (g, b)",
    "SELECT g, count(*) FROM t GROUP BY g, ()",
    "SELECT g, count(*) FROM t GROUP BY ROLLUP (g) HAVING grouping(g) = 0",
    "SELECT g, count(*) FROM t GROUP BY ROLLUP (g) ORDER BY grouping(g), g",
    "SELECT g + 1, count(*) FROM t GROUP BY ROLLUP (g + 1)",
    "SELECT g AS q, count(*), grouping(q) FROM t GROUP BY ROLLUP (q)",
    "SELECT g, s, count(*) FROM t GROUP BY GROUPING SETS (1, 2)",
    "SELECT g + 1 FROM t GROUP BY ROLLUP (g)",
    "SELECT coalesce(b, TRUE), count(*) FROM t GROUP BY ROLLUP (b)",
    "SELECT sum(g), g FROM t GROUP BY ROLLUP (g)",
    "SELECT g, s, count(*) FROM t GROUP BY GROUPING SETS (ROLLUP (g, s), CUBE (g), (s))",
    "SELECT 'x' AS k, count(*) FROM t GROUP BY ROLLUP ('x')",
    "SELECT 1 AS k, g, count(*) FROM t GROUP BY ROLLUP (k, g)",
    "SELECT DISTINCT grouping(g) FROM t GROUP BY CUBE (g, b)",
    "SELECT g, b, count(DISTINCT s) FROM t GROUP BY GROUPING SETS ((g), (b)) HAVING count(*) > 1 ORDER BY ALL",
    "SELECT g, count(*) FILTER (WHERE b), grouping(g) + 1 FROM t GROUP BY ROLLUP (g)",
    "SELECT g, grouping(g), count(*) FROM t GROUP BY g",
    "SELECT g FROM t GROUP BY ROLLUP (g), ROLLUP (g)",
    "SELECT g, b, count(*) FROM t GROUP BY ROLLUP ((g, b), s)",
    "SELECT x, d, count(*), sum(i64 * 8000), avg(y) FROM t GROUP BY ROLLUP (x, d)",
    "SELECT g, sum(q) FROM (SELECT g, b, sum(i8) AS q FROM t GROUP BY CUBE (g, b)) GROUP BY g",
    "SELECT s, max(s), min(c), c FROM t GROUP BY CUBE (s, c)",
    "SELECT g, b, count(*) AS n FROM t GROUP BY ROLLUP (g, b) HAVING n > 10 ORDER BY n DESC, g, b LIMIT 5",
    "SELECT count(*) FROM t GROUP BY ROLLUP (())",
    "SELECT g, b, grouping_id() FROM t GROUP BY ROLLUP (g, b)",
    # Outputs of one value are keys of their own.
    "SELECT g + 1 AS k1, g + 1 AS k2, g + 1, g + 1 - 1, count(*), grouping(k1), grouping(k2) FROM t GROUP BY CUBE (k1, k2)",
    "SELECT g AS k1, g AS k2, count(*) FROM t GROUP BY CUBE ((k1), (k2))",
    "SELECT g AS k1, g AS k2, count(*), sum(k1) FROM t GROUP BY CUBE (1, 2) HAVING k2 IS NOT NULL OR g > 2",
    "SELECT g AS k1, g AS k2, g AS k3, count(*) FROM t GROUP BY ROLLUP (g, k1)",
    "SELECT g AS k1, g AS k2, g AS k3, count(*) FROM t GROUP BY ROLLUP (k1, g)",
    "SELECT g AS k1, g AS k2, count(*) FROM t GROUP BY ROLLUP (k1, 1), GROUPING SETS (k2, ())",
    "SELECT g AS k1, g AS k2, k1 + k2, count(*), rank() OVER (ORDER BY k2, k1) FROM t GROUP BY CUBE (k1, k2)",
    "SELECT strpos('', 'a') AS k, count(*) FROM t GROUP BY ROLLUP (k) HAVING sum(i8)::BIGINT <> 0",
    "SELECT strpos('', 'a'), count(*), count(*) + 0 FROM t GROUP BY ROLLUP (strpos('', 'a'), g)",
    "SELECT 'x' AS k, 'x' AS l, count(*) FROM t GROUP BY GROUPING SETS (('x', s), 'x', s, ('x', s))",
    "SELECT 'x' AS k, upper('y') AS l, lower('X'), count(*) FROM t GROUP BY ROLLUP ('x', lower('X'))",
    "SELECT 1 AS k, 1 AS l, count(*) FROM t GROUP BY GROUPING SETS (k, l)",
    "SELECT NULL AS k, NULL AS l, count(*) FROM t GROUP BY CUBE (k, l)",
    "SELECT 1 AS k, 1 AS l, 1, count(*) FROM t GROUP BY GROUPING SETS (k, ())",
    "SELECT 1 AS k, 1 AS l, 1 AS m, count(*) FROM t GROUP BY GROUPING SETS (l, (k, l), ())",
    "SELECT DATE '1970-01-01' AS k, DATE '1970-01-01' AS l, 1970 FROM t GROUP BY ROLLUP (1)",
    "SELECT *, count(*) FROM (SELECT g, g AS h FROM t) GROUP BY CUBE (1, 2)",
]


@pytest.mark.parametrize("query", QUERIES)
def test_grouping_sets(query: str, row_engines: Engines) -> None:
    row_engines.check(query, signed_zeros=False)


def test_several_chunks(large: Engines) -> None:
    large.check("SELECT g, b, c, count(*), sum(i64), stddev(i8), count(DISTINCT s) FROM t GROUP BY ROLLUP (g, b, c)")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT g FROM t GROUP BY ()", 'column "g" must appear'),
        ("SELECT g, b FROM t GROUP BY g, ()", 'column "b" must appear'),
        ("SELECT grouping(g) FROM t GROUP BY ROLLUP (b)", "GROUPING takes keys"),
        ("SELECT grouping(g::BIGINT) FROM t GROUP BY ROLLUP (g)", "GROUPING takes keys"),
        ("SELECT sum(grouping(g)) FROM t GROUP BY ROLLUP (g)", "cannot be nested"),
        ("SELECT grouping(g) FROM t", "GROUPING needs a GROUP BY"),
        ("SELECT g FROM t WHERE grouping(g) = 0 GROUP BY g", "WHERE cannot contain"),
        ("SELECT count(*) FROM t GROUP BY CUBE ()", "list of CUBE is empty"),
    ],
)
def test_refused_as_by_duckdb(query: str, says: str, full: Engines) -> None:
    full.check_refused(query, match=says)


def test_too_many_sets(full: Engines) -> None:
    with pytest.raises(UnsupportedError, match="more than 64 grouping sets"):
        full.ours.sql("SELECT count(*) FROM t GROUP BY CUBE (g, b, c, s, w, i8, i16)").fetchall()


def test_input_is_computed_once(full: Engines) -> None:
    """The sets read different columns of one join, which is still one."""
    joined = "(SELECT t.g, t.b, t.i8 FROM t JOIN (SELECT DISTINCT g AS h FROM t) AS q ON t.g = q.h)"
    query = f"SELECT g, b, count(*), sum(i8) FROM {joined} GROUP BY ROLLUP (g, b)"
    full.check(query)
    assert full.ours.sql(query).explain("physical").count(": scan t ") == 2


def test_common_table_is_computed_once(full: Engines) -> None:
    """Each use reads other columns of it."""
    query = (
        "WITH c AS (SELECT g, b, sum(i8) AS s, count(*) AS n FROM t GROUP BY g, b) "
        "SELECT x.g, x.s, y.n FROM c AS x JOIN c AS y ON x.g = y.g AND x.b = y.b"
    )
    full.check(query)
    assert full.ours.sql(query).explain("physical").count(": scan t ") == 1
