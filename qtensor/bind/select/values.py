"""VALUES: rows written out, each a row of expressions."""

from __future__ import annotations

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand, convert
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.select.aggregates import has_aggregate
from qtensor.functions.operators import common_type
from qtensor.logical import NamedExpr, OneRow, Plan, Project, Union
from qtensor.types import NULL, SqlType


def bind_values(context: Context, node: exp.Values, binder: ExpressionBinder) -> Plan:
    """The rows of VALUES, in columns col0, col1, ...; those of one column in the type that all its values go into.

    Raises:
        BindError: rows of different lengths, values without a common type, aggregates.
    """
    rows = [_row(context, part, binder) for part in node.expressions]
    width = len(rows[0])
    for row, part in zip(rows, node.expressions, strict=True):
        if len(row) != width:
            message = f"the rows of VALUES are of different lengths: {width} and {len(row)}"
            raise context.error(message, context.source.span(part))
    types = []
    for position in range(width):
        types.append(_common_type(context, [row[position] for row in rows]))
    branches = tuple(
        Project(
            OneRow(),
            tuple(
                NamedExpr(f"col{position}", convert(context, value, wanted))
                for position, (value, wanted) in enumerate(zip(row, types, strict=True))
            ),
        )
        for row in rows
    )
    return branches[0] if len(branches) == 1 else Union(branches)


def _common_type(context: Context, column: list[Operand]) -> SqlType:
    """The type that takes up all values, from the first on: a literal becomes what stands before it, not what follows."""
    combined: SqlType = NULL
    for value in column:
        wider = common_type([combined, value.type])
        if wider is None:
            message = f"values of one column have no common type: {combined} and {value.expr.type}"
            raise context.error(message, value.span, "Cast them to one.")
        combined = wider
    return combined


def _row(context: Context, node: exp.Expr, binder: ExpressionBinder) -> list[Operand]:
    values = []
    for part in node.expressions if isinstance(node, exp.Tuple) else [node]:
        value = binder.bind(part)
        if has_aggregate(value.expr):
            raise context.error("VALUES cannot contain aggregates", value.span)
        values.append(value)
    return values
