"""What a wrong query is told: the class of error, its words, its carets, its suggestion."""

from __future__ import annotations

import pytest

from qtensor.bind import bind, normalised
from qtensor.errors import BindError, ExecutionError, ParseError, SQLError, UnsupportedError
from qtensor.expressions import Cast, Expr, Literal, children
from qtensor.logical import Plan, Project
from tests.bind.catalog import MemoryCatalog

CATALOG = MemoryCatalog()


def message(query: str, kind: type[SQLError], parameters: list[object] | dict[str, object] | None = None) -> str:
    with pytest.raises(SQLError) as raised:
        bind(query, CATALOG, parameters)
    assert type(raised.value) is kind, raised.value
    return str(raised.value)


def test_unknown_column() -> None:
    assert message("SELECT l_shipdat FROM lineitem", BindError) == (
        'no column "l_shipdat" in lineitem\n'
        "  SELECT l_shipdat FROM lineitem\n"
        "         ^^^^^^^^^\n"
        '  Did you mean "l_shipdate"?'
    )  # fmt: skip


def test_caret_on_a_later_line() -> None:
    assert message("SELECT i4\nFROM t\nWHERE i4 > 1\n  AND nope = 2", BindError) == (
        'no column "nope" in t\n'
        "    AND nope = 2\n"
        "        ^^^^"
    )  # fmt: skip


def test_everything_unsupported_at_once() -> None:
    query = "SELECT kurtosis(i4), hash(s) FROM t WHERE COLUMNS(*) > 1"
    assert message(query, UnsupportedError).split("\n") == [
        "not supported yet:",
        "  - the function kurtosis",
        "  - the function hash",
        "  - COLUMNS outside the list of SELECT",
        "  SELECT kurtosis(i4), hash(s) FROM t WHERE COLUMNS(*) > 1",
        "         ^^^^^^^^^^^^",
        "  SELECT kurtosis(i4), hash(s) FROM t WHERE COLUMNS(*) > 1",
        "                       ^^^^^^^",
        "  SELECT kurtosis(i4), hash(s) FROM t WHERE COLUMNS(*) > 1",
        "                                            ^^^^^^^^^^",
    ]


