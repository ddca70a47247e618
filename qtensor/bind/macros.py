"""Calls of scalar functions bound by the table of functions, and those functions that are bound to others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pyarrow as pa

from qtensor.bind import build
from qtensor.bind.build import Operand, plain
from qtensor.bind.context import Context
from qtensor.errors import ExecutionError, Span, UnsupportedError
from qtensor.expressions import Call, Cast, Expr, Literal, LiteralValue
from qtensor.functions import TypeRuleError, natural_type
from qtensor.intervals import interval_of, unit_name
from qtensor.rules.fold_constants import fold
from qtensor.rules.rewriting import transform
from qtensor.scalars.dates import TRUNCATED_AS, specifier
from qtensor.scalars.formats import OF_DATE, SMALLER, letters_of, reader_of
from qtensor.scalars.function import ScalarFunction, arrow_type, resolve, value_of
from qtensor.scalars.registry import SCALARS
from qtensor.texts import ConversionError
from qtensor.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    VARCHAR,
    Date,
    Decimal,
    Float,
    Integer,
    Interval,
    Null,
    Timestamp,
    Varchar,
)

Macro: TypeAlias = Callable[[Context, Sequence[Operand], Span | None], Operand]


_UNITS_OF_INTERVALS = (
    "millennia", "centuries", "decades", "years", "quarters", "months", "weeks", "days", "hours", "minutes", "seconds",
    "milliseconds", "microseconds",
)  # fmt: skip


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
    return plain(_folded(Call(function.name, arguments, resolved.result, span)), span)


def _folded(call: Call) -> Expr:
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


def _constant_text(context: Context, operand: Operand, what: str) -> LiteralValue:
    """The text of a constant; one that is not constant is remembered as unsupported."""
    expr = operand.expr
    if not isinstance(expr.type, Null) and expr.type != VARCHAR:
        raise context.error(f"{what} is a text, not a {expr.type}", operand.span)
    if not isinstance(expr, Literal):
        context.unsupported(f"{what} that is not constant", operand.span)
        return None
    return expr.value


def _count(context: Context, name: str, operands: Sequence[Operand], counts: Sequence[int], span: Span | None) -> None:
    if len(operands) not in counts:
        wanted = " or ".join(map(str, counts))
        raise context.error(f"{name} takes {wanted} argument{'s' if counts[-1] != 1 else ''}, not {len(operands)}", span)


def _part_named(context: Context, operand: Operand) -> str | None:
    """The part that a constant names; None if it is NULL, or not constant."""
    text = _constant_text(context, operand, "a part of a date")
    if text is None:
        return None
    name = specifier(str(text))
    if name is None:
        raise context.error(f'there is no part "{text}" of a date', operand.span)
    return name


def _date_part(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    _count(context, "date_part", operands, (2,), span)
    name = _part_named(context, operands[0])
    if name is None or _is_null(operands[1].expr):  # all parts of NULL are DOUBLE in DuckDB
        return _null_of(context, "epoch", operands[1:], span)
    return bind_function(context, name, operands[1:], span)


def _is_null(expr: Expr) -> bool:
    """Whether an expression of constants, none of them a parameter, is NULL."""
    constant = transform(expr, fold)
    return isinstance(constant, Literal) and constant.value is None and constant.parameter is None


def _null_of(context: Context, name: str, operands: Sequence[Operand], span: Span | None) -> Operand:
    """NULL of the type that the function gives."""
    return plain(Literal(None, bind_function(context, name, operands, span).expr.type), span)


def _of_unit(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        _count(context, name, operands, (2,) if name == "date_trunc" else (3,), span)
        bound = bind_function(context, name, operands, span)
        unit = _part_named(context, operands[0])
        if unit is None or not isinstance(bound.expr, Call):
            return plain(Literal(None, bound.expr.type), span)
        if unit.startswith("timezone") or unit == "era":
            raise context.error(f"{name} has no unit {unit}", operands[0].span)
        literal = Literal(TRUNCATED_AS.get(unit, unit), VARCHAR)
        return plain(Call(bound.expr.function, (literal, *bound.expr.arguments[1:]), bound.expr.type, span), span)

    return bind


def _name_of(function: str, part: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        _count(context, function, operands, (1,), span)
        number = bind_function(context, part, operands, span, function)
        return plain(Call(function, (build.convert(context, number, BIGINT),), VARCHAR, span), span)

    return bind


def _texts(name: str, least: int) -> Macro:
    """A function that takes values of every type as texts."""

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        if len(operands) < least:
            raise context.error(f"{name} takes at least {least} arguments, not {len(operands)}", span)
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
    return plain(_folded(Call("append", tuple(parts), VARCHAR, span)), span)


def _extreme(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        if not operands:
            raise context.error(f"{name} takes at least 1 argument", span)
        return build.extreme(context, name, operands, span)

    return bind


def _log(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """log(x) of base 10, log(base, x)."""
    _count(context, "log", operands, (1, 2), span)
    return bind_function(context, "log10" if len(operands) == 1 else "log_of_base", operands, span, "log")


def _operator(name: str, operator: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        _count(context, name, operands, (2,), span)
        return build.arithmetic(context, operator, operands[0], operands[1], span)

    return bind


def _absolute(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    return build.numeric(context, "abs", operands[0], span)


def _floored_quotient(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """fdiv(x, y): floor(x / y)."""
    _count(context, "fdiv", operands, (2,), span)
    return bind_function(context, "floor", [build.arithmetic(context, "/", operands[0], operands[1], span)], span)


def _floored_remainder(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """fmod(x, y): x - y * floor(x / y)."""
    _count(context, "fmod", operands, (2,), span)
    product = build.arithmetic(context, "*", operands[1], _floored_quotient(context, operands, span), span)
    return build.arithmetic(context, "-", operands[0], product, span)


def _pi(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    _count(context, "pi", operands, (0,), span)
    return plain(Literal(math.pi, DOUBLE), span)


def _strftime(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """Of a day, and of a count of hours, minutes or seconds after its midnight: each as far as the format shows it."""
    _count(context, "strftime", operands, (2,), span)
    moment, pattern = operands
    if isinstance(pattern.expr.type, Date | Timestamp):
        moment, pattern = pattern, moment
    if isinstance(natural_type(moment.type), Varchar | Null) and not isinstance(moment.expr, Cast):
        raise context.error("strftime takes a DATE or a TIMESTAMP", span, "Cast the text to one of them.")
    if not isinstance(moment.expr.type, Date | Timestamp):
        raise context.error(f"strftime takes a DATE or a TIMESTAMP, not a {moment.expr.type}", span)
    text = _constant_text(context, pattern, "a format of a date")
    if text is None:
        return plain(Literal(None, VARCHAR), span)
    try:
        letters = letters_of(str(text))
    except ConversionError as error:
        raise context.conversion_error(error, pattern.span) from error
    day, count, unit = moment, plain(Literal(0, BIGINT)), 1
    if isinstance(moment.expr.type, Timestamp):
        if set(letters) & set(SMALLER):
            context.unsupported("fractions of a second in strftime of a TIMESTAMP", span)
        shows_day = set(letters) & set(OF_DATE)
        day = plain(build.convert(context, moment, DATE) if shows_day else Literal(0, DATE), moment.span)
        if set(letters) & set("HIpMS"):
            unit = 1 if "S" in letters else 60 if "M" in letters else 3600
            count = _units_of_day(context, moment, unit, span)
        if not shows_day:
            # The day is shown nowhere, but where the moment is NULL the text is too.
            count = count if set(letters) & set("HIpMS") else _units_of_day(context, moment, 3600, span)
    arguments = (day.expr, count.expr, Literal(unit, BIGINT), build.convert(context, pattern, VARCHAR))
    return plain(_folded(Call("strftime", arguments, VARCHAR, span)), span)


def _units_of_day(context: Context, moment: Operand, unit: int, span: Span | None) -> Operand:
    """How many hours (unit 3600), minutes (60) or seconds (1) have passed since midnight."""
    total = bind_function(context, "hour", [moment], span)
    for name in {3600: (), 60: ("minute",), 1: ("minute", "second")}[unit]:
        sixty, part = build.literal(Literal(60, INTEGER), span), bind_function(context, name, [moment], span)
        total = build.arithmetic(context, "+", build.arithmetic(context, "*", total, sixty, span), part, span)
    return total


def _strptime(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        _count(context, name, operands, (2,), span)
        text = _constant_text(context, operands[1], "a format of a date")
        try:
            if text is not None:
                reader_of(str(text))
        except ConversionError as error:
            raise context.conversion_error(error, operands[1].span) from error
        except UnsupportedError as error:
            raise error.shown_in(context.source.sql, operands[1].span) from None
        return bind_function(context, name, operands, span)

    return bind


def _interval_function(name: str) -> Macro:
    """to_days(n) and the like: n units of time."""
    unit = unit_name(name.removeprefix("to_"))

    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        _count(context, name, operands, (1,), span)
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
    _count(context, "typeof", operands, (1,), span)
    return plain(Literal(str(natural_type(operands[0].type)), VARCHAR), span)


# Functions that are bound to others.
MACROS: dict[str, Macro] = {
    **{f"to_{unit}": _interval_function(f"to_{unit}") for unit in _UNITS_OF_INTERVALS},
    "@": _absolute,
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
    "date_part": _date_part,
    "datepart": _date_part,
    "date_trunc": _of_unit("date_trunc"),
    "datetrunc": _of_unit("date_trunc"),
    "date_diff": _of_unit("date_diff"),
    "datediff": _of_unit("date_diff"),
    "date_sub": _of_unit("date_sub"),
    "datesub": _of_unit("date_sub"),
    "strftime": _strftime,
    "strptime": _strptime("strptime"),
    "try_strptime": _strptime("try_strptime"),
    "typeof": _typeof,
    "monthname": _name_of("monthname", "month"),
    "dayname": _name_of("dayname", "dayofweek"),
}
