"""The shape of plans: which operators, over what, with which expressions."""

from __future__ import annotations

import pytest

from qtensor import types as t
from qtensor.bind import bind, normalised
from qtensor.bind.select.collected import AggregateRef, OuterAggregate, WindowRef
from qtensor.errors import Span
from qtensor.expressions import AggregateCall, Call, Case, Cast, ColumnRef, Expr, Literal, Predict, Subquery, children
from qtensor.logical import (
    Aggregate,
    Filter,
    Limit,
    NamedAggregate,
    NamedExpr,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    SortKey,
    inputs,
)
from qtensor.optimise.rewriting import expressions_of
from tests.bind.catalog import TABLES, MemoryCatalog

CATALOG = MemoryCatalog()
SCAN = Scan("t", TABLES["t"], tuple(range(20)))
COLUMNS = {field.name: ColumnRef(index, field.type) for index, field in enumerate(TABLES["t"])}
B, I1, I4, I8, D9, DT, S = (COLUMNS[name] for name in ("b", "i1", "i4", "i8", "d9", "dt", "s"))


def plan(query: str, parameters: object = None) -> Plan:
    return bind(query, CATALOG, parameters)  # type: ignore[arg-type]


def expression(text: str, parameters: object = None) -> Expr:
    bound = plan(f"SELECT {text} FROM t", parameters)
    assert isinstance(bound, Project)
    assert bound.input == SCAN
    return bound.expressions[0].expr


def integer(value: int, sql_type: t.SqlType = t.INTEGER, parameter: str | None = None) -> Literal:
    return Literal(value, sql_type, parameter)


def call(function: str, *arguments: Expr, result: t.SqlType = t.BOOLEAN) -> Call:
    return Call(function, arguments, result)


def shape(bound: Plan) -> list[str]:
    """The names of a plan's operators, from the top."""
    return [type(bound).__name__, *(shape(bound.input) if not isinstance(bound, Scan | OneRow) else [])]


def test_headline_query() -> None:
    bound = plan(
        "SELECT cluster, classifier(murder, assault, population, rape) AS class, count(*) AS n FROM data "
        "GROUP BY cluster, class ORDER BY cluster, class"
    )
    scan = Scan("data", TABLES["data"], (0, 1, 2, 3, 4))
    predicted = Predict("classifier", tuple(ColumnRef(index, t.DOUBLE) for index in (1, 2, 3, 4)), t.BIGINT)
    cluster, kind = ColumnRef(0, t.INTEGER), ColumnRef(1, t.BIGINT)
    grouped = Aggregate(
        scan,
        (NamedExpr("cluster", ColumnRef(0, t.INTEGER)), NamedExpr("class", predicted)),
        (NamedAggregate("count_star()", AggregateCall("count_star", (), t.BIGINT)),),
    )
    named = (NamedExpr("cluster", cluster), NamedExpr("class", kind), NamedExpr("n", ColumnRef(2, t.BIGINT)))
    assert bound == Sort(Project(grouped, named), (SortKey(cluster), SortKey(kind)))


