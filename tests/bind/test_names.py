"""The names of output columns, as DuckDB describes them."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from qtensor.bind import bind
from tests.bind.catalog import CREATE_EVERY_TYPE, MemoryCatalog


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute(CREATE_EVERY_TYPE)
        yield opened


EXPRESSIONS = [
    "I4", '"my col"', "T.I4", '"I4", t.I4, T."i4" + 1', "i4 AS X", 'i4 "the x"', 'i4 + 1 AS "x""y"', '"My Col" + 1',
    "sum(\"my col\"), SUM(I4), Sum( DISTINCT   i4 ), MIN(I4+1)", "count(*), count(), count_star(), COUNT(DISTINCT i4)",
    "sum(i4) FILTER (WHERE b), sum(DISTINCT i4) FILTER (WHERE i4 > 1 AND b), count(*) FILTER (b)", "mean(i4), avg(i4)+1",
    "-5, - 5, -i4, -(-5), - - 5, -(i4 + 1), -(-i4), i4 + -1, i4 - -1, -1.5, -.5, - 0.5",
    "i4+i8*2, (i4+i8)*2, i4 // 2, i4 % 2, i4 / 2, ((i4) + (1)), (i4), mod(i4, 2)",
    "i4 = 1, i4 <> 1, i4 != 1, i4 == 1, i4 >= 1, i4 < 2, i4 IS DISTINCT FROM 2, i4 IS NOT DISTINCT FROM NULL",
    "b AND b, b AND b AND NOT b, b OR b OR b, b OR (b AND b), (b AND b) AND b, b AND (b AND b), NOT (NOT b), NOT (b AND b)",
    "i4 > 1 AND i4 < 2 OR b", "i4 BETWEEN 1 AND 2, i4 NOT BETWEEN 1 AND 2, i4 IN (1,2), i4 NOT IN (1,2), s IN ('a')",
    "CASE WHEN b THEN 1 END, CASE WHEN b THEN 1 ELSE 2 END, CASE WHEN b THEN 1 WHEN NOT b THEN 3 ELSE 2 END",
    "CASE i4 WHEN 1 THEN 'a' ELSE 'b' END, CASE b WHEN true THEN 1 WHEN false THEN 2 END",
    "COALESCE(i4, 2), NULLIF(i4, 2), IF(b, 1, 2), ifnull(i4, 2), abs(i4), ABS(i4)",
    "CAST(i4 AS INTEGER), i4::decimal(10,2), i4::int8, i4::numeric, TRY_CAST(s AS INT), i4::Double, i4::decimal",
    "s::text, s::VARCHAR, i4::real, dt::date::timestamp, CAST(i4 + 1 AS bigint), (i4 + 1)::bool, cast(i4 as hugeint)",
    "i4 IS NULL, i4 IS NOT NULL, NOT i4 IS NULL, b ISNULL, b NOTNULL, b IS UNKNOWN, (i4 + 1) IS NOT NULL",
    "b IS TRUE, b IS NOT TRUE, b IS FALSE, b IS NOT FALSE, i4 IS NULL IS NULL",
    "date '1994-01-01', DATE '1994-01-01', timestamp '1994-01-01 00:00:00', date '1998-12-01' - interval '90' day",
    "date '1994-01-01'::timestamp, date '1994-01-01'::timestamp::DATE, CAST(DATE '1994-01-01' AS timestamp)",
    "dt + interval '90' day, dt - interval 3 month, dt + interval '3 days', ts + interval '1 month 2 days'",
    "ts + interval 2 hours, ts + interval '5' seconds, ts + interval 1.5 day, dt - interval (3) month, dt + INTERVAL 1 YEAR",
    "s LIKE 'a%', s NOT LIKE 'a%', s ILIKE 'a%', s NOT ILIKE 'a%', s LIKE 'a!%' ESCAPE '!', s NOT ILIKE 'a' ESCAPE '!'",
    "'it''s', 1.50, 1e5, 1E5, .5, 5., 1.5e-3, 100000000000, 1_000, 007, 1E+3, 00.5", "TRUE, False, null, 'a' < s",
    "CAST(0.285::double AS decimal(5,2)), CAST(2.5::float AS tinyint), CAST(i4::tinyint AS numeric(4)), i4::double precision",
    "CAST((i4)::tinyint AS int), CAST(.5 AS tinyint), 'x'::varchar(10), i4::character varying, s::char(3)::decimal(4)",
    "'a' || 'b', 'a' || ('b' || 'c'), 1 || 'x'::text, timestamp '2020-01-01' + interval '1 month', CAST(CAST(1 AS double) AS int)",
    "string_agg(s, ',' ORDER BY i4 DESC), string_agg(DISTINCT s, '' ORDER BY s), sum(i4), first(s ORDER BY i4, dt), string_agg(s)",
    "sum(i4)+1, sum(-i4), sum(i4*(1-d9)), 100.00 * sum(CASE WHEN s LIKE 'P%' THEN d9 ELSE 0 END) / sum(d9)",
]  # fmt: skip


@pytest.mark.parametrize("expressions", EXPRESSIONS)
def test_expression_names(connection: duckdb.DuckDBPyConnection, expressions: str) -> None:
    aggregate = any(word in expressions.lower() for word in ("sum(", "count", "avg("))
    for query in [f"SELECT {expressions} FROM t" + (" GROUP BY ALL" if aggregate else "")]:
        ours = [field.name for field in bind(query, MemoryCatalog()).schema]
        assert ours == connection.sql(query).columns


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t",
        "FROM t",
        "FROM t SELECT I4",
        "SELECT i4, * EXCLUDE (i4, \"My Col\") FROM t",
        "SELECT u.* EXCLUDE (b) FROM t AS U",
        "SELECT a, a FROM (SELECT 1 a, 2 a) x",
        "SELECT * FROM (SELECT 1 a, 2 A, 3 b) x",
        "SELECT a, a_1 FROM (SELECT 1 a, 2 a) x",
        "WITH x AS (SELECT 1 a, 2 a) SELECT * FROM x",
        "SELECT range < 1, range<b, struct<3, list < 4 FROM (SELECT 1 range, 2 list, 3 struct, 4 object, 5 b) WHERE object < 3",
        "SELECT sum(list) OVER (ORDER BY list RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (SELECT 1 list) WHERE list < 2",
        "SELECT * FROM t u(p, q)",
        "SELECT a_1 FROM t u(a, a)",
        "SELECT P FROM (SELECT i4, i8 FROM t) u(p)",
        "WITH c(x, y) AS (SELECT 1, 2) SELECT Y, x FROM c",
        "WITH a AS (SELECT 1 x), b AS (SELECT x + 1 AS Y FROM a) SELECT y FROM b",
        "WITH t AS (SELECT i4 AS zz FROM t) SELECT * FROM t",
        "SELECT I4 FROM (SELECT i4 FROM t)",
        "SELECT x.I4 + 1, sum(X.i8) FROM (SELECT i4, i8 FROM t) x GROUP BY ALL",
        "SELECT i4 + 1 AS x, x * 2 FROM t WHERE x > 2",
        "SELECT unnamed_subquery.y FROM (SELECT 1 y)",
        "SELECT 1",
        "SELECT i4 FROM (t)",
        'SELECT "select" + 1, "a b" + 1, "Ab" + 1, "1a" + 1, "year" + 1, ab + 1, "count" + 1, "é" + 1 FROM '
        '(SELECT 1 AS "select", 2 AS "a b", 3 AS "Ab", 4 AS "1a", 5 AS "year", 6 AS "count", 7 AS "é")',
    ],
)  # fmt: skip
def test_query_names(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    assert [field.name for field in bind(query, MemoryCatalog()).schema] == connection.sql(query).columns


def test_parameter_names(connection: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT ?, $1 + 1, $2, ? AS a, ? + 1 FROM t"
    named = "SELECT $x, $X + 1"
    assert [field.name for field in bind(query, MemoryCatalog(), [1, 2, 3, 4]).schema] == [
        "$1",
        "($1 + 1)",
        "$2",
        "a",
        "($4 + 1)",
    ]
    columns = [column[0] for column in connection.execute(named, {"x": 1}).description or ()]
    assert [field.name for field in bind(named, MemoryCatalog(), {"x": 1}).schema] == columns


def test_a_model_is_named_as_written() -> None:
    plan = bind("SELECT Classifier(murder, assault, 1, -rape), scores(1, 2)[-1] FROM data", MemoryCatalog())
    assert [field.name for field in plan.schema] == ["classifier(murder, assault, 1, (-(rape)))", "scores(1, 2)[-1]"]
