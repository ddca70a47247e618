"""GROUP BY: keys and aggregates as one Aggregate, or a Union of them for several sets of keys, and expressions rewritten to
what that gives.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field, replace

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.select.aggregates import has_aggregate, has_window
from qtensor.bind.select.calls import CallBinder
from qtensor.bind.select.collected import AggregateRef, WindowRef
from qtensor.bind.select.correlation import reads, with_outer_moved
from qtensor.expressions import Call, ColumnRef, Expr, Literal, Subquery, children, with_children
from qtensor.logical import Aggregate, NamedAggregate, NamedExpr, Plan, Project, Union
from qtensor.optimise.rewriting import named_columns
from qtensor.types import BIGINT


def has_column(expr: Expr) -> bool:
    """Whether `expr` reads a column of the input."""
    return any(depth == 0 and not isinstance(column, AggregateRef | WindowRef) for depth, column in reads(expr))


@dataclass
class HavingBinder(ExpressionBinder):
    """Binds HAVING: the alias of an output column goes before a column that is no key, except inside aggregates."""

    keys: Collection[Expr] = ()

    @staticmethod
    def over(rows: ExpressionBinder, keys: Collection[Expr]) -> HavingBinder:
        """The binder above `rows`, which binds the arguments of aggregates and has collected those of SELECT."""
        having = HavingBinder(rows.context, rows.scope, rows.alias, rows.spans, rows.outer, rows.query, keys)
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
    sets: list[frozenset[int]] = field(default_factory=list)  # of positions in `keys`; none given: one set of all
    copies: list[NamedExpr] = field(default_factory=list)  # columns behind those of the input: see `output_key`
    constants: dict[Hashable, Operand] = field(default_factory=dict)  # those of the keys, by how they are written
    _positions: dict[Expr, int] = field(default_factory=dict)
    _levels: list[tuple[int, ...]] = field(default_factory=list)  # what each GROUPING asks about

    def add_key(self, name: str, operand: Operand) -> int:
        """Group by `operand` too, unless that is done already; its position."""
        self._check(operand)
        position = next((at for at, key in enumerate(self.keys) if key.expr == operand.expr), None)
        if position is not None:
            return position
        self._positions[operand.expr] = len(self.keys)
        self.keys.append(NamedExpr(name, operand.expr))
        return len(self.keys) - 1

    def output_key(self, name: str, operand: Operand, width: int, written: Hashable) -> Operand:
        """Group by an output column over an input of `width` columns; what the output is from now on: a column of its own.

        Of two outputs of one value one of several sets of keys may hold one and not the other, which is NULL in its groups; and
        subqueries can read a column. Other expressions of that value mean the last of their keys, as in DuckDB; of a constant
        only outputs that are `written` alike. (In DuckDB with a key 0 not even HAVING sum(x) > 0 is true in groups without it.)
        """
        self._check(operand)
        if isinstance(operand.expr, ColumnRef) and operand.expr.index >= width:
            return operand  # it is a column of its own already
        self.copies.append(NamedExpr(name, operand.expr))
        copy = plain(ColumnRef(width + len(self.copies) - 1, operand.expr.type, name), operand.span)
        self._positions[operand.expr] = self.add_key(name, copy)
        if isinstance(operand.expr, Literal):
            self.constants[written] = copy
        return copy

    def _check(self, operand: Operand) -> None:
        if has_aggregate(operand.expr):
            raise self.context.error("GROUP BY cannot contain aggregates", operand.span)
        if has_window(operand.expr):
            raise self.context.error("GROUP BY cannot contain window functions", operand.span)

    def ungrouped(self, expr: Expr) -> list[ColumnRef]:
        """The columns that `expr` reads outside of keys and aggregates: HAVING's, which GROUP BY ALL groups by as well."""
        if expr in self._positions:
            return []
        if isinstance(expr, ColumnRef):
            return [] if isinstance(expr, AggregateRef | WindowRef) else [expr]
        return [column for child in children(expr) for column in self.ungrouped(child)]

    def having(self) -> HavingBinder:
        """The binder of HAVING."""
        return HavingBinder.over(self.binder, self._positions)

    def aggregate(self, plan: Plan) -> Plan:
        """The Aggregate over `plan`. Its output: the keys, the aggregates, and of several sets what GROUPING asked for: to be
        called when all expressions are `above`.
        """
        aggregates = tuple(self.binder.calls.aggregates)
        if self.copies:
            plan = Project(plan, (*named_columns(plan, range(len(plan.schema))), *self.copies))
        if len(self.sets) > 1:
            return Union(tuple(self._branch(plan, keys, aggregates) for keys in self.sets))
        return Aggregate(plan, tuple(self.keys), aggregates)

    def _branch(self, plan: Plan, keys: frozenset[int], aggregates: tuple[NamedAggregate, ...]) -> Plan:
        """The groups by one set of keys, the other keys being NULL."""
        order = sorted(keys)
        grouped = Aggregate(plan, tuple(self.keys[key] for key in order), aggregates)
        outputs = [
            NamedExpr(key.name, _reference(grouped, order.index(at)) if at in keys else Literal(None, key.expr.type))
            for at, key in enumerate(self.keys)
        ]
        outputs += [NamedExpr(item.name, _reference(grouped, len(order) + position)) for position, item in enumerate(aggregates)]
        for number, asked in enumerate(self._levels, 1):
            outputs.append(NamedExpr(f"grouping_{number}", Literal(level(asked, keys), BIGINT)))
        return Project(grouped, tuple(outputs))

    def settle(self) -> None:
        """All keys are known. Those that are constants split no group; alone they stay, since then empty input has no group."""
        if len(self.sets) > 1:
            return
        varying = [key for key in self.keys if not isinstance(key.expr, Literal)]
        self.keys = varying or self.keys[:1]
        self._positions = {key.expr: position for position, key in enumerate(self.keys)}

    def above(self, expr: Expr, clause: str) -> Expr:
        """`expr`, over the input and the aggregates, as an expression over the Aggregate's output.

        Raises:
            BindError: it reads a column that is neither grouped by nor aggregated.
        """
        position = self._positions.get(expr)
        if isinstance(expr, Literal):
            return expr
        if position is not None:
            return ColumnRef(position, expr.type, self.keys[position].name)
        if isinstance(expr, Call) and expr.function == "grouping":
            return self._grouping(expr)
        if isinstance(expr, Subquery):
            operands = tuple(self.above(operand, clause) for operand in expr.operands)
            moved = with_outer_moved(expr.plan, lambda column: self.above(column, clause))
            return replace(expr, operands=operands, plan=moved)
        if not isinstance(expr, ColumnRef):
            return with_children(expr, tuple(self.above(child, clause) for child in children(expr)))
        if isinstance(expr, WindowRef):
            return expr
        if isinstance(expr, AggregateRef):
            return ColumnRef(len(self.keys) + expr.index, expr.type, expr.name)
        span = self.binder.spans.of(expr)
        message = f'column "{expr.name}" must appear in the GROUP BY clause or must be part of an aggregate function'
        raise self.context.error(message, span, f"It stands in {clause}." if span is None else "")

    def _grouping(self, call: Call) -> Expr:
        """GROUPING(a, b): for each of its keys a bit, whether it is not among the keys of the group; of all keys without any."""
        asked = tuple(self._positions.get(argument, -1) for argument in call.arguments)
        if -1 in asked:
            raise self.context.error("GROUPING takes keys of GROUP BY", call.span)
        if len(self.sets) <= 1:
            return Literal(0, BIGINT)
        asked = asked or tuple(range(len(self.keys)))
        if asked not in self._levels:
            self._levels.append(asked)
        position = len(self.keys) + len(self.binder.calls.aggregates) + self._levels.index(asked)
        return ColumnRef(position, BIGINT, f"grouping_{self._levels.index(asked) + 1}")


def level(asked: tuple[int, ...], keys: frozenset[int]) -> int:
    """The value of GROUPING for a set of keys, the first that is asked about being the highest bit.

    >>> level((0, 1), frozenset({1}))
    2
    """
    value = 0
    for key in asked:
        value = 2 * value + (key not in keys)
    return value


def _reference(plan: Plan, position: int) -> ColumnRef:
    field = plan.schema[position]
    return ColumnRef(position, field.type, field.name)
