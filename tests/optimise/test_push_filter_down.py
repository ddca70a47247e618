"""Filters below joins: the same rows on random plans, and where conditions must and must not go."""

from __future__ import annotations

import random

import pytest

from qtensor.explain.plan_text import expression_text
from qtensor.expressions import Call, Cast, ColumnRef, Expr, Literal
from qtensor.logical import Filter, Join, Plan, Union, Window, inputs
from qtensor.optimise.rewriting import map_plan
from qtensor.optimise.rules.factor_disjunctions import factor_disjunctions
from qtensor.optimise.rules.push_filter_down import push_filter_down
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.types import BIGINT, TINYINT
from tests.optimise.comparing import assert_same_rows
from tests.optimise.random_plans import Plans, boolean, scan

A, B = scan("a"), scan("b")  # a0 a1 a2, b0 b1
A0, A1, B0, B1 = (ColumnRef(index, BIGINT, name) for index, name in ((0, "a0"), (1, "a1"), (3, "b0"), (4, "b1")))
ZERO = Literal(0, BIGINT)
KEYS = boolean("equal", A0, B0)


def positive(expr: Expr) -> Expr:
    return boolean("greater", expr, ZERO)


def pushed(kind: str, above: Expr, condition: Expr | None = KEYS) -> dict[str, list[str]]:
    """Where the conditions of a filter above a join of a and b end: by the node that has them."""
    plan = push_filter_down(Filter(Join(A, B, kind, (), condition), above))  # type: ignore[arg-type]
    return places(plan)


def places(plan: Plan, name: str = "above") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    match plan:
        case Filter(input=input, predicate=predicate):
            found[name] = expression_text(predicate).split(" AND ")
            return found | places(input, name)
        case Join(kind=kind, condition=condition):
            found[kind] = [] if condition is None else expression_text(condition).split(" AND ")
            return found | places(plan.left, "a") | places(plan.right, "b")
        case _:
            return found


@pytest.mark.parametrize("seed", range(20))
def test_random_plans(seed: int) -> None:
    generator = random.Random(seed)
    compared = 0
    for _ in range(10):
        plan = unnest_subqueries(Plans(generator).query(depth=1, size=4))
        compared += assert_same_rows(plan, push_filter_down(map_plan(plan, factor_disjunctions)), generator)
    assert compared > 30


def test_an_inner_join() -> None:
    above = boolean("and", positive(A1), positive(B1), boolean("less", A1, B1))
    assert pushed("inner", above) == {
        "inner": ["(a0 = b0)", "(a1 < b1)"],
        "a": ["a1 > 0"],
        "b": ["b1 > 0"],
    }


def test_a_left_join_keeps_what_null_filled_rows_may_satisfy() -> None:
    assert pushed("left", boolean("and", positive(A1), boolean("is_null", B1))) == {
        "above": ["b1 IS NULL"],
        "left": ["a0 = b0"],
        "a": ["a1 > 0"],
    }
    assert pushed("left", positive(A1), boolean("and", KEYS, positive(B1), positive(A1)))["b"] == ["b1 > 0"]


@pytest.mark.parametrize(
    ("kind", "above", "becomes"),
    [
        ("left", positive(B1), "inner"),
        ("left", boolean("or", positive(B1), boolean("is_not_null", B0)), "inner"),
        ("left", boolean("or", positive(B1), positive(A1)), "left"),
        ("left", positive(Call("coalesce", (B1, Literal(1, BIGINT)), BIGINT)), "left"),
        ("left", boolean("is_distinct_from", B1, ZERO), "left"),
        ("full", positive(A1), "left"),
        ("full", boolean("and", positive(A1), positive(B1)), "inner"),
        ("full", positive(B1), "full"),
        ("single", positive(B1), "single"),
    ],
)
def test_null_filled_rows_that_are_dropped_again(kind: str, above: Expr, becomes: str) -> None:
    assert becomes in pushed(kind, above)


def test_semi_and_anti_joins() -> None:
    both = boolean("and", KEYS, positive(B1), positive(A1))
    semi = pushed("semi", boolean("is_null", A1), both)
    assert (semi["semi"], semi["b"], len(semi["a"])) == (["a0 = b0"], ["b1 > 0"], 2)
    assert pushed("anti", boolean("is_null", A1), both)["anti"] == ["(a0 = b0)", "(a1 > 0)"]
    assert pushed("anti", boolean("is_null", A1), both)["a"] == ["a1 IS NULL"]


def test_what_may_raise_sees_no_more_rows() -> None:
    """But for keys: without them there would be a product."""
    narrow = boolean("greater", Cast(A1, TINYINT), Literal(0, TINYINT))
    assert pushed("inner", narrow) == {"above": ["CAST(a1 AS TINYINT) > 0"], "inner": ["a0 = b0"]}
    assert pushed("left", narrow) == {"above": ["CAST(a1 AS TINYINT) > 0"], "left": ["a0 = b0"]}
    total = boolean("equal", Call("add", (A1, Literal(1, BIGINT)), BIGINT), B1)
    assert pushed("inner", total)["inner"] == ["(a0 = b0)", "((a1 + 1) = b1)"]


def test_what_follows_from_equalities() -> None:
    assert pushed("inner", boolean("equal", A0, ZERO)) == {"inner": ["a0 = b0"], "a": ["a0 = 0"], "b": ["b0 = 0"]}
    assert "b" not in pushed("left", boolean("equal", A0, ZERO))


def test_one_side_of_a_disjunction() -> None:
    either = boolean(
        "or", boolean("and", positive(A1), positive(B1)), boolean("and", boolean("is_null", A1), boolean("is_null", B1))
    )
    found = pushed("inner", either)
    assert found["a"] == ["(a1 > 0) OR a1 IS NULL"]
    assert found["b"] == ["(b1 > 0) OR b1 IS NULL"]
    assert len(found["inner"]) > 1  # which combination it is, only both together tell


def test_unions_and_windows() -> None:
    union = push_filter_down(Filter(Union((A, A)), positive(A1)))
    assert [type(branch) for branch in inputs(union)] == [Filter, Filter]
    window = Window(A, (A0,), (), ())
    below = push_filter_down(Filter(window, boolean("and", positive(A0), positive(A1))))
    assert isinstance(below, Filter)
    assert places(below)["above"] == ["a1 > 0"]
    assert inputs(inputs(below)[0])[0] == Filter(A, positive(A0))
