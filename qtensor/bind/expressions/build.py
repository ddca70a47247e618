"""Typed expressions from bound operands: DuckDB's type rules applied, every implicit cast made explicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtensor.bind.context import Context
from qtensor.errors import ExecutionError, Span
from qtensor.expressions import Call, Case, Cast, Expr, Literal
from qtensor.functions.operators import (
    STRING_LITERAL,
    IntegerLiteral,
    OperandType,
    StringLiteral,
    TypeRuleError,
    castable,
    common_type,
    integer_as_decimal,
    natural_type,
    rescaled,
    resolve_arithmetic,
    resolve_numeric,
)
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    INTERVAL,
    NULL,
    VARCHAR,
    Array,
    Date,
    Decimal,
    Integer,
    Interval,
    IntervalValue,
    Null,
    SqlType,
    Timestamp,
    Varchar,
)
from qtensor.values.like import PatternError, like_regex
from qtensor.values.literals import convert_literal
from qtensor.values.texts import ConversionError

ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide", "%": "modulo"}
# The functions that make an interval of a number of months, days or microseconds, in the order of `IntervalValue`.
INTERVALS = ("interval_months", "interval_days", "interval_microseconds")
TRUE = Literal(True, BOOLEAN)
FALSE = Literal(False, BOOLEAN)


@dataclass(frozen=True)
class Operand:
    """A bound expression, the type by which it takes part in type rules (literals are flexible), and its place in the text."""

    expr: Expr
    type: OperandType
    span: Span | None = None


def plain(expr: Expr, span: Span | None = None) -> Operand:
    """An operand of the type that its expression has."""
    return Operand(expr, expr.type, span)


def literal(value: Literal, span: Span | None) -> Operand:
    """A constant of the query text, flexible in type where it is an integer or a text."""
    match value.type, value.value:
        case Integer(), int() as number:
            return Operand(value, IntegerLiteral(number), span)
        case Varchar(), str():
            return Operand(value, STRING_LITERAL, span)
        case _:
            return plain(value, span)


def convert(context: Context, operand: Operand, target: SqlType) -> Expr:
    """`operand` as a `target`: itself, a converted literal, or a Cast.

    Raises:
        BindError: no such cast exists.
    """
    expr = operand.expr
    if expr.type == target:
        return expr
    if not castable(expr.type, target):
        raise context.error(f"cannot convert {expr.type} to {target}", operand.span)
    return _cast(context, Cast(expr, target, span=operand.span))


def _cast(context: Context, cast: Cast) -> Expr:
    """`cast`, or its value if its operand is a literal that converts; if not, the rows that reach it raise, as in DuckDB."""
    if not isinstance(cast.operand, Literal):
        _reject_cast(context, cast)
        return cast
    try:
        return convert_literal(cast.operand, cast.type)
    except ConversionError as error:
        if cast.try_:
            return Literal(None, cast.type)
        if isinstance(cast.type, Interval):  # exists only as a literal
            raise context.conversion_error(error, cast.span) from error
        _reject_cast(context, cast)
        return cast


def _reject_cast(context: Context, cast: Cast) -> None:
    """Remember a cast of values that no later stage can do; whether more than one can be done with a text is known later."""
    if isinstance(cast.type, Interval):
        context.unsupported("intervals that are not constant", cast.span)
    if isinstance(cast.operand.type, Interval | Array) and isinstance(cast.type, Varchar):
        context.unsupported(f"casts from {cast.operand.type} to VARCHAR", cast.span)


def to_boolean(context: Context, operand: Operand) -> Expr:
    """`operand` as a condition."""
    return convert(context, operand, BOOLEAN)


def explicit_cast(context: Context, operand: Operand, target: SqlType, span: Span | None, try_: bool) -> Operand:
    """CAST or TRY_CAST."""
    expr = operand.expr
    if expr.type == target:
        return plain(expr, span)
    if castable(expr.type, target):
        return plain(_cast(context, Cast(expr, target, try_, span)), span)
    if try_:
        return plain(Literal(None, target), span)
    raise context.error(f"cannot cast {expr.type} to {target}", span)


def arithmetic(context: Context, operator: str, left: Operand, right: Operand, span: Span | None) -> Operand:
    """`left operator right` for + - * / // %."""
    try:
        signature = resolve_arithmetic(operator, left.type, right.type)
    except TypeRuleError as error:
        raise context.error(str(error), span) from error
    if isinstance(signature.result, Null):
        return plain(Literal(None, NULL), span)
    operands = [convert(context, operand, target) for operand, target in zip((left, right), signature.operands, strict=True)]
    if is_temporal(operands[1].type) and not is_temporal(operands[0].type):
        operands.reverse()  # 1 + DATE is DATE + 1
    if isinstance(signature.result, Interval):
        multiple = interval_times(context, operands, span) if operator == "*" else None
        if multiple is not None:
            return multiple
        context.unsupported("arithmetic that gives an INTERVAL", span)
        return plain(Literal(IntervalValue(), signature.result), span)
    function = ARITHMETIC[operator]
    if isinstance(operands[1].type, Interval):
        function += "_interval"
        if not isinstance(operands[1], Literal) and not (isinstance(operands[1], Call) and operands[1].function in INTERVALS):
            context.unsupported("intervals of several units that are not constant", right.span)
    return plain(Call(function, tuple(operands), signature.result, span), span)


