"""Scalar functions of literals, in exact Python arithmetic; None where the result is an error or not worth knowing."""

from __future__ import annotations

import calendar
import datetime
import operator
from collections.abc import Callable

from qtensor.expressions import Call, Cast, Literal, LiteralValue
from qtensor.types import (
    BOOLEAN,
    MICROSECONDS_PER_DAY,
    Boolean,
    Date,
    Decimal,
    Float,
    Integer,
    IntervalValue,
    SqlType,
    Timestamp,
)

EPOCH = datetime.date(1970, 1, 1)

COMPARISONS: dict[str, Callable[[object, object], bool]] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
}


def evaluate_call(call: Call) -> Literal | None:
    """The value of a call whose arguments are all literals."""
    values = [argument.value for argument in call.arguments if isinstance(argument, Literal)]
    if call.function == "is_null":
        return Literal(values[0] is None, BOOLEAN)
    if call.function == "is_not_null":
        return Literal(values[0] is not None, BOOLEAN)
    if call.function == "coalesce":
        return Literal(next((value for value in values if value is not None), None), call.type)
    if call.function in ("is_distinct_from", "is_not_distinct_from", "in", "like", "ilike", "subscript"):
        return None
    if any(value is None for value in values):
        return Literal(None, call.type)
    if call.function in ("add_interval", "subtract_interval"):
        return shifted(call, values)
    if call.function == "not":
        return Literal(not values[0], BOOLEAN)
    if any(isinstance(value, float) for value in values):
        return None  # the compiled program computes it as the machine does
    if call.function in COMPARISONS:
        return Literal(COMPARISONS[call.function](*values), BOOLEAN)
    return evaluate_integers(call, values)


def evaluate_integers(call: Call, values: list[LiteralValue]) -> Literal | None:
    numbers = [value for value in values if isinstance(value, int)]
    if len(numbers) != len(values):
        return None
    result: int | None = None
    if call.function in ARITHMETIC:
        result = ARITHMETIC[call.function](*numbers)
    elif call.function == "negate":
        result = -numbers[0]
    elif call.function == "abs":
        result = abs(numbers[0])
    return in_range(result, call.type)


def in_range(value: int | None, type: SqlType) -> Literal | None:
    """A literal of `type`, or None if the type does not hold the value."""
    if value is None:
        return None
    match type:
        case Integer(bits):
            allowed = type.minimum <= value <= type.maximum and bits <= 128
        case Decimal():
            allowed = abs(value) <= type.maximum
        case Date():
            allowed = abs(value) < 1 << 31
        case Timestamp():
            allowed = abs(value) < 1 << 63
        case _:
            allowed = False
    return Literal(value, type) if allowed else None


def shifted(call: Call, values: list[LiteralValue]) -> Literal | None:
    """A date or timestamp moved by an interval: months by the calendar, then days, then microseconds."""
    moment, interval = values
    if not isinstance(moment, int) or not isinstance(interval, IntervalValue):
        return None
    sign = 1 if call.function == "add_interval" else -1
    scale = MICROSECONDS_PER_DAY if isinstance(call.arguments[0].type, Date) else 1
    days, time = divmod(moment * scale, MICROSECONDS_PER_DAY)
    moved = add_months(days, sign * interval.months)
    if moved is None:
        return None
    moved += sign * interval.days
    return in_range(moved * MICROSECONDS_PER_DAY + time + sign * interval.microseconds, call.type)


def add_months(days: int, months: int) -> int | None:
    """Days since 1970 after so many calendar months, the day cut to the month's last; None beyond Python's calendar."""
    if not months:
        return days
    try:
        date = EPOCH + datetime.timedelta(days=days)
        year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return (datetime.date(year, month + 1, min(date.day, last)) - EPOCH).days
    except (OverflowError, ValueError):
        return None


def evaluate_cast(cast: Cast) -> Literal | None:
    """The value of a cast of a literal, where it is exact or rounds as decimals do."""
    operand = cast.operand
    assert isinstance(operand, Literal)
    value = operand.value
    if value is None:
        return Literal(None, cast.type)
    match operand.type, cast.type:
        case (Integer() | Decimal(), Integer() | Decimal()) if isinstance(value, int):
            shift = scale_of(cast.type) - scale_of(operand.type)
            return in_range(value * 10**shift if shift >= 0 else half_away(value, 10**-shift), cast.type)
        case (Boolean(), Integer() | Decimal()) if isinstance(value, int):
            return in_range(int(value) * 10 ** scale_of(cast.type), cast.type)
        case (Integer(), Float(64)) if isinstance(value, int) and abs(value) < 1 << 53:
            return Literal(float(value), cast.type)
        case (Decimal(scale=scale), Float(64)) if isinstance(value, int) and abs(value) < 1 << 53:
            return Literal(value / 10**scale, cast.type)
        case (Date(), Timestamp()) if isinstance(value, int):
            return in_range(value * MICROSECONDS_PER_DAY, cast.type)
        case (Timestamp(), Date()) if isinstance(value, int):
            return in_range(value // MICROSECONDS_PER_DAY, cast.type)
        case _:
            return None


def scale_of(type: SqlType) -> int:
    return type.scale if isinstance(type, Decimal) else 0


def half_away(value: int, divisor: int) -> int:
    """The quotient, rounded half away from zero.

    >>> half_away(25, 10), half_away(-25, 10), half_away(24, 10)
    (3, -3, 2)
    """
    quotient = (2 * abs(value) + divisor) // (2 * divisor)
    return quotient if value >= 0 else -quotient
