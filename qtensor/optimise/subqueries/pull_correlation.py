"""The simple way to make a subquery independent of the rows around it: its conditions on them become conditions of a join."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qtensor.expressions import Call, ColumnRef, Expr, conjuncts
from qtensor.logical import Aggregate, Filter, Join, JoinKey, Limit, NamedExpr, Plan, Project, Sort, Window
from qtensor.optimise.rewriting import (
    all_columns,
    columns_of,
    conjunction,
    filtered,
    key_condition,
    map_aggregate,
    map_window,
    shifted,
    substitute,
)
from qtensor.optimise.subqueries.dependent_join import values_of_groups
from qtensor.optimise.subqueries.outer import outer_columns, outer_columns_of
from qtensor.types import BOOLEAN


@dataclass(frozen=True)
class Pulled:
    """A subquery's plan, taken apart: for a row around it, its rows are the `outputs` of those rows of `plan` for which all
    `conditions` are true.

    `plan` reads no column of the next query around; outputs and conditions read its columns and outer ones. `total`: there is
    one such row at most, and where there is none the outputs for a row of NULLs are the one row of the subquery.
    """

    plan: Plan
    outputs: tuple[Expr, ...]
    conditions: tuple[Expr, ...] = ()
    total: bool = False

    def moved(self, expr: Expr) -> Expr:
        """An expression over the subquery's columns as one over the plan's."""
        return substitute(expr, self.outputs)


def pull_correlation(plan: Plan) -> Pulled | None:
    """`plan` taken apart; None where an operator does more than to pass its rows' conditions on.

    Sound: a condition that has one value for every row of an input row, or of a group, or of a partition, may be asked later.
    """
    if not outer_columns(plan):
        return Pulled(plan, tuple(all_columns(plan)))
    match plan:
        case Filter():
            return pull_filter(plan)
        case Project(input=input, expressions=expressions):
            pulled = pull_correlation(input)
            return pulled and replace(pulled, outputs=tuple(pulled.moved(named.expr) for named in expressions))
        case Sort():
            return pull_sort(plan)
        case Limit(input=input, count=count, offset=0) if count != 0:
            pulled = pull_correlation(input)
            return pulled if pulled is not None and pulled.total else None
        case Aggregate():
            return pull_aggregate(plan)
        case Join():
            return pull_join(plan)
        case Window():
            return pull_window(plan)
        case _:
            return None


def pull_rows(plan: Plan) -> Pulled | None:
    """The same where the rows themselves are needed, not those of a group that is not there."""
    pulled = pull_correlation(plan)
    return None if pulled is None or pulled.total else pulled


def pull_filter(plan: Filter) -> Pulled | None:
    pulled = pull_rows(plan.input)
    if pulled is None:
        return None
    parts = [pulled.moved(part) for part in conjuncts(plan.predicate)]
    own = [part for part in parts if not outer_columns_of(part)]
    conditions = [part for part in parts if outer_columns_of(part)]
    return replace(pulled, plan=filtered(pulled.plan, own), conditions=(*pulled.conditions, *conditions))


def pull_sort(plan: Sort) -> Pulled | None:
    """Order matters to some aggregates above; rows of other values in between do not."""
    pulled = pull_correlation(plan.input)
    if pulled is None or pulled.total:
        return pulled
    keys = tuple(replace(key, expr=pulled.moved(key.expr)) for key in plan.keys)
    if any(outer_columns_of(key.expr) for key in keys):
        return None
    return replace(pulled, plan=Sort(pulled.plan, keys))


@dataclass(frozen=True)
class Equality:
    """A condition that an expression over the plan's columns equals one over outer columns."""

    inner: Expr
    outer: Expr
    call: Call

    @classmethod
    def of(cls, condition: Expr) -> Equality | None:
        match condition:
            case Call(function="equal" | "is_not_distinct_from", arguments=(first, second)):
                for inner, outer in ((first, second), (second, first)):
                    if not outer_columns_of(inner) and columns_of(inner) and outer_columns_of(outer) and not columns_of(outer):
                        return cls(inner, outer, condition)
        return None

    def with_inner(self, inner: Expr) -> Expr:
        return replace(self.call, arguments=(inner, self.outer))


