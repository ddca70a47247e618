"""Rule: filter early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from qtensor.expressions import Call, ColumnRef, Expr, conjuncts
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    Limit,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
    inputs,
    with_inputs,
)
from qtensor.optimise.facts.expressions import stays
from qtensor.optimise.rewriting import columns_of, conjunction, filtered, substitute
from qtensor.optimise.rules.push_filter_into_join import push_filter_into_join
from qtensor.types import BOOLEAN

MOST_READERS = 16  # of a definition: the conditions of more would make a long one

# For each definition what every scan of it asks for.
Asked: TypeAlias = dict[int, list[tuple[Expr, ...]]]


def push_filter_down(plan: Plan) -> Plan:
    """Move the conditions of filters and inner joins as far down as they can go, from the top of the plan.

    Sound: a projection computes each row from itself alone, so a condition on its output is one on its input. A condition
    on group keys has one value for all rows of a group, so it removes whole groups; not without keys, where the one group
    exists even when no row is left; likewise for a window's partitions. What may raise an error is not moved below an
    aggregate. For joins see `push_filter_into_join`. A definition that several scans read needs the rows that one of them keeps:
    for which the conditions of one are true.
    """
    return pushed(plan, [], {})


def pushed(plan: Plan, parts: Sequence[Expr], asked: Asked) -> Plan:
    """The rows of `plan` for which all of `parts` are true."""
    match plan:
        case Filter(input=input, predicate=predicate):
            return same(plan, pushed(input, [*dict.fromkeys((*conjuncts(predicate), *parts))], asked))
        case Sort(input=input):
            return with_inputs(plan, [pushed(input, parts, asked)])
        case Project(input=input, expressions=expressions):
            columns = [named.expr for named in expressions]
            return with_inputs(plan, [pushed(input, [substitute(part, columns) for part in parts], asked)])
        case Aggregate():
            return push_below_groups(plan, [key.expr for key in plan.keys], range(len(plan.keys)), parts, asked)
        case Window(partition=partition, input=input):
            positions = [part.index for part in partition if isinstance(part, ColumnRef)]
            columns = [ColumnRef(at, field.type, field.name) for at, field in enumerate(input.schema)]
            return push_below_groups(plan, columns, positions, parts, asked)
        case Union(branches=branches):
            return with_inputs(plan, [pushed(branch, parts, asked) for branch in branches])
        case Join():
            split = push_filter_into_join(plan, parts)
            new = with_inputs(split.join, [pushed(plan.left, split.left, asked), pushed(plan.right, split.right, asked)])
            return filtered(new, split.above)
        case CommonScan(number=number):
            asked.setdefault(number, []).append(tuple(parts))
            return filtered(plan, parts)
        case With(definitions=definitions, input=input):
            below = pushed(input, parts, asked)
            kept = [pushed(item.plan, asked_of_all(asked.get(item.number, [])), asked) for item in reversed(definitions)]
            return with_inputs(plan, [*reversed(kept), below])
        case Limit() | Scan() | OneRow():
            return filtered(with_inputs(plan, [pushed(input, [], asked) for input in inputs(plan)]), parts)
        case _:
            assert_never(plan)


def same(old: Plan, new: Plan) -> Plan:
    """The old object where nothing changed."""
    return old if new == old else new


def push_below_groups(
    plan: Aggregate | Window, keys: Sequence[Expr], positions: Sequence[int], parts: Sequence[Expr], asked: Asked
) -> Plan:
    """Conditions that read only the columns at `positions`, whose values `keys` are, of the rows below."""
    movable = [part for part in parts if columns_of(part) and columns_of(part) <= set(positions) and not stays(part)]
    below = pushed(plan.input, [substitute(part, keys) for part in movable], asked)
    return filtered(with_inputs(plan, [below]), [part for part in parts if part not in movable])


def asked_of_all(occurrences: Sequence[tuple[Expr, ...]]) -> list[Expr]:
    """What is true of every row of a definition that one of its readers keeps: each asks for all parts of one of `occurrences`.

    What may raise an error is asked above alone, and so are models.
    """
    kinds = [tuple(part for part in parts if not stays(part)) for parts in occurrences]
    everywhere = [part for part in kinds[0] if all(part in others for others in kinds)] if kinds else []
    rest = [tuple(part for part in parts if part not in everywhere) for parts in dict.fromkeys(kinds)]
    if len(rest) < 2 or not all(rest) or len(rest) > MOST_READERS:
        return everywhere
    return [*everywhere, Call("or", tuple(conjunction(parts) for parts in rest), BOOLEAN)]
