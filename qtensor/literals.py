"""Constants: texts, numbers and Python parameters as the values that storage holds, converted exactly or not at all."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
import re
import struct

from qtensor.expressions import Literal
from qtensor.functions import integer_type
from qtensor.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTERVAL,
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
)

_EPOCH = datetime.date(1970, 1, 1)
_EXACT_DOUBLE_INTEGER = 1 << 53
_EXACT_FLOAT_INTEGER = 1 << 24
_EXACT_DOUBLE_POWER = 22  # 10**22 is the largest power of ten that a DOUBLE holds exactly

_DATE = re.compile(r"\s*(\d{1,4})([-/])(\d{1,2})\2(\d{1,2})(?:[ T]+(.*?))?\s*", re.DOTALL)
_TIME = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?\s*(?:Z|UTC|[+-]\d{1,2}(?::?\d{2})?)?")
_INTEGER = re.compile(r"[+-]?(\d+(_\d+)*|0[xX][0-9a-fA-F]+)")
_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CLOCK = re.compile(r"(-?)(\d+):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?")
_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([a-zA-Z]+|$)")

_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})

# unit -> (months, days, microseconds)
_UNITS: dict[str, IntervalValue] = {
    "MILLENNIUM": IntervalValue(months=12_000),
    "CENTURY": IntervalValue(months=1_200),
    "DECADE": IntervalValue(months=120),
    "YEAR": IntervalValue(months=12),
    "QUARTER": IntervalValue(months=3),
    "MONTH": IntervalValue(months=1),
    "WEEK": IntervalValue(days=7),
    "DAY": IntervalValue(days=1),
    "HOUR": IntervalValue(microseconds=3_600_000_000),
    "MINUTE": IntervalValue(microseconds=60_000_000),
    "SECOND": IntervalValue(microseconds=1_000_000),
    "MILLISECOND": IntervalValue(microseconds=1_000),
    "MICROSECOND": IntervalValue(microseconds=1),
}
_UNIT_ALIASES = {
    "MILLENNIA": "MILLENNIUM",
    "CENTURIES": "CENTURY",
    "MON": "MONTH",
    "Y": "YEAR",
    "YR": "YEAR",
    "D": "DAY",
    "H": "HOUR",
    "HR": "HOUR",
    "M": "MINUTE",
    "MIN": "MINUTE",
    "S": "SECOND",
    "SEC": "SECOND",
    "MS": "MILLISECOND",
    "MSEC": "MILLISECOND",
    "US": "MICROSECOND",
    "USEC": "MICROSECOND",
}


class ConversionError(Exception):
    """A text or value that does not convert to a type; the binder adds the caret."""


def unit_name(unit: str) -> str | None:
    """The unit that `unit` abbreviates or is the plural of, None when there is none.

    >>> unit_name("days"), unit_name("mon"), unit_name("fortnight")
    ('DAY', 'MONTH', None)
    """
    upper = unit.upper()
    for candidate in (upper, upper.removesuffix("S")):
        resolved = _UNIT_ALIASES.get(candidate, candidate)
        if resolved in _UNITS:
            return resolved
    return None


def interval_of(quantity: str, unit: str) -> IntervalValue:
    """INTERVAL `quantity` `unit`; as in DuckDB a fraction is cut off, except of seconds and milliseconds.

    >>> interval_of("1.5", "DAY"), interval_of("1.5", "SECOND")
    (IntervalValue(months=0, days=1, microseconds=0), IntervalValue(months=0, days=0, microseconds=1500000))

    Raises:
        ConversionError: not a number, or an unknown unit.
    """
    name = unit_name(unit)
    if name is None:
        raise ConversionError(f'"{unit}" is not a unit of time')
    if not _NUMBER.fullmatch(quantity.strip()):
        raise ConversionError(f"cannot convert '{quantity}' to a number of {name.lower()}s")
    count = decimal.Decimal(quantity.strip().replace("_", ""))
    if name not in ("SECOND", "MILLISECOND"):
        count = count.to_integral_value(decimal.ROUND_DOWN)
    months, days, microseconds = (int(count * part) for part in _UNITS[name])
    return IntervalValue(months, days, microseconds)


def parse_interval(text: str) -> IntervalValue:
    """The interval that `text` describes: quantities with units, clock times, and at the end a number of seconds.

    >>> parse_interval("1 year 2 months -3 days 04:05:06")
    IntervalValue(months=14, days=-3, microseconds=14706000000)

    Raises:
        ConversionError: `text` is not an interval.
    """
    total, position, seen = IntervalValue(), 0, False
    while position < len(text.rstrip()):
        rest = text[position:].rstrip()
        clock = _CLOCK.match(rest.lstrip())
        if clock:
            sign, hours, minutes, seconds, fraction = clock.groups()
            elapsed = _microseconds(hours, minutes, seconds, fraction)
            part = IntervalValue(microseconds=-elapsed if sign else elapsed)
            position += len(rest) - len(rest.lstrip()) + clock.end()
        else:
            quantity = _QUANTITY.match(rest)
            if not quantity:
                raise ConversionError(f"cannot convert '{text}' to INTERVAL")
            part = interval_of(quantity[1], quantity[2] or "SECOND")
            position += quantity.end()
        total, seen = IntervalValue(*(a + b for a, b in zip(total, part, strict=True))), True
    if not seen:
        raise ConversionError(f"cannot convert '{text}' to INTERVAL")
    return total


def _microseconds(hours: str, minutes: str, seconds: str | None, fraction: str | None) -> int:
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return whole * 1_000_000 + int(((fraction or "") + "000000")[:6])


def _parse_days(text: str, target: SqlType) -> tuple[int, str]:
    """Days since 1970-01-01 and what follows the date in `text`."""
    match = _DATE.fullmatch(text)
    if not match:
        raise ConversionError(f"cannot convert '{text}' to {target}: a date is written YYYY-MM-DD")
    year, _, month, day, rest = match.groups()
    try:
        date = datetime.date(int(year), int(month), int(day))
    except ValueError as error:
        raise ConversionError(f"cannot convert '{text}' to {target}: there is no such day") from error
    return (date - _EPOCH).days, rest or ""


def _parse_timestamp(text: str, target: SqlType) -> int:
    """Microseconds since 1970-01-01 00:00:00; a time zone's offset is passed over, as DuckDB does for TIMESTAMP."""
    days, rest = _parse_days(text, target)
    if not rest:
        return days * MICROSECONDS_PER_DAY
    match = _TIME.fullmatch(rest)
    if not match or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3] or 0) > 59:
        raise ConversionError(f"cannot convert '{text}' to {target}: a time of day is written HH:MM:SS.ffffff")
    hours, minutes, seconds, fraction = match.groups()
    return days * MICROSECONDS_PER_DAY + _microseconds(hours, minutes, seconds, fraction)


