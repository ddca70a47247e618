"""Constants of one type as constants of another, and Python parameters as constants: exactly, or rounded as DuckDB rounds."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from qtensor.errors import with_article
from qtensor.expressions import Literal, LiteralValue
from qtensor.functions.operators import integer_type
from qtensor.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    FIRST_MOMENT,
    INFINITE_DAY,
    INFINITE_MOMENT,
    INTERVAL,
    LAST_MOMENT,
    MICROSECONDS_PER_DAY,
    NULL,
    TIMESTAMP,
    UBIGINT,
    VARCHAR,
    Boolean,
    Date,
    Decimal,
    Float,
    Integer,
    Interval,
    IntervalValue,
    SqlType,
    Timestamp,
    Varchar,
    scale_of,
)
from qtensor.values.intervals import parse_interval
from qtensor.values.texts import ConversionError, format_value, is_utf8, out_of_range, parse_text, to_float32

_EPOCH = datetime.date(1970, 1, 1)
_DAYS_AND_LONGER = ("Y", "M", "W", "D")
_MOST_DAYS = (1 << 31) - 2
_MICROSECONDS = {  # of the units of datetime64
    "h": Fraction(3_600_000_000),
    "m": Fraction(60_000_000),
    "s": Fraction(1_000_000),
    "ms": Fraction(1_000),
    "us": Fraction(1),
    "ns": Fraction(1, 1_000),
    "ps": Fraction(1, 1_000_000),
    "fs": Fraction(1, 1_000_000_000),
    "as": Fraction(1, 1_000_000_000_000),
}


def convert_literal(literal: Literal, target: SqlType) -> Literal:
    """The constant CAST(literal AS target): exact, or rounded as DuckDB does. NULL stays NULL.

    Decimals and texts round halves away from zero, DOUBLEs to even when they become integers.

    >>> from qtensor.types import INTEGER
    >>> convert_literal(Literal(25, Decimal(2, 1)), INTEGER), convert_literal(Literal(2.5, DOUBLE), INTEGER)
    (Literal(value=3, type=Integer(bits=32, signed=True)), Literal(value=2, type=Integer(bits=32, signed=True)))

    Raises:
        ConversionError: the value does not convert.
    """
    if literal.value is None or literal.type == target:
        return Literal(literal.value, target, literal.parameter)
    return Literal(_converted(literal.value, literal.type, target), target, literal.parameter)


def _converted(value: LiteralValue, source: SqlType, target: SqlType) -> LiteralValue:
    match source, target, value:
        case Varchar(), Interval(), str():
            return parse_interval(value)
        case Varchar(), _, str():
            return parse_text(value, target)
        case _, Varchar(), bool() | int() | float() | str():
            return format_value(value, source)
        case Boolean() | Integer() | Decimal() | Float(), Boolean(), int() | float():
            return value != 0
        case Boolean() | Integer() | Decimal(), Integer() | Decimal(), int():
            return _rescaled(int(value), source, target)
        case Boolean() | Integer() | Decimal(), Float(), int():
            return _as_float(int(value), scale_of(source), target)
        case Float(), Float(), float():
            rounded = to_float32(value) if target.bits == 32 else value
            if math.isinf(rounded) and not math.isinf(value):
                raise out_of_range(value, target)
            return rounded
        case Float(), Integer() | Decimal(), float():
            return _nearest(value, target)
        case Date(), Timestamp(), int():
            if abs(value) >= INFINITE_DAY:
                return INFINITE_MOMENT if value > 0 else -INFINITE_MOMENT
            if not FIRST_MOMENT <= value * MICROSECONDS_PER_DAY <= LAST_MOMENT:
                raise out_of_range(format_value(value, source), target)
            return value * MICROSECONDS_PER_DAY
        case Timestamp(), Date(), int():
            if abs(value) >= INFINITE_MOMENT:
                return INFINITE_DAY if value > 0 else -INFINITE_DAY
            return value // MICROSECONDS_PER_DAY
        case _:
            raise ConversionError(f"cannot convert a {source} to {target}")


def half_away(value: int, divisor: int) -> int:
    """The quotient, rounded half away from zero.

    >>> half_away(25, 10), half_away(-25, 10), half_away(24, 10)
    (3, -3, 2)
    """
    quotient = (2 * abs(value) + divisor) // (2 * divisor)
    return quotient if value >= 0 else -quotient


def holds(target: Integer | Decimal, value: int) -> bool:
    """Whether `value` (unscaled) is a value of the type `target`."""
    least = target.minimum if isinstance(target, Integer) else -target.maximum
    return least <= value <= target.maximum


def _rescaled(value: int, source: SqlType, target: Integer | Decimal) -> int:
    shift = scale_of(target) - scale_of(source)
    result = value * int(10**shift) if shift >= 0 else half_away(value, int(10**-shift))
    if not holds(target, result):
        raise out_of_range(format_value(value, source), target)
    return result


def _as_float(unscaled: int, scale: int, target: Float) -> float:
    """The nearest DOUBLE, which Python's division of integers is; of that the nearest FLOAT."""
    if scale == 0:
        return _rounded_once(unscaled, target.bits == 32)
    quotient = unscaled / 10**scale
    return to_float32(quotient) if target.bits == 32 else quotient


