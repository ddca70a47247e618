"""The order of joins: the same rows in any order, whatever the statistics say; and the order that they ask for."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import ClassVar

import pytest

from qtensor.expressions import Call, ColumnRef, Expr, Literal
from qtensor.logical import Filter, Join, NamedExpr, Plan, Project, Scan, inputs
from qtensor.optimise.driver import optimise
from qtensor.optimise.facts.statistics import ColumnStatistics
from qtensor.optimise.rules.order_joins import EXHAUSTIVE, order_joins
from qtensor.types import BIGINT, BOOLEAN, Field
from tests.optimise.comparing import RandomStatistics, sorted_rows
from tests.optimise.interpreter import Row, run


def table(name: str, width: int = 2) -> Scan:
    return Scan(name, tuple(Field(f"{name}{at}", BIGINT) for at in range(width)), tuple(range(width)))


def compare(function: str, left: int, right: int) -> Expr:
    return Call(function, (ColumnRef(left, BIGINT), ColumnRef(right, BIGINT)), BOOLEAN)


def random_tree(generator: random.Random, count: int) -> tuple[Plan, dict[str, list[Row]]]:
    """Inner joins of `count` tables, bushy, with some conditions in between, the others above; and the tables."""
    value = lambda: None if generator.random() < 0.1 else generator.randint(0, 1)  # noqa: E731
    most = 4 if count < 6 else 2
    tables = {f"t{at}": [(value(), value()) for _ in range(generator.randint(1, most))] for at in range(count)}
    plans: list[Plan] = [table(name) for name in tables]
    while len(plans) > 1:
        one, other = (plans.pop(generator.randrange(len(plans))) for _ in range(2))
        joined: Plan = Join(one, other, "inner")
        width = len(joined.schema)
        parts = [condition(generator, width) for _ in range(generator.choice((0, 1, 2)))]
        if parts:
            joined = Join(one, other, "inner", (), parts[0] if len(parts) == 1 else Call("and", tuple(parts), BOOLEAN))
        if generator.random() < 0.2:
            order = generator.sample(range(width), width)
            joined = Project(joined, tuple(NamedExpr(f"p{at}", ColumnRef(at, BIGINT)) for at in order))
        plans.append(joined)
    parts = [condition(generator, 2 * count) for _ in range(generator.randint(0, count))]
    return (Filter(plans[0], Call("and", (*parts, parts[0]), BOOLEAN)) if parts else plans[0]), tables


def condition(generator: random.Random, width: int) -> Expr:
    left, right = generator.randrange(width), generator.randrange(width)
    function = generator.choice(("equal", "equal", "equal", "equal", "less_equal", "is_not_distinct_from", "sum"))
    if function != "sum":
        return compare(function, left, right)
    total = Call("add", (ColumnRef(left, BIGINT), ColumnRef(right, BIGINT)), BIGINT)
    return Call("less", (total, Literal(2, BIGINT)), BOOLEAN)


@pytest.mark.parametrize("seed", range(40))
def test_random_trees(seed: int) -> None:
    generator = random.Random(seed)
    count = EXHAUSTIVE + 1 if seed == 7 else generator.randint(2, 7)
    plan, tables = random_tree(generator, count)
    expected = sorted_rows(run(plan, tables))
    for rewritten in (
        order_joins(plan),
        order_joins(plan, RandomStatistics(generator)),
        optimise(plan, statistics=RandomStatistics(generator)),
    ):
        assert rewritten.schema == plan.schema
        assert sorted_rows(run(rewritten, tables)) == expected


class Warehouse:
    """A large table, sales (item, shop), and smaller ones with a unique first column."""

    of_examples = False

    sizes: ClassVar[dict[str, int]] = {"sales": 1_000_000, "items": 10_000, "shops": 100, "regions": 5}

    def rows(self, table: str) -> int:
        return self.sizes[table]

    def column(self, table: str, index: int) -> ColumnStatistics:
        if table == "sales":
            return ColumnStatistics(10_000 if index == 0 else 100)
        return ColumnStatistics(self.sizes[table] if index == 0 else self.sizes[table] // 10 + 1)

    def unique(self, table: str, columns: list[int]) -> bool:
        return table != "sales" and 0 in columns


def joined_tables(plan: Plan) -> object:
    """The order as nested pairs of names."""
    if isinstance(plan, Scan):
        return plan.table
    below = [joined_tables(input) for input in inputs(plan)]
    return below[0] if len(below) == 1 else tuple(below)


def test_the_large_table_streams_and_the_others_are_looked_up() -> None:
    regions, shops, sales, items = (table(name) for name in ("regions", "shops", "sales", "items"))
    crossed = Join(Join(Join(regions, shops, "inner"), sales, "inner"), items, "inner")
    conditions = (compare("equal", 0, 3), compare("equal", 2, 5), compare("equal", 4, 6))
    plan = optimise(Filter(crossed, Call("and", conditions, BOOLEAN)), statistics=Warehouse())
    assert joined_tables(plan) in ((("sales", ("shops", "regions")), "items"), (("sales", "items"), ("shops", "regions")))


def test_no_cross_product_where_there_is_another_way() -> None:
    names = [f"t{at}" for at in range(EXHAUSTIVE + 3)]
    plan: Plan = table(names[0])
    for name in names[1:]:
        plan = Join(plan, table(name), "inner")
    shuffled = random.Random(0).sample(range(len(names)), len(names))
    chain = [compare("equal", 2 * one + 1, 2 * other) for one, other in pairwise(shuffled)]
    plan = optimise(Filter(plan, Call("and", tuple(chain), BOOLEAN)))

    def keys(part: Plan) -> list[int]:
        return [*([len(part.keys)] if isinstance(part, Join) else []), *(n for below in inputs(part) for n in keys(below))]

    assert keys(plan) == [1] * (len(names) - 1)
