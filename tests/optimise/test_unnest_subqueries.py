"""Subqueries as joins: the rows of both are the same, by the interpreter, on random plans and tables and where it is delicate."""

from __future__ import annotations

import random

import pytest

from qtensor.errors import UnsupportedError
from qtensor.expressions import AggregateCall, ColumnRef, Expr, Literal, OuterColumn, Subquery, children
from qtensor.logical import Aggregate, Filter, Join, NamedAggregate, NamedExpr, Plan, Project, inputs
from qtensor.optimise.driver import optimise
from qtensor.optimise.rewriting import conjunction, expressions_of
from qtensor.optimise.subqueries.outer import outer_columns
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.types import BIGINT, BOOLEAN
from tests.optimise.comparing import RandomStatistics, assert_same_rows
from tests.optimise.interpreter import TwoRowsError, run
from tests.optimise.random_plans import Plans, boolean, scan

ROUNDS = 40


def has_subqueries(plan: Plan) -> bool:
    def within(expr: Expr) -> bool:
        return isinstance(expr, Subquery) or any(within(child) for child in children(expr))

    return any(within(expr) for expr in expressions_of(plan)) or any(has_subqueries(input) for input in inputs(plan))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_plans(seed: int) -> None:
    generator = random.Random(seed)
    compared = 0
    for _ in range(10):
        plan = Plans(generator).query(depth=2)
        rewritten = unnest_subqueries(plan)
        assert not has_subqueries(rewritten)
        assert not outer_columns(rewritten)
        assert rewritten.schema == plan.schema
        compared += assert_same_rows(plan, rewritten, generator)
        assert_same_rows(plan, optimise(plan, statistics=RandomStatistics(generator)), generator)
    assert compared > 25


A, B = scan("a"), scan("b")
A0, B0 = ColumnRef(0, BIGINT, "a0"), ColumnRef(0, BIGINT, "b0")
OUTER = OuterColumn(0, BIGINT, "a0")
ROWS_OF_A = [(1, 0, 0), (2, 0, 0), (None, 0, 0)]
SAME = boolean("equal", B0, OUTER)


def matching(*parts: Expr) -> Plan:
    """The rows of b for which `parts` are true, b0 alone."""
    return Project(Filter(B, conjunction(parts)) if parts else B, (NamedExpr("b0", B0),))


def values_of(subquery: Subquery, rows_of_b: list[tuple[int | None, ...]]) -> list[object]:
    """The subquery's value for the rows of a: 1, 2 and NULL; by joins."""
    plan = unnest_subqueries(Project(A, (NamedExpr("a0", A0), NamedExpr("value", subquery))))
    found = run(plan, {"a": ROWS_OF_A, "b": rows_of_b, "c": []})
    return [dict(found)[row[0]] for row in ROWS_OF_A]


@pytest.mark.parametrize(
    ("rows_of_b", "expected"),
    [
        ([], [False, False, False]),
        ([(1, 0)], [True, False, None]),
        ([(1, 0), (1, 1), (None, 0)], [True, None, None]),
        ([(None, 0)], [None, None, None]),
    ],
)
def test_in_is_three_valued(rows_of_b: list[tuple[int | None, ...]], expected: list[object]) -> None:
    assert values_of(Subquery("any", matching(), BOOLEAN, (A0,)), rows_of_b) == expected


@pytest.mark.parametrize(
    ("rows_of_b", "kept"),
    [([], [1, 2, None]), ([(1, 0)], [2]), ([(1, 0), (None, 0)], []), ([(None, 0)], [])],
)
def test_not_in_as_a_condition(rows_of_b: list[tuple[int | None, ...]], kept: list[object]) -> None:
    condition = boolean("not", Subquery("any", matching(), BOOLEAN, (A0,)))
    plan = unnest_subqueries(Filter(A, condition))
    assert [row[0] for row in run(plan, {"a": ROWS_OF_A, "b": rows_of_b})] == kept


@pytest.mark.parametrize(
    ("comparison", "kind", "rows_of_b", "expected"),
    [
        ("less", "any", [(2, 0)], [True, False, None]),
        ("less", "any", [(2, 0), (None, 0)], [True, None, None]),
        ("less", "all", [], [True, True, True]),
        ("less_equal", "all", [(2, 0), (1, 0)], [True, False, None]),
        ("greater_equal", "all", [(1, 0), (None, 0)], [None, None, None]),
        ("not_equal", "any", [(1, 0)], [False, True, None]),
        ("not_equal", "any", [(1, 0), (2, 0)], [True, True, None]),
        ("equal", "all", [(1, 0), (1, 1)], [True, False, None]),
    ],
)
def test_any_and_all(comparison: str, kind: str, rows_of_b: list[tuple[int | None, ...]], expected: list[object]) -> None:
    assert values_of(Subquery(kind, matching(), BOOLEAN, (A0,), comparison), rows_of_b) == expected  # type: ignore[arg-type]


def test_two_rows_of_a_scalar_subquery_are_an_error() -> None:
    scalar = Subquery("scalar", matching(SAME), BIGINT)
    assert values_of(scalar, [(1, 0), (3, 0), (3, 0)]) == [1, None, None]
    with pytest.raises(TwoRowsError):
        values_of(scalar, [(1, 0), (1, 1)])


def test_a_constant_of_no_row_is_null() -> None:
    one = Project(matching(SAME), (NamedExpr("one", Literal(1, BIGINT)),))
    assert values_of(Subquery("scalar", one, BIGINT), [(1, 0)]) == [1, None, None]


def test_a_count_of_no_rows_is_zero() -> None:
    for condition in (SAME, boolean("less_equal", B0, OUTER)):
        counted = Aggregate(matching(condition), (), (NamedAggregate("n", AggregateCall("count_star", (), BIGINT)),))
        assert values_of(Subquery("scalar", counted, BIGINT), [(2, 0), (2, 1)]) == [0, 2, 0]


def kinds_of(plan: Plan) -> list[str]:
    own = [plan.kind] if isinstance(plan, Join) else []
    return own + [kind for input in inputs(plan) for kind in kinds_of(input)]


def test_simple_cases_need_no_domain() -> None:
    """What TPC-H is full of: the rows around are read once, and equalities become keys of the right kind of join."""
    total = Aggregate(matching(SAME), (), (NamedAggregate("n", AggregateCall("sum", (B0,), BIGINT)),))
    conditions = {
        "semi": Subquery("exists", matching(SAME), BOOLEAN),
        "anti": boolean("not", Subquery("exists", matching(SAME), BOOLEAN)),
        "left": boolean("less", A0, Subquery("scalar", total, BIGINT)),
        "inner": boolean("less", A0, Subquery("scalar", Aggregate(matching(), (), total.aggregates), BIGINT)),
    }
    for kind, condition in conditions.items():
        assert kinds_of(unnest_subqueries(Filter(A, condition))) == [kind]
    assert kinds_of(unnest_subqueries(Filter(A, Subquery("any", matching(), BOOLEAN, (A0,))))) == ["semi"]


def test_a_subquery_of_both_sides_of_an_outer_join_is_refused() -> None:
    both = boolean("and", boolean("equal", B0, OUTER), boolean("equal", B0, OuterColumn(3, BIGINT)))
    with pytest.raises(UnsupportedError, match="both its sides"):
        unnest_subqueries(Join(A, B, "left", (), Subquery("exists", matching(both), BOOLEAN)))
