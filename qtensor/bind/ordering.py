"""ORDER BY, LIMIT and OFFSET."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expression import ExpressionBinder
from qtensor.expressions import Expr, Literal
from qtensor.logical import SortKey
from qtensor.types import Integer

if TYPE_CHECKING:
    from qtensor.bind.query import SelectBinder


def bind_order(select: SelectBinder, outputs: list[Expr]) -> list[SortKey]:
    """The keys of ORDER BY, over the same columns as `outputs`, the expressions of SELECT's list.

    A lone name is an alias before it is a column; inside an expression it is a column before it is an alias.
    """
    clause = select.select.args.get("order")
    keys: list[SortKey] = []
    for ordered in clause.expressions if clause else ():
        descending, nulls_first = bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first"))
        if isinstance(ordered.this, exp.Var) and ordered.this.name.upper() == "ALL":
            keys += [SortKey(output, descending, nulls_first) for output in outputs]
        else:
            keys.append(SortKey(_order_expression(select, ordered.this, outputs), descending, nulls_first))
    return keys


def _order_expression(select: SelectBinder, node: exp.Expr, outputs: list[Expr]) -> Expr:
    position = select.position(node, "ORDER BY")
    if position is None and isinstance(node, exp.Column) and not node.table:
        position = select.alias_position(node.name)
    if position is not None:
        return outputs[position]
    inner = node.unnest()
    constant = inner.this if isinstance(inner, exp.Neg) else inner
    if isinstance(constant, exp.Literal | exp.Boolean | exp.Null):
        raise select.context.error("ORDER BY a constant has no effect", select.context.source.span(node))
    return select.binder.bind(node).expr


def bind_limit(context: Context, binder: ExpressionBinder, node: exp.Expr | None, clause: str) -> int | None:
    """The number of rows of LIMIT or OFFSET, None where there is none or it is NULL.

    Raises:
        BindError: it is negative, or no integer.
    """
    if node is None:
        return None
    expression = node.args["expression"]
    span = context.source.span(expression) or context.source.find_words(clause)
    if any(expression.find_all(exp.Column)):
        raise context.error(f"{clause} is a number, not a column", span)
    value = binder.bind(expression).expr
    if not isinstance(value, Literal):
        context.unsupported(f"{clause} that is not a number or a parameter", span)
        return None
    if value.value is None:
        return None
    if not isinstance(value.type, Integer) or not isinstance(value.value, int):
        raise context.error(f"{clause} is a whole number, not a {value.type}", span)
    if value.value < 0:
        raise context.error(f"{clause} cannot be negative", span)
    return value.value