def equalities(conditions: tuple[Expr, ...]) -> list[Equality] | None:
    found = [Equality.of(condition) for condition in conditions]
    known = [equality for equality in found if equality is not None]
    return known if len(known) == len(found) else None


def pull_aggregate(plan: Aggregate) -> Pulled | None:
    """Where outer values are only compared for equality, the groups of all values are computed at once."""
    pulled = pull_rows(plan.input)
    if pulled is None:
        return None
    equal = equalities(pulled.conditions)
    keys = tuple(replace(key, expr=pulled.moved(key.expr)) for key in plan.keys)
    aggregates = tuple(map_aggregate(aggregate, pulled.moved) for aggregate in plan.aggregates)
    more = () if equal is None else tuple(NamedExpr(f"key{at}", equality.inner) for at, equality in enumerate(equal))
    grouped = replace(plan, input=pulled.plan, keys=(*keys, *more), aggregates=aggregates)
    if equal is None or outer_columns(grouped):
        return None
    columns = all_columns(grouped)
    first, width = len(keys), len(keys) + len(more)
    conditions = tuple(equality.with_inner(columns[first + at]) for at, equality in enumerate(equal))
    if plan.keys:
        return Pulled(grouped, (*columns[:first], *columns[width:]), conditions)
    return Pulled(grouped, tuple(values_of_groups(grouped, width)), conditions, total=True)


def pull_window(plan: Window) -> Pulled | None:
    """As groups: the partitions of all outer values at once."""
    pulled = pull_rows(plan.input)
    equal = None if pulled is None else equalities(pulled.conditions)
    if pulled is None or equal is None:
        return None
    more = tuple(equality.inner for equality in equal)
    window = replace(
        plan,
        input=pulled.plan,
        partition=(*more, *(pulled.moved(part) for part in plan.partition)),
        order=tuple(replace(key, expr=pulled.moved(key.expr)) for key in plan.order),
        functions=tuple(map_window(item, pulled.moved) for item in plan.functions),
    )
    if outer_columns(window):
        return None
    return replace(pulled, plan=window, outputs=(*pulled.outputs, *all_columns(window)[len(pulled.plan.schema) :]))


def pull_join(plan: Join) -> Pulled | None:
    """From both inputs of an inner join; of others from the left one, whose rows they keep or drop."""
    left = pull_rows(plan.left)
    right = pull_rows(plan.right) if plan.kind == "inner" else None if outer_columns(plan.right) else identity(plan.right)
    if left is None or right is None or plan.kind == "full":
        return None
    width = len(left.plan.schema)
    outputs = (*left.outputs, *(shifted(output, width) for output in right.outputs))
    keys = tuple(replace(key, left=left.moved(key.left), right=right.moved(key.right)) for key in plan.keys)
    parts = [] if plan.condition is None else conjuncts(substitute(plan.condition, outputs))
    parts += [key_condition(key, width) for key in keys if has_outer(key)]
    own = [part for part in parts if not outer_columns_of(part)]
    outside = [part for part in parts if outer_columns_of(part)]
    if plan.kind != "inner" and outside:
        return None
    joined = Join(left.plan, right.plan, plan.kind, tuple(key for key in keys if not has_outer(key)))
    if own:
        joined = replace(joined, condition=conjunction(own))
    conditions = (*left.conditions, *(shifted(part, width) for part in right.conditions), *outside)
    if plan.kind in ("semi", "anti"):
        return Pulled(joined, left.outputs, conditions)
    if plan.kind == "mark":
        return Pulled(joined, (*left.outputs, ColumnRef(width, BOOLEAN, "mark")), conditions)
    return Pulled(joined, outputs, conditions)


def identity(plan: Plan) -> Pulled:
    return Pulled(plan, tuple(all_columns(plan)))


def has_outer(key: JoinKey) -> bool:
    return bool(outer_columns_of(key.left) or outer_columns_of(key.right))
