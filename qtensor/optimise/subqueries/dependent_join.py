"""The general way to make a subquery independent of the rows around it: for all their values at once.

Source: T. Neumann, A. Kemper: Unnesting Arbitrary Queries. BTW 2015, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from qtensor.expressions import AggregateCall, Call, ColumnRef, Expr, Literal, OuterColumn, WindowCall
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    JoinKey,
    Limit,
    NamedExpr,
    NamedWindow,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
)
from qtensor.optimise.rewriting import conjunction, map_aggregate, map_window, named_columns, transform
from qtensor.optimise.subqueries.outer import moved_out, outer_columns, outer_columns_of, plan_moved_out
from qtensor.types import BIGINT, BOOLEAN

# What these aggregates are over no rows; all others are NULL.
OF_NO_ROWS = {"count_star": 0, "count": 0, "regr_count": 0}


def of_no_rows(call: AggregateCall, value: ColumnRef) -> Expr:
    """`value`, an aggregate's column that is NULL where a left join found no group, as the aggregate over no rows is."""
    if call.function not in OF_NO_ROWS:
        return value
    return Call("coalesce", (value, Literal(OF_NO_ROWS[call.function], call.type)), call.type)


@dataclass(frozen=True)
class Domain:
    """The different values that the rows around a subquery have in the columns that it reads.

    `plan` has a column for each of `columns`, the columns of the query around, in order.
    """

    plan: Plan
    columns: tuple[OuterColumn, ...]

    @classmethod
    def of(cls, rows: Plan, subquery: Plan) -> Domain:
        columns = tuple(sorted(outer_columns(subquery), key=lambda outer: outer.index))
        keys = tuple(NamedExpr(outer.name, ColumnRef(outer.index, outer.type, outer.name)) for outer in columns)
        return cls(Aggregate(rows, keys, ()), columns)

    @property
    def width(self) -> int:
        return len(self.columns)

    def references(self, shift: int = 0) -> tuple[ColumnRef, ...]:
        return tuple(ColumnRef(shift + at, outer.type, outer.name) for at, outer in enumerate(self.columns))

    def keys(self) -> tuple[JoinKey, ...]:
        """Equality of two inputs' domain columns, which stand first in both; NULL is a value like any other."""
        return tuple(JoinKey(reference, reference, null_safe=True) for reference in self.references())

    def keys_of_rows(self) -> tuple[JoinKey, ...]:
        """Equality of the columns of the rows around, on the left, and of the domain's, first on the right."""
        rows = (ColumnRef(outer.index, outer.type, outer.name) for outer in self.columns)
        return tuple(JoinKey(*pair, null_safe=True) for pair in zip(rows, self.references(), strict=True))

    def named(self) -> tuple[NamedExpr, ...]:
        return tuple(NamedExpr(reference.name, reference) for reference in self.references())

    def moved(self, expr: Expr, move: Callable[[int], int] | None = None, at: int = 0) -> Expr:
        """`expr` of the subquery over rows that have the domain's columns at position `at`.

        move: where the columns that `expr` reads are now; else behind the domain's columns, which come first.
        """

        def renumber(node: Expr) -> Expr:
            if not isinstance(node, ColumnRef):
                return node
            return replace(node, index=node.index + self.width if move is None else move(node.index))

        references = dict(zip(self.columns, self.references(at), strict=True))
        return moved_out(transform(expr, renumber), references.__getitem__)


def depend(domain: Domain, plan: Plan) -> Plan:
    """For every value of `domain`, and for each row that `plan` has where its outer columns are that value: both, side by side.

    The domain's columns come first. Sound by induction: each operator is done for all values at once, on the rows of one value
    as if there were no others.
    """
    if not outer_columns(plan):
        inside = plan_moved_out(plan)
        return domain.plan if isinstance(inside, OneRow) else Join(domain.plan, inside, "inner")
    match plan:
        case Filter(input=input, predicate=predicate):
            return Filter(depend(domain, input), domain.moved(predicate))
        case Project(input=input, expressions=expressions):
            values = tuple(replace(named, expr=domain.moved(named.expr)) for named in expressions)
            return Project(depend(domain, input), (*domain.named(), *values))
        case Aggregate():
            return depend_aggregate(domain, plan)
        case Sort(input=input, keys=keys):
            return Sort(depend(domain, input), tuple(replace(key, expr=domain.moved(key.expr)) for key in keys))
        case Limit():
            return depend_limit(domain, plan)
        case Join():
            return depend_join(domain, plan)
        case Union(branches=branches):
            return Union(tuple(depend(domain, branch) for branch in branches))
        case Window(input=input):
            return replace(
                plan,
                input=depend(domain, input),
                partition=(*domain.references(), *(domain.moved(part) for part in plan.partition)),
                order=tuple(replace(key, expr=domain.moved(key.expr)) for key in plan.order),
                functions=tuple(map_window(item, domain.moved) for item in plan.functions),
            )
        case Scan() | OneRow() | CommonScan() | With():
            raise AssertionError("a scan reads no outer column")
        case _:
            assert_never(plan)


def depend_aggregate(domain: Domain, plan: Aggregate) -> Plan:
    """Groups within each value; without keys one group for each value, even where there is no row."""
    groups = depend_groups(domain, plan)
    if plan.keys:
        return groups
    joined = Join(domain.plan, groups, "left", domain.keys())
    values = values_of_groups(groups, 2 * domain.width)
    named = (NamedExpr(item.name, value) for item, value in zip(plan.aggregates, values, strict=True))
    return Project(joined, (*domain.named(), *named))


