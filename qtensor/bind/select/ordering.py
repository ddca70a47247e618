"""ORDER BY, LIMIT and OFFSET."""

from __future__ import annotations

from typing import Protocol

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.text.syntax import whole_number
from qtensor.errors import with_article
from qtensor.expressions import Expr, Literal, Subquery
from qtensor.logical import Limit, OneRow, Plan, Project, SortKey
from qtensor.optimise.rewriting import transform
from qtensor.optimise.rules.fold_constants import fold
from qtensor.types import BIGINT, Boolean, Decimal, Float, Integer, Varchar
from qtensor.values.literals import convert_literal
from qtensor.values.texts import ConversionError


class OrderedSelect(Protocol):
    """What ORDER BY asks of the SELECT that it orders."""

    @property
    def context(self) -> Context: ...
    @property
    def select(self) -> exp.Expr: ...
    @property
    def binder(self) -> ExpressionBinder: ...
    def position(self, node: exp.Expr, clause: str) -> int | None: ...
    def output_named(self, name: str) -> int | None: ...


def output_position(context: Context, node: exp.Expr, clause: str, width: int) -> int | None:
    """The output column, of `width`, that the integer literal `node` counts to, None if `node` is no integer literal.

    Raises:
        BindError: there is no such column.
    """
    inner = node.unnest()
    digits = inner.this.unnest() if isinstance(inner, exp.Neg) else inner
    if not isinstance(digits, exp.Literal) or digits.is_string or not digits.name.isdecimal():
        return None
    number = whole_number(digits.name)
    if number is None or isinstance(inner, exp.Neg) or not 1 <= number <= width:
        shown = f"-{digits.name}" if isinstance(inner, exp.Neg) else digits.name
        columns = f"{width} column{'s' if width > 1 else ''}"
        raise context.error(f"{clause} {shown} is out of range: SELECT has {columns}", context.source.span(node))
    return number - 1


def bind_order(select: OrderedSelect, outputs: list[Expr]) -> list[SortKey]:
    """The keys of ORDER BY, over the same columns as `outputs`, the expressions of SELECT's list.

    A lone name is one of the list before it is a column; inside an expression it is a column before it is an alias.
    """
    clause = select.select.args.get("order")
    keys: list[SortKey] = []
    for ordered in clause.expressions if clause else ():
        descending, nulls_first = bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first"))
        if stands_for_all(ordered.this):
            keys += [SortKey(output, descending, nulls_first) for output in outputs]
        else:
            keys.append(SortKey(order_expression(select, ordered.this, outputs), descending, nulls_first))
    return keys


def stands_for_all(node: exp.Expr) -> bool:
    """Whether `node` of ORDER BY means all columns: ALL, or *."""
    changed = any(node.args.get(key) for key in ("except_", "replace", "rename"))
    return (isinstance(node, exp.Var) and node.name.upper() == "ALL") or (isinstance(node, exp.Star) and not changed)


def order_expression(select: OrderedSelect, node: exp.Expr, outputs: list[Expr], clause: str = "ORDER BY") -> Expr:
    """What an expression of `clause` means: the position or the alias of an output column, else any expression."""
    position = select.position(node, clause)
    if position is None and isinstance(node, exp.Column) and not node.table:
        position = select.output_named(node.name)
    if position is not None:
        return outputs[position]
    inner = node.unnest()
    constant = inner.this if isinstance(inner, exp.Neg) else inner
    if isinstance(constant, exp.Literal | exp.Boolean | exp.Null):
        raise select.context.error(f"{clause} a constant has no effect", select.context.source.span(node))
    return select.binder.bind(node).expr


def limited(context: Context, binder: ExpressionBinder, plan: Plan, node: exp.Expr) -> Plan:
    """`plan` with the LIMIT and OFFSET of `node`."""
    count = bind_limit(context, binder, node.args.get("limit"), "LIMIT")
    offset = bind_limit(context, binder, node.args.get("offset"), "OFFSET") or 0
    return plan if count is None and not offset else Limit(plan, count, offset)


def bind_limit(context: Context, binder: ExpressionBinder, node: exp.Expr | None, clause: str) -> int | None:
    """The number of rows of LIMIT or OFFSET, None where there is none or it is NULL; fractions are rounded.

    Raises:
        BindError: it is negative, or no number.
        ExecutionError: it is a text that is no number.
    """
    if node is None:
        return None
    expression = node.args["expression"]
    span = context.source.span(expression) or context.source.find_words(clause)
    if isinstance(expression, exp.Var) and expression.name.upper() == "ALL":
        return None
    outside = (column for column in expression.find_all(exp.Column) if column.find_ancestor(exp.Select) in (None, node.parent))
    if any(outside):
        raise context.error(f"{clause} is a number, not a column", span)
    bound = binder.bind(expression).expr
    while isinstance(bound, Subquery) and isinstance(bound.plan, Project) and isinstance(bound.plan.input, OneRow):
        bound = bound.plan.expressions[0].expr  # (SELECT 1)
    value = transform(bound, fold)
    if not isinstance(value, Literal):
        context.unsupported(f"{clause} that is not a number or a parameter", span)
        return None
    if value.value is None:
        return None
    if not isinstance(value.type, Integer | Decimal | Float | Boolean | Varchar):
        raise context.error(f"{clause} is a number, not {with_article(value.type)}", span)
    try:
        number = convert_literal(value, BIGINT).value
    except ConversionError as error:
        raise context.conversion_error(error, span) from error
    assert isinstance(number, int)
    if number < 0:
        raise context.error(f"{clause} cannot be negative", span)
    return number
