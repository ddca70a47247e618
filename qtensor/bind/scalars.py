"""Scalar functions: sqlglot's many classes of them in DuckDB's names, and their calls bound by the table of functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlglot import TokenType, exp

from qtensor.bind import build
from qtensor.bind.build import Operand, plain
from qtensor.bind.context import Context
from qtensor.bind.source import Source
from qtensor.bind.syntax import call_arguments
from qtensor.errors import Span
from qtensor.expressions import Call, Literal, LiteralValue
from qtensor.functions import TypeRuleError
from qtensor.scalars.dates import TRUNCATED_AS, specifier
from qtensor.scalars.function import resolve
from qtensor.scalars.registry import SCALARS
from qtensor.types import BIGINT, VARCHAR, Interval, Null


@dataclass(frozen=True)
class ScalarCall:
    """A call as DuckDB has it: the function's name, its arguments, and the name that the query writes."""

    name: str
    arguments: tuple[exp.Expr, ...]
    written: str


# Classes whose DuckDB name or order of arguments differs from sqlglot's.
_NAMES: dict[type[exp.Expr], str] = {
    exp.DayOfMonth: "day",
    exp.DayOfWeek: "dayofweek",
    exp.DayOfWeekIso: "isodow",
    exp.DayOfYear: "dayofyear",
    exp.WeekOfYear: "week",
    exp.Substring: "substring",
    exp.TimeToUnix: "epoch",
    exp.DateFromParts: "make_date",
    exp.TimestampFromParts: "make_timestamp",
}
_SCALES = {"3": "epoch_ms", "6": "make_timestamp"}
_UNITS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEK", "QUARTER", "DECADE")
# What the grammar knows as units is written in one way by DuckDB where a column has no alias.
_GRAMMAR_UNITS = {
    **{unit + plural: unit for unit in _UNITS for plural in ("", "S")},
    **dict.fromkeys(("MILLISECOND", "MILLISECONDS"), "MILLISECONDS"),
    **dict.fromkeys(("MICROSECOND", "MICROSECONDS"), "MICROSECONDS"),
    **dict.fromkeys(("CENTURY", "CENTURIES"), "CENTURY"),
    **dict.fromkeys(("MILLENNIUM", "MILLENNIA"), "MILLENNIUM"),
}  # fmt: skip


def scalar_call(node: exp.Expr, source: Source) -> ScalarCall | None:
    """The call of one of DuckDB's scalar functions that `node` is, as far as they are supported; None for all else."""
    match node:
        case exp.Anonymous():
            name, arguments = node.name.lower(), list(node.expressions)
        case exp.Extract():
            name, arguments = "date_part", [_unit(node.this), node.expression]
        case exp.DateTrunc() | exp.TimestampTrunc():
            name, arguments = "date_trunc", [_unit(node.args["unit"], node, source), node.this]
        case exp.DateDiff():
            name, arguments = "date_diff", [_unit(node.args.get("unit"), node, source), node.expression, node.this]
        case exp.UnixToTime() if (scale := node.args.get("scale")) is not None and scale.name in _SCALES:
            name, arguments = _SCALES[scale.name], [node.this]
        case exp.Func() if type(node) in _NAMES:
            name, arguments = _NAMES[type(node)], call_arguments(node)
        case exp.Func():
            name, arguments = node.sql_name().lower(), call_arguments(node)
        case _:
            return None
    if name not in SCALARS and name not in MACROS:
        return None
    written = source.text(node) or name
    return ScalarCall(name, tuple(arguments), written.lower())


def _unit(unit: exp.Expr | None, node: exp.Func | None = None, source: Source | None = None) -> exp.Expr:
    """A unit as the text that DuckDB takes. sqlglot makes no difference between 'year' and a column of the name year."""
    if unit is None:
        return exp.Literal.string("DAY")
    if not isinstance(unit, exp.Var):
        return unit
    written = source.first_argument(node) if source is not None and node is not None else None
    if written is not None and written.token_type == TokenType.STRING and written.text.upper() == unit.name.upper():
        return exp.Literal.string(written.text)
    if written is not None and written.token_type != TokenType.STRING and written.text.upper() == unit.name.upper():
        return exp.column(written.text)
    shown = _GRAMMAR_UNITS.get(unit.name.upper())
    return exp.Literal.string(shown or unit.name.lower())


Macro: TypeAlias = Callable[[Context, Sequence[Operand], Span | None], Operand]


def bind_scalar(context: Context, call: ScalarCall, operands: Sequence[Operand], span: Span | None) -> Operand:
    """The value of a scalar call whose arguments are bound.

    Raises:
        BindError: no overload takes the operands, or a constant that the function does not know.
    """
    if call.name in MACROS:
        return MACROS[call.name](context, operands, span)
    return bind_function(context, call.name, operands, span, call.written)


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
    return plain(Call(function.name, arguments, resolved.result, span), span)


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
    return bind_function(context, name or "epoch", operands[1:], span) if name else _null_of(context, "epoch", operands[1:], span)


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


# Functions that are bound to others.
MACROS: dict[str, Macro] = {
    "date_part": _date_part,
    "datepart": _date_part,
    "date_trunc": _of_unit("date_trunc"),
    "datetrunc": _of_unit("date_trunc"),
    "date_diff": _of_unit("date_diff"),
    "datediff": _of_unit("date_diff"),
    "date_sub": _of_unit("date_sub"),
    "datesub": _of_unit("date_sub"),
    "monthname": _name_of("monthname", "month"),
    "dayname": _name_of("dayname", "dayofweek"),
}