def depend_groups(domain: Domain, plan: Aggregate) -> Aggregate:
    """The groups of each value that are there."""
    keys = tuple(replace(key, expr=domain.moved(key.expr)) for key in plan.keys)
    aggregates = tuple(map_aggregate(aggregate, domain.moved) for aggregate in plan.aggregates)
    return replace(plan, input=depend(domain, plan.input), keys=(*domain.named(), *keys), aggregates=aggregates)


def values_of_groups(groups: Aggregate, at: int) -> list[Expr]:
    """The aggregates of `groups`, the first of which stands at `at`, where a left join may have found no group."""
    columns = (ColumnRef(at + index, item.call.type, item.name) for index, item in enumerate(groups.aggregates))
    return [of_no_rows(item.call, column) for item, column in zip(groups.aggregates, columns, strict=True)]


def depend_limit(domain: Domain, plan: Limit) -> Plan:
    """The first rows of each value, by their number within it."""
    order, rows = (plan.input.keys, plan.input.input) if isinstance(plan.input, Sort) else ((), plan.input)
    number = NamedWindow("row_number", WindowCall("row_number", (), BIGINT))
    keys = tuple(replace(key, expr=domain.moved(key.expr)) for key in order)
    numbered = Window(depend(domain, rows), domain.references(), keys, (number,))
    width = len(numbered.schema) - 1
    at = ColumnRef(width, BIGINT, "row_number")
    parts: list[Expr] = []
    if plan.offset:
        parts.append(Call("greater", (at, Literal(plan.offset, BIGINT)), BOOLEAN))
    if plan.count is not None:
        parts.append(Call("less_equal", (at, Literal(plan.offset + plan.count, BIGINT)), BOOLEAN))
    kept = Filter(numbered, conjunction(parts)) if parts else numbered
    return Project(kept, named_columns(numbered, range(width)))


def depend_join(domain: Domain, plan: Join) -> Plan:
    """The domain goes to the left side, which must be there for every value; to the right side if that reads outer columns."""
    right_reads = any(outer_columns_of(key.right) for key in plan.keys) or bool(outer_columns(plan.right))
    if plan.kind == "full":
        return depend_full_join(domain, plan)
    if plan.kind == "inner" and right_reads and not outer_columns(plan.left):
        return depend_right_side(domain, plan)
    left_width, width = len(plan.left.schema), domain.width
    left = depend(domain, plan.left)
    if not right_reads:
        keys = tuple(
            replace(key, left=domain.moved(key.left), right=domain.moved(key.right, lambda index: index)) for key in plan.keys
        )
        condition = None if plan.condition is None else domain.moved(plan.condition)
        return Join(left, plan_moved_out(plan.right), plan.kind, keys, condition)
    joined = both_sides(domain, plan, left)
    if plan.kind in ("semi", "anti", "mark"):
        return joined
    kept = [*range(width + left_width), *range(2 * width + left_width, len(joined.schema))]
    return Project(joined, named_columns(joined, kept))


def both_sides(domain: Domain, plan: Join, left: Plan) -> Join:
    """Both inputs with the domain's columns, joined where these are equal, too."""
    left_width, width = len(plan.left.schema), domain.width
    keys = tuple(replace(key, left=domain.moved(key.left), right=domain.moved(key.right)) for key in plan.keys)
    condition = plan.condition
    if condition is not None:
        condition = domain.moved(condition, lambda index: index + (width if index < left_width else 2 * width))
    return Join(left, depend(domain, plan.right), plan.kind, (*domain.keys(), *keys), condition)


def depend_right_side(domain: Domain, plan: Join) -> Plan:
    """An inner join whose left side is the same for all values."""
    left_width, width = len(plan.left.schema), domain.width
    left = plan_moved_out(plan.left)
    condition = plan.condition
    keys: list[JoinKey] = []
    parts: list[Expr] = []

    def move(index: int) -> int:
        return index if index < left_width else index + width

    for key in plan.keys:
        if outer_columns_of(key.left):
            parts.append(equality(domain, key, left_width))
        else:
            keys.append(replace(key, left=moved_out(key.left, never), right=domain.moved(key.right)))
    if condition is not None:
        parts.append(domain.moved(condition, move, left_width))
    joined = Join(left, depend(domain, plan.right), "inner", tuple(keys), conjunction(parts) if parts else None)
    order = [*range(left_width, left_width + width), *range(left_width), *range(left_width + width, len(joined.schema))]
    return Project(joined, named_columns(joined, order))


def equality(domain: Domain, key: JoinKey, left_width: int) -> Expr:
    """A key as a condition over the left input's columns, the domain's, and the right input's."""
    left = domain.moved(key.left, lambda index: index, left_width)
    right = domain.moved(key.right, lambda index: index + left_width + domain.width, left_width)
    return Call("is_not_distinct_from" if key.null_safe else "equal", (left, right), BOOLEAN)


def never(node: OuterColumn) -> Expr:
    raise AssertionError(f"{node} is not to be read here")


def depend_full_join(domain: Domain, plan: Join) -> Plan:
    """A row without a partner has the domain's value on one side only."""
    joined = both_sides(domain, plan, depend(domain, plan.left))
    left_width, width = len(plan.left.schema), domain.width
    second = domain.references(width + left_width)
    values = (
        NamedExpr(first.name, Call("coalesce", (first, other), first.type))
        for first, other in zip(domain.references(), second, strict=True)
    )
    others: Sequence[int] = [*range(width, width + left_width), *range(2 * width + left_width, len(joined.schema))]
    return Project(joined, (*values, *named_columns(joined, others)))