def test_tpch_q6() -> None:
    bound = plan(
        "SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem WHERE l_shipdate >= CAST('1994-01-01' AS date) "
        "AND l_shipdate < DATE '1994-01-01' + INTERVAL '1' YEAR AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24"
    )
    assert shape(bound) == ["Project", "Aggregate", "Filter", "Scan"]
    assert [str(field.type) for field in bound.schema] == ["DECIMAL(38,4)"]
    assert isinstance(bound, Project)
    assert isinstance(bound.input, Aggregate)
    assert isinstance(bound.input.input, Filter)
    predicate = bound.input.input.predicate
    assert isinstance(predicate, Call)
    day, discount = ColumnRef(7, t.DATE), ColumnRef(3, t.Decimal(15, 2))
    later = call("add_interval", integer(8766, t.DATE), Literal(t.IntervalValue(months=12), t.INTERVAL), result=t.TIMESTAMP)
    assert predicate.arguments == (
        call("greater_equal", day, integer(8766, t.DATE)),
        call("less", Cast(day, t.TIMESTAMP), later),
        call(
            "and",
            call("greater_equal", discount, integer(5, t.Decimal(3, 2))),
            call("less_equal", discount, integer(7, t.Decimal(3, 2))),
        ),
        call("less", ColumnRef(1, t.Decimal(15, 2)), integer(2400, t.Decimal(12, 2))),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-5", integer(-5)),
        ("i1 + 1", call("add", I1, integer(1, t.TINYINT), result=t.TINYINT)),
        ("i4 + i8", call("add", Cast(I4, t.BIGINT), I8, result=t.BIGINT)),
        ("1 + dt", call("add", DT, integer(1), result=t.DATE)),
        ("d9 + 1", call("add", D9, integer(100, t.Decimal(12, 2)), result=t.Decimal(13, 2))),
        ("d9 * i4", call("multiply", D9, Cast(I4, t.Decimal(10, 0)), result=t.Decimal(18, 2))),
        ("d9 < i4", call("less", D9, Cast(I4, t.Decimal(12, 2)))),
        ("dt < '1970-01-02'", call("less", DT, integer(1, t.DATE))),
        ("dt - interval 1 day", call("subtract_interval", DT, Literal(t.IntervalValue(days=1), t.INTERVAL), result=t.TIMESTAMP)),
        ("i4 / 2", call("divide", Cast(I4, t.DOUBLE), Literal(2.0, t.DOUBLE), result=t.DOUBLE)),
        ("i4 BETWEEN 1 AND 2", call("and", call("greater_equal", I4, integer(1)), call("less_equal", I4, integer(2)))),
        ("i4 NOT IN (1, NULL)", call("not", call("in", I4, integer(1), Literal(None, t.INTEGER)))),
        ("b AND (b AND NOT b)", call("and", B, B, call("not", B))),
        ("i4 AND b", call("and", Cast(I4, t.BOOLEAN), B)),
        ("b IS NOT TRUE", call("is_distinct_from", B, Literal(True, t.BOOLEAN))),
        ("i4 IS NOT NULL", call("is_not_null", I4)),
        ("s = 1", call("equal", Cast(S, t.INTEGER), integer(1))),
        ("s NOT LIKE 'a!%' ESCAPE '!'", call("not", call("like", S, Literal("a!%", t.VARCHAR), Literal("!", t.VARCHAR)))),
        ("CASE i4 WHEN 1 THEN i1 END", Case(((call("equal", I4, integer(1)), I1),), Literal(None, t.TINYINT), t.TINYINT)),
        ("nullif(i4, 1)", Case(((call("equal", I4, integer(1)), Literal(None, t.INTEGER)),), I4, t.INTEGER)),
        ("if(b, i4, 1.5)", Case(((B, Cast(I4, t.Decimal(11, 1))),), integer(15, t.Decimal(11, 1)), t.Decimal(11, 1))),
        ("coalesce(i4)", I4),
        ("TRY_CAST(s AS DATE)", Cast(S, t.DATE, try_=True)),
        ("d9 + NULL", Literal(None, t.NULL)),
        (
            "scores(i1, b)[-1]",
            call("subscript", Predict("scores", (I1, Cast(B, t.TINYINT)), t.Array(t.FLOAT, 3)), integer(3), result=t.FLOAT),
        ),
    ],
)
def test_expression(text: str, expected: Expr) -> None:
    assert expression(text) == expected


def test_spans_cover_the_expression() -> None:
    query = "SELECT abs((i4 + 1)), CAST(s AS INTEGER), s::DECIMAL(5, 1), classifier(1, 2, 3, 4), sum(i8) FROM t"
    bound = plan(query.replace(", sum(i8)", ""))
    assert isinstance(bound, Project)
    spans = [named.expr.span for named in bound.expressions if isinstance(named.expr, Call | Cast | Predict)]
    shown = [query[span.start : span.end] for span in spans if isinstance(span, Span)]
    assert shown == ["abs((i4 + 1))", "CAST(s AS INTEGER)", "s::DECIMAL(5, 1)", "classifier(1, 2, 3, 4)"]


