"""Parts of a plan that stand in it several times: defined once, and the same rows by every rule."""

from __future__ import annotations

import random

import pytest

from qtensor.expressions import ColumnRef, Expr, Literal, OuterColumn, Subquery
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Definition,
    Filter,
    Join,
    JoinKey,
    Limit,
    NamedExpr,
    Plan,
    Project,
    Scan,
    Sort,
    SortKey,
    Union,
    With,
    inputs,
)
from qtensor.optimise.driver import RULES, optimise
from qtensor.optimise.rule import Rule
from qtensor.optimise.rules.drop_unseen_order import drop_unseen_order
from qtensor.optimise.rules.prune_columns import prune_columns
from qtensor.optimise.rules.push_filter_down import push_filter_down
from qtensor.optimise.share_parts import share_parts
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.types import BIGINT, BOOLEAN
from tests.optimise.comparing import RandomStatistics, assert_same_rows
from tests.optimise.random_plans import Plans, boolean, scan

A, B = scan("a"), scan("b")
FIRST, SECOND = ColumnRef(0, BIGINT, "a0"), ColumnRef(1, BIGINT, "a1")
KEYS = (JoinKey(FIRST, FIRST),)
GROUPS = Aggregate(A, (NamedExpr("a0", FIRST), NamedExpr("a1", SECOND)), ())
READ = CommonScan(0, GROUPS.schema)


def equal(column: ColumnRef, value: int) -> Expr:
    return boolean("equal", column, Literal(value, BIGINT))


def size(plan: Plan) -> int:
    return 1 + sum(map(size, inputs(plan)))


@pytest.mark.parametrize("rule", dict.fromkeys(RULES), ids=lambda rule: rule.name)
def test_each_rule_alone_keeps_the_rows_of_what_is_shared(rule: Rule) -> None:
    generator = random.Random(rule.name)
    compared = shared = 0
    for _ in range(40):
        plan = Plans(generator, repeated=2).query(depth=1, size=4)
        tree = unnest_subqueries(share_parts(plan))
        shared += isinstance(tree, With)
        compared += assert_same_rows(plan, rule.applied(tree), generator, rounds=3)
    assert compared > 60
    assert shared > 5


def test_all_rules_together_keep_the_rows_of_what_is_shared() -> None:
    generator = random.Random(16)
    shared = 0
    for _ in range(60):
        plan = Plans(generator, repeated=2).query(depth=1, size=4)
        shared += isinstance(share_parts(plan), With)
        assert_same_rows(plan, optimise(plan, None, RandomStatistics(generator)), generator, rounds=3)
    assert shared > 10


def test_what_is_read_twice_is_defined_once() -> None:
    assert share_parts(Join(GROUPS, GROUPS, "inner", KEYS)) == With((Definition(0, GROUPS),), Join(READ, READ, "inner", KEYS))


def test_a_chain_of_parts_read_twice_grows_by_one_definition_each() -> None:
    sizes = []
    for length in (10, 20):
        plan: Plan = GROUPS
        for _ in range(length):
            plan = Project(Join(plan, plan, "inner", KEYS), (NamedExpr("a0", FIRST), NamedExpr("a1", SECOND)))
        sizes.append(size(optimise(plan, None, RandomStatistics(random.Random(length)))))
    assert sizes[1] < 3 * sizes[0] < 300


def test_rows_of_a_table_are_read_again() -> None:
    rows = Project(Filter(A, equal(FIRST, 1)), (NamedExpr("a0", FIRST),))
    plan = Join(rows, rows, "inner", KEYS)
    assert share_parts(plan) is plan


def test_what_reads_the_query_around_stays_in_it() -> None:
    inner = Aggregate(Filter(B, boolean("equal", FIRST, OuterColumn(0, BIGINT, "a0"))), (), ())
    plan = Filter(A, Subquery("exists", Join(inner, inner, "inner"), BOOLEAN))
    assert share_parts(plan) is plan


def test_a_part_is_shared_between_subqueries() -> None:
    exists = Subquery("exists", GROUPS, BOOLEAN)
    plan = Join(Filter(A, exists), Filter(B, exists), "inner")
    read = Subquery("exists", READ, BOOLEAN)
    assert share_parts(plan) == With((Definition(0, GROUPS),), Join(Filter(A, read), Filter(B, read), "inner"))


def pushed(*readers: Plan) -> Plan:
    """The definition once conditions were pushed down."""
    plan = push_filter_down(With((Definition(0, GROUPS),), Union(readers)))
    assert isinstance(plan, With)
    return plan.definitions[0].plan


def test_conditions_of_all_readers_reach_the_definition() -> None:
    one, two, both = equal(FIRST, 1), equal(FIRST, 2), equal(SECOND, 3)
    assert pushed(Filter(READ, one), Filter(READ, two)) == Aggregate(Filter(A, boolean("or", one, two)), GROUPS.keys, ())
    assert pushed(Filter(READ, one), Filter(READ, one)) == Aggregate(Filter(A, one), GROUPS.keys, ())
    assert pushed(Filter(READ, boolean("and", both, one)), Filter(READ, boolean("and", two, both))) == Aggregate(
        Filter(A, boolean("and", both, boolean("or", one, two))), GROUPS.keys, ()
    )


def test_a_reader_without_a_condition_needs_all_rows() -> None:
    assert pushed(Filter(READ, equal(FIRST, 1)), READ) == GROUPS


def test_what_may_raise_an_error_is_asked_by_its_reader_alone() -> None:
    fails = boolean("equal", Literal(1, BIGINT), Project(A, (NamedExpr("x", FIRST),)).expressions[0].expr)
    assert pushed(Filter(READ, fails), Filter(READ, fails)) != GROUPS
    division = boolean("equal", ColumnRef(0, BIGINT), Literal(1, BIGINT))
    raising = boolean("equal", boolean("floor_divide", FIRST, FIRST), Literal(1, BIGINT))
    assert pushed(Filter(READ, raising), Filter(READ, boolean("and", division, raising))) == GROUPS


@pytest.mark.parametrize("seen", [True, False])
def test_the_order_of_a_definition_stays_where_a_reader_sees_it(seen: bool) -> None:
    ordered = Sort(A, (SortKey(FIRST),))
    read = CommonScan(0, A.schema)
    readers = Union((Limit(read, 1) if seen else Aggregate(read, GROUPS.keys, ()), Aggregate(read, GROUPS.keys, ())))
    plan = drop_unseen_order(With((Definition(0, ordered),), Join(B, readers, "semi", KEYS)))
    assert isinstance(plan, With)
    assert (plan.definitions[0].plan == ordered) == seen


def test_a_definition_has_the_columns_that_some_reader_needs() -> None:
    wide = Limit(scan("a"), 5)
    read = CommonScan(0, wide.schema)
    plan = Union((Project(read, (NamedExpr("x", ColumnRef(2, BIGINT, "a2")),)), Project(read, (NamedExpr("x", FIRST),))))
    pruned = prune_columns(With((Definition(0, wide), Definition(1, GROUPS)), plan))
    assert isinstance(pruned, With)
    assert [item.number for item in pruned.definitions] == [0]  # of two, one is not read
    assert pruned.definitions[0].plan == Limit(Scan("a", (A.fields[0], A.fields[2]), (0, 2)), 5)