def _rounded_once(value: int, single: bool) -> float:
    """The DOUBLE, or with `single` the FLOAT, nearest to an integer."""
    if not single:
        return float(value)
    # Through DOUBLE, an integer next to the middle of two FLOATs would be rounded twice: its last bits are gathered in one.
    dropped = max(0, abs(value).bit_length() - 50)
    sticky = (abs(value) >> dropped) | bool(abs(value) & ((1 << dropped) - 1))
    return math.copysign(to_float32(float(sticky << dropped)), value)


def _nearest(value: float, target: Integer | Decimal) -> int:
    """Half to even for integers, half away from zero for decimals, whose power of ten is multiplied in as a DOUBLE."""
    scaled = value * float(10 ** scale_of(target))
    if not math.isfinite(scaled):
        raise out_of_range(value, target)
    if isinstance(target, Integer):
        result = round(scaled)
    else:
        fraction, whole = math.modf(abs(scaled))
        result = int(whole) + (fraction >= 0.5)
        result = result if scaled >= 0 else -result
    # Beyond 2^53 the power of ten as a DOUBLE may be less than the power: DuckDB compares with that.
    limit = float(10**target.precision) if isinstance(target, Decimal) else math.inf
    if not holds(target, result) or abs(result) >= limit:
        raise out_of_range(value, target)
    return result


# --- parameters ---------------------------------------------------------------------------------------------------------------


def listed(value: object) -> Sequence[object] | None:
    """The values of a parameter that is a list: a list, a tuple or an array [n]; None if it is one value."""
    match value:
        case list() | tuple():
            return value
        case np.ndarray() if value.ndim == 1:
            return list(value)
        case _:
            return None