def test_equal_aggregates_and_keys_are_one() -> None:
    bound = plan(
        "SELECT i4 + 1, sum(i8), sum(i8) * 2, (i4 + 1) * 2 FROM t GROUP BY i4 + 1, 1 HAVING sum(i8) > 3 ORDER BY sum(i8)"
    )
    assert shape(bound) == ["Sort", "Project", "Filter", "Aggregate", "Scan"]
    assert isinstance(bound, Sort)
    assert isinstance(bound.input, Project)
    assert isinstance(bound.input.input, Filter)
    aggregate = bound.input.input.input
    assert isinstance(aggregate, Aggregate)
    assert (len(aggregate.keys), len(aggregate.aggregates)) == (1, 1)
    key, total = ColumnRef(0, t.INTEGER), ColumnRef(1, t.HUGEINT)
    assert [named.expr for named in bound.input.expressions] == [
        key,
        total,
        call("multiply", total, integer(2, t.HUGEINT), result=t.HUGEINT),
        call("multiply", key, integer(2), result=t.INTEGER),
    ]
    assert bound.keys == (SortKey(ColumnRef(1, t.HUGEINT)),)


@pytest.mark.parametrize(
    ("query", "operators"),
    [
        ("SELECT 1", ["Project", "OneRow"]),
        ("SELECT count(*)", ["Project", "Aggregate", "OneRow"]),
        ("SELECT 1 FROM t HAVING count(*) > 1", ["Project", "Filter", "Aggregate", "Scan"]),
        ("SELECT 1 FROM t HAVING true", ["Project", "Filter", "Aggregate", "Scan"]),
        ("SELECT DISTINCT i4 FROM t ORDER BY i4 + 1", ["Sort", "Aggregate", "Project", "Scan"]),
        ("SELECT i4 FROM t ORDER BY i8 LIMIT 3", ["Project", "Limit", "Sort", "Project", "Scan"]),
        ("SELECT i4 FROM t ORDER BY i4", ["Sort", "Project", "Scan"]),
        ("SELECT i4 FROM t LIMIT NULL", ["Project", "Scan"]),
        ("SELECT x FROM (SELECT i4 AS x FROM t WHERE b) WHERE x > 1", ["Project", "Filter", "Project", "Filter", "Scan"]),
        ("WITH a AS (SELECT i4 FROM t), unused AS (SELECT nope) SELECT * FROM a", ["Project", "Project", "Scan"]),
        ("SELECT i4 FROM t GROUP BY ALL", ["Project", "Aggregate", "Scan"]),
        ("SELECT * FROM ((t))", ["Project", "Scan"]),
    ],
)
def test_operators(query: str, operators: list[str]) -> None:
    assert shape(plan(query)) == operators


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("i4", ("negate", 3)),  # an alias before a column
        ("I4 DESC NULLS FIRST", ("negate", 3)),
        ("t.i4", ("column", 3)),
        ("1", ("negate", 3)),
        ("-i4", ("negate", 3)),  # inside an expression a column before an alias
        ("i8", ("column", 4)),
    ],
)
def test_what_order_by_names(order: str, key: tuple[str, int]) -> None:
    bound = plan(f"SELECT -i4 AS i4, i8 AS other FROM t ORDER BY {order}")
    while not isinstance(bound, Sort):
        assert isinstance(bound, Project)
        bound = bound.input
    assert isinstance(bound.input, Project)
    reference = bound.keys[0].expr
    assert isinstance(reference, ColumnRef)
    ordered = bound.input.expressions[reference.index].expr
    column = ordered.arguments[0] if isinstance(ordered, Call) else ordered
    assert isinstance(column, ColumnRef)
    assert (ordered.function if isinstance(ordered, Call) else "column", column.index) == key
    assert (bound.keys[0].descending, bound.keys[0].nulls_first) == ("DESC" in order, "FIRST" in order)


