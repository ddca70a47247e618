"""What stands for the aggregates and window functions of a SELECT in its expressions while it is bound: no bound plan holds one.

The calls themselves are collected by a `CallBinder` and a `WindowBinder`. Once all expressions are known, each of these becomes a
`ColumnRef` or `OuterColumn` of the plan that computes the calls: in `Grouping.above` and `WindowBinder.plan`.
"""

from __future__ import annotations

from dataclasses import dataclass

from qtensor.expressions import ColumnRef, OuterColumn


@dataclass(frozen=True)
class AggregateRef(ColumnRef):
    """The value of aggregate number `index` of those that the SELECT has collected."""


@dataclass(frozen=True)
class WindowRef(ColumnRef):
    """The value of window function number `index` of those that the SELECT has collected."""


@dataclass(frozen=True)
class OuterAggregate(OuterColumn):
    """In a subquery: the value of aggregate number `index` of the SELECT that is `depth` queries further out."""


def as_outer(column: ColumnRef, depth: int = 1) -> OuterColumn:
    """`column` as a subquery `depth` levels further in sees it."""
    assert not isinstance(column, WindowRef)  # which subqueries cannot read
    seen_as = OuterAggregate if isinstance(column, AggregateRef) else OuterColumn
    return seen_as(column.index, column.type, column.name, depth)


def as_own(column: OuterColumn) -> ColumnRef:
    """`column` as the query sees it whose column it is."""
    seen_as = AggregateRef if isinstance(column, OuterAggregate) else ColumnRef
    return seen_as(column.index, column.type, column.name)
