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


# Without tables: signs, parts of dates as they are written, quoted functions, casts of NULL, subqueries.
QUERIES = [
    "SELECT extract(YEAR FROM d), extract(year FROM d), extract(Year FROM d), extract('year' FROM d), extract(\"year\" FROM d), extract('YEAR' FROM d) FROM (VALUES (DATE '2020-05-17')) t(d)",
    "SELECT extract(years FROM d), extract(MONTHS FROM d), extract(days FROM d) FROM (VALUES (DATE '2020-05-17')) t(d)",
    "SELECT extract(dow FROM d), extract(DOW FROM d), extract(isodow FROM d), extract(WEEK FROM d), extract(weeks FROM d), extract(y FROM d), extract(Y FROM d) FROM (VALUES (DATE '2020-05-17')) t(d)",
    "SELECT extract(epoch FROM d), extract(EPOCH FROM d), extract(century FROM d), extract(Century FROM d), extract(Centuries FROM d), extract(millennium FROM d), extract(decade FROM d) FROM (VALUES (DATE '2020-05-17')) t(d)",
    "SELECT extract(ms FROM d), extract(MS FROM d), extract(milliseconds FROM d), extract(Microseconds FROM d), extract(us FROM d), extract(Quarter FROM d), extract(minute FROM d), extract(Minutes FROM d) FROM (VALUES (TIMESTAMP '2020-05-17')) t(d)",
    "SELECT extract(ISOYEAR FROM d), extract(isoyear FROM d), extract(IsoYear FROM d), extract(Doy FROM d), extract(yearWeek FROM d), extract(Era FROM d), extract(JULIAN FROM d) FROM (VALUES (DATE '2020-05-17')) t(d)",
    "SELECT extract(timezone FROM d), extract(Timezone_Hour FROM d) FROM (VALUES (TIMESTAMP '2020-05-17')) t(d)",
    "SELECT mode(a) OVER () FROM (VALUES (1)) t(a)",
    'SELECT mode(a), "mode"(a), first(a), last(a), min(a) FROM (VALUES (1)) t(a)',
    'SELECT first(a) OVER (), last(a) OVER (), mode(a) OVER (ORDER BY a), any_value(a) OVER (), "first"(a) OVER () FROM (VALUES (1)) t(a)',
    "SELECT (SELECT CAST(NULL AS INT))",
    "SELECT (SELECT NULL::INT)",
    "SELECT (SELECT CAST('a' AS VARCHAR))",
    "SELECT (SELECT CAST(1 AS INT))",
    "SELECT (SELECT 1::INTEGER)",
    "SELECT (SELECT CAST(NULL AS INTEGER) AS x)",
    "SELECT (SELECT a::INT FROM (VALUES (1)) t(a))",
    "SELECT (SELECT max(CAST(a AS INT)) FROM (VALUES (1)) t(a))",
    "SELECT (SELECT CAST(a AS DECIMAL(5,2)) FROM (VALUES (1)) t(a))",
    "SELECT (SELECT CAST(a AS TEXT) FROM (VALUES (1)) t(a))",
    "SELECT EXISTS(SELECT CAST(NULL AS INT))",
    "SELECT 1 IN (SELECT CAST(NULL AS INT))",
    "SELECT (SELECT +1)",
    "SELECT (SELECT -1)",
    "SELECT (SELECT extract(year FROM DATE '2020-01-01'))",
    "SELECT (SELECT DATE '2020-01-01')",
    "SELECT (SELECT TIMESTAMP '2020-01-01')",
    "SELECT (SELECT mode(a) FROM (VALUES (1)) t(a))",
    "SELECT (SELECT a FROM (VALUES (1)) t(a) WHERE a IS NULL)",
    "SELECT (SELECT a FROM (VALUES (1)) t(a) WHERE NOT a = 1 AND a IN (1, 2) OR a BETWEEN 1 AND 3 ORDER BY a LIMIT 1)",
    "SELECT (SELECT 1 UNION ALL SELECT 2 LIMIT 1)",
    "SELECT (SELECT a FROM (VALUES (1), (2)) t(a) GROUP BY a HAVING count(*) > 0 ORDER BY a DESC LIMIT 1)",
    "SELECT (SELECT sum(a) FILTER (WHERE a > 1) FROM (VALUES (1), (2)) t(a))",
    "SELECT (SELECT count(DISTINCT a) FROM (VALUES (1), (2)) t(a))",
    "SELECT (SELECT count(*) FROM (VALUES (1), (2)) t(a))",
    "SELECT (SELECT a FROM (VALUES (1)) t(a) JOIN (VALUES (1)) u(b) ON a = b)",
    "SELECT (SELECT a FROM (VALUES (1)) t(a), (VALUES (1)) u(b))",
    "SELECT (SELECT t.a FROM (VALUES (1)) t(a) LEFT JOIN (VALUES (1)) u(a) USING (a))",
    "SELECT (WITH x AS (SELECT 1 AS a) SELECT a FROM x)",
    "SELECT (SELECT CASE WHEN a = 1 THEN 'x' ELSE 'y' END FROM (VALUES (1)) t(a))",
    "SELECT (SELECT DISTINCT a FROM (VALUES (1)) t(a))",
    "SELECT (SELECT * FROM (VALUES (1)) t(a))",
    "SELECT (SELECT row_number() OVER (ORDER BY a) FROM (VALUES (1)) t(a))",
    "SELECT (SELECT interval 1 day + DATE '2020-01-01')",
    "SELECT (SELECT 'it''s')",
    "SELECT (SELECT 1.50), (SELECT 1e3), (SELECT true), (SELECT NULL)",
    "SELECT (SELECT a IS DISTINCT FROM 1 FROM (VALUES (1)) t(a))",
    "SELECT (SELECT a LIKE 'x%' FROM (VALUES ('x')) t(a))",
    "SELECT (SELECT a || 'x' FROM (VALUES ('x')) t(a))",
    "SELECT (SELECT substring(a, 1, 2) FROM (VALUES ('x')) t(a))",
    "SELECT CAST(NULL AS INT), NULL::INT, CAST(NULL AS BIGINT), CAST(1 AS INT8), 1::INT4, 1::int8, 1::Text, 1::string, 1::double, 1::real, 1::float8, 1::bool, 1::numeric(5,2), 1::hugeint",
    "SELECT CAST('2020-01-01' AS date), CAST('2020-01-01' AS DateTime), '2020-01-01'::timestamp",
    "SELECT a::INT, TRY_CAST(a AS INT) FROM (VALUES ('1')) t(a)",
    "SELECT + 1, - 1, +(-1), - - 1, -(-1), +a, -a, - -a, -(-a), +(a), -(a) FROM (VALUES (1)) t(a)",
    "SELECT a+1, a +1, a+ +1, a-1, a - -1, a*-1 FROM (VALUES (1)) t(a)",
    "SELECT NOT a, NOT (a AND b), a AND NOT b, NOT NOT a FROM (VALUES (true, false)) t(a,b)",
    "SELECT a IS NULL, a IS NOT NULL, NOT a IS NULL, a ISNULL, a NOTNULL FROM (VALUES (1)) t(a)",
    "SELECT ('x' LIKE 'y'), 'x' NOT LIKE 'y', 'x' ILIKE 'y', 'x' SIMILAR TO 'y', 'x' NOT SIMILAR TO 'y', 'x' ~ 'y', 'x' !~ 'y', 'x' ~~ 'y', 'x' !~~ 'y'",
    "SELECT count(*), count(), count(1), COUNT(*), Sum(a), SUM(a), sum (a) FROM (VALUES (1)) t(a)",
    "SELECT sum(a) AS \"S\", sum(a) s2, sum(a) AS 'x' FROM (VALUES (1)) t(a)",
    "SELECT Lower('A'), LOWER('A'), lower ('A'), \"lower\"('A'), \"LOWER\"('A')",
    "SELECT x.y FROM (VALUES (1)) x(y)",
    'SELECT "a b", "A" FROM (VALUES (1, 2)) t("a b", a)',
    "SELECT if(a, 1, 2), CASE a WHEN true THEN 1 END, coalesce(a, false), nullif(a, true), ifnull(a, true) FROM (VALUES (true)) t(a)",
    "SELECT round(1.567, 2), ROUND(1.5), ceil(1.5), ceiling(1.5), floor(1.5), trunc(1.5), mod(5, 3), 5 % 3, pow(2, 3), power(2,3), 2 ^ 3, 2 ** 3, @ -1, abs(-1)",
    "SELECT 5 // 3, 5 / 3, 5 & 3, 5 | 3, xor(5, 3), ~5, 1 << 2, 8 >> 1",
    "SELECT 'a' || 'b', concat('a', 'b'), 'abc'[1], 'abc'[1:2], 'abc'[-1:], substr('abc', 1), left('abc', 1), substring('abc' FROM 1 FOR 2), position('a' IN 'abc'), strpos('abc', 'a'), trim(BOTH 'a' FROM 'abc'), trim(LEADING FROM ' a')",
    "SELECT len('abc'), length('abc'), char_length('abc'), character_length('abc'), strlen('abc'), lcase('A'), ucase('a')",
    "SELECT date_part('year', d), year(d), month(d), \"month\"(d), day(d), datepart('year', d), date_trunc('YEAR', d), datetrunc('day', d) FROM (VALUES (DATE '2020-05-17')) t(d)",
]


@pytest.mark.parametrize("query", QUERIES)
def test_names_without_tables(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    assert [field.name for field in bind(query, MemoryCatalog()).schema] == connection.sql(query).columns