def test_order_by_all_and_group_by_constants() -> None:
    bound = plan("SELECT i4, 'x', count(*) FROM t GROUP BY 1, 2 ORDER BY ALL DESC")
    assert isinstance(bound, Sort)
    assert [(key.expr, key.descending) for key in bound.keys] == [
        (ColumnRef(0, t.INTEGER), True),
        (ColumnRef(1, t.VARCHAR), True),
        (ColumnRef(2, t.BIGINT), True),
    ]
    assert isinstance(bound.input, Project)
    assert isinstance(bound.input.input, Aggregate)
    assert [key.expr for key in bound.input.input.keys] == [I4]


def test_aggregate_calls() -> None:
    bound = plan("SELECT count(DISTINCT i4) FILTER (WHERE b), sum(b), avg(f4), min(DISTINCT i1), count(s) FROM t")
    assert isinstance(bound, Project)
    assert isinstance(bound.input, Aggregate)
    f4 = COLUMNS["f4"]
    assert [named.call for named in bound.input.aggregates] == [
        AggregateCall("count", (I4,), t.BIGINT, distinct=True, filter=B),
        AggregateCall("sum", (Cast(B, t.INTEGER),), t.HUGEINT),
        AggregateCall("avg", (Cast(f4, t.DOUBLE),), t.DOUBLE),
        AggregateCall("min", (I1,), t.TINYINT),
        AggregateCall("count", (S,), t.BIGINT),
    ]


def test_parameters_become_literals() -> None:
    bound = plan("SELECT i4 FROM t WHERE dt >= ? AND s = $2 LIMIT ? OFFSET ?", ["1970-01-03", "x", 5, 2])
    assert isinstance(bound, Limit)
    assert (bound.count, bound.offset) == (5, 2)
    assert isinstance(bound.input, Project)
    assert isinstance(bound.input.input, Filter)
    expected = call("and", call("greater_equal", DT, integer(2, t.DATE, "1")), call("equal", S, Literal("x", t.VARCHAR, "2")))
    assert bound.input.input.predicate == expected
    assert expression("$x + $X", {"x": 3}) == call("add", integer(3, parameter="x"), integer(3, parameter="x"), result=t.INTEGER)
    assert integer(3, parameter="x") != integer(3, parameter="y")  # equal by chance


def test_parameters_are_numbered_in_the_order_of_the_text() -> None:
    bound = plan("SELECT ? AS a FROM t WHERE i4 > ? ORDER BY ? + i4 LIMIT ?", [10, 20, 30, 40])
    assert isinstance(bound, Project)
    limited = bound.input
    assert isinstance(limited, Limit)
    assert limited.count == 40
    assert isinstance(limited.input, Sort)
    projected = limited.input.input
    assert isinstance(projected, Project)
    assert projected.expressions[0].expr == integer(10, parameter="1")
    assert projected.expressions[1].expr == call("add", integer(30, parameter="3"), I4, result=t.INTEGER)
    assert isinstance(projected.input, Filter)
    assert projected.input.predicate == call("greater", I4, integer(20, parameter="2"))


def test_dialects() -> None:
    mysql = bind("SELECT i4 / i8, i4 DIV 2, IF(b, 1, 2), `i4` FROM t ORDER BY i4", CATALOG, dialect="mysql")
    assert [str(field.type) for field in mysql.schema] == ["DOUBLE", "INTEGER", "INTEGER", "INTEGER"]
    assert isinstance(mysql, Sort)
    assert mysql.keys[0].nulls_first
    postgres = bind("SELECT i4 / i1 AS x FROM t", CATALOG, dialect="postgres")
    assert isinstance(postgres, Project)
    assert postgres.expressions[0].expr == call("floor_divide", I4, Cast(I1, t.INTEGER), result=t.INTEGER)


def test_normalised() -> None:
    assert normalised("select i4,count(*) from t group by 1", "duckdb") == "SELECT\n  i4,\n  COUNT(*)\nFROM t\nGROUP BY\n  1"