@pytest.mark.parametrize(
    ("query", "under", "says"),
    [
        ("SELECT 1 FROM nope", "nope", 'no table "nope"'),
        ("SELECT 1 FROM lineitm", "lineitm", 'Did you mean "lineitem"?'),
        ("SELECT * FROM 'nope.parquet'", "'nope.parquet'", 'there is no file or folder "nope.parquet"'),
        ("WITH points AS (SELECT 1) SELECT 1 FROM point", "point", 'Did you mean "points"?'),
        ("SELECT clasifier(1, 2, 3, 4)", "clasifier", 'no function or model "clasifier"'),
        ("SELECT clasifier(1, 2, 3, 4)", "clasifier", 'Did you mean "classifier"?'),
        ("SELECT classifier(1, 2)", "classifier(1, 2)", 'the model "classifier" takes 4 arguments, not 2'),
        ("SELECT rank() FROM t", "rank()", 'the model "rank" takes 1 argument, not 0'),
        ("SELECT classifier(s, i4, i4, i4) FROM t", "s", "text column into a model: s is a VARCHAR"),
        ("SELECT classifier(i4, dt, i4, i4) FROM t", "dt", "column into a model: dt is a DATE"),
        ("SELECT scores(1, 2)[4]", "scores(1, 2)[4]", "no score [4]: there are 3, counted from 1"),
        ("SELECT u.i4 FROM t", "u", 'no table "u" in FROM'),
        ("SELECT u.* FROM t", "u", 'no table "u" in FROM'),
        ("SELECT i4", "i4", 'no column "i4": the query has no FROM'),
        ("SELECT *", "*", "there is no FROM"),
        ("SELECT FROM t", "SELECT", "the list of SELECT is empty"),
        ("SELECT * EXCLUDE (i44) FROM t", "i44", 'no column "i44" for EXCLUDE'),
        ("SELECT y + 1 AS x, i4 AS y FROM t", "y", 'the alias "y" is used before it is defined'),
        ("SELECT x + 1 AS x FROM t", "x", 'the alias "x" is used before it is defined'),
        ("SELECT s + 1 FROM t", "s + 1", "there is no VARCHAR + INTEGER"),
        ("SELECT i4 + '1' FROM t", "i4 + '1'", "could mean"),
        ("SELECT i4 < dt FROM t", "i4 < dt", "a comparison cannot combine INTEGER and DATE"),
        ("SELECT i4 = dt FROM t", "i4 = dt", "a comparison cannot combine INTEGER and DATE"),
        ("SELECT i4 FROM t WHERE dt", "dt", "cannot convert DATE to BOOLEAN"),
        ("SELECT 1 < i4 < 5 FROM t", "1 < i4 < 5", "comparisons cannot be chained"),
        ("SELECT i4 FROM t WHERE NOT b = i4 <> 3", "b = i4 <> 3", "Combine them with AND"),
        ("SELECT abs(s) FROM t", "abs(s)", "abs takes a number, not VARCHAR"),
        ("SELECT -s FROM t", "-s", "unary minus takes a number, not VARCHAR"),
        ("SELECT sum(s) FROM t", "sum(s)", "sum takes a number, not VARCHAR"),
        ("SELECT i4 LIKE 'a' FROM t", "i4", "LIKE takes text, not INTEGER"),
        ("SELECT s LIKE 'a' ESCAPE 'ab' FROM t", "'ab'", "ESCAPE takes a single character"),
        ("SELECT CAST(dt AS INTEGER) FROM t", "CAST(dt AS INTEGER)", "cannot cast DATE to INTEGER"),
        ("SELECT i4::foo FROM t", "i4::foo", 'no type "foo"'),
        ("SELECT i4::DECIMAL(39, 1) FROM t", "i4::DECIMAL(39, 1)", "a DECIMAL has 1 to 38 digits"),
        ("SELECT i4::DECIMAL(3, 4) FROM t", "i4::DECIMAL(3, 4)", "more digits after the point"),
        ("SELECT i4::INTEGER(3) FROM t", "i4::INTEGER(3)", "the type INTEGER takes no size"),
        ("SELECT i4::DOUBLE(3) FROM t", "i4::DOUBLE(3)", "the type DOUBLE takes no size"),
        ("SELECT s::TIMESTAMP(x) FROM t", "s::TIMESTAMP(x)", "whole number of digits"),
        ("SELECT (i4, 1) = (i4, 1, 2) FROM t", "i4, 1) = (i4, 1, 2", "a tuple of 2 is compared with one of 3"),
        ("SELECT interval 1 fortnight", "interval 1 fortnight", '"fortnight" is not a unit of time'),
        ("SELECT i8 FROM t GROUP BY i4", "i8", 'column "i8" must appear in the GROUP BY clause or must be part of an aggregate'),
        ("SELECT count(*), i4 FROM t", "i4", 'column "i4" must appear in the GROUP BY clause'),
        ("SELECT i4 FROM t GROUP BY i4 ORDER BY i8", "i8", 'column "i8" must appear in the GROUP BY clause'),
        ("SELECT 1 FROM t HAVING i4 > 1", "i4", 'column "i4" must appear in the GROUP BY clause'),
        ("SELECT i4 + count(*) FROM t GROUP BY ALL", "i4 + count(*)", "cannot group by columns mixed with aggregates"),
        ("SELECT sum(sum(i4)) FROM t", "sum(sum(i4))", "aggregate function calls cannot be nested"),
        ("SELECT i4 FROM t WHERE sum(i4) > 1", "sum(i4) > 1", "WHERE cannot contain aggregates"),
        ("SELECT sum(i4) FROM t GROUP BY 1", "sum(i4)", "GROUP BY cannot contain aggregates"),
        ("SELECT sum(i4) FILTER (WHERE sum(i8) > 1) FROM t", "sum(i8) > 1", "aggregates are not allowed in FILTER"),
        ("SELECT count(DISTINCT i4, i8) FROM t", "count(DISTINCT i4, i8)", "count takes one argument, not 2"),
        ("SELECT i4 FROM t ORDER BY 2", "2", "ORDER BY 2 is out of range: SELECT has 1 column"),
        ("SELECT i4 FROM t GROUP BY 0", "0", "GROUP BY 0 is out of range"),
        ("SELECT i4 FROM t ORDER BY 'i8'", "'i8'", "ORDER BY a constant has no effect"),
        ("SELECT i4 FROM t LIMIT -1", "-1", "LIMIT cannot be negative"),
        ("SELECT i4 FROM t LIMIT i4", "i4", "LIMIT is a number, not a column"),
        ("SELECT i4 FROM t OFFSET DATE '2020-01-01'", "DATE '2020-01-01'", "OFFSET is a number, not a DATE"),
        ("SELECT 1 FROM data d(a, b, c, d, e, f)", "data", '"d" has 5 columns, and 6 names are given for them'),
        ("WITH a AS (SELECT 1), a AS (SELECT 2) SELECT 1", "a", 'two CTEs are called "a"'),
    ],
)  # fmt: skip
def test_bind_error(query: str, under: str, says: str) -> None:
    told = message(query, BindError)
    assert says in told
    lines = told.split("\n")
    carets = next(i for i, line in enumerate(lines) if line.strip(" ^") == "" and "^" in line)
    assert lines[carets - 1][lines[carets].index("^") : lines[carets].rindex("^") + 1] == under


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT ts + 'soon' FROM t", "cannot convert 'soon' to INTERVAL"),
        ("SELECT CAST('soon' AS INTERVAL) FROM t", "cannot convert 'soon' to INTERVAL"),
        ("SELECT ts + interval 'x' day FROM t", "cannot convert 'x' to a number of days"),
        ("SELECT ts + interval '9999999999' year FROM t", "an INTERVAL has at most 2147483647 months"),
        ("SELECT s LIKE 'a!' ESCAPE '!' FROM t", "a LIKE pattern must not end with its escape character: 'a!'"),
    ],
)
def test_constants_that_mean_nothing(query: str, says: str) -> None:
    told = message(query, ExecutionError)
    assert says in told
    assert "^" in told


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("SELECT CAST('abc' AS INTEGER)", "CAST('abc' AS INTEGER)"),
        ("SELECT '300'::TINYINT", "'300'::TINYINT"),
        ("SELECT dt < 'abc' FROM t", "'abc'"),
        ("SELECT date '2020-02-30'", "date '2020-02-30'"),
        ("SELECT b = 'maybe' FROM t", "'maybe'"),
        ("SELECT i4 IN (1, 'x') FROM t", "'x'"),
        ("SELECT CASE WHEN b THEN i4 ELSE 'x' END FROM t", "'x'"),
        ("SELECT TRY_CAST(CAST(300 AS TINYINT) AS INTEGER) FROM t", "CAST(300 AS TINYINT)"),
    ],
)
def test_constants_that_do_not_convert_are_left_to_the_rows_that_reach_them(query: str, place: str) -> None:
    casts = [cast for cast in casts_of(bind(query, CATALOG)) if isinstance(cast.operand, Literal)]
    assert [query[cast.span.start : cast.span.end] for cast in casts if cast.span] == [place]