def interval_times(context: Context, operands: Sequence[Expr], span: Span | None) -> Operand | None:
    """A constant interval of one unit times an integer; None if the operands are something else."""
    number, length = sorted(operands, key=lambda operand: isinstance(operand.type, Interval))
    if not isinstance(number.type, Integer) or not isinstance(length, Literal) or not isinstance(length.value, IntervalValue):
        return None
    units = [(name, part) for name, part in zip(INTERVALS, length.value, strict=True) if part]
    if len(units) != 1:
        return None
    return interval_of_units(context, *units[0], plain(number, span), span)


def interval_of_units(context: Context, function: str, length: int, count: Operand, span: Span | None) -> Operand:
    """So many units of so many months, days or microseconds: `function` is one of INTERVALS, `count` an integer."""
    if isinstance(count.expr, Literal):
        if not isinstance(count.expr.value, int):
            return plain(Literal(None, INTERVAL), span)
        parts = [count.expr.value * length if name == function else 0 for name in INTERVALS]
        return plain(Literal(IntervalValue(*parts), INTERVAL, count.expr.parameter), span)
    wide = plain(convert(context, count, BIGINT), span)
    scaled = wide if length == 1 else arithmetic(context, "*", wide, plain(Literal(length, BIGINT), span), span)
    return plain(Call(function, (scaled.expr,), INTERVAL, span), span)


def numeric(context: Context, name: str, operand: Operand, span: Span | None) -> Operand:
    """`negate` or `abs` of a number."""
    shown = "unary minus" if name == "negate" else name
    try:
        target = resolve_numeric(shown, operand.type)
    except TypeRuleError as error:
        raise context.error(str(error), span) from error
    return plain(Call(name, (convert(context, operand, target),), target, span), span)


def _align(context: Context, operand: Operand, target: SqlType) -> Expr:
    """`operand` as the common type of a comparison; of decimals only the scale has to be equal."""
    if isinstance(target, Decimal):
        match natural_type(operand.type):
            case Decimal() as own:
                target = rescaled(own, target.scale)
            case Integer() as own:
                target = rescaled(integer_as_decimal(own), target.scale)
            case _:
                pass
    return convert(context, operand, target)


def _common(
    context: Context, operands: Sequence[Operand], where: str, *, comparison: bool = False, equality: bool = False
) -> SqlType:
    common = common_type((operand.type for operand in operands), comparison=comparison, equality=equality)
    if common is None:
        types = list(dict.fromkeys(str(natural_type(operand.type)) for operand in operands))
        spans = [operand.span for operand in operands if operand.span]
        place = Span(min(s.start for s in spans), max(s.end for s in spans)) if spans else None
        raise context.error(f"{where} cannot combine {' and '.join(types)}", place, "Cast one of them explicitly.")
    if comparison and isinstance(common, Array):
        context.unsupported(f"comparisons of scores, here {common}, but of one of them, as in x[1]", operands[0].span)
    return common


def comparison(context: Context, function: str, left: Operand, right: Operand, span: Span | None) -> Operand:
    """`equal`, `less`, `is_distinct_from` and so on."""
    equality = function in ("equal", "not_equal", "is_distinct_from", "is_not_distinct_from")
    common = _common(context, (left, right), "a comparison", comparison=True, equality=equality)
    arguments = (_align(context, left, common), _align(context, right, common))
    return plain(Call(function, arguments, BOOLEAN, span), span)


