"""Logical plans: what a query means, as a closed union of relational operators over positional columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, assert_never

from qtensor.errors import Span
from qtensor.expressions import AggregateCall, Expr, WindowCall
from qtensor.expressions import SortKey as SortKey  # a part of plans, and of some aggregates
from qtensor.types import BOOLEAN, Field, Schema

JoinKind: TypeAlias = Literal["inner", "left", "full", "semi", "anti", "mark", "single"]


@dataclass(frozen=True)
class NamedExpr:
    name: str
    expr: Expr


@dataclass(frozen=True)
class NamedAggregate:
    name: str
    call: AggregateCall


@dataclass(frozen=True)
class NamedWindow:
    name: str
    call: WindowCall


@dataclass(frozen=True)
class JoinKey:
    """An equality that pairs rows: `left` over the left input's columns, `right` over the right one's, both of one type.

    NULL equals nothing; with `null_safe` it equals NULL. Floats as SQL compares them: NaN equals NaN, 0.0 equals -0.0.
    """

    left: Expr
    right: Expr
    null_safe: bool = False


@dataclass(frozen=True)
class Scan:
    """All rows of the table `table`; output: its columns at positions `columns` of the table, in that order.

    span: where the query names the table.
    """

    table: str
    fields: Schema
    columns: tuple[int, ...]
    span: Span | None = field(default=None, compare=False)

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


@dataclass(frozen=True)
class Join:
    """Pairs of rows of `left` and `right` whose `keys` are equal and for which `condition` is true.

    `condition` is over the columns of left, then right. Without keys and condition: all pairs. By kind:

        inner    the pairs
        left     and each left row without a partner once, right columns NULL; full: the right rows likewise
        semi     the left rows with a partner, once each; anti: those without
        mark     every left row, and as one more column (BOOLEAN, never NULL) whether it has a partner
        single   as left; a left row with two partners is an error

    Output columns: left's, then right's; of semi and anti left's alone.
    """

    left: Plan
    right: Plan
    kind: JoinKind
    keys: tuple[JoinKey, ...] = ()
    condition: Expr | None = None

    @property
    def schema(self) -> Schema:
        match self.kind:
            case "semi" | "anti":
                return self.left.schema
            case "mark":
                return (*self.left.schema, Field("mark", BOOLEAN))
            case _:
                return (*self.left.schema, *self.right.schema)


@dataclass(frozen=True)
class Union:
    """All rows of the first input, then of the second, and so on (UNION ALL); their columns have the same types."""

    branches: tuple[Plan, ...]

    @property
    def schema(self) -> Schema:
        return self.branches[0].schema


@dataclass(frozen=True)
class Window:
    """Every row of `input`, and one more column for each of `functions`, in order.

    Each function sees the row's partition: the rows with equal `partition` values (NULLs are equal), ordered by `order`.
    """

    input: Plan
    partition: tuple[Expr, ...]
    order: tuple[SortKey, ...]
    functions: tuple[NamedWindow, ...]

    @property
    def schema(self) -> Schema:
        return (*self.input.schema, *(Field(function.name, function.call.type) for function in self.functions))


@dataclass(frozen=True)
class CommonScan:
    """The rows of the definition `number` of the `With` around, with the columns `fields`, which are all of its columns.

    one_row: whether it has one row at most, whatever the data.
    """

    number: int
    fields: Schema
    one_row: bool = False

    @property
    def schema(self) -> Schema:
        return self.fields


@dataclass(frozen=True)
class Definition:
    number: int
    plan: Plan


@dataclass(frozen=True)
class With:
    """The rows of `input`, in which each `CommonScan` reads the rows of one of `definitions`: these are computed once.

    Stands at the top of a plan and nowhere else. A definition may read those before it.
    """

    definitions: tuple[Definition, ...]
    input: Plan

    @property
    def schema(self) -> Schema:
        return self.input.schema


Plan: TypeAlias = Scan | OneRow | Filter | Project | Aggregate | Sort | Limit | Join | Union | Window | CommonScan | With


def definitions_of(plan: Plan) -> dict[int, Plan]:
    """What the `CommonScan`s in `plan` read, by number."""
    return {item.number: item.plan for item in plan.definitions} if isinstance(plan, With) else {}


def inputs(plan: Plan) -> tuple[Plan, ...]:
    """The plans that `plan` reads (not those of subqueries in its expressions)."""
    match plan:
        case Scan() | OneRow() | CommonScan():
            return ()
        case With(definitions=definitions, input=input):
            return (*(item.plan for item in definitions), input)
        case Filter() | Project() | Aggregate() | Sort() | Limit() | Window():
            return (plan.input,)
        case Join(left=left, right=right):
            return (left, right)
        case Union(branches=branches):
            return branches
        case _:
            assert_never(plan)


def scans_of(plan: Plan) -> dict[str, tuple[int, ...]]:
    """The tables that a plan reads, each with the columns that are read of it, by index."""
    found: dict[str, set[int]] = {}

    def visit(part: Plan) -> None:
        if isinstance(part, Scan):
            found.setdefault(part.table, set()).update(part.columns)
        for below in inputs(part):
            visit(below)

    visit(plan)
    return {table: tuple(sorted(columns)) for table, columns in found.items()}


def with_inputs(plan: Plan, new: Sequence[Plan]) -> Plan:
    """`plan` over other inputs; `plan` itself when they are the same objects."""
    if all(a is b for a, b in zip(inputs(plan), new, strict=True)):
        return plan
    match plan:
        case Scan() | OneRow() | CommonScan():
            return plan
        case With(definitions=definitions):
            *plans, below = new
            return With(tuple(replace(item, plan=part) for item, part in zip(definitions, plans, strict=True)), below)
        case Filter() | Project() | Aggregate() | Sort() | Limit() | Window():
            return replace(plan, input=new[0])
        case Join():
            return replace(plan, left=new[0], right=new[1])
        case Union():
            return Union(tuple(new))
        case _:
            assert_never(plan)