def casts_of(plan: Plan) -> list[Cast]:
    """All casts in the list of SELECT."""
    assert isinstance(plan, Project)
    pending: list[Expr] = [named.expr for named in plan.expressions]
    found: list[Cast] = []
    while pending:
        expr = pending.pop()
        found += [expr] if isinstance(expr, Cast) else []
        pending += children(expr)
    return found


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT sum(i4) OVER (ROWS 1 PRECEDING EXCLUDE TIES) FROM t", "EXCLUDE in a window's frame"),
        ("SELECT * FROM range(10)", "the table function range"),
        ("WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a) SELECT 1 FROM a", "recursive CTEs"),
        ("SELECT i4 FROM t TABLESAMPLE 10%", "samples of tables"),
        ("SELECT i4 FROM t ORDER BY columns(*)", "COLUMNS outside the list of SELECT"),
        ("SELECT greatest(*columns(*)) FROM t", "*COLUMNS as the arguments of a function"),
        ("SELECT t FROM t", "a whole row as one value"),
        ("SELECT i4 FROM t LIMIT 10%", "LIMIT with PERCENT or WITH TIES"),
        ("SELECT i4 FROM t LIMIT (SELECT max(i4) FROM t)", "LIMIT that is not a number or a parameter"),
        ("SELECT s[i4 + 1] FROM t", "subscripts that are not constant"),
        ("SELECT (i4, 1) FROM t", "tuples"),
        ("SELECT (i4, 1) < i4 FROM t", "tuples"),
        ("SELECT ((i4, 1), 2) = ((i4, 1), 2) FROM t", "tuples"),
        ("SELECT TIME '10:00:00' - interval 5 second", "the type TIME"),
        ("SELECT epoch(TIMESTAMP_S '1992-09-20')", "the type TIMESTAMP_S"),
        ("SELECT ts::TIMESTAMP(3) FROM t", "the type TIMESTAMP(3)"),
        ("SELECT year(interval 1 day)", "year of an INTERVAL"),
        ("SELECT [1, 2]", "arrays"),
        ("SELECT list_sort(i4) FROM t", "the function list_sort"),
        ("SELECT string_agg(s, s ORDER BY i4) FROM t", "string_agg with a separator that is not a text or a parameter"),
        ("SELECT CAST(interval 1 day AS VARCHAR)", "casts from INTERVAL to VARCHAR"),
        ("SELECT i4::BLOB FROM t", "the type"),
        ("SELECT ts - ts FROM t", "arithmetic that gives an INTERVAL"),
        ("SELECT dt + (CASE WHEN b THEN interval 1 day END) FROM t", "intervals of several units that are not constant"),
        ("SELECT avg(INTERVAL 1 DAY) FROM t", "avg of an INTERVAL"),
        ("CREATE TABLE x (a INTEGER)", "CREATE begins a statement, and a query is needed here"),
        ("EXPLAIN SELECT 1", "EXPLAIN begins a statement"),
        ("SUMMARIZE t", "SUMMARIZE begins a statement"),
        ("BEGIN TRANSACTION", "not supported yet: BEGIN statements"),
        ("SELECT 1; SELECT 2", "several statements are no query"),
    ],
)
def test_unsupported(query: str, what: str) -> None:
    told = message(query, UnsupportedError)
    assert what in told
    assert "^" in told


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT FROM WHERE", 'syntax error at or near "WHERE"\n  SELECT FROM WHERE\n              ^^^^^'),
        ("SELEC 1", 'syntax error at or near "1"\n  SELEC 1\n        ^'),
        ("SELECT i4 FROM t WHERE i4 > ", 'something is missing after ">"'),
        ("SELECT CAST(i4 AS INTEGER FROM t", "a closing ) is missing\n  SELECT CAST(i4 AS INTEGER FROM t\n             ^"),
        ("SELECT (i4 8) FROM t", 'syntax error at or near "8"'),
        ("SELECT , i8 FROM t", 'syntax error at or near ","'),
        ("SELECT i4,, i8 FROM t", 'syntax error at or near ","'),
        ("SELECT 'abc", "a closing ' is missing\n  SELECT 'abc\n         ^"),
        ("SELECT abs() FROM t", "an argument of a function is missing"),
        ("SELECT first(ORDER BY i4) FROM t", "something is missing here"),
        ("SELECT abs(1, 2) FROM t", "too many arguments of a function"),
        ("foo", 'syntax error at or near "foo"'),
        ("", "there is no statement to run"),
        ("-- nothing", "there is no statement to run"),
    ],
)
def test_parse_error(query: str, says: str) -> None:
    assert says in message(query, ParseError)