def between(context: Context, value: Operand, low: Operand, high: Operand, span: Span | None) -> Operand:
    """value BETWEEN low AND high."""
    common = _common(context, (value, low, high), "BETWEEN", comparison=True)
    aligned, least, greatest = (_align(context, operand, common) for operand in (value, low, high))
    bounds = (
        Call("greater_equal", (aligned, least), BOOLEAN, span),
        Call("less_equal", (aligned, greatest), BOOLEAN, span),
    )
    return plain(Call("and", bounds, BOOLEAN, span), span)


def in_list(context: Context, value: Operand, choices: Sequence[Operand], span: Span | None) -> Operand:
    """value IN (choices); of no choices, false, or NULL for a NULL."""
    if not choices:
        unknown = Call("is_null", (value.expr,), BOOLEAN, span)
        return plain(Case(((unknown, Literal(None, BOOLEAN)),), FALSE, BOOLEAN), span)
    common = _common(context, (value, *choices), "IN", comparison=True, equality=True)
    arguments = tuple(_align(context, operand, common) for operand in (value, *choices))
    return plain(Call("in", arguments, BOOLEAN, span), span)


def coalesce(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """COALESCE(operands)."""
    common = _common(context, operands, "COALESCE")
    arguments = tuple(convert(context, operand, common) for operand in operands)
    return plain(arguments[0] if len(arguments) == 1 else Call("coalesce", arguments, common, span), span)


def extreme(context: Context, name: str, operands: Sequence[Operand], span: Span | None) -> Operand:
    """greatest(operands), least(operands): of those that are not NULL."""
    common = _common(context, operands, name)
    if isinstance(common, Null):
        return plain(Literal(None, NULL), span)
    return plain(Call(name, tuple(convert(context, operand, common) for operand in operands), common, span), span)


def null_if(context: Context, value: Operand, other: Operand, span: Span | None) -> Operand:
    """NULLIF(value, other): it has the type of `value`."""
    equal = comparison(context, "equal", value, other, span)
    result = natural_type(value.type)
    return plain(Case(((equal.expr, Literal(None, result)),), value.expr, result), span)


def case(context: Context, branches: Sequence[tuple[Expr, Operand]], otherwise: Operand, span: Span | None) -> Operand:
    """Searched CASE over conditions that are BOOLEAN already."""
    common = _common(context, [otherwise, *(value for _, value in branches)], "CASE")
    converted = tuple((condition, convert(context, value, common)) for condition, value in branches)
    return plain(Case(converted, convert(context, otherwise, common), common), span)


def like(
    context: Context, value: Operand, pattern: Operand, escape: Operand | None, ignores_case: bool, span: Span | None
) -> Operand:
    """value LIKE pattern [ESCAPE escape], or ILIKE; the escape character is a constant."""
    arguments = [_text(context, value, "LIKE"), _text(context, pattern, "LIKE")]
    if escape is not None and not (isinstance(escape.expr, Literal) and escape.expr.value == ""):
        character = _text(context, escape, "ESCAPE")
        if not isinstance(character, Literal):
            context.unsupported("ESCAPE with a character that is not constant", escape.span)
        elif isinstance(character.value, str) and len(character.value) != 1:
            raise context.error("ESCAPE takes a single character", escape.span)
        arguments.append(character)
    _check_pattern(context, arguments, span)
    function = "ilike" if ignores_case else "like"
    if not isinstance(pattern.expr, Literal):
        function += "_escape"
    return plain(Call(function, tuple(arguments), BOOLEAN, span), span)


def _check_pattern(context: Context, arguments: Sequence[Expr], span: Span | None) -> None:
    """Refuse a pattern that ends with its escape character."""
    texts = [argument.value for argument in arguments[1:] if isinstance(argument, Literal) and isinstance(argument.value, str)]
    null = isinstance(arguments[0], Literal) and arguments[0].value is None
    if len(texts) == len(arguments) - 1 and not null:
        try:
            like_regex(*texts)
        except PatternError as error:
            raise ExecutionError(str(error), context.source.sql, [span] if span else []) from error


def _text(context: Context, operand: Operand, where: str) -> Expr:
    if not isinstance(operand.type, Varchar | StringLiteral | Null):
        raise context.error(f"{where} takes text, not {natural_type(operand.type)}", operand.span)
    return convert(context, operand, VARCHAR)


def is_temporal(sql_type: SqlType) -> bool:
    """Whether values of the type are days or instants."""
    return isinstance(sql_type, Date | Timestamp)
