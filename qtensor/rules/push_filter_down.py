"""Rule: filter early."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import Call, Cast, ColumnRef, Expr, Predict, children, conjuncts
from qtensor.logical import Aggregate, Filter, Join, Plan, Project, Sort
from qtensor.rules.rewriting import columns_of, conjunction, shifted, substitute


def push_filter_down(plan: Plan) -> Plan:
    """Move the conditions of a filter below sorts, projections, other filters and, where they read only group keys, aggregates.

    Sound: a projection computes each row from itself alone, so a condition on its output is one on its input. A condition
    on group keys has one value for all rows of a group, so it removes whole groups; not without keys, where the one group
    exists even when no row is left. What may raise an error is not moved below an aggregate.
    """
    if not isinstance(plan, Filter):
        return plan
    below = plan.input
    match below:
        case Filter():
            return push_filter_down(Filter(below.input, conjunction([*conjuncts(below.predicate), *conjuncts(plan.predicate)])))
        case Sort():
            return replace(below, input=push_filter_down(Filter(below.input, plan.predicate)))
        case Project():
            predicate = substitute(plan.predicate, [named.expr for named in below.expressions])
            return replace(below, input=push_filter_down(Filter(below.input, predicate)))
        case Aggregate() if below.keys:
            return push_below_aggregate(plan, below)
        case Join():
            return push_into_join(plan, below)
        case _:
            return plan


def push_into_join(plan: Filter, join: Join) -> Plan:
    """Conditions on one side go there, where that side's rows are kept as they are; of an inner join the others are its own."""
    width = len(join.left.schema)
    left, right, own, rest = [], [], [], []
    for part in conjuncts(plan.predicate):
        read = columns_of(part)
        if read and max(read) < width and join.kind != "full":
            left.append(part)
        elif read and min(read) >= width and join.kind == "inner":
            right.append(part)
        elif join.kind == "inner":
            own.append(part)
        else:
            rest.append(part)
    new = replace(
        join,
        left=push_filter_down(Filter(join.left, conjunction(left))) if left else join.left,
        right=push_filter_down(Filter(join.right, shifted(conjunction(right), -width))) if right else join.right,
        condition=conjunction([*([] if join.condition is None else conjuncts(join.condition)), *own]) if own else join.condition,
    )
    return Filter(new, conjunction(rest)) if rest else new


def push_below_aggregate(plan: Filter, aggregate: Aggregate) -> Plan:
    keys = [key.expr for key in aggregate.keys]
    parts = conjuncts(plan.predicate)
    movable = [part for part in parts if columns_of(part) <= set(range(len(keys))) and not may_raise(part)]
    if not movable:
        return plan
    filtered = push_filter_down(Filter(aggregate.input, substitute(conjunction(movable), keys)))
    rest = [part for part in parts if part not in movable]
    new = replace(aggregate, input=filtered)
    return Filter(new, conjunction(rest)) if rest else new


def may_raise(expr: Expr) -> bool:
    """Whether some value of a column makes `expr` an error; comparisons and logic of columns and literals never are."""
    match expr:
        case Cast() | Predict():
            return True
        case Call(function=function) if function in ARITHMETIC:
            return True
        case ColumnRef():
            return False
        case _:
            return any(may_raise(child) for child in children(expr))


ARITHMETIC = frozenset(
    ("add", "subtract", "multiply", "divide", "floor_divide", "modulo", "negate", "abs", "add_interval", "subtract_interval")
)
