"""Scalar functions that are bound to others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.date_macros import Macro, date_part, name_of, of_unit, strftime, strptime
from qtensor.bind.expressions.functions import bind_function, check_count, folded, is_null
from qtensor.bind.expressions.score_lists import LISTS
from qtensor.errors import Span, with_article
from qtensor.expressions import Call, Expr, Literal
from qtensor.functions.operators import natural_type
from qtensor.optimise.rewriting import transform
from qtensor.optimise.rules.fold_constants import fold
from qtensor.types import (
    BIGINT,
    DOUBLE,
    INTEGER,
    NULL,
    VARCHAR,
    Decimal,
    Float,
    Integer,
    Null,
    Varchar,
)
from qtensor.values.intervals import interval_of, unit_name

_UNITS_OF_INTERVALS = (
    "millennia", "centuries", "decades", "years", "quarters", "months", "weeks", "days", "hours", "minutes", "seconds",
    "milliseconds", "microseconds",
)  # fmt: skip


def _texts(name: str, least: int) -> Macro:
    """A function that takes values of every type as texts."""

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        if len(operands) < least:
            raise context.error(f"{name} takes at least {least} arguments, not {len(operands)}", span)
        if name == "concat_ws" and not isinstance(natural_type(operands[0].type), Varchar | Null):
            raise context.error(f"the separator of concat_ws is a text, not {with_article(natural_type(operands[0].type))}", span)
        texts = [plain(build.convert(context, operand, VARCHAR), operand.span) for operand in operands]
        return bind_function(context, name, texts, span)

    return bind


def _concatenation(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """left || right: a chain of them is one call."""
    if any(isinstance(operand.expr.type, Null) for operand in operands):
        return plain(Literal(None, NULL), span)
    parts: list[Expr] = []
    for operand in operands:
        text = build.convert(context, operand, VARCHAR)
        parts += text.arguments if isinstance(text, Call) and text.function == "append" else [text]
    return plain(folded(Call("append", tuple(parts), VARCHAR, span)), span)


def _extreme(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        if not operands:
            raise context.error(f"{name} takes at least 1 argument", span)
        return build.extreme(context, name, operands, span)

    return bind


def _log(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """log(x) of base 10, log(base, x)."""
    check_count(context, "log", operands, (1, 2), span)
    return bind_function(context, "log10" if len(operands) == 1 else "log_of_base", operands, span, "log")


def _operator(name: str, operator: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (2,), span)
        return build.arithmetic(context, operator, operands[0], operands[1], span)

    return bind


def _absolute(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    return build.numeric(context, "abs", operands[0], span)


def _floored_quotient(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """fdiv(x, y): floor(x / y)."""
    check_count(context, "fdiv", operands, (2,), span)
    return bind_function(context, "floor", [build.arithmetic(context, "/", operands[0], operands[1], span)], span)


def _floored_remainder(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """fmod(x, y): x - y * floor(x / y)."""
    check_count(context, "fmod", operands, (2,), span)
    product = build.arithmetic(context, "*", operands[1], _floored_quotient(context, operands, span), span)
    return build.arithmetic(context, "-", operands[0], product, span)


def _pi(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    check_count(context, "pi", operands, (0,), span)
    return plain(Literal(math.pi, DOUBLE), span)


def _interval_function(name: str) -> Macro:
    """to_days(n) and the like: n units of time."""
    unit = unit_name(name.removeprefix("to_"))

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (1,), span)
        kind = natural_type(operands[0].type)
        fractional = unit in _FRACTIONAL and isinstance(kind, Float | Decimal)
        if unit is None or not (isinstance(kind, Integer | Null) or fractional):
            raise context.error(f"there is no {name}({kind})", span)
        return interval_of_count(context, unit, operands[0], span)

    return bind


_FRACTIONAL = ("SECOND", "MILLISECOND")


def interval_of_count(context: Context, unit: str, count: Operand, span: Span | None) -> Operand:
    """An interval of a number of units of time; a fraction is cut off, except of seconds and milliseconds."""
    function, length = next((name, part) for name, part in zip(build.INTERVALS, interval_of("1", unit), strict=True) if part)
    if not isinstance(natural_type(count.type), Integer | Null):
        number = plain(build.convert(context, count, DOUBLE), span)
        if unit in _FRACTIONAL:
            number = build.arithmetic(context, "*", number, plain(Literal(float(length), DOUBLE), span), span)
            length = 1
        else:
            number = bind_function(context, "trunc", [number], span)
        count = build.explicit_cast(context, number, BIGINT, span, False)
    return build.interval_of_units(context, function, length, count, span)


def _typeof(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """The name of a type, which is known without any row."""
    check_count(context, "typeof", operands, (1,), span)
    return plain(Literal(str(natural_type(operands[0].type)), VARCHAR), span)


def _plus(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """+x, which is x where that is a number."""
    check_count(context, "+", operands, (1,), span)
    kind = natural_type(operands[0].type)
    if isinstance(kind, Null):
        return plain(Literal(None, BIGINT), span)
    if not isinstance(kind, Integer | Decimal | Float):
        raise context.error(f"there is no +{kind}", span, "Cast it to a number.")
    return plain(operands[0].expr, span)


def _repeat(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    if operands and isinstance(operands[0].expr.type, Null):
        context.unsupported("repeat of an untyped NULL, which is a BLOB", span)
    return bind_function(context, "repeat", operands, span)


def _regular_expression(name: str, texts: int) -> Macro:
    """A function of so many texts and then options, which are a constant; of regexp_extract also the group before them."""

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        given = list(operands)
        if name == "regexp_extract" and len(given) == 3 and isinstance(natural_type(given[2].type), Varchar):
            given.insert(2, plain(Literal(0, INTEGER)))
        if name == "regexp_extract" and len(given) > 2:
            _require_constant(context, name, "group", given[2])
        if len(given) > texts:
            options = given[texts]
            _require_constant(context, name, "options", options)
            if is_null(options.expr):
                raise context.error(f"the options of {name} cannot be NULL", options.span or span)
        if name == "regexp_extract" and len(given) > 2 and is_null(given[2].expr):  # a group that there is not is empty
            return bind_function(context, "regexp_nothing", [*given[:2], *given[3:]], span, name)
        return bind_function(context, name, given, span)

    return bind


def _require_constant(context: Context, name: str, what: str, operand: Operand) -> None:
    if not isinstance(transform(operand.expr, fold), Literal):
        raise context.error(f"the {what} of {name} must be a constant", operand.span)


# Functions that are bound to others.
MACROS: dict[str, Macro] = {
    **LISTS,
    **{f"to_{unit}": _interval_function(f"to_{unit}") for unit in _UNITS_OF_INTERVALS},
    "@": _absolute,
    "+": _plus,
    "repeat": _repeat,
    "regexp_matches": _regular_expression("regexp_matches", 2),
    "regexp_full_match": _regular_expression("regexp_full_match", 2),
    "regexp_replace": _regular_expression("regexp_replace", 3),
    "regexp_extract": _regular_expression("regexp_extract", 3),
    "add": _operator("add", "+"),
    "subtract": _operator("subtract", "-"),
    "multiply": _operator("multiply", "*"),
    "mod": _operator("mod", "%"),
    "fdiv": _floored_quotient,
    "fmod": _floored_remainder,
    "log": _log,
    "pi": _pi,
    "greatest": _extreme("greatest"),
    "least": _extreme("least"),
    "date_add": _operator("date_add", "+"),
    "||": _concatenation,
    "concat": _texts("concat", 1),
    "concat_ws": _texts("concat_ws", 2),
    "date_part": date_part,
    "datepart": date_part,
    "date_trunc": of_unit("date_trunc"),
    "datetrunc": of_unit("date_trunc"),
    "date_diff": of_unit("date_diff"),
    "datediff": of_unit("date_diff"),
    "date_sub": of_unit("date_sub"),
    "datesub": of_unit("date_sub"),
    "strftime": strftime,
    "strptime": strptime("strptime"),
    "try_strptime": strptime("try_strptime"),
    "typeof": _typeof,
    "monthname": name_of("monthname", "month"),
    "dayname": name_of("dayname", "dayofweek"),
}
