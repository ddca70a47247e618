"""What rules share: mapping the expressions of a node, substitution, conjunctions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from qtensor.expressions import Call, ColumnRef, Expr, children, map_window_call, with_children
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    JoinKey,
    Limit,
    NamedAggregate,
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
    inputs,
    with_inputs,
)
from qtensor.types import BOOLEAN


def transform(expr: Expr, function: Callable[[Expr], Expr]) -> Expr:
    """`function` applied to every node of `expr`, operands first."""
    return function(with_children(expr, tuple(transform(child, function) for child in children(expr))))


def map_expressions(plan: Plan, function: Callable[[Expr], Expr]) -> Plan:
    """`plan` with `function` applied to each of its own expressions; the same object when none changed."""
    match plan:
        case Scan() | OneRow() | CommonScan() | Limit() | Union() | With():
            return plan
        case Join(keys=join_keys, condition=condition):
            pairs = tuple(replace(key, left=function(key.left), right=function(key.right)) for key in join_keys)
            joined = None if condition is None else function(condition)
            return plan if pairs == join_keys and joined == condition else replace(plan, keys=pairs, condition=joined)
        case Window(partition=partition, order=order, functions=functions):
            window = replace(
                plan,
                partition=tuple(function(part) for part in partition),
                order=tuple(replace(key, expr=function(key.expr)) for key in order),
                functions=tuple(map_window(item, function) for item in functions),
            )
            return plan if window == plan else window
        case Filter(predicate=predicate):
            new = function(predicate)
            return plan if new is predicate else replace(plan, predicate=new)
        case Project(expressions=expressions):
            named = map_named(expressions, function)
            return plan if named is expressions else replace(plan, expressions=named)
        case Sort(keys=keys):
            sort_keys = tuple(replace(key, expr=function(key.expr)) for key in keys)
            return plan if sort_keys == keys else replace(plan, keys=sort_keys)
        case Aggregate(keys=named_keys, aggregates=aggregates):
            new_keys = map_named(named_keys, function)
            new_aggregates = tuple(map_aggregate(aggregate, function) for aggregate in aggregates)
            if new_keys is named_keys and new_aggregates == aggregates:
                return plan
            return replace(plan, keys=new_keys, aggregates=new_aggregates)
        case _:
            assert_never(plan)


def map_named(named: tuple[NamedExpr, ...], function: Callable[[Expr], Expr]) -> tuple[NamedExpr, ...]:
    new = tuple(replace(item, expr=function(item.expr)) for item in named)
    return named if all(a.expr is b.expr for a, b in zip(named, new, strict=True)) else new


def map_aggregate(aggregate: NamedAggregate, function: Callable[[Expr], Expr]) -> NamedAggregate:
    call = aggregate.call
    arguments = tuple(function(argument) for argument in call.arguments)
    condition = None if call.filter is None else function(call.filter)
    order = tuple(replace(key, expr=function(key.expr)) for key in call.order)
    return replace(aggregate, call=replace(call, arguments=arguments, filter=condition, order=order))


def map_window(named: NamedWindow, function: Callable[[Expr], Expr]) -> NamedWindow:
    return replace(named, call=map_window_call(named.call, function))


def substitute(expr: Expr, columns: Sequence[Expr]) -> Expr:
    """`expr` with every column reference replaced by the expression at its position."""
    return transform(expr, lambda node: columns[node.index] if isinstance(node, ColumnRef) else node)


def renumbered(expr: Expr, positions: dict[int, int]) -> Expr:
    """`expr` with column references moved to new positions."""
    return transform(expr, lambda node: replace(node, index=positions[node.index]) if isinstance(node, ColumnRef) else node)


def expressions_of(plan: Plan) -> tuple[Expr, ...]:
    """The expressions of a node itself, not those of its inputs."""
    found: list[Expr] = []

    def collect(expr: Expr) -> Expr:
        found.append(expr)
        return expr

    map_expressions(plan, collect)
    return tuple(found)


def columns_of(*expressions: Expr | None) -> set[int]:
    """The positions of all columns that the expressions read."""
    found: set[int] = set()
    for expr in expressions:
        if isinstance(expr, ColumnRef):
            found.add(expr.index)
        elif expr is not None:
            found |= columns_of(*children(expr))
    return found


def conjunction(parts: Sequence[Expr]) -> Expr:
    return parts[0] if len(parts) == 1 else Call("and", tuple(parts), BOOLEAN)


def map_plan(plan: Plan, function: Callable[[Plan], Plan]) -> Plan:
    """`function` applied to every node, inputs first; the same object where nothing changed."""
    below = [map_plan(input, function) for input in inputs(plan)]
    return function(with_inputs(plan, below))


def filtered(plan: Plan, parts: Sequence[Expr]) -> Plan:
    """The rows of `plan` for which all of `parts` are true; `plan` itself without any."""
    return Filter(plan, conjunction(parts)) if parts else plan


def column(plan: Plan, index: int, shift: int = 0) -> ColumnRef:
    """A reference to column `index` of `plan`, which stands at `index` + `shift` of the rows at hand."""
    field = plan.schema[index]
    return ColumnRef(index + shift, field.type, field.name)


def all_columns(plan: Plan, shift: int = 0) -> list[Expr]:
    """References to every column of `plan`, which start at position `shift` of the rows at hand."""
    return [column(plan, index, shift) for index in range(len(plan.schema))]


def named_columns(plan: Plan, positions: Sequence[int]) -> tuple[NamedExpr, ...]:
    """The columns at `positions` under their names."""
    return tuple(NamedExpr(plan.schema[index].name, column(plan, index)) for index in positions)


def shifted(expr: Expr, by: int) -> Expr:
    """`expr` with every column reference moved `by` positions."""
    return transform(expr, lambda node: replace(node, index=node.index + by) if isinstance(node, ColumnRef) else node)


def key_condition(key: JoinKey, width: int) -> Expr:
    """A key as a condition over the columns of both inputs, `width` those of the left one."""
    return Call("is_not_distinct_from" if key.null_safe else "equal", (key.left, shifted(key.right, width)), BOOLEAN)