def parameter_literal(value: object) -> Literal:
    """A Python value given for a prepared parameter as the literal that DuckDB makes of it; a literal is one already.

    >>> parameter_literal(3), parameter_literal("x")
    (Literal(value=3, type=Integer(bits=32, signed=True)), Literal(value='x', type=Varchar()))

    Raises:
        ConversionError: a type of value that has no SQL type here.
    """
    match value:
        case Literal():
            return value
        case None:
            return Literal(None, NULL)
        case bool() | np.bool_():
            return Literal(bool(value), BOOLEAN)
        case np.datetime64():
            return _moment_parameter(value)
        case np.timedelta64():
            raise ConversionError("a timedelta64 has no SQL type: pass a datetime.timedelta")
        case numbers.Integral():
            return _integer_parameter(int(value))
        case str():
            if not is_utf8(value):
                raise ConversionError("the text has a character that is none: half of a pair (a surrogate)")
            return Literal(str(value), VARCHAR)
        case decimal.Decimal():
            return _decimal_parameter(value)
        case numbers.Real():
            return Literal(float(value), DOUBLE)
        case datetime.datetime():
            if value != value:  # pandas.NaT
                return Literal(None, NULL)
            if value.tzinfo is not None:
                raise ConversionError(f"{value!r} has a time zone; TIMESTAMP WITH TIME ZONE is not supported")
            return Literal((value - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1), TIMESTAMP)
        case datetime.date():
            return Literal((value - _EPOCH).days, DATE)
        case datetime.timedelta():
            microseconds = value.seconds * 1_000_000 + value.microseconds
            return Literal(IntervalValue(days=value.days, microseconds=microseconds), INTERVAL)
        case np.ndarray() if value.ndim == 0:
            return parameter_literal(value[()])
        case _ if type(value).__name__ == "NAType":  # pandas.NA
            return Literal(None, NULL)
        case _:
            raise ConversionError(f"{with_article(type(value).__name__)} has no SQL type")


def python_value(literal: Literal) -> object:
    """What a caller would give for a parameter that has this value.

    >>> from qtensor.types import DATE
    >>> python_value(Literal(-1, DATE)), python_value(Literal(125, Decimal(3, 2)))
    (datetime.date(1969, 12, 31), Decimal('1.25'))
    """
    match literal.type, literal.value:
        case Date(), int(days):
            return datetime.date(1970, 1, 1) + datetime.timedelta(days=days)
        case Timestamp(), int(microseconds):
            return datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)
        case Decimal(scale=scale), int(unscaled):
            return decimal.Decimal(f"{unscaled}e-{scale}")
        case Interval(), IntervalValue(0, days, microseconds):
            return datetime.timedelta(days=days, microseconds=microseconds)
        case _, value:
            return value


def _moment_parameter(value: np.datetime64) -> Literal:
    """A DATE of whole days and longer units, of shorter ones a TIMESTAMP."""
    if np.isnat(value):
        return Literal(None, NULL)
    unit, step = np.datetime_data(value.dtype)
    if unit in _DAYS_AND_LONGER:
        days = value.astype("M8[D]")
        if days.astype(value.dtype) != value or abs(int(days.astype(np.int64))) > _MOST_DAYS:
            raise ConversionError(f"{value} is out of range of DATE")
        return Literal(int(days.astype(np.int64)), DATE)
    microseconds = int(value.astype(np.int64)) * step * _MICROSECONDS[unit]
    if microseconds.denominator != 1:
        raise ConversionError(f"{value} has parts of a microsecond, which TIMESTAMP does not hold")
    if abs(microseconds) >= 1 << 63:
        raise ConversionError(f"{value} is out of range of TIMESTAMP")
    return Literal(int(microseconds), TIMESTAMP)


def _integer_parameter(value: int) -> Literal:
    chosen = integer_type(value)
    if chosen is None:
        raise ConversionError(f"{value} is out of range of HUGEINT")
    # DuckDB types a Python int between 2^63 and 2^64 as UBIGINT, though the literal of that value is a HUGEINT.
    return Literal(value, UBIGINT if chosen.bits == 128 and 0 <= value <= UBIGINT.maximum else chosen)


def _decimal_parameter(value: decimal.Decimal) -> Literal:
    if not value.is_finite():
        return Literal(float(value), DOUBLE)
    _, digits, exponent = value.as_tuple()
    scale = max(0, -int(exponent))
    # DuckDB counts the zero before the point, but only where digits after it are zero too.
    precision = scale + 1 if len(digits) < scale else len(digits) + max(0, int(exponent))
    if precision > 38:
        raise ConversionError(f"{value} has more than 38 digits")
    unscaled = int(value.scaleb(scale, decimal.Context(prec=80)))
    return Literal(unscaled, Decimal(precision, scale))
