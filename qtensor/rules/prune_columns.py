"""Rule: read and compute only the columns that something above needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from qtensor.expressions import ColumnRef
from qtensor.logical import (
    Aggregate,
    Filter,
    Join,
    Limit,
    NamedExpr,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    inputs,
    repeated,
    with_inputs,
)
from qtensor.lowering.uniqueness import has_unique_partner
from qtensor.rules.rewriting import columns_of, map_aggregate, map_expressions, renumbered


def prune_columns(plan: Plan) -> Plan:
    """Drop unused columns, from the top of the plan down into the scan.

    A plan that occurs several times keeps what any of them needs, so that it is still one plan, to be computed once.

    Sound: a column that nothing reads has no influence on a row, except by an error while it is computed, which SQL does
    not promise.
    """
    shared: dict[Plan, Scan] = {part: stand_in(number, part) for number, part in enumerate(repeated(plan)) if part != plan}
    outline = replaced(plan, shared)
    pruned, positions = keep(outline, set(range(len(plan.schema))))
    pruned = in_order(pruned, plan, positions)
    if shared:
        pruned = with_shared(pruned, {scan.table: part for part, scan in shared.items()})
    return plan if pruned == plan else pruned


def stand_in(number: int, plan: Plan) -> Scan:
    """A scan of all columns of `plan`, as if it were a table, of a name that no table has."""
    return Scan(f"\0{number}", plan.schema, tuple(range(len(plan.schema))))


def replaced(plan: Plan, parts: Mapping[Plan, Plan]) -> Plan:
    """`plan` with others in the place of some of its parts."""
    if plan in parts:
        return parts[plan]
    return with_inputs(plan, [replaced(input, parts) for input in inputs(plan)])


def with_shared(plan: Plan, parts: Mapping[str, Plan]) -> Plan:
    """`plan` with the parts in the place of their stand-ins, each pruned to the columns that all of its stand-ins read."""
    scans = [scan for scan in scans_of(plan) if scan.table in parts]
    needed = {table: sorted({column for scan in scans if scan.table == table for column in scan.columns}) for table in parts}
    pruned = {table: prune_columns(projected(parts[table], order)) for table, order in needed.items()}
    chosen: dict[Plan, Plan] = {scan: chosen_of(scan, pruned[scan.table], needed[scan.table]) for scan in scans}
    return replaced(plan, chosen)


def scans_of(plan: Plan) -> list[Scan]:
    return [plan] if isinstance(plan, Scan) else [scan for input in inputs(plan) for scan in scans_of(input)]


def projected(plan: Plan, order: Sequence[int]) -> Plan:
    """The columns `order` of `plan`; the plan itself if these are all."""
    if list(order) == list(range(len(plan.schema))):
        return plan
    fields = [(index, plan.schema[index]) for index in order]
    return Project(plan, tuple(NamedExpr(field.name, ColumnRef(index, field.type, field.name)) for index, field in fields))


def chosen_of(scan: Scan, part: Plan, columns: Sequence[int]) -> Plan:
    """What the stand-in `scan` reads of `part`, whose columns were once `columns`."""
    return projected(part, [columns.index(column) for column in scan.columns])


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
        case Join():
            return keep_of_join(plan, needed)
        case Union(branches=branches):
            order = sorted(needed)
            return Union(tuple(exactly(branch, order) for branch in branches)), {
                old: position for position, old in enumerate(order)
            }
        case Window():
            return keep_of_window(plan, needed)
        case _:
            assert_never(plan)


def keep_of_aggregate(plan: Aggregate, needed: set[int]) -> tuple[Plan, dict[int, int]]:
    """All keys stay, since they make the groups; aggregates only if needed."""
    width = len(plan.keys)
    order = [index for index in range(len(plan.aggregates)) if width + index in needed]
    kept = [plan.aggregates[index] for index in order]
    read = {column for key in plan.keys for column in columns_of(key.expr)}
    for aggregate in kept:
        call = aggregate.call
        read |= columns_of(*call.arguments, call.filter, *(key.expr for key in call.order))
    below, positions = keep(plan.input, read)
    keys = tuple(replace(key, expr=renumbered(key.expr, positions)) for key in plan.keys)
    aggregates = tuple(map_aggregate(aggregate, lambda expr: renumbered(expr, positions)) for aggregate in kept)
    moved = {index: index for index in range(width)} | {width + old: width + new for new, old in enumerate(order)}
    return Aggregate(below, keys, aggregates), moved


def exactly(plan: Plan, order: list[int]) -> Plan:
    """The columns `order` of `plan` and no others."""
    pruned, positions = keep(plan, set(order))
    if [positions[index] for index in order] == list(range(len(pruned.schema))):
        return pruned
    fields = [(positions[index], plan.schema[index]) for index in order]
    return Project(pruned, tuple(NamedExpr(field.name, ColumnRef(at, field.type, field.name)) for at, field in fields))


def keep_of_join(plan: Join, needed: set[int]) -> tuple[Plan, dict[int, int]]:
    """What is needed above, and what keys and condition read.

    A left join that adds one row at most, of which nothing is read, keeps the left rows as they are.
    """
    width = len(plan.left.schema)
    if plan.kind in ("left", "single") and all(index < width for index in needed) and has_unique_partner(plan, never_known):
        return keep(plan.left, needed)
    paired = plan.kind not in ("semi", "anti", "mark")
    read = columns_of(plan.condition) | (needed if paired else {index for index in needed if index < width})
    left, left_positions = keep(
        plan.left, {index for index in read if index < width} | columns_of(*(key.left for key in plan.keys))
    )
    right_read = {index - width for index in read if index >= width} | columns_of(*(key.right for key in plan.keys))
    right, right_positions = keep(plan.right, right_read)
    new_width = len(left.schema)
    positions = left_positions | {width + old: new_width + new for old, new in right_positions.items()}
    keys = tuple(
        replace(key, left=renumbered(key.left, left_positions), right=renumbered(key.right, right_positions)) for key in plan.keys
    )
    condition = None if plan.condition is None else renumbered(plan.condition, positions)
    new = Join(left, right, plan.kind, keys, condition)
    if paired:
        return new, positions
    return new, left_positions | ({width: new_width} if plan.kind == "mark" else {})


def never_known(table: str, columns: Sequence[int]) -> bool:
    """Rules rely on what a plan says, not on what its tables happen to hold."""
    return False


def keep_of_window(plan: Window, needed: set[int]) -> tuple[Plan, dict[int, int]]:
    """The functions that are needed, and what they and the partitions read."""
    width = len(plan.input.schema)
    order = [index for index in range(len(plan.functions)) if width + index in needed]
    kept = [plan.functions[index] for index in order]
    read = {index for index in needed if index < width}
    if not kept:
        return keep(plan.input, read)
    read |= columns_of(*plan.partition, *(key.expr for key in plan.order))
    for item in kept:
        read |= columns_of(*item.call.arguments, item.call.filter)
    below, positions = keep(plan.input, read)
    moved = map_expressions(replace(plan, functions=tuple(kept)), lambda expr: renumbered(expr, positions))
    new_width = len(below.schema)
    return with_inputs(moved, [below]), positions | {width + old: new_width + new for new, old in enumerate(order)}