def _rounded(text: str, scale: int, target: SqlType) -> int:
    """The number `text` in units of 10**-scale, halves rounded away from zero."""
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped) and "x" in stripped.lower():
        return int(stripped.replace("_", ""), 16) * int(10**scale)
    if not _NUMBER.fullmatch(stripped):
        raise ConversionError(f"cannot convert '{text}' to {target}")
    with decimal.localcontext(prec=400):
        value = decimal.Decimal(stripped.replace("_", ""))
        if value.adjusted() > 60:
            raise ConversionError(f"'{text}' is out of range of {target}")
        return int(value.scaleb(scale).to_integral_value(decimal.ROUND_HALF_UP))


def _parse_float(text: str, target: Float) -> float:
    stripped = text.strip()
    named = stripped.lower().removeprefix("+").removeprefix("-")
    if not _NUMBER.fullmatch(stripped) and named not in ("nan", "inf", "infinity"):
        raise ConversionError(f"cannot convert '{text}' to {target}")
    value = float(stripped.replace("_", ""))
    return _to_float32(value) if target.bits == 32 else value


def _to_float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def parse_text(text: str, target: SqlType) -> Literal:
    """`text` as a literal of type `target`, as CAST(text AS target) gives it.

    >>> parse_text("1994-01-01", DATE)
    Literal(value=8766, type=Date())

    Raises:
        ConversionError: `text` does not convert.
    """
    match target:
        case Varchar():
            return Literal(text, VARCHAR)
        case Boolean():
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ConversionError(f"cannot convert '{text}' to BOOLEAN")
            return Literal(word in _TRUE, BOOLEAN)
        case Integer(minimum=minimum, maximum=maximum):
            value = _rounded(text, 0, target)
            if not minimum <= value <= maximum:
                raise ConversionError(f"'{text}' is out of range of {target}")
            return Literal(value, target)
        case Decimal(scale=scale):
            value = _rounded(text, scale, target)
            if abs(value) > target.maximum:
                raise ConversionError(f"'{text}' is out of range of {target}")
            return Literal(value, target)
        case Float():
            return Literal(_parse_float(text, target), target)
        case Date():
            days, rest = _parse_days(text, target)
            if rest:
                _parse_timestamp(text, target)
            return Literal(days, DATE)
        case Timestamp():
            return Literal(_parse_timestamp(text, target), TIMESTAMP)
        case Interval():
            return Literal(parse_interval(text), INTERVAL)
        case _:
            raise ConversionError(f"cannot convert '{text}' to {target}")


