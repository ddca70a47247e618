"""Lists as DuckDB compares with them: x IN list, x = ANY(list). A list is a parameter, or after IN also written in brackets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal as Literals

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.text.source import QueryText
from qtensor.errors import Span
from qtensor.expressions import Call, Case, ColumnRef, Literal, Subquery
from qtensor.functions.operators import STRING_LITERAL, common_type
from qtensor.logical import NamedExpr, OneRow, Plan, Project, Union
from qtensor.types import BOOLEAN, Null, Varchar

LONGEST_COMPARED = 64  # values of a list, each an instruction of the program; compiling a thousand takes seconds


def in_brackets(node: exp.In, source: QueryText) -> bool:
    """Whether a list is written as IN [...], which sqlglot reads as IN (...)."""
    first = source.span(node.expressions[0]) if node.expressions else None
    return first is not None and source.upper_at(source.token_before(first)) == "["


def is_parameter(node: exp.Expr) -> bool:
    """Whether an expression is a parameter, perhaps in parentheses."""
    return isinstance(node.unnest(), exp.Placeholder | exp.Parameter)


def bind_in(context: Context, node: exp.In, bind: Callable[[exp.Expr], Operand]) -> Operand:
    """x IN list: NULL where x or the list is NULL; a NULL in the list is equal to nothing, unlike one in IN (...).

    Raises:
        BindError: the parameter is no list, or its values cannot be compared with x.
    """
    span = context.source.span(node)
    if node.expressions:
        value, choices = bind(node.this), [bind(part) for part in node.expressions]
        return _contains(context, value, choices, span)
    listed = node.args["field"]
    if not is_parameter(listed):
        context.unsupported("IN without a query or a list in parentheses", context.source.span(listed))
        return plain(Literal(None, BOOLEAN), span)
    items = context.parameter_list(listed.unnest().name)
    value = bind(node.this)
    if items is None:
        return plain(Literal(None, BOOLEAN), span)
    return _contains(context, value, [plain(item, span) for item in items], span)


def _contains(context: Context, value: Operand, choices: Sequence[Operand], span: Span | None) -> Operand:
    _refuse_texts(context, value, choices, span)
    known = [choice for choice in choices if not (isinstance(choice.expr, Literal) and choice.expr.value is None)]
    if _is_long(known) and all(isinstance(choice.expr, Literal) for choice in known):
        return _compared_with_rows(context, "any", "equal", value, known, span)
    found = build.in_list(context, value, known, span)
    if all(isinstance(choice.expr, Literal) for choice in known):
        return found
    unknown = Call("is_null", (value.expr,), BOOLEAN, span)
    branch = (unknown, Literal(None, BOOLEAN))
    return plain(Case((branch,), Call("coalesce", (found.expr, build.FALSE), BOOLEAN, span), BOOLEAN), span)


def _refuse_texts(context: Context, value: Operand, choices: Sequence[Operand], span: Span | None) -> None:
    """Raise BindError where texts and other values would be compared: a list's values are not converted as literals are."""
    sides = [item.expr.type for item in (value, *choices) if not isinstance(item.expr.type, Null)]
    if value.type != STRING_LITERAL and len({isinstance(type, Varchar) for type in sides}) > 1:
        other = next(type for type in sides if not isinstance(type, Varchar))
        raise context.error(f"a list cannot compare a VARCHAR with a {other}", span, "Convert the list's values, or use CAST.")


def _is_long(choices: Sequence[Operand]) -> bool:
    """Whether a list is better joined with than compared one by one; texts are looked up among the dictionary's."""
    return len(choices) > LONGEST_COMPARED and not any(isinstance(choice.expr.type, Varchar) for choice in choices)


def _compared_with_rows(
    context: Context, kind: Literals["any", "all"], function: str, value: Operand, choices: Sequence[Operand], span: Span | None
) -> Operand:
    """x compared with a list as with a query of its values."""
    wanted = common_type([choice.type for choice in choices])
    if wanted is None:
        raise context.error("the values of a list have no common type", span)
    column = plain(ColumnRef(0, wanted, "value"), span)
    compared = build.comparison(context, function, value, column, span).expr
    assert isinstance(compared, Call)
    rows = [Project(OneRow(), (NamedExpr("value", build.convert(context, choice, wanted)),)) for choice in choices]
    plan: Plan = Union(tuple(rows))
    if not isinstance(compared.arguments[1], ColumnRef):
        plan = Project(plan, (NamedExpr("value", compared.arguments[1]),))
    return plain(Subquery(kind, plan, BOOLEAN, (compared.arguments[0],), function, span), span)


def bind_quantified(context: Context, function: str, value: Operand, quantifier: exp.Any | exp.All, span: Span | None) -> Operand:
    """x compared with ANY or ALL values of a parameter, in three-valued logic as with the rows of a query; NULL has none.

    Raises:
        BindError: the parameter is no list, or its values cannot be compared with x.
    """
    some = isinstance(quantifier, exp.Any)
    items = context.parameter_list(quantifier.this.unnest().name) or ()
    if not items:
        return plain(Literal(not some, BOOLEAN), span)
    choices = [plain(item, span) for item in items]
    _refuse_texts(context, value, choices, span)
    if _is_long(choices):
        return _compared_with_rows(context, "any" if some else "all", function, value, choices, span)
    if some and function == "equal":
        return build.in_list(context, value, choices, span)
    compared = [build.comparison(context, function, value, choice, span).expr for choice in choices]
    return plain(compared[0] if len(compared) == 1 else Call("or" if some else "and", tuple(compared), BOOLEAN, span), span)
