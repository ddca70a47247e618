"""Semi joins that reduce other joins: the same rows whatever the statistics say, and where one is worth it."""

from __future__ import annotations

import random

import pytest

from qtensor.expressions import AggregateCall, ColumnRef, Literal
from qtensor.logical import Aggregate, Filter, Join, JoinKey, NamedAggregate, NamedExpr, Plan
from qtensor.optimise.driver import optimise
from qtensor.optimise.facts.statistics import ColumnStatistics
from qtensor.optimise.rewriting import column
from qtensor.optimise.rules import reduce_by_semi_join as rule
from qtensor.optimise.rules.order_joins import order_joins
from qtensor.optimise.rules.reduce_by_semi_join import reduce_by_semi_join
from qtensor.types import BIGINT
from tests.optimise.comparing import RandomStatistics, assert_same_rows
from tests.optimise.random_plans import Plans, boolean, scan

A, B, C = scan("a"), scan("b"), scan("c")  # a0 a1 a2, b0 b1, c0 c1
FIRST, SECOND = ColumnRef(0, BIGINT), ColumnRef(1, BIGINT)
KEYS = (JoinKey(FIRST, FIRST),)
FEW = Filter(C, boolean("equal", SECOND, Literal(1, BIGINT)))
GROUPS = Aggregate(A, (NamedExpr("key", FIRST),), (NamedAggregate("s", AggregateCall("sum", (SECOND,), BIGINT)),))


class Large:
    """All tables have a million rows, the first column of each is unique."""

    of_examples = False

    def rows(self, table: str) -> int:
        return 1_000_000

    def column(self, table: str, index: int) -> ColumnStatistics:
        return ColumnStatistics(1_000_000 if index == 0 else 100)

    def unique(self, table: str, columns: object) -> bool:
        return True


def test_random_plans_keep_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "MANY", 0)
    monkeypatch.setattr(rule, "SHARE", 1)
    generator = random.Random(25)
    changed = 0
    for _ in range(150):
        plan = optimise(Plans(generator).query(depth=1, size=5), statistics=RandomStatistics(generator))
        reduced = reduce_by_semi_join(order_joins(plan), RandomStatistics(generator))
        if reduced != plan:
            changed += 1
            assert_same_rows(plan, reduced, generator, rounds=4)
    assert changed > 10


def reduced_input(plan: Plan) -> Plan:
    """What the aggregate on the right side of a join reads."""
    new = reduce_by_semi_join(plan, Large())
    assert isinstance(new, Join)
    assert isinstance(new.right, Aggregate)
    return new.right.input


@pytest.mark.parametrize("kind", ["inner", "left", "semi", "anti", "single"])
def test_groups_that_nobody_asks_for(kind: str) -> None:
    found = reduced_input(Join(FEW, GROUPS, kind, KEYS))  # type: ignore[arg-type]
    assert isinstance(found, Join)
    assert (found.kind, found.left, found.keys) == ("semi", A, (JoinKey(column(A, 0), column(C, 0)),))


@pytest.mark.parametrize("kind", ["full", "mark"])
def test_all_rows_matter_to_others(kind: str) -> None:
    plan = Join(FEW, GROUPS, kind, KEYS)  # type: ignore[arg-type]
    assert reduce_by_semi_join(plan, Large()) == plan


def test_not_where_many_are_left() -> None:
    assert reduced_input(Join(C, GROUPS, "inner", KEYS)) == A


def test_not_by_what_is_computed_of_the_groups() -> None:
    assert reduced_input(Join(FEW, GROUPS, "inner", (JoinKey(FIRST, SECOND),))) == A


def test_the_smallest_table_that_has_the_values_is_asked() -> None:
    """c's rows are few; b's are many, but joined with them by the same column."""
    both = Join(B, FEW, "inner", KEYS)
    found = reduced_input(Join(both, GROUPS, "inner", KEYS))
    assert isinstance(found, Join)
    assert found.right == rule.Project(FEW, (NamedExpr("c0", FIRST),))


def test_rows_that_must_be_sorted_by_several_keys() -> None:
    both = (*KEYS, JoinKey(SECOND, SECOND))
    new = reduce_by_semi_join(Join(Join(A, FEW, "inner", KEYS), B, "inner", both), Large())
    assert isinstance(new, Join)
    assert isinstance(new.right, Join)
    assert (new.right.kind, new.right.left) == ("semi", B)
    assert reduce_by_semi_join(Join(Join(A, FEW, "inner", KEYS), B, "inner", KEYS), Large()).right == B  # type: ignore[union-attr]
