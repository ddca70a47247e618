"""Rule: read and compute only the columns that something above needs."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from qtensor.expressions import ColumnRef
from qtensor.logical import Aggregate, Filter, Limit, NamedExpr, OneRow, Plan, Project, Scan, Sort
from qtensor.rules.rewriting import columns_of, map_aggregate, renumbered


def prune_columns(plan: Plan) -> Plan:
    """Drop unused columns, from the top of the plan down into the scan.

    Sound: a column that nothing reads has no influence on a row, except by an error while it is computed, which SQL does
    not promise.
    """
    width = len(plan.schema)
    pruned, positions = keep(plan, set(range(width)))
    if pruned == plan:
        return plan
    return in_order(pruned, plan, positions)


def in_order(pruned: Plan, plan: Plan, positions: dict[int, int]) -> Plan:
    """The columns of `plan`, in its order."""
    if positions == {index: index for index in range(len(plan.schema))} and len(pruned.schema) == len(plan.schema):
        return pruned
    fields = enumerate(plan.schema)
    return Project(
        pruned,
        tuple(NamedExpr(field.name, ColumnRef(positions[index], field.type, field.name)) for index, field in fields),
    )


def keep(plan: Plan, needed: set[int]) -> tuple[Plan, dict[int, int]]:
    """A plan with at least the `needed` output columns, and where each of them now is."""
    match plan:
        case OneRow():
            return plan, {}
        case Scan(fields=fields, columns=columns):
            order = sorted(needed)
            new = Scan(plan.table, tuple(fields[index] for index in order), tuple(columns[index] for index in order))
            return new, {old: position for position, old in enumerate(order)}
        case Project(expressions=expressions):
            order = sorted(needed)
            kept = [expressions[index] for index in order]
            below, positions = keep(plan.input, {column for named in kept for column in columns_of(named.expr)})
            moved = tuple(replace(named, expr=renumbered(named.expr, positions)) for named in kept)
            return Project(below, moved), {old: position for position, old in enumerate(order)}
        case Filter(predicate=predicate):
            below, positions = keep(plan.input, needed | columns_of(predicate))
            return Filter(below, renumbered(predicate, positions)), positions
        case Sort(keys=keys):
            below, positions = keep(plan.input, needed.union(*(columns_of(key.expr) for key in keys)))
            return Sort(below, tuple(replace(key, expr=renumbered(key.expr, positions)) for key in keys)), positions
        case Limit():
            below, positions = keep(plan.input, needed)
            return replace(plan, input=below), positions
        case Aggregate():
            return keep_of_aggregate(plan, needed)
        case _:
            assert_never(plan)


def keep_of_aggregate(plan: Aggregate, needed: set[int]) -> tuple[Plan, dict[int, int]]:
    """All keys stay, since they make the groups; aggregates only if needed."""
    width = len(plan.keys)
    order = [index for index in range(len(plan.aggregates)) if width + index in needed]
    kept = [plan.aggregates[index] for index in order]
    read = {column for key in plan.keys for column in columns_of(key.expr)}
    for aggregate in kept:
        for expr in (aggregate.call.argument, aggregate.call.filter):
            read |= set() if expr is None else columns_of(expr)
    below, positions = keep(plan.input, read)
    keys = tuple(replace(key, expr=renumbered(key.expr, positions)) for key in plan.keys)
    aggregates = tuple(map_aggregate(aggregate, lambda expr: renumbered(expr, positions)) for aggregate in kept)
    moved = {index: index for index in range(width)} | {width + old: width + new for new, old in enumerate(order)}
    return Aggregate(below, keys, aggregates), moved
