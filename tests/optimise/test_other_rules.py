"""Small rules on small plans: what they leave alone, and the same rows on random plans."""

from __future__ import annotations

import random

import pytest

from qtensor.expressions import AggregateCall, ColumnRef
from qtensor.logical import Aggregate, Join, JoinKey, Limit, NamedAggregate, NamedExpr, Plan, Sort, SortKey, inputs
from qtensor.optimise.driver import RULES
from qtensor.optimise.facts.repeated import repeated
from qtensor.optimise.rule import Rule
from qtensor.optimise.rules.drop_distinct import drop_distinct
from qtensor.optimise.rules.drop_unseen_order import drop_unseen_order
from qtensor.optimise.rules.prune_columns import prune_columns
from qtensor.optimise.rules.push_semi_join_down import push_semi_join_down
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.types import BIGINT
from tests.optimise.comparing import assert_same_rows
from tests.optimise.random_plans import Plans, boolean, scan

A, B, C = scan("a"), scan("b"), scan("c")  # a0 a1 a2, b0 b1, c0 c1
FIRST, SECOND = ColumnRef(0, BIGINT), ColumnRef(1, BIGINT)
KEYS = (JoinKey(FIRST, FIRST),)


@pytest.mark.parametrize("rule", dict.fromkeys(RULES), ids=lambda rule: rule.name)
def test_each_rule_alone_keeps_the_rows_of_random_plans(rule: Rule) -> None:
    generator = random.Random(rule.name)
    compared = 0
    for _ in range(30):
        plan = unnest_subqueries(Plans(generator).query(depth=1, size=4))
        compared += assert_same_rows(plan, rule.applied(plan), generator, rounds=3)
    assert compared > 60


def has(plan: Plan, kind: type) -> bool:
    return isinstance(plan, kind) or any(has(input, kind) for input in inputs(plan))


def test_the_order_that_a_limit_sees_stays() -> None:
    ordered = Sort(A, (SortKey(FIRST),))
    limited = Join(B, Limit(ordered, 3), "semi", KEYS)
    assert drop_unseen_order(limited) == limited
    assert not has(drop_unseen_order(Join(B, ordered, "semi", KEYS)), Sort)


@pytest.mark.parametrize(("function", "stays"), [("first", True), ("max", False), ("of_a_later_version", True)])
def test_the_order_that_an_aggregate_sees_stays(function: str, stays: bool) -> None:
    call = AggregateCall(function, (FIRST,), BIGINT)
    plan = Aggregate(Sort(A, (SortKey(SECOND),)), (), (NamedAggregate("value", call),))
    assert has(drop_unseen_order(plan), Sort) == stays


def test_a_semi_join_with_a_condition_stays_above() -> None:
    condition = boolean("less", ColumnRef(1, BIGINT), ColumnRef(6, BIGINT))
    plan = Join(Join(A, B, "inner"), C, "semi", KEYS, condition)
    assert push_semi_join_down(plan) == plan


def test_a_semi_join_of_null_filled_columns_stays_above() -> None:
    right = (JoinKey(ColumnRef(3, BIGINT), FIRST),)
    assert push_semi_join_down(Join(Join(A, B, "left"), C, "anti", right)) == Join(Join(A, B, "left"), C, "anti", right)
    assert isinstance(push_semi_join_down(Join(Join(A, B, "inner"), C, "anti", right)).right, Join)  # type: ignore[union-attr]


def test_distinct_stays_where_partners_are_counted_or_compared() -> None:
    distinct = Aggregate(B, (NamedExpr("b0", FIRST), NamedExpr("b1", SECOND)), ())
    for plan in (
        Join(A, distinct, "inner", KEYS),
        Join(A, distinct, "left", KEYS),
        Join(A, distinct, "semi", KEYS, boolean("less", SECOND, ColumnRef(4, BIGINT))),
    ):
        assert drop_distinct(plan) == plan


def sums(*columns: ColumnRef) -> Aggregate:
    calls = tuple(NamedAggregate(f"s{column.index}", AggregateCall("sum", (column,), BIGINT)) for column in columns)
    return Aggregate(A, (NamedExpr("a0", FIRST),), calls)


def test_a_left_join_with_groups_of_which_nothing_is_read_goes() -> None:
    def read_left(kind: str, right: Plan) -> Plan:
        joined = Join(B, right, kind, KEYS)  # type: ignore[arg-type]
        return prune_columns(Aggregate(joined, (), (NamedAggregate("n", AggregateCall("sum", (SECOND,), BIGINT)),)))

    assert not has(read_left("left", sums(SECOND)), Join)
    assert has(read_left("left", A), Join)  # several rows of a may be partners
    assert has(read_left("inner", sums(SECOND)), Join)  # which drops rows


def test_plans_that_occur_twice_stay_the_same() -> None:
    both = sums(SECOND, ColumnRef(2, BIGINT))
    joined = Join(both, both, "inner", KEYS)
    outer = (NamedAggregate("x", AggregateCall("max", (ColumnRef(1, BIGINT),), BIGINT)),)
    other = (NamedAggregate("y", AggregateCall("max", (ColumnRef(5, BIGINT),), BIGINT)),)
    pruned = prune_columns(Aggregate(joined, (), (*outer, *other)))
    assert repeated(pruned) == [both]
