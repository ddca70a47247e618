"""Columns of the query around a subquery: where a plan reads them, and what they are once the plan has moved out into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtensor.expressions import Expr, OuterColumn, Subquery, children
from qtensor.logical import Plan, inputs
from qtensor.optimise.rewriting import expressions_of, map_expressions, map_plan, transform

# What an `OuterColumn` of depth 1 becomes.
Resolve = Callable[[OuterColumn], Expr]


def outer_columns_of(expr: Expr) -> set[OuterColumn]:
    """The columns of the next query around that `expr` reads."""
    if isinstance(expr, OuterColumn):
        return {expr} if expr.depth == 1 else set()
    return set().union(*(outer_columns_of(child) for child in children(expr)))


def outer_columns(plan: Plan) -> set[OuterColumn]:
    """The columns of the next query around that `plan`, in which no subquery is left, reads."""
    own = (outer_columns_of(expr) for expr in expressions_of(plan))
    return set().union(*own, *(outer_columns(input) for input in inputs(plan)))


def has_subquery(expr: Expr) -> bool:
    return isinstance(expr, Subquery) or any(has_subquery(child) for child in children(expr))


def moved_out(expr: Expr, resolve: Resolve) -> Expr:
    """`expr` one query further out: `resolve` says what the columns of that query are; those of others are one depth nearer."""

    def move(node: Expr) -> Expr:
        if not isinstance(node, OuterColumn):
            return node
        return resolve(node) if node.depth == 1 else replace(node, depth=node.depth - 1)

    return transform(expr, move)


def plan_moved_out(plan: Plan) -> Plan:
    """The same of a plan that reads no column of the next query around."""

    def refuse(node: OuterColumn) -> Expr:
        raise AssertionError(f"{node} is left in a plan that was made independent")

    return map_plan(plan, lambda node: map_expressions(node, lambda expr: moved_out(expr, refuse)))
