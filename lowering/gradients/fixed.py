"""What the engine computes of rows at hand: expressions, groups and aggregates that depend on nothing free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from qtensor.expressions import AggregateCall, Call, Case, ColumnRef, Expr, Literal, SortKey, WindowCall, children
from qtensor.logical import Aggregate, NamedAggregate, NamedExpr, NamedWindow, Plan, Project, Scan, Sort, Window
from qtensor.lowering.gradients.aggregates import Groups
from qtensor.lowering.gradients.expressions import Expressions
from qtensor.lowering.gradients.given import Given
from qtensor.lowering.gradients.rows import Rows
from qtensor.optimise.rewriting import renumbered
from qtensor.types import BIGINT

AT_HAND = "#rows"
GUARDING = frozenset(("and", "or", "coalesce", "try"))  # what may not reach all of its arguments


@dataclass(frozen=True)
class FixedParts:
    """Runs plans above the fixed columns of rows."""

    given: Given

    def over(self, rows: Rows, plan: Callable[[Scan], Plan]) -> pa.Table:
        """The rows of a plan above the fixed columns of rows at hand."""
        fields = rows.fixed_fields
        return self.given.fixed_rows(plan(Scan(AT_HAND, fields, tuple(range(len(fields))))), {AT_HAND: (fields, rows.fixed)})

    def expressions(self, rows: Rows, exprs: Sequence[Expr]) -> Expressions:
        """Evaluates expressions over rows, their fixed parts computed. One that not every row reaches is NULL where it fails."""
        wanted: dict[Expr, Expr] = {}
        columns = rows.free.keys()

        def collect(expr: Expr, guarded: bool) -> None:
            if self.given.is_free(expr, columns):
                inner = guarded or isinstance(expr, Case) or (isinstance(expr, Call) and expr.function in GUARDING)
                for child in children(expr):
                    collect(child, inner)
            elif not isinstance(expr, Literal | ColumnRef):
                wanted.setdefault(expr, Call("try", (expr,), expr.type) if guarded else expr)

        for expr in exprs:
            collect(expr, False)
        return Expressions(self.given, rows, dict(zip(wanted, self.columns(rows, list(wanted.values())), strict=True)))

    def columns(self, rows: Rows, exprs: Sequence[Expr]) -> list[pa.ChunkedArray]:
        """The values of expressions that depend on nothing free."""
        if not exprs:
            return []
        named = tuple(NamedExpr(f"e{number}", renumbered(expr, rows.places)) for number, expr in enumerate(exprs))
        columns: list[pa.ChunkedArray] = self.over(rows, lambda scan: Project(scan, named)).columns
        return columns

    def column(self, rows: Rows, expr: Expr) -> pa.Array | pa.ChunkedArray:
        """The values of one expression that depends on nothing free."""
        return rows.column(expr.index) if isinstance(expr, ColumnRef) else self.columns(rows, [expr])[0]

    def groups(self, rows: Rows, keys: Sequence[Expr]) -> tuple[Groups, list[pa.Array]]:
        """The group of each row, and each group's keys."""
        if not keys:
            return Groups(np.zeros(rows.count, np.int64), 1), []
        order = tuple(SortKey(renumbered(key, rows.places)) for key in keys)
        rank = NamedWindow("rank", WindowCall("dense_rank", (), BIGINT))
        named = tuple(NamedExpr(f"k{number}", renumbered(key, rows.places)) for number, key in enumerate(keys))

        def ranked(scan: Scan) -> Plan:
            window = Window(scan, (), order, (rank,))
            last = len(scan.schema)
            return Project(
                window, (*named, NamedExpr("row", ColumnRef(last - 1, BIGINT)), NamedExpr("rank", ColumnRef(last, BIGINT)))
            )

        found = self.over(rows, ranked)
        places, ranks = (found.column(position).to_numpy() for position in (len(keys), len(keys) + 1))
        numbers = np.empty(rows.count, np.int64)
        numbers[places] = ranks - 1
        _, first = np.unique(ranks, return_index=True)
        return Groups(numbers, len(first)), [found.column(number).take(pa.array(first)) for number in range(len(keys))]

    def aggregates(self, rows: Rows, groups: Groups, calls: Sequence[AggregateCall]) -> list[pa.ChunkedArray]:
        """Aggregates of what is fixed, in the order of the groups."""
        if not calls:
            return []
        with_group = rows.with_fixed([pa.array(groups.numbers)], [BIGINT])
        group = ColumnRef(with_group.places[len(with_group.fields) - 1], BIGINT)
        named = tuple(
            NamedAggregate(f"a{number}", with_parts(call, [renumbered(part, with_group.places) for part in parts_of(call)]))
            for number, call in enumerate(calls)
        )
        if groups.count == 1:
            columns: list[pa.ChunkedArray] = self.over(with_group, lambda scan: Aggregate(scan, (), named)).columns
            return columns
        table = self.over(
            with_group,
            lambda scan: Sort(Aggregate(scan, (NamedExpr("group", group),), named), (SortKey(ColumnRef(0, BIGINT)),)),
        )
        return list(table.columns[1:])


def parts_of(call: AggregateCall) -> list[Expr]:
    """All expressions of an aggregate."""
    return [*call.arguments, *(() if call.filter is None else (call.filter,)), *(key.expr for key in call.order)]


def with_parts(call: AggregateCall, parts: Sequence[Expr]) -> AggregateCall:
    """An aggregate with other expressions in the places of its own."""
    rest = iter(parts)
    arguments = tuple(next(rest) for _ in call.arguments)
    condition = None if call.filter is None else next(rest)
    return replace(call, arguments=arguments, filter=condition, order=tuple(replace(key, expr=next(rest)) for key in call.order))
