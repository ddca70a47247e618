"""Columns of a query that its subqueries read: moved along when the query's rows become others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from qtensor.bind.select.collected import as_outer, as_own
from qtensor.expressions import ColumnRef, Expr, OuterColumn, Subquery, children, with_children
from qtensor.logical import Plan, inputs, with_inputs
from qtensor.optimise.rewriting import expressions_of, map_expressions

Move: TypeAlias = Callable[[ColumnRef], Expr]


def with_columns_moved(expr: Expr, move: Move) -> Expr:
    """`expr` with every column replaced, also those that its subqueries read from outside."""
    match expr:
        case ColumnRef():
            return move(expr)
        case Subquery(plan=plan, operands=operands):
            moved = tuple(with_columns_moved(operand, move) for operand in operands)
            return replace(expr, operands=moved, plan=with_outer_moved(plan, move))
        case _:
            return with_children(expr, tuple(with_columns_moved(child, move) for child in children(expr)))


def from_inside(expr: Expr, depth: int) -> Expr | None:
    """`expr` of a query as a subquery `depth` levels further in sees it; None if there is a subquery in it."""
    match expr:
        case ColumnRef():
            return as_outer(expr, depth)
        case OuterColumn():
            return replace(expr, depth=expr.depth + depth)
        case Subquery():
            return None
        case _:
            parts = [from_inside(child, depth) for child in children(expr)]
            known = tuple(part for part in parts if part is not None)
            return with_children(expr, known) if len(known) == len(parts) else None


def with_outer_moved(plan: Plan, move: Move) -> Plan:
    """The plan of a subquery in which the columns of the next query around are replaced, by columns only."""

    def change(column: OuterColumn, inside: int) -> OuterColumn:
        if column.depth != inside + 1:
            return column
        moved = move(as_own(column))
        assert isinstance(moved, ColumnRef)
        return replace(as_outer(moved, column.depth), name=column.name)

    return _with_outer(plan, change)


def without_level(plan: Plan) -> Plan:
    """The plan of a subquery that reads nothing of the next query around, as one of the query around that."""

    def change(column: OuterColumn, inside: int) -> OuterColumn:
        return replace(column, depth=column.depth - 1) if column.depth > inside + 1 else column

    return _with_outer(plan, change)


def _with_outer(plan: Plan, change: Callable[[OuterColumn, int], OuterColumn]) -> Plan:
    """`plan` with other outer columns; `change` is told in how many subqueries of the plan a column stands."""

    seen: dict[tuple[int, int], Plan] = {}

    def visit_plan(plan: Plan, inside: int) -> Plan:
        if (id(plan), inside) not in seen:  # a CTE's plan may be there many times, and is one plan afterwards
            below = with_inputs(plan, [visit_plan(part, inside) for part in inputs(plan)])
            seen[id(plan), inside] = map_expressions(below, lambda expr: visit(expr, inside))
        return seen[id(plan), inside]

    def visit(expr: Expr, inside: int) -> Expr:
        match expr:
            case OuterColumn():
                return change(expr, inside)
            case Subquery(plan=inner, operands=operands):
                moved = tuple(visit(operand, inside) for operand in operands)
                return replace(expr, operands=moved, plan=visit_plan(inner, inside + 1))
            case _:
                return with_children(expr, tuple(visit(child, inside) for child in children(expr)))

    return visit_plan(plan, 0)


def reads(expr: Expr) -> Iterator[tuple[int, ColumnRef]]:
    """The columns that `expr` reads, also in subqueries: how many queries further out each is (0: this one), and which."""
    match expr:
        case ColumnRef():
            yield 0, expr
        case OuterColumn():
            yield expr.depth, as_own(expr)
        case Subquery(plan=plan):
            yield from ((depth - 1, column) for depth, column in plan_reads(plan))
    for child in children(expr):
        yield from reads(child)


def plan_reads(plan: Plan) -> Iterator[tuple[int, ColumnRef]]:
    """The columns that a plan reads from outside: how many queries further out each is, and which."""
    pending, seen = [plan], set()
    while pending:
        part = pending.pop()
        if id(part) in seen:  # a CTE's plan may be there many times
            continue
        seen.add(id(part))
        for expr in expressions_of(part):
            yield from ((depth, column) for depth, column in reads(expr) if depth)
        pending += inputs(part)
