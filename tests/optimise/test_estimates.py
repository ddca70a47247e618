"""Estimates: of filters, joins and groups over tables whose statistics are true."""

from __future__ import annotations

import pytest

from qtensor.expressions import AggregateCall, Call, ColumnRef, Expr, Literal
from qtensor.logical import Aggregate, Filter, Join, JoinKey, Limit, NamedAggregate, NamedExpr, Plan
from qtensor.optimise.facts.estimates import Estimator
from qtensor.types import BIGINT
from tests.optimise.comparing import TrueStatistics
from tests.optimise.random_plans import boolean, scan

A, B = scan("a"), scan("b")
# a: 1000 rows; a0 unique, a1 of 10 values, a2 NULL in every second row. b: 100 rows; b0 unique, 0 to 99; b1 always 7.
TABLES = {
    "a": [(at, at % 10, None if at % 2 else at) for at in range(1000)],
    "b": [(at, 7) for at in range(100)],
}


def column(index: int) -> ColumnRef:
    return ColumnRef(index, BIGINT)


def compare(function: str, index: int, value: int) -> Expr:
    return boolean(function, column(index), Literal(value, BIGINT))


def rows(plan: Plan) -> float:
    return Estimator(TrueStatistics(TABLES), {}).rows(plan)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compare("equal", 0, 5), 1),
        (compare("equal", 1, 5), 100),
        (compare("less", 0, 250), 250),
        (boolean("greater", Literal(250, BIGINT), column(0)), 250),
        (boolean("and", compare("greater_equal", 0, 100), compare("less", 0, 200)), 100),
        (boolean("or", compare("equal", 1, 1), compare("equal", 1, 2)), 190),
        (boolean("not", compare("equal", 1, 1)), 900),
        (boolean("is_null", column(2)), 500),
        (boolean("in", column(1), Literal(1, BIGINT), Literal(2, BIGINT), Literal(3, BIGINT)), 300),
        (boolean("less", Call("add", (column(0), column(1)), BIGINT), Literal(5, BIGINT)), 333),
    ],
)
def test_filters(condition: Expr, expected: float) -> None:
    assert rows(Filter(A, condition)) == pytest.approx(expected, rel=0.01)


def test_joins() -> None:
    keys = (JoinKey(column(0), column(0)),)
    assert rows(Join(A, B, "inner", keys)) == pytest.approx(100)
    assert rows(Join(A, B, "left", keys)) == 1000
    assert rows(Join(A, B, "semi", keys)) == pytest.approx(100)
    assert rows(Join(A, B, "anti", keys)) == pytest.approx(900)
    assert rows(Join(A, B, "mark", keys)) == 1000
    assert rows(Join(A, B, "inner")) == 100_000
    filtered = Filter(B, compare("less", 0, 10))
    assert rows(Join(A, filtered, "inner", keys)) == pytest.approx(10, rel=0.05)


def test_a_key_of_two_columns_is_no_rarer_than_its_tables_are_long() -> None:
    keys = (JoinKey(column(0), column(0)), JoinKey(column(1), column(1)))
    assert rows(Join(A, B, "inner", keys)) == pytest.approx(100)


def test_groups() -> None:
    by = tuple(NamedExpr(f"k{index}", column(index)) for index in (0, 1))
    assert rows(Aggregate(A, by[1:], ())) == 10
    assert rows(Aggregate(A, by, ())) == 1000  # no more than there are rows
    assert rows(Aggregate(A, (), ())) == 1
    assert rows(Limit(A, 3)) == 3


@pytest.mark.parametrize(
    ("call", "condition", "least", "most"),
    [
        (AggregateCall("count_star", (), BIGINT), ("greater", 100), 4, 6),
        (AggregateCall("count", (column(2),), BIGINT), ("less", 50), 4, 6),
        (AggregateCall("count_star", (), BIGINT), ("greater", 500), 0, 0.01),
        (AggregateCall("sum", (column(0),), BIGINT), ("less_equal", 49_950), 4, 6),
        (AggregateCall("sum", (column(0),), BIGINT), ("greater", 65_000), 0.01, 1),
        (AggregateCall("sum", (column(0),), BIGINT), ("less", 10_000), 0, 0.01),
        (AggregateCall("max", (column(0),), BIGINT), ("less", 10_000), 3, 4),
        (AggregateCall("sum", (column(0),), BIGINT, distinct=True), ("less", 10_000), 3, 4),
    ],
)
def test_conditions_of_groups(call: AggregateCall, condition: tuple[str, int], least: float, most: float) -> None:
    """Ten groups of about a hundred rows: some have fewer, hardly any has five times as many."""
    groups = Aggregate(A, (NamedExpr("k", column(1)),), (NamedAggregate("a", call),))
    assert least <= rows(Filter(groups, compare(condition[0], 1, condition[1]))) <= most
