"""Scalar functions of literals, computed in Python as the machine would; None where that is an error or not worth knowing."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from qtensor.expressions import Call, Cast, Literal, LiteralValue
from qtensor.functions.scalars.function import value_of
from qtensor.functions.scalars.registry import SCALARS
from qtensor.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    FIRST_DAY,
    FIRST_MOMENT,
    INFINITE_MOMENT,
    LAST_DAY,
    LAST_MOMENT,
    MICROSECONDS_PER_DAY,
    Date,
    Decimal,
    Integer,
    IntervalValue,
    SqlType,
    Timestamp,
    is_infinite,
)
from qtensor.values.civil import civil, day_of, month_length
from qtensor.values.like import matches
from qtensor.values.literals import convert_literal, holds
from qtensor.values.texts import ConversionError

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
EXACT: dict[str, Callable[..., int | None]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "floor_divide": lambda a, b: truncated(a, b) if b else None,
    "modulo": lambda a, b: a - b * truncated(a, b) if b else None,
    "negate": operator.neg,
    "abs": abs,
}
# A Python float is a DOUBLE, its + - * are the machine's.
FLOATING: dict[str, Callable[..., float | None]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": lambda a, b: quotient(a, b),
    "floor_divide": lambda a, b: quotient(a, b) if b else None,
    "modulo": lambda a, b: math.fmod(a, b) if b and math.isfinite(a) else math.nan,
    "negate": operator.neg,
    "abs": abs,
}


def evaluate_call(call: Call) -> Literal | None:
    """The value of a call whose arguments are all literals."""
    values = [argument.value for argument in call.arguments if isinstance(argument, Literal)]
    match call.function:
        case "is_null":
            return Literal(values[0] is None, BOOLEAN)
        case "is_not_null":
            return Literal(values[0] is not None, BOOLEAN)
        case "is_distinct_from":
            return Literal(comparable(values[0]) != comparable(values[1]), BOOLEAN)
        case "is_not_distinct_from":
            return Literal(comparable(values[0]) == comparable(values[1]), BOOLEAN)
        case "in":
            return Literal(is_member(values[0], values[1:]), BOOLEAN)
        case "try":
            return Literal(values[0], call.type)
        case "greatest" | "least":
            known_values = [value for value in values if value is not None]
            choose = max if call.function == "greatest" else min
            return Literal(choose(known_values, key=comparable) if known_values else None, call.type)
        case function if (known := SCALARS.get(function)) is not None and known.evaluate is not None:
            return value_of(known, values, call.type)
        case _ if any(value is None for value in values):
            return Literal(None, call.type)
        case "like" | "ilike":
            return evaluate_like(call.function, [str(value) for value in values])
        case "add_interval" | "subtract_interval":
            return shifted(call, values)
        case "not":
            return Literal(not values[0], BOOLEAN)
        case comparison if comparison in COMPARISONS:
            return Literal(COMPARISONS[comparison](*map(comparable, values)), BOOLEAN)
        case _:
            return evaluate_arithmetic(call, values)


def evaluate_cast(cast: Cast) -> Literal | None:
    """The value of a cast of a literal; TRY_CAST gives NULL where CAST would raise."""
    assert isinstance(cast.operand, Literal)
    try:
        return convert_literal(cast.operand, cast.type)
    except ConversionError:
        return Literal(None, cast.type) if cast.try_ else None


def comparable(value: LiteralValue) -> tuple[int, LiteralValue]:
    """`value` as SQL compares it: NaN equals NaN and is greater than every number; NULL is a value of its own."""
    if value is None:
        return (2, 0)
    if isinstance(value, IntervalValue):  # a month counts as 30 days
        return (0, (value.months * 30 + value.days) * MICROSECONDS_PER_DAY + value.microseconds)
    return (1, 0.0) if value != value else (0, value)


def is_member(value: LiteralValue, choices: Sequence[LiteralValue]) -> bool | None:
    """IN: true where one is equal, else NULL where one might be."""
    if value is None:
        return None
    if comparable(value) in map(comparable, choices):
        return True
    return None if None in choices else False


def evaluate_like(function: str, texts: Sequence[str]) -> Literal:
    text, pattern, *escape = texts
    matched = matches(pa.array([text]), pattern, *escape, ignores_case=function == "ilike")
    return Literal(bool(matched[0].as_py()), BOOLEAN)


def evaluate_arithmetic(call: Call, values: Sequence[LiteralValue]) -> Literal | None:
    """Exact numbers and dates, and DOUBLEs as IEEE 754 has them; FLOATs are left to the machine."""
    if call.type == DOUBLE and call.function in FLOATING and all(isinstance(value, float) for value in values):
        result = FLOATING[call.function](*values)
        return None if result is None else Literal(result, DOUBLE)
    if call.function in EXACT and all(isinstance(value, int) for value in values):
        for value, argument in zip(values, call.arguments, strict=True):
            if call.type == DATE and is_infinite(value, argument.type):
                return Literal(value, DATE)
        exact = EXACT[call.function](*values)
        return None if exact is None else in_range(exact, call.type)
    return None


def truncated(dividend: int, divisor: int) -> int:
    """The quotient, cut off towards zero.

    >>> truncated(-7, 2), truncated(7, -2), truncated(7, 2)
    (-3, -3, 3)
    """
    result = abs(dividend) // abs(divisor)
    return result if (dividend < 0) == (divisor < 0) else -result


def quotient(dividend: float, divisor: float) -> float:
    """IEEE division: by zero it is an infinity, or NaN.

    >>> quotient(1.0, -0.0), quotient(0.0, 0.0), quotient(1.0, 4.0)
    (-inf, nan, 0.25)
    """
    if divisor:
        return dividend / divisor
    if not dividend or math.isnan(dividend):
        return math.nan
    return math.inf * math.copysign(1, dividend) * math.copysign(1, divisor)


def in_range(value: int, type: SqlType) -> Literal | None:
    """A literal of `type`, or None if the type does not hold the value."""
    match type:
        case Integer() | Decimal():
            allowed = holds(type, value)
        case Date():
            allowed = FIRST_DAY <= value <= LAST_DAY
        case Timestamp():
            allowed = FIRST_MOMENT <= value <= LAST_MOMENT
        case _:
            allowed = False
    return Literal(value, type) if allowed else None


def shifted(call: Call, values: Sequence[LiteralValue]) -> Literal | None:
    """A date or timestamp moved by an interval: months by the calendar, then days, then microseconds."""
    moment, interval = values
    if not isinstance(moment, int) or not isinstance(interval, IntervalValue):
        return None
    if is_infinite(moment, call.arguments[0].type):
        return Literal(INFINITE_MOMENT if moment > 0 else -INFINITE_MOMENT, call.type)
    sign = 1 if call.function == "add_interval" else -1
    scale = MICROSECONDS_PER_DAY if isinstance(call.arguments[0].type, Date) else 1
    days, time = divmod(moment * scale, MICROSECONDS_PER_DAY)
    moved = add_months(days, sign * interval.months)
    if moved is None:
        return None
    moved += sign * interval.days
    return in_range(moved * MICROSECONDS_PER_DAY + time + sign * interval.microseconds, call.type)


def add_months(days: int, months: int) -> int | None:
    """Days since 1970 after so many calendar months, the day cut to the month's last."""
    if not months:
        return days
    year, month, day = civil(days)
    year, month = divmod(year * 12 + month - 1 + months, 12)
    return day_of(year, month + 1, min(day, month_length(year, month + 1)))
