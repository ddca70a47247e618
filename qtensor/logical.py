"""Logical plans: what a query means, as a closed union of relational operators over positional columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from qtensor.expressions import AggregateCall, Expr
from qtensor.types import Field, Schema


@dataclass(frozen=True)
class NamedExpr:
    name: str
    expr: Expr


@dataclass(frozen=True)
class NamedAggregate:
    name: str
    call: AggregateCall


@dataclass(frozen=True)
class SortKey:
    expr: Expr
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True)
class Scan:
    """All rows of the table `table`; output: its columns at positions `columns` of the table, in that order."""

    table: str
    fields: Schema
    columns: tuple[int, ...]

    @property
    def schema(self) -> Schema:
        return self.fields


@dataclass(frozen=True)
class OneRow:
    """One row without columns: what SELECT without FROM reads."""

    @property
    def schema(self) -> Schema:
        return ()


@dataclass(frozen=True)
class Filter:
    """The rows of `input` for which `predicate` (BOOLEAN) is true, neither false nor NULL."""

    input: Plan
    predicate: Expr

    @property
    def schema(self) -> Schema:
        return self.input.schema


@dataclass(frozen=True)
class Project:
    """One row out for one row in; output: the value of each expression."""

    input: Plan
    expressions: tuple[NamedExpr, ...]

    @property
    def schema(self) -> Schema:
        return tuple(Field(named.name, named.expr.type) for named in self.expressions)


@dataclass(frozen=True)
class Aggregate:
    """Group `input` by `keys` and reduce each group.

    Output columns: keys, then aggregates, in order. NULL keys form a group. Without keys there is exactly one output row, even
    for empty input; with keys and without aggregates this is SELECT DISTINCT.
    """

    input: Plan
    keys: tuple[NamedExpr, ...]
    aggregates: tuple[NamedAggregate, ...]

    @property
    def schema(self) -> Schema:
        return (
            *(Field(key.name, key.expr.type) for key in self.keys),
            *(Field(aggregate.name, aggregate.call.type) for aggregate in self.aggregates),
        )


@dataclass(frozen=True)
class Sort:
    """The rows of `input` ordered by `keys`; NaN is the greatest value, text is ordered by code points."""

    input: Plan
    keys: tuple[SortKey, ...]

    @property
    def schema(self) -> Schema:
        return self.input.schema


@dataclass(frozen=True)
class Limit:
    """At most `count` rows (None: all) of `input` after skipping `offset`."""

    input: Plan
    count: int | None
    offset: int = 0

    @property
    def schema(self) -> Schema:
        return self.input.schema


Plan: TypeAlias = Scan | OneRow | Filter | Project | Aggregate | Sort | Limit


def inputs(plan: Plan) -> tuple[Plan, ...]:
    """The plans that `plan` reads."""
    match plan:
        case Scan() | OneRow():
            return ()
        case Filter() | Project() | Aggregate() | Sort() | Limit():
            return (plan.input,)