@pytest.mark.parametrize(
    ("having", "meaning"),
    [
        ("i4 > 12", "sum(t.i4) > 12"),
        ("i4 + 1 > 12", "sum(t.i4) + 1 > 12"),
        ("sum(i4) > 12", "sum(t.i4) > 12"),
        ("i1 > 0", "t.i1 > 0"),
        ("I4 BETWEEN i1 AND 5", "sum(t.i4) BETWEEN t.i1 AND 5"),
        ("classifier(i4, 1, 2, 3) = 1", "classifier(sum(t.i4), 1, 2, 3) = 1"),
    ],
)
def test_having_prefers_aliases_to_columns_that_are_no_keys(having: str, meaning: str) -> None:
    """Not inside aggregates, and not to keys: i1 is one, though the alias of something else."""
    query = "SELECT i1 + 1 AS i1, sum(i4) AS i4 FROM t GROUP BY t.i1 HAVING "
    assert plan(query + having) == plan(query + meaning)


def test_having_knows_no_aliases_inside_aggregates() -> None:
    bound = plan("SELECT i1, sum(i8) AS i4 FROM t GROUP BY i1 HAVING sum(i4) FILTER (WHERE i4 > 3) > 8")
    assert isinstance(bound, Project)
    assert isinstance(bound.input, Filter)
    assert isinstance(bound.input.input, Aggregate)
    over_rows = AggregateCall("sum", (I4,), t.HUGEINT, filter=call("greater", I4, integer(3)))
    assert bound.input.input.aggregates[1].call == over_rows


def test_having_prefers_the_alias_also_within_an_expression_that_is_a_key() -> None:
    query = "SELECT i4 + 1, sum(i8) AS i4 FROM t GROUP BY i4 + 1 HAVING "
    assert plan(query + "i4 + 1 > 9") == plan(query + "sum(i8) + 1 > 9")
    assert plan(query + "t.i4 + 1 > 9") != plan(query + "i4 + 1 > 9")


def test_null_decides_no_type() -> None:
    assert expression("s IN (s, NULL)") == call("in", S, S, Literal(None, t.VARCHAR))
    assert expression("'a' IN (NULL::VARCHAR, NULL)") == call("in", Literal("a", t.VARCHAR), *[Literal(None, t.VARCHAR)] * 2)


@pytest.mark.parametrize(
    ("text", "joined"), [("'a' || 'b'", "ab"), ("1 || '-' || 2.50", "1-2.50"), ("TRUE || date '2020-01-01'", "true2020-01-01")]
)
def test_texts_are_joined(text: str, joined: str) -> None:
    assert expression(text) == Literal(joined, t.VARCHAR)
    assert expression(f"NULL || {text}") == Literal(None, t.NULL)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i4, sum(i8) + count(*) FROM t GROUP BY i4 HAVING max(i8) > 1 ORDER BY min(i1)",
        "SELECT rank() OVER (PARTITION BY i4 ORDER BY sum(i8)) + sum(i1) FROM t GROUP BY i4 QUALIFY sum(sum(i8)) OVER () > 2",
        "SELECT DISTINCT ON (sum(i8)) sum(i8) FROM t GROUP BY ROLLUP (i4, i1) ORDER BY sum(i8), grouping(i4)",
        "SELECT sum(i8) FROM t GROUP BY i4 HAVING EXISTS (SELECT 1 FROM t u WHERE u.i8 > sum(t.i8))",
        "SELECT (SELECT (SELECT max(t.i8) + min(u.i8)) FROM t u WHERE u.i4 = count(t.i4)) FROM t",
        "SELECT lag(i8) OVER w FROM t WINDOW w AS (ORDER BY i4) ORDER BY row_number() OVER w DESC",
    ],
)
def test_a_bound_plan_refers_to_columns_only(query: str) -> None:
    """What stands for aggregates and window functions while a SELECT is bound is gone; in subqueries, too."""
    found: set[type] = set()

    def note(expr: Expr) -> None:
        found.add(type(expr))
        if isinstance(expr, Subquery):
            visit(expr.plan)
        for child in children(expr):
            note(child)

    def visit(part: Plan) -> None:
        for expr in expressions_of(part):
            note(expr)
        for below in inputs(part):
            visit(below)

    visit(plan(query))
    assert ColumnRef in found
    assert not found & {AggregateRef, OuterAggregate, WindowRef}