def test_unknown_dialect() -> None:
    with pytest.raises(ParseError, match=r'unknown SQL dialect "ducdb"\n  Did you mean "duckdb"\?'):
        bind("SELECT 1", CATALOG, dialect="ducdb")
    with pytest.raises(ParseError, match="syntax error"):
        normalised("SELECT FROM WHERE", "duckdb")


@pytest.mark.parametrize(
    ("query", "parameters", "says"),
    [
        ("SELECT ?", None, "no value was given for the parameter $1"),
        ("SELECT ?, ?", [1], "no value was given for the parameter $2"),
        ("SELECT $x", {"y": 1}, "no value was given for the parameter $x"),
        ("SELECT ?", [1, 2], "the query has no parameter $2, for which a value is given"),
        ("SELECT $x", {"x": 1, "y": 2}, "the query has no parameter $y"),
        ("SELECT ?", [b"x"], "parameter $1: a bytes has no SQL type"),
        ("SELECT ?", "x", "parameters are a sequence or a mapping, not a str"),
    ],
)
def test_parameters_that_do_not_fit(query: str, parameters: list[object] | dict[str, object] | None, says: str) -> None:
    assert says in message(query, BindError, parameters)


def test_depth_is_an_error_and_length_is_not() -> None:
    assert "nested too deeply" in message("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, UnsupportedError)
    chain = bind("SELECT i4 FROM t WHERE " + " AND ".join(["i4 > 1"] * 5_000), CATALOG)
    assert chain.schema[0].name == "i4"
