"""Functions of dates that are bound to others: parts and units that a text names, and formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.functions import bind_function, check_count, constant_text, folded, is_null, null_of
from qtensor.errors import Span, UnsupportedError, with_article
from qtensor.expressions import Call, Cast, Literal
from qtensor.functions.operators import natural_type
from qtensor.functions.scalars.dates import ALL_PARTS, LENGTHS_OF_TIME, PART_SETS, TRUNCATED_AS, specifier
from qtensor.functions.scalars.formats import OF_DATE, SMALLER, letters_of, reader_of
from qtensor.types import BIGINT, DATE, DOUBLE, INTEGER, NULL, VARCHAR, Date, Null, Timestamp, Varchar
from qtensor.values.texts import ConversionError

Macro: TypeAlias = Callable[[Context, Sequence[Operand], Span | None], Operand]


def _by_row(context: Context, number: int, name: Operand, bind: Callable[[str], Operand], span: Span | None) -> Operand:
    """What `bind` makes of the part that each row's `name` is, as a CASE of all parts that `PART_SETS[number]` has."""
    kind = plain(Literal(number, BIGINT))
    chosen = bind_function(context, "part_number", [name, kind], span)
    branches = []
    for position, part in enumerate(PART_SETS[number]):
        condition = build.comparison(context, "equal", chosen, plain(Literal(position, BIGINT)), span)
        value = bind(part)
        branches.append((condition.expr, plain(build.convert(context, value, DOUBLE)) if number == ALL_PARTS else value))
    return build.case(context, branches, plain(Literal(None, NULL)), span)


def _names_rows(operand: Operand) -> bool:
    """Whether each row has a part of its own."""
    return operand.expr.type == VARCHAR and not isinstance(operand.expr, Literal)


def _part_named(context: Context, operand: Operand) -> str | None:
    """The part that a constant names; None if it is NULL."""
    text = constant_text(context, operand, "a part of a date")
    if text is None:
        return None
    name = specifier(str(text))
    if name is None:
        raise context.error(f'there is no part "{text}" of a date', operand.span)
    return name


def date_part(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """date_part(name, x): a BIGINT for most constant names, a DOUBLE where the name is another one in each row."""
    check_count(context, "date_part", operands, (2,), span)
    if _names_rows(operands[0]):
        return _by_row(
            context, ALL_PARTS, operands[0], lambda part: bind_function(context, part, operands[1:], span, "date_part"), span
        )
    name = _part_named(context, operands[0])
    if name is None or is_null(operands[1].expr):  # all parts of NULL are DOUBLE in DuckDB
        return null_of(context, "epoch", operands[1:], span)
    return bind_function(context, name, operands[1:], span)


def of_unit(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (2,) if name == "date_trunc" else (3,), span)
        if _names_rows(operands[0]):
            return _by_row(
                context,
                LENGTHS_OF_TIME,
                operands[0],
                lambda part: bind(context, [plain(Literal(part, VARCHAR)), *operands[1:]], span),
                span,
            )
        bound = bind_function(context, name, operands, span)
        unit = _part_named(context, operands[0])
        if unit is None or not isinstance(bound.expr, Call):
            return plain(Literal(None, bound.expr.type), span)
        if unit.startswith("timezone") or unit == "era":
            raise context.error(f"{name} has no unit {unit}", operands[0].span)
        literal = Literal(TRUNCATED_AS.get(unit, unit), VARCHAR)
        return plain(Call(bound.expr.function, (literal, *bound.expr.arguments[1:]), bound.expr.type, span), span)

    return bind


def name_of(function: str, part: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, function, operands, (1,), span)
        number = bind_function(context, part, operands, span, function)
        return plain(Call(function, (build.convert(context, number, BIGINT),), VARCHAR, span), span)

    return bind


def strftime(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
    """Of a day, and of a count of hours, minutes or seconds after its midnight: each as far as the format shows it."""
    check_count(context, "strftime", operands, (2,), span)
    moment, pattern = operands
    if isinstance(pattern.expr.type, Date | Timestamp):
        moment, pattern = pattern, moment
    if isinstance(natural_type(moment.type), Varchar | Null) and not isinstance(moment.expr, Cast):
        raise context.error("strftime takes a DATE or a TIMESTAMP", span, "Cast the text to one of them.")
    if not isinstance(moment.expr.type, Date | Timestamp):
        raise context.error(f"strftime takes a DATE or a TIMESTAMP, not {with_article(moment.expr.type)}", span)
    text = constant_text(context, pattern, "a format of a date")
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
        # A day that is shown nowhere still says where the text is NULL, or infinite.
        day = plain(build.convert(context, moment, DATE)) if shows_day else bind_function(context, "infinite_day", [moment], span)
        if set(letters) & set("HIpMS"):
            unit = 1 if "S" in letters else 60 if "M" in letters else 3600
            count = _units_of_day(context, bind_function(context, "finite_moment", [moment], span), unit, span)
    arguments = (day.expr, count.expr, Literal(unit, BIGINT), build.convert(context, pattern, VARCHAR))
    return plain(folded(Call("strftime", arguments, VARCHAR, span)), span)


def _units_of_day(context: Context, moment: Operand, unit: int, span: Span | None) -> Operand:
    """How many hours (unit 3600), minutes (60) or seconds (1) have passed since midnight."""
    total = bind_function(context, "hour", [moment], span)
    for name in {3600: (), 60: ("minute",), 1: ("minute", "second")}[unit]:
        sixty, part = build.literal(Literal(60, INTEGER), span), bind_function(context, name, [moment], span)
        total = build.arithmetic(context, "+", build.arithmetic(context, "*", total, sixty, span), part, span)
    return total


def strptime(name: str) -> Macro:
    def bind(context: Context, operands: Sequence[Operand], span: Span | None) -> Operand:
        check_count(context, name, operands, (2,), span)
        text = constant_text(context, operands[1], "a format of a date")
        try:
            if text is not None:
                reader_of(str(text))
        except ConversionError as error:
            raise context.conversion_error(error, operands[1].span) from error
        except UnsupportedError as error:
            raise error.shown_in(context.source.sql, operands[1].span) from None
        return bind_function(context, name, operands, span)

    return bind
