"""GROUP BY: keys and aggregates as one Aggregate, and expressions rewritten to what it gives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from qtensor.bind.build import Operand
from qtensor.bind.calls import CallBinder, has_aggregate
from qtensor.bind.context import Context
from qtensor.bind.correlation import with_outer_moved
from qtensor.bind.expression import ExpressionBinder
from qtensor.expressions import ColumnRef, Expr, Literal, Subquery, children, with_children
from qtensor.logical import Aggregate, NamedExpr, Plan


def has_column(expr: Expr) -> bool:
    """Whether `expr` reads a column of the input (aggregates' results are none)."""
    return (isinstance(expr, ColumnRef) and expr.index >= 0) or any(has_column(child) for child in children(expr))


@dataclass
class HavingBinder(ExpressionBinder):
    """Binds HAVING: the alias of an output column goes before a column that is no key, except inside aggregates."""

    keys: Collection[Expr] = ()

    @staticmethod
    def over(rows: ExpressionBinder, keys: Collection[Expr]) -> HavingBinder:
        """The binder above `rows`, which binds the arguments of aggregates and has collected those of SELECT."""
        having = HavingBinder(rows.context, rows.scope, rows.alias, rows.places, rows.outer, rows.query, keys)
        having.calls = CallBinder(rows.context, having, rows, rows.calls.aggregates)
        return having

    def prefers_alias(self, column: ColumnRef) -> bool:
        return column not in self.keys


@dataclass
class Grouping:
    """The grouping of one SELECT; `needed` is set by GROUP BY, and aggregates and HAVING need it too."""

    context: Context
    binder: ExpressionBinder
    needed: bool = False
    keys: list[NamedExpr] = field(default_factory=list)
    _positions: dict[Expr, int] = field(default_factory=dict)

    def add_key(self, name: str, operand: Operand) -> None:
        """Group by `operand` too, unless that is done already."""
        if has_aggregate(operand.expr):
            raise self.context.error("GROUP BY cannot contain aggregates", operand.span)
        if operand.expr not in self._positions:
            self._positions[operand.expr] = len(self.keys)
            self.keys.append(NamedExpr(name, operand.expr))

    def having(self) -> HavingBinder:
        """The binder of HAVING."""
        return HavingBinder.over(self.binder, self._positions)

    def aggregate(self, plan: Plan) -> Plan:
        """The Aggregate over `plan`."""
        self._drop_constants()
        return Aggregate(plan, tuple(self.keys), tuple(self.binder.calls.aggregates))

    def _drop_constants(self) -> None:
        """Keys that are constants split no group; alone they stay, since then empty input has no group."""
        varying = [key for key in self.keys if not isinstance(key.expr, Literal)]
        self.keys = varying or self.keys[:1]
        self._positions = {key.expr: position for position, key in enumerate(self.keys)}

    def above(self, expr: Expr, clause: str) -> Expr:
        """`expr`, over the input and the aggregates, as an expression over the Aggregate's output.

        Raises:
            BindError: it reads a column that is neither grouped by nor aggregated.
        """
        if isinstance(expr, Literal):
            return expr
        position = self._positions.get(expr)
        if position is not None:
            return ColumnRef(position, expr.type, self.keys[position].name)
        if isinstance(expr, Subquery):
            operands = tuple(self.above(operand, clause) for operand in expr.operands)
            moved = with_outer_moved(expr.plan, lambda column: self.above(column, clause))
            return replace(expr, operands=operands, plan=moved)
        if not isinstance(expr, ColumnRef):
            return with_children(expr, tuple(self.above(child, clause) for child in children(expr)))
        if expr.index < 0:
            return ColumnRef(len(self.keys) - 1 - expr.index, expr.type, expr.name)
        _, span = self.binder.places.get(id(expr), (expr, None))
        message = f'column "{expr.name}" must appear in the GROUP BY clause or must be part of an aggregate function'
        raise self.context.error(message, span, f"It stands in {clause}." if span is None else "")
