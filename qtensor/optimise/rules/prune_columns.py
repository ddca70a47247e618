"""Rule: read and compute only the columns that something above needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from qtensor.expressions import ColumnRef, parts_of_window
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Definition,
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
    With,
    definitions_of,
    inputs,
    with_inputs,
)
from qtensor.optimise.facts.repeated import repeated
from qtensor.optimise.facts.uniqueness import UniqueKeys, has_unique_partner
from qtensor.optimise.rewriting import columns_of, map_aggregate, map_expressions, renumbered


@dataclass(frozen=True)
class Shared:
    """Which columns are `needed` somewhere of the plans that occur several times, and of the definitions of a `With`, by number.

    unique: what a plan says by itself of unique columns.
    """

    needed: dict[Plan | int, set[int]]
    unique: UniqueKeys

    @classmethod
    def of(cls, plan: Plan) -> Shared:
        definitions = definitions_of(plan)
        return cls({part: set() for part in (*repeated(plan), *definitions)}, UniqueKeys(never_known, definitions))


def prune_columns(plan: Plan) -> Plan:
    """Drop unused columns, from the top of the plan down into the scan.

    Sound: a column that nothing reads has no influence on a row, except by an error while it is computed, which SQL does
    not promise. A plan that occurs several times, as a CTE does, has the columns that any of its occurrences needs, so that it
    still is one plan and computed once.
    """
    everything = set(range(len(plan.schema)))
    shared = Shared.of(plan)
    while True:
        known = {part: set(needed) for part, needed in shared.needed.items()}
        pruned, positions = keep(plan, everything, shared)
        if shared.needed == known:  # else a plan that occurs twice was pruned for the needs of its first occurrence alone
            break
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


def keep(plan: Plan, needed: set[int], shared: Shared) -> tuple[Plan, dict[int, int]]:
    """A plan with at least the `needed` output columns, and where each of them now is."""
    if shared.needed and plan in shared.needed:
        shared.needed[plan] |= needed
        needed = set(shared.needed[plan])
    match plan:
        case OneRow():
            return plan, {}
        case CommonScan(number=number, fields=fields):
            shared.needed[number] |= needed
            order = sorted(shared.needed[number])
            positions = {old: position for position, old in enumerate(order)}
            return replace(plan, fields=tuple(fields[index] for index in order)), positions
        case With(definitions=definitions, input=input):
            below, positions = keep(input, needed, shared)
            return with_definitions(below, [kept_definition(item, shared) for item in reversed(definitions)]), positions
        case Scan(fields=fields, columns=columns):
            order = sorted(needed)
            new = replace(plan, fields=tuple(fields[index] for index in order), columns=tuple(columns[index] for index in order))
            return new, {old: position for position, old in enumerate(order)}
        case Project(expressions=expressions):
            order = sorted(needed)
            kept = [expressions[index] for index in order]
            below, positions = keep(plan.input, {column for named in kept for column in columns_of(named.expr)}, shared)
            moved = tuple(replace(named, expr=renumbered(named.expr, positions)) for named in kept)
            return Project(below, moved), {old: position for position, old in enumerate(order)}
        case Filter(predicate=predicate):
            below, positions = keep(plan.input, needed | columns_of(predicate), shared)
            return Filter(below, renumbered(predicate, positions)), positions
        case Sort(keys=keys):
            below, positions = keep(plan.input, needed.union(*(columns_of(key.expr) for key in keys)), shared)
            return Sort(below, tuple(replace(key, expr=renumbered(key.expr, positions)) for key in keys)), positions
        case Limit():
            below, positions = keep(plan.input, needed, shared)
            return replace(plan, input=below), positions
        case Aggregate():
            return keep_of_aggregate(plan, needed, shared)
        case Join():
            return keep_of_join(plan, needed, shared)
        case Union(branches=branches):
            order = sorted(needed)
            return Union(tuple(exactly(branch, order, shared) for branch in branches)), {
                old: position for position, old in enumerate(order)
            }
        case Window():
            return keep_of_window(plan, needed, shared)
        case _:
            assert_never(plan)


def kept_definition(definition: Definition, shared: Shared) -> Definition:
    return replace(definition, plan=exactly(definition.plan, sorted(shared.needed[definition.number]), shared))


def with_definitions(plan: Plan, definitions: Sequence[Definition]) -> Plan:
    """`plan` and those of its `definitions` that are still read; they come last first."""
    read = common_scans(plan)
    kept: list[Definition] = []
    for item in definitions:
        if item.number in read:
            kept.insert(0, item)
            read |= common_scans(item.plan)
    return With(tuple(kept), plan) if kept else plan


def common_scans(plan: Plan) -> set[int]:
    """The numbers of the definitions that `plan` reads itself."""
    return {plan.number} if isinstance(plan, CommonScan) else set().union(*map(common_scans, inputs(plan)))


def keep_of_aggregate(plan: Aggregate, needed: set[int], shared: Shared) -> tuple[Plan, dict[int, int]]:
    """All keys stay, since they make the groups; aggregates only if needed."""
    width = len(plan.keys)
    order = [index for index in range(len(plan.aggregates)) if width + index in needed]
    kept = [plan.aggregates[index] for index in order]
    read = {column for key in plan.keys for column in columns_of(key.expr)}
    for aggregate in kept:
        call = aggregate.call
        read |= columns_of(*call.arguments, call.filter, *(key.expr for key in call.order))
    below, positions = keep(plan.input, read, shared)
    keys = tuple(replace(key, expr=renumbered(key.expr, positions)) for key in plan.keys)
    aggregates = tuple(map_aggregate(aggregate, lambda expr: renumbered(expr, positions)) for aggregate in kept)
    moved = {index: index for index in range(width)} | {width + old: width + new for new, old in enumerate(order)}
    return Aggregate(below, keys, aggregates), moved


def exactly(plan: Plan, order: list[int], shared: Shared) -> Plan:
    """The columns `order` of `plan` and no others."""
    pruned, positions = keep(plan, set(order), shared)
    if [positions[index] for index in order] == list(range(len(pruned.schema))):
        return pruned
    fields = [(positions[index], plan.schema[index]) for index in order]
    return Project(pruned, tuple(NamedExpr(field.name, ColumnRef(at, field.type, field.name)) for at, field in fields))


def keep_of_join(plan: Join, needed: set[int], shared: Shared) -> tuple[Plan, dict[int, int]]:
    """What is needed above, and what keys and condition read.

    A left join that adds one row at most, of which nothing is read, keeps the left rows as they are.
    """
    width = len(plan.left.schema)
    if plan.kind in ("left", "single") and all(index < width for index in needed) and has_unique_partner(plan, shared.unique):
        return keep(plan.left, needed, shared)
    paired = plan.kind not in ("semi", "anti", "mark")
    read = columns_of(plan.condition) | (needed if paired else {index for index in needed if index < width})
    left, left_positions = keep(
        plan.left, {index for index in read if index < width} | columns_of(*(key.left for key in plan.keys)), shared
    )
    right_read = {index - width for index in read if index >= width} | columns_of(*(key.right for key in plan.keys))
    right, right_positions = keep(plan.right, right_read, shared)
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


def keep_of_window(plan: Window, needed: set[int], shared: Shared) -> tuple[Plan, dict[int, int]]:
    """The functions that are needed, and what they and the partitions read."""
    width = len(plan.input.schema)
    order = [index for index in range(len(plan.functions)) if width + index in needed]
    kept = [plan.functions[index] for index in order]
    read = {index for index in needed if index < width}
    if not kept:
        return keep(plan.input, read, shared)
    read |= columns_of(*plan.partition, *(key.expr for key in plan.order))
    for item in kept:
        read |= columns_of(*parts_of_window(item.call))
    below, positions = keep(plan.input, read, shared)
    moved = map_expressions(replace(plan, functions=tuple(kept)), lambda expr: renumbered(expr, positions))
    new_width = len(below.schema)
    return with_inputs(moved, [below]), positions | {width + old: new_width + new for new, old in enumerate(order)}
