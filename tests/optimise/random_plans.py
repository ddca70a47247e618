"""Random logical plans over three small tables of INTEGERs, with joins, subqueries in every place, and columns of outer queries."""

from __future__ import annotations

import random
from collections.abc import Sequence

from qtensor.expressions import AggregateCall, Call, ColumnRef, Expr, Literal, OuterColumn, Predict, Subquery, WindowCall
from qtensor.logical import (
    Aggregate,
    Filter,
    Join,
    JoinKey,
    Limit,
    NamedAggregate,
    NamedExpr,
    NamedWindow,
    Plan,
    Project,
    Scan,
    Sort,
    SortKey,
    Union,
    Window,
)
from qtensor.types import BIGINT, BOOLEAN, Field, SqlType

COMPARISONS = ("equal", "equal", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
WIDTHS = {"a": 3, "b": 2, "c": 2}


def random_tables(generator: random.Random) -> dict[str, list[tuple[int | None, ...]]]:
    """Rows of few different values, so that there are duplicates; some NULLs; sometimes no rows."""

    def value() -> int | None:
        return None if generator.random() < 0.15 else generator.randint(-1, 3)

    return {
        name: [tuple(value() for _ in range(width)) for _ in range(generator.choice((0, 1, 3, 5, 6)))]
        for name, width in WIDTHS.items()
    }


def scan(table: str) -> Scan:
    fields = tuple(Field(f"{table}{index}", BIGINT) for index in range(WIDTHS[table]))
    return Scan(table, fields, tuple(range(WIDTHS[table])))


def boolean(function: str, *arguments: Expr) -> Call:
    return Call(function, arguments, BOOLEAN)


class Plans:
    """Plans that `generator` draws. All columns are BIGINT.

    `around` are the numbers of columns of the queries around, the next one first; `depth` is how deep subqueries may nest.
    """

    def __init__(self, generator: random.Random, repeated: int = 0, models: bool = False) -> None:
        """repeated: how many plans there are that may stand in several places. models: whether a model is called."""
        self.random = generator
        self.models = models
        self.repeated: list[Plan] = []
        for _ in range(repeated):
            self.repeated.append(self.query(0))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def query(self, depth: int, around: tuple[int, ...] = (), size: int = 3) -> Plan:
        plan = self.rows(depth, around, size)
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            plan = self.operator(plan, depth, around)
        return plan

    def rows(self, depth: int, around: tuple[int, ...], size: int) -> Plan:
        if size > 1 and self.chance(0.35):
            return self.join(depth, around, size)
        if size > 1 and self.chance(0.1):
            branches = (self.columns(self.query(0, around, 1), 2) for _ in range(2))
            return Union(tuple(branches))
        return self.relation()

    def relation(self) -> Plan:
        return self.random.choice(self.repeated) if self.repeated and self.chance(0.7) else scan(self.random.choice("abc"))

    def columns(self, plan: Plan, count: int) -> Plan:
        """`plan` with exactly `count` columns."""
        width = len(plan.schema)
        return Project(plan, tuple(NamedExpr(f"p{at}", self.column(self.random.randrange(width))) for at in range(count)))

    def column(self, index: int) -> ColumnRef:
        return ColumnRef(index, BIGINT, f"#{index}")

    def join(self, depth: int, around: tuple[int, ...], size: int) -> Plan:
        left, right = (self.query(0, around, size - 1) if self.chance(0.3) else self.relation() for _ in range(2))
        kind = self.random.choice(("inner", "inner", "inner", "left", "full", "semi", "anti", "left"))
        width, both = len(left.schema), len(left.schema) + len(right.schema)
        keys = ()
        if self.chance(0.3):
            null_safe = self.chance(0.3)
            first, second = self.random.randrange(width), self.random.randrange(both - width)
            keys = (JoinKey(self.column(first), self.column(second), null_safe),)
        inner_depth = depth - 1 if kind == "inner" else 0
        condition = self.condition(both, max(inner_depth, 0), around) if self.chance(0.8) else None
        return Join(left, right, kind, keys, condition)

    def operator(self, plan: Plan, depth: int, around: tuple[int, ...]) -> Plan:
        width = len(plan.schema)
        match self.random.choices(
            ("filter", "project", "group", "total", "limit", "window", "sort"), (8, 2, 2, 1.5, 0.7, 0.7, 0.5)
        ):
            case ["filter"]:
                return Filter(plan, self.condition(width, depth, around))
            case ["project"]:
                count = self.random.randint(1, 3)
                return Project(plan, tuple(NamedExpr(f"p{at}", self.value(width, depth, around)) for at in range(count)))
            case ["group"]:
                keys = tuple(NamedExpr(f"k{at}", self.value(width, 0, ())) for at in range(self.random.randint(1, 2)))
                return Aggregate(plan, keys, self.aggregates(width, depth, around, self.random.randint(0, 2)))
            case ["total"]:
                return Aggregate(plan, (), self.aggregates(width, depth, around, self.random.randint(1, 2)))
            case ["limit"]:
                count = self.random.choice((0, 1, 2, None))
                return Limit(Sort(plan, self.order(width)), count, self.random.choice((0, 0, 1)))
            case ["window"]:
                return self.window(plan, depth, around)
            case _:
                return Sort(plan, (SortKey(self.value(width, depth, around)), *self.order(width)))

    def window(self, plan: Plan, depth: int, around: tuple[int, ...]) -> Window:
        width = len(plan.schema)
        partition = (self.value(width, depth, around),) if self.chance(0.6) else ()
        if self.chance(0.5):
            return Window(plan, partition, self.order(width), (NamedWindow("n", WindowCall("row_number", (), BIGINT)),))
        total = WindowCall("sum", (self.value(width, 0, around),), BIGINT)
        return Window(plan, partition, (), (NamedWindow("w", total),))

    def order(self, width: int) -> tuple[SortKey, ...]:
        """By all columns, so that the first rows are always the same."""
        return tuple(SortKey(self.column(index), self.chance(0.5), self.chance(0.5)) for index in range(width))

    def aggregates(self, width: int, depth: int, around: tuple[int, ...], count: int) -> tuple[NamedAggregate, ...]:
        made = []
        for at in range(count):
            function = self.random.choice(("count_star", "count", "sum", "min", "max"))
            arguments = () if function == "count_star" else (self.value(width, depth if self.chance(0.2) else 0, around),)
            condition = self.condition(width, 0, around) if self.chance(0.15) else None
            distinct = bool(arguments) and self.chance(0.2)
            made.append(NamedAggregate(f"g{at}", AggregateCall(function, arguments, BIGINT, distinct, condition)))
        return tuple(made)

    def value(self, width: int, depth: int, around: tuple[int, ...]) -> Expr:
        kinds = ("column", "literal", "outer", "sum", "subquery", "model")
        weights = (5 if width else 0, 1, 3 if any(around) else 0, 0.7, 2.5 if depth else 0, 3 if self.models and width else 0)
        match self.random.choices(kinds, weights):
            case ["column"]:
                return self.column(self.random.randrange(width))
            case ["outer"]:
                depths = [at for at, columns in enumerate(around) if columns]
                at = self.random.choice([depths[0], self.random.choice(depths)])
                index = self.random.randrange(around[at])
                return OuterColumn(index, BIGINT, f"o{index}", at + 1)
            case ["sum"]:
                function = self.random.choice(("add", "multiply"))
                return Call(function, (self.value(width, 0, around), self.value(width, 0, around)), BIGINT)
            case ["subquery"]:
                return self.scalar(width, depth, around)
            case ["model"]:
                arguments = tuple(self.column(self.random.randrange(width)) for _ in range(self.random.choice((1, 2))))
                return Predict("m", arguments, BIGINT, work=1_000_000, fails=False)
            case _:
                return Literal(self.random.randint(-1, 3), BIGINT)

    def scalar(self, width: int, depth: int, around: tuple[int, ...]) -> Subquery:
        plan = self.query(depth - 1, (width, *around), 2)
        if self.chance(0.8):
            inner = len(plan.schema)
            plan = Aggregate(plan, (), self.aggregates(inner, 0, (width, *around), 1))
            if self.chance(0.3):
                plan = Filter(plan, self.condition(1, 0, (width, *around)))
            if self.chance(0.3):
                plan = Project(plan, (NamedExpr("p", Call("add", (self.column(0), Literal(1, BIGINT)), BIGINT)),))
        return Subquery("scalar", self.columns(plan, 1), BIGINT)

    def condition(self, width: int, depth: int, around: tuple[int, ...]) -> Expr:
        match self.random.choices(("compare", "logic", "null", "subquery"), (6, 3, 1, 5 if depth else 0)):
            case ["compare"]:
                function = self.random.choice(COMPARISONS)
                return boolean(function, self.value(width, depth, around), self.value(width, depth, around))
            case ["logic"]:
                parts = [self.condition(width, depth, around) for _ in range(2)]
                function = self.random.choice(("and", "and", "or", "not"))
                return boolean(function, *(parts[:1] if function == "not" else parts))
            case ["null"]:
                return boolean(self.random.choice(("is_null", "is_not_null")), self.value(width, 0, around))
            case _:
                return self.predicate_subquery(width, depth, around)

    def predicate_subquery(self, width: int, depth: int, around: tuple[int, ...]) -> Expr:
        inner: tuple[int, ...] = (width, *around)
        kind: str = self.random.choice(("exists", "any", "any", "all"))
        plan = self.query(depth - 1, inner, 2)
        subquery = Subquery("exists", plan, BOOLEAN)
        if kind != "exists":
            count = 2 if self.chance(0.15) else 1
            comparison = "equal" if count == 2 or self.chance(0.5) else self.random.choice(COMPARISONS)
            operands = tuple(self.value(width, depth - 1 if self.chance(0.2) else 0, around) for _ in range(count))
            chosen = "any" if count == 2 else kind
            subquery = Subquery(chosen, self.columns(plan, count), BOOLEAN, operands, comparison)  # type: ignore[arg-type]
        return boolean("not", subquery) if self.chance(0.4) else subquery


def types(plan: Plan) -> Sequence[SqlType]:
    return [field.type for field in plan.schema]
