"""Texts, numbers and statements as DuckDB's grammar has them: escapes, dollars, exponents before a sign, ESCAPE by an expression."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pyarrow as pa
import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

QUERIES = [
    "SELECT E'a\\tb', E'\\n' = chr(10), E'\\x41', E'\\\\', E'it''s', e'x', E'\\'', E'\\u0041', E'\\101', E'\\x4', E'\\x414', E'\\q', E'\\xZZ', E'\\1'",
    "SELECT $$x$$, $$it's$$, $tag$a$$b$tag$, $$$$",
    "SELECT $$a;b$$",
    "SELECT 1e0+x, 1e0-x, 2E1*x, 1.5e+1+x, 1e-1+x, 1e0/x, 1e5 FROM (VALUES (1)) t(x)",
    "SELECT 1e0-1, 1e0+1, 1e0-1e0, 1e+0-1, 1e-1-1, 1e0-1e-1+2e0-3, .5e1-1",
    "SELECT 1.5e0-1.5, 5.e0-1, 1_0e0-1",
    "SELECT 'a%' LIKE 'a' || chr(92) || '%' ESCAPE chr(92)",
    "SELECT 'a%' LIKE 'a$%' ESCAPE ('$')",
    "SELECT 'a%' LIKE 'a$%' ESCAPE '$' || ''",
    "SELECT 'a%' LIKE 'a$%' ESCAPE '$' AND true",
    "SELECT a NOT LIKE 'a$%' ESCAPE lower('$') FROM (VALUES ('a%','$')) t(a,e)",
    "SELECT a ILIKE 'A$%' ESCAPE NULL FROM (VALUES ('a%','$')) t(a,e)",
    "SELECT 'a' LIKE 'a' ESCAPE ''",
    "SELECT 'a'\n'b', 'x' -- and\n 'y'",
    "SELECT 1e0 -- one\n-1, '--', 2e0-1",
]

REFUSED = [
    "SELECT E'\\0'",
    "SELECT E'a\\'",
    "SELECT 'a' 'b'",
    "SELECT 'a' LIKE 'a' ESCAPE 'xx'",
    "SELECT 'a' LIKE 'a' ESCAPE 1",
    "SELECT a SIMILAR TO 'a$%' ESCAPE '$' FROM (VALUES ('a%','$')) t(a,e)",
]

UNSUPPORTED = [
    ("CHECKPOINT", "CHECKPOINT statements"),
    ("EXPLAIN (FORMAT JSON) SELECT 1", "EXPLAIN with the option FORMAT"),
    ("EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1", "EXPLAIN with the option ANALYZE"),
    ("WITH x AS (COPY (SELECT 1) TO 'x.csv') SELECT 1", "COPY in a common table expression"),
    ("WITH x AS (INSERT INTO t VALUES (1) RETURNING d) SELECT * FROM x", "INSERT in a common table expression"),
    ("WITH x(a) USING KEY (a) AS (SELECT 1) SELECT * FROM x", "USING KEY"),
    ("WITH RECURSIVE x(a, b) USING KEY (a, max(b)) AS (SELECT 1, 2 UNION SELECT a, b FROM x) SELECT * FROM x", "USING KEY"),
    ("SELECT * ~ 'd' FROM t", "columns of \\* that are chosen by a pattern"),
    ("SELECT * ~* 'D' FROM t", "columns of \\* that are chosen by a pattern"),
    ("SELECT * ILIKE 'D%' FROM t", "columns of \\* that are chosen by a pattern"),
    ("SELECT * ILIKE 'D%' ESCAPE 'x' FROM t", "columns of \\* that are chosen by a pattern"),
    ("SELECT quantile_cont(1, [0.25, 0.5]), quantile(1, [0.5]), quantile_disc(1, [0.25, 0.5] ORDER BY 1)", "arrays"),
    ("SELECT quantile_cont(1, (0.25, 0.5))", "tuples"),
    ("SELECT ARRAY[1, 2]", "arrays"),
    ("SELECT rank(ORDER BY d) OVER () FROM t", "ORDER BY inside"),
    ("SELECT pg_size_pretty(1024)", "the function pg_size_pretty"),
    ("SELECT formatReadableSize(1024)", "the function formatReadableSize"),
    ("SELECT formatReadableDecimalSize(1024)", "the function formatReadableDecimalSize"),
    ("SELECT 'a' LIKE d::VARCHAR ESCAPE d::VARCHAR FROM t", "ESCAPE with a character that is not constant"),
    ("SELECT * FROM (DESCRIBE t)", "DESCRIBE in a query"),
    ("SELECT * LIKE 'd%' FROM t", "columns of \\* that are chosen by a pattern"),
    ("SELECT t.* NOT LIKE 'd%' FROM t", "columns of \\* that are chosen by a pattern"),
    ("SELECT sum(1) EXPORT_STATE", "EXPORT_STATE"),
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """Both engines over a table of one date."""
    engines = Engines.over(threads=1, t=pa.table({"d": [datetime.date(2020, 1, 1)]}))
    yield engines
    engines.close()


@pytest.mark.parametrize("query", QUERIES)
def test_taken(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(engines: Engines, query: str) -> None:
    engines.check_refused(query)


@pytest.mark.parametrize(("query", "what"), UNSUPPORTED)
def test_unsupported(engines: Engines, query: str, what: str) -> None:
    with pytest.raises(UnsupportedError, match=what):
        engines.ours.sql(query)


def test_casts_of_parameters(engines: Engines) -> None:
    engines.check("SELECT d >= ?::DATE, ?::VARCHAR || 'x', -?::INT FROM t", ["2019-01-01", 5, "7"])
    engines.check("SELECT d FROM t WHERE d >= ?::DATE AND d < ?::DATE", ["2019-01-01", "2021-01-01"])


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "FULL JOIN"])
def test_values_joined_in_changes(kind: str) -> None:
    engines = Engines.over(threads=1)
    pairs = "(VALUES (1), (3)) u(c) " + kind + " (VALUES (1), (2)) v(d) ON c = d"
    for statement in (
        "CREATE TABLE changed AS SELECT * FROM (VALUES (1, 10), (2, 20), (3, 30)) t(a, b)",
        f"UPDATE changed SET b = coalesce(d, 0) + 5 FROM {pairs} WHERE a = c",
        f"DELETE FROM changed USING {pairs} WHERE a = d AND d > 1",
    ):
        engines.ours.execute(statement)
        engines.theirs.execute(statement)
    engines.check("SELECT * FROM changed ORDER BY ALL")
    engines.close()
