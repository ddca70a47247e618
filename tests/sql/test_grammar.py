"""What DuckDB's grammar takes and refuses, where sqlglot's parser takes more: words, signs and clauses of other dialects."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

from qtensor.errors import ParseError, UnsupportedError
from tests.oracle import Engines

# Syntax errors of both engines. A row of the table is (1, 'a', 2020-01-02, 1.5, 3).
SYNTAX = [
    # words that are names only behind AS or in quotes, and names that are no words
    "SELECT i EXPORT_STATE FROM t", "SELECT 5 DAY", "SELECT d + 5 DAY FROM t", "SELECT CASE i WHEN 1 THEN 2 END CASE FROM t",
    "SELECT i FROM t ORDER", "SELECT order FROM t", "SELECT i FROM FROM t", "FROM SELECT 1", "SELECT AS 1", "SELECT 1 AS",
    "SELECT 1 AS 1", "SELECT 1 AS ?", "SELECT 1 $a", "SELECT 1 ?", "SELECT * FROM t AS", "SELECT * FROM t 'x'", "SELECT * FROM by",
    "SELECT * FROM (VALUES (1)) (\"c\")", "SELECT cast FROM t", "SELECT * FROM t AS STRUCT x", "SELECT AS STRUCT 1 AS a",
    # a colon
    "SELECT 'j': 42", "SELECT 1: 42", "SELECT d::DATE:VARCHAR FROM t",
    # calls in words
    "SELECT extract(year, d) FROM t", "SELECT extract('year', d) FROM t", "SELECT position(s, 'a') FROM t",
    "SELECT CAST(i AS INT UNSIGNED) FROM t", "SELECT FLOAT 1", "SELECT 1::DECIMAL(3, 1 1)",
    # intervals
    "SELECT d + INTERVAL m DAY FROM t", "SELECT d + INTERVAL t.m DAY FROM t", "SELECT d + INTERVAL m + 1 DAY FROM t",
    "SELECT d + INTERVAL -5 DAY FROM t", "SELECT d + INTERVAL abs(5) DAY FROM t", "SELECT d + INTERVAL NULL DAY FROM t",
    "SELECT d + INTERVAL (5) * 2 DAY FROM t", "SELECT d + INTERVAL 1 DAY 2 HOUR FROM t",
    # operators of other dialects
    "SELECT i BETWEEN SYMMETRIC 3 AND 1 FROM t", "SELECT i DIV 2 FROM t", "SELECT s REGEXP 'a' FROM t", "SELECT s RLIKE 'a' FROM t",
    "SELECT i FROM t |> WHERE i > 0", "SELECT i IN FROM t", "SELECT CASE WHEN i > 1 2 END FROM t",
    # subscripts
    "SELECT NULL::VARCHAR[1:2]", "SELECT s::VARCHAR[i:2] FROM t",
    # clauses
    "SELECT i, rank() OVER w FROM t QUALIFY rank() OVER w = 1 WINDOW w AS (ORDER BY i)", "SELECT i FROM t LIMIT 1 ORDER BY i",
    "SELECT i FROM t GROUP BY i WHERE i > 0", "SELECT i FROM t ORDER BY i HAVING i > 0", "SELECT i FROM t LIMIT 1, 2",
    "SELECT i FROM t GROUP BY", "SELECT i FROM t WHERE i > 0, i", "SELECT 1 JOIN t ON true", "SELECT i FROM t OUTER JOIN t u USING (i)",
    "SELECT count(DISTINCT , i) FROM t",
    # a query that is no operand, and what belongs to FROM
    "SELECT count( SELECT i FROM t)", "SELECT coalesce(SELECT 1, 2)", "SELECT abs(FROM t)", "(SELECT 1), t", "(FROM t) JOIN t USING (i)",
    "VALUES (1), (2) t", "WITH q (SELECT 1) SELECT * FROM q", "WITH q (a) (SELECT 1) SELECT * FROM q",
    # lists of names that are none, or followed by something
    "SELECT DISTINCT ON () i FROM t", "SELECT DISTINCT ON (i), s FROM t", "SELECT * EXCLUDE () FROM t", "SELECT * EXCLUDE i () FROM t",
    "SELECT * REPLACE () FROM t", "SELECT * REPLACE (i + 1) FROM t", "SELECT * REPLACE i FROM t", "SELECT * REPLACE (i + 1, i) FROM t",
    "SELECT * FROM t r (x AS)", "SELECT * FROM t AS r (x AS y)",
    # a point alone
    "SELECT . 2", "SELECT i BETWEEN . 2 AND 3 FROM t", "SELECT * FROM t, . u", "SELECT * FROM . t", "SELECT abs(. i) FROM t",
    # operators in two parts
    "SELECT i > > 1 FROM t", "SELECT i < < 1 FROM t", "SELECT i << /* */ < 1 FROM t",
    # windows
    "SELECT rank() OVER FROM t", "SELECT first_value(i) RESPECT NULLS OVER (ORDER BY i) FROM t",
    "SELECT rank() OVER (PARTITION BY ORDER BY i) FROM t",
    *(
        f"SELECT sum(i) OVER (ORDER BY i ROWS {frame}) FROM t"
        for frame in (
            "BETWEEN", "BETWEEN 1", "", "1", "BETWEEN 1 PRECEDING", "BETWEEN 1 PRECEDING AND", "BETWEEN 1 PRECEDING AND 1", "UNBOUNDED",
            "CURRENT", "BETWEEN UNBOUNDED AND CURRENT", "1 PRECEDING AND CURRENT ROW", "BETWEEN PRECEDING AND CURRENT ROW",
        )
    ),
]  # fmt: skip

# Refused by both for what names and types mean.
REFUSED = [
    "SELECT SAFE_CAST(i AS INT) FROM t",
    "SELECT sum(ORDER BY i) FROM t",
    "SELECT !true", "SELECT i <=> 1 FROM t", "SELECT IIF(i > 1, 2, 3) FROM t", "SELECT NVL(i, 2) FROM t", "SELECT CHARINDEX('a', s) FROM t",
    "SELECT LOCATE('a', s) FROM t", "SELECT CONVERT(i, CHAR) FROM t", "SELECT percentile_cont(f, 0.5) FROM t",
    "SELECT percentile_disc(f, 0.5) FROM t", "SELECT count(*, 1) FROM t", "SELECT GROUPING() FROM t", "SELECT make_date('1')",
    "SELECT contains('a', NULL)", "SELECT contains(NULL, NULL)", "SELECT i.a FROM t", "SELECT t.i.a FROM t", "SELECT INTERVAL m FROM t",
    "SELECT 'abc'[9223372036854775807]", "SELECT array_extract('abc', -9223372036854775808)", "SELECT 'abc'[4294967296]",
    "SELECT array_extract(s, 4294967296) FROM t",
    "SELECT 1 AS x, count(*) FROM t GROUP BY x + 1", "SELECT i AS x FROM t GROUP BY x, abs(x)", "SELECT i AS x FROM t GROUP BY ROLLUP (x + 1)",
    "SELECT count(*) FROM t GROUP BY ALL HAVING EXISTS (SELECT 1 FROM u WHERE k = i)", "SELECT s, count(*) FROM t GROUP BY ALL ORDER BY i",
    "SELECT * EXCLUDE (a.i, a.i) FROM a JOIN b USING (i)", "SELECT * EXCLUDE (a.i, i) FROM a JOIN b USING (i)",
    "SELECT * EXCLUDE (b.x) FROM a JOIN b USING (i)", "SELECT E'\\x80'",
]  # fmt: skip

# Taken by both.
TAKEN = [
    "SELECT substring(s, (2 - 1), (1)), round((1.25), (1)), greatest((1), (2)) FROM t",
    "SELECT 10!, (3 + 1)!, -3!, 2 * 3!, 4! + 1, 3! = 6, 3!=6, i! FROM t",
    "SELECT s !~ 'b', s !~~ 'b', NOT s ~ 'b' FROM t",
    "SELECT E'\\xC3\\xA9', E'\\303\\251x'",
    "SELECT sum(i) OVER (GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT sum(i) OVER (GROUPS UNBOUNDED PRECEDING) FROM t",
    "SELECT sum(i) OVER (PARTITION BY s GROUPS CURRENT ROW) FROM t",
    "SELECT sum(groups) OVER (ORDER BY groups) FROM (VALUES (1), (2)) t(groups)",
    "SELECT i AS export_state, i AS \"order\", t.i AS day FROM t", "SELECT interval FROM (SELECT 1 AS interval)",
    "SELECT x.order, x.day FROM (SELECT 1 AS \"order\", 2 AS day) x",
    "SELECT div, xor, rlike FROM (SELECT 1 AS div, 2 AS xor, 3 AS rlike)",
    "SELECT d + INTERVAL (m) DAY, d + INTERVAL '5' DAY, d + INTERVAL 5 DAY, d + INTERVAL 5.5 DAYS, d + INTERVAL '1 day' FROM t",
    "SELECT d + INTERVAL '1' D FROM t", "SELECT d + INTERVAL '1' DAY + INTERVAL '1' HOUR FROM t",
    "SELECT i BETWEEN ASYMMETRIC 1 AND 3 FROM t", "SELECT (s::VARCHAR)[1:2], CAST(s AS VARCHAR)[1:2] FROM t",
    "SELECT 'abc'[4294967295], 'abc'[-4294967295], array_extract('abc', -4294967296)",
    "SELECT contains(s, NULL), contains(NULL, 'a'), contains('a', NULL::VARCHAR), make_date('1', '2', '3') FROM t",
    "SELECT i, GROUPING(), GROUPING_ID() FROM t GROUP BY i ORDER BY i", "SELECT GROUPING(), i FROM t GROUP BY ROLLUP (i) ORDER BY ALL",
    "SELECT i, rank() OVER w FROM t WINDOW w AS (ORDER BY i) QUALIFY rank() OVER w = 1", "SELECT i FROM t OFFSET 1 LIMIT 1",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f), percentile_disc(0.5) WITHIN GROUP (ORDER BY f) FROM t",
    "SELECT first_value(lower(s) IGNORE NULLS) OVER (ORDER BY i) FROM t", "SELECT i: 1, \"j\": 2", "SELECT * FROM x : t",
    "SELECT count(*) FROM t GROUP BY ALL HAVING i % 2 >= 0 ORDER BY ALL",
    "SELECT s, count(*) AS n FROM t GROUP BY ALL HAVING i > 0 AND sum(f) > 0 ORDER BY ALL",
    "SELECT i + 1 AS x, count(*) FROM t GROUP BY ALL HAVING i > 0 AND x > 0 ORDER BY ALL",
    "SELECT i + 1 AS x, count(*) FROM t GROUP BY ALL HAVING i + 1 > 0 ORDER BY ALL",
    "SELECT i + 1 AS i, count(*) FROM t GROUP BY ALL HAVING i > 2 ORDER BY ALL",
    "SELECT count(*) AS n FROM t GROUP BY * HAVING n > 0 AND i IN (SELECT k FROM u) ORDER BY ALL",
    "SELECT i AS x, count(*) FROM t GROUP BY (x) ORDER BY ALL", "SELECT i + 1 AS i, count(*) FROM t GROUP BY i + 1 ORDER BY ALL",
    "SELECT a.* EXCLUDE (a.i), b.* FROM a JOIN b USING (i)", "SELECT b.* EXCLUDE (i) FROM a RIGHT JOIN b USING (i) ORDER BY ALL",
    "SELECT * EXCLUDE (a.i) FROM a NATURAL JOIN b", "SELECT * EXCLUDE (a.i) REPLACE (5 AS y) FROM a JOIN b USING (i)",
    "SELECT * EXCLUDE (c.i) FROM (a JOIN b USING (i)) JOIN c USING (i)", "SELECT * EXCLUDE (a.i) FROM (a FULL JOIN b USING (i)), c ORDER BY ALL",
]  # fmt: skip

EXCLUDED = ["a.i", "b.i", "a.i, b.i", "i", "a.i, x", "b.i, y"]
EXCLUDED_OF_THREE = ["a.i", "b.i", "c.i", "a.i, b.i", "a.i, c.i", "b.i, c.i", "a.i, b.i, c.i", "i"]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    engines = Engines.over(threads=1)
    for connection in (engines.ours, engines.theirs):
        for statement in (
            "CREATE TABLE t (i INTEGER, s VARCHAR, d DATE, f DOUBLE, m INTEGER)",
            "INSERT INTO t VALUES (1, 'a', '2020-01-02', 1.5, 3), (3, 'b', '2021-03-04', 2.5, 4), (3, 'b', '2021-03-05', 3.5, 4)",
            "INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL)",
            "CREATE TABLE u AS SELECT 3 AS k",
            "CREATE TABLE a AS SELECT * FROM (VALUES (1, 10), (2, 20)) v(i, x)",
            "CREATE TABLE b AS SELECT * FROM (VALUES (200, 2), (300, 3)) v(y, i)",
            "CREATE TABLE c AS SELECT * FROM (VALUES (2, 7), (4, 8)) v(i, z)",
        ):
            connection.execute(statement)
    yield engines
    engines.close()


@pytest.mark.parametrize("query", SYNTAX)
def test_syntax_errors(engines: Engines, query: str) -> None:
    with pytest.raises(duckdb.ParserException):
        engines.theirs.execute(query)
    with pytest.raises(ParseError):
        engines.ours.sql(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(engines: Engines, query: str) -> None:
    engines.check_refused(query)


@pytest.mark.parametrize("query", TAKEN)
def test_taken(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
@pytest.mark.parametrize("columns", EXCLUDED)
def test_parts_of_using_excluded(engines: Engines, kind: str, columns: str) -> None:
    engines.check(f"SELECT * EXCLUDE ({columns}) FROM a {kind} b USING (i) ORDER BY ALL")


@pytest.mark.parametrize("kind", ["JOIN", "FULL JOIN"])
@pytest.mark.parametrize("columns", EXCLUDED_OF_THREE)
def test_parts_of_two_using_excluded(engines: Engines, kind: str, columns: str) -> None:
    engines.check(f"SELECT * EXCLUDE ({columns}) FROM a {kind} b USING (i) {kind} c USING (i) ORDER BY ALL")


def test_fields_of_structs_are_named(engines: Engines) -> None:
    engines.ours.register("rows", pa.table({"one": pa.array([{"a": 1}])}))
    for query in ("SELECT one.a FROM rows", "SELECT rows.one.a FROM rows"):
        with pytest.raises(UnsupportedError, match="fields of structs"):
            engines.ours.sql(query)


def test_a_hundred_unions(engines: Engines) -> None:
    queries = [f"SELECT {number % 100}::{'BIGINT' if number == 120 else 'INTEGER'} AS n" for number in range(150)]
    engines.check(" UNION ".join(queries))
    engines.check(" UNION ALL ".join(queries[:3]) + " UNION " + " UNION ALL ".join(queries[98:103]))
    engines.check("(SELECT 1 AS n UNION SELECT 1) UNION (SELECT 2.5 AS n UNION SELECT 2.5 UNION SELECT 1)")