def convert_literal(literal: Literal, target: SqlType) -> Literal | None:
    """`literal` as a literal of type `target`, None where that is not exact: then a Cast has to do it, and may raise.

    Raises:
        ConversionError: a text that does not convert.
    """
    if literal.value is None:
        return Literal(None, target)
    value = literal.value
    match literal.type, target:
        case Varchar(), _:
            return parse_text(str(value), target)
        case Boolean() | Integer(), Integer(minimum=minimum, maximum=maximum) if isinstance(value, int):
            return Literal(int(value), target) if minimum <= value <= maximum else None
        case Integer(), Decimal(scale=scale) if isinstance(value, int):
            unscaled = value * 10**scale
            return Literal(unscaled, target) if abs(unscaled) <= target.maximum else None
        case Decimal(scale=scale), Decimal() if isinstance(value, int) and target.scale >= scale:
            unscaled = value * 10 ** (target.scale - scale)
            return Literal(unscaled, target) if abs(unscaled) <= target.maximum else None
        case ((Integer() | Decimal()), Float()) if isinstance(value, int):
            return _as_float(value, literal.type.scale if isinstance(literal.type, Decimal) else 0, target)
        case Float(), Float(bits=64) if isinstance(value, float):
            return Literal(value, target)
        case Date(), Timestamp() if isinstance(value, int):
            return Literal(value * MICROSECONDS_PER_DAY, TIMESTAMP)
        case _:
            return None


def _as_float(unscaled: int, scale: int, target: Float) -> Literal | None:
    """Integer and power of ten are both exact, so their quotient is rounded once, as a division at run time would round it."""
    exact = _EXACT_DOUBLE_INTEGER if target.bits == 64 else _EXACT_FLOAT_INTEGER
    if abs(unscaled) > exact or scale > _EXACT_DOUBLE_POWER:
        return None
    value = unscaled / 10**scale
    return Literal(_to_float32(value) if target.bits == 32 else value, target)


def parameter_literal(value: object) -> Literal:
    """A Python value given for a prepared parameter as the literal that DuckDB makes of it.

    >>> parameter_literal(3), parameter_literal("x")
    (Literal(value=3, type=Integer(bits=32, signed=True)), Literal(value='x', type=Varchar()))

    Raises:
        ConversionError: a type of value that has no SQL type here.
    """
    match value:
        case None:
            return Literal(None, NULL)
        case bool():
            return Literal(value, BOOLEAN)
        case numbers.Integral():
            return _integer_parameter(int(value))
        case str():
            return Literal(str(value), VARCHAR)
        case decimal.Decimal():
            return _decimal_parameter(value)
        case numbers.Real():
            return Literal(float(value), DOUBLE)
        case datetime.datetime():
            if value.tzinfo is not None:
                raise ConversionError(f"{value!r} has a time zone; TIMESTAMP WITH TIME ZONE is not supported")
            return Literal((value - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1), TIMESTAMP)
        case datetime.date():
            return Literal((value - _EPOCH).days, DATE)
        case datetime.timedelta():
            microseconds = value.seconds * 1_000_000 + value.microseconds
            return Literal(IntervalValue(days=value.days, microseconds=microseconds), INTERVAL)
        case _:
            raise ConversionError(f"a {type(value).__name__} has no SQL type")


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
