"""Rule: filter early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from qtensor.expressions import ColumnRef, Expr, conjuncts
from qtensor.logical import Aggregate, Filter, Join, Limit, OneRow, Plan, Project, Scan, Sort, Union, Window, inputs, with_inputs
from qtensor.rules.facts import may_raise
from qtensor.rules.push_filter_into_join import push_filter_into_join
from qtensor.rules.rewriting import columns_of, filtered, substitute


def push_filter_down(plan: Plan) -> Plan:
    """Move the conditions of filters and inner joins as far down as they can go, from the top of the plan.

    Sound: a projection computes each row from itself alone, so a condition on its output is one on its input. A condition
    on group keys has one value for all rows of a group, so it removes whole groups; not without keys, where the one group
    exists even when no row is left; likewise for a window's partitions. What may raise an error is not moved below an
    aggregate. For joins see `push_filter_into_join`.
    """
    return pushed(plan, [])


def pushed(plan: Plan, parts: Sequence[Expr]) -> Plan:
    """The rows of `plan` for which all of `parts` are true."""
    match plan:
        case Filter(input=input, predicate=predicate):
            return same(plan, pushed(input, [*dict.fromkeys((*conjuncts(predicate), *parts))]))
        case Sort(input=input):
            return with_inputs(plan, [pushed(input, parts)])
        case Project(input=input, expressions=expressions):
            columns = [named.expr for named in expressions]
            return with_inputs(plan, [pushed(input, [substitute(part, columns) for part in parts])])
        case Aggregate():
            return push_below_groups(plan, [key.expr for key in plan.keys], range(len(plan.keys)), parts)
        case Window(partition=partition, input=input):
            positions = [part.index for part in partition if isinstance(part, ColumnRef)]
            columns = [ColumnRef(at, field.type, field.name) for at, field in enumerate(input.schema)]
            return push_below_groups(plan, columns, positions, parts)
        case Union(branches=branches):
            return with_inputs(plan, [pushed(branch, parts) for branch in branches])
        case Join():
            split = push_filter_into_join(plan, parts)
            new = with_inputs(split.join, [pushed(plan.left, split.left), pushed(plan.right, split.right)])
            return filtered(new, split.above)
        case Limit() | Scan() | OneRow():
            return filtered(with_inputs(plan, [pushed(input, []) for input in inputs(plan)]), parts)
        case _:
            assert_never(plan)


def same(old: Plan, new: Plan) -> Plan:
    """The old object where nothing changed."""
    return old if new == old else new


def push_below_groups(plan: Aggregate | Window, keys: Sequence[Expr], positions: Sequence[int], parts: Sequence[Expr]) -> Plan:
    """Conditions that read only the columns at `positions`, whose values `keys` are, of the rows below."""
    movable = [part for part in parts if columns_of(part) and columns_of(part) <= set(positions) and not may_raise(part)]
    below = pushed(plan.input, [substitute(part, keys) for part in movable])
    return filtered(with_inputs(plan, [below]), [part for part in parts if part not in movable])
