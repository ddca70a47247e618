"""Calls of scalar functions that the table has, and what functions that are bound to others check of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.errors import ExecutionError, Span, with_article
from qtensor.expressions import Call, Expr, Literal, LiteralValue
from qtensor.functions.operators import TypeRuleError
from qtensor.functions.scalars.function import ScalarFunction, arrow_type, resolve, value_of
from qtensor.functions.scalars.registry import SCALARS
from qtensor.optimise.rewriting import transform
from qtensor.optimise.rules.fold_constants import fold
from qtensor.types import VARCHAR, Interval, Null


def bind_function(
    context: Context, name: str, operands: Sequence[Operand], span: Span | None, written: str | None = None
) -> Operand:
    """A call of a function of the table."""
    function = SCALARS[name]
    constants = [operand.expr.value if isinstance(operand.expr, Literal) else None for operand in operands]
    try:
        resolved = resolve(function, written or name, [operand.type for operand in operands], constants)
    except TypeRuleError as error:
        raise context.error(str(error), span) from error
    arguments = tuple(build.convert(context, operand, t) for operand, t in zip(operands, resolved.operands, strict=True))
    for argument in arguments:
        if isinstance(argument.type, Interval):
            context.unsupported(f"{written or name} of an INTERVAL", span)
            return plain(Literal(None, resolved.result), span)
    if function.checked:
        _check_constants(context, function, arguments, span)
    return plain(folded(Call(function.name, arguments, resolved.result, span)), span)


def folded(call: Call) -> Expr:
    """The value of a call of constants, none of them a parameter: patterns and units are constants then too."""
    constants = [item.value for item in call.arguments if isinstance(item, Literal) and item.parameter is None]
    known = value_of(SCALARS[call.function], constants, call.type) if len(constants) == len(call.arguments) else None
    return call if known is None else known


def _check_constants(context: Context, function: ScalarFunction, arguments: Sequence[Expr], span: Span | None) -> None:
    """Refuse constants that the function knows to be wrong, whatever the rows hold."""
    constants = [argument.value for argument in arguments[1:] if isinstance(argument, Literal)]
    if function.evaluate is None or len(constants) < len(arguments) - 1 or None in constants:
        return
    first = pa.array([], arrow_type(arguments[0].type))
    result = function.evaluate([first, *constants], 0)
    if result.message:
        raise ExecutionError(result.message, context.source.sql, [span] if span else [])


def constant_text(context: Context, operand: Operand, what: str) -> LiteralValue:
    """The text of a constant; one that is not constant is remembered as unsupported."""
    expr = operand.expr
    if not isinstance(expr.type, Null) and expr.type != VARCHAR:
        raise context.error(f"{what} is a text, not {with_article(expr.type)}", operand.span)
    if not isinstance(expr, Literal):
        context.unsupported(f"{what} that is not constant", operand.span)
        return None
    return expr.value


def check_count(context: Context, name: str, operands: Sequence[Operand], counts: Sequence[int], span: Span | None) -> None:
    if len(operands) not in counts:
        wanted = " or ".join(map(str, counts))
        raise context.error(f"{name} takes {wanted} argument{'s' if counts[-1] != 1 else ''}, not {len(operands)}", span)


def is_null(expr: Expr) -> bool:
    """Whether an expression of constants, none of them a parameter, is NULL."""
    constant = transform(expr, fold)
    return isinstance(constant, Literal) and constant.value is None and constant.parameter is None


def null_of(context: Context, name: str, operands: Sequence[Operand], span: Span | None) -> Operand:
    """NULL of the type that the function gives."""
    return plain(Literal(None, bind_function(context, name, operands, span).expr.type), span)
