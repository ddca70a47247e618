"""Texts as values, and values as texts: what CAST from and to VARCHAR means, in the domain in which storage holds values."""

from __future__ import annotations

import datetime
import decimal
import math
import re
import struct
from typing import TypeAlias

import numpy as np

from qtensor.types import (
    MICROSECONDS_PER_DAY,
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

Value: TypeAlias = bool | int | float | str | IntervalValue

_EPOCH = datetime.date(1970, 1, 1)

_DATE = re.compile(r"\s*(\d{1,4})([-/])(\d{1,2})\2(\d{1,2})(?:[ T]+(.*?))?\s*", re.DOTALL)
_TIME = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?\s*(?:Z|UTC|[+-]\d{1,2}(?::?\d{2})?)?")
_INTEGER = re.compile(r"[+-]?(\d+(_\d+)*|0[xX][0-9a-fA-F]+)")
_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CLOCK = re.compile(r"(-?)(\d+):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?")
_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([a-zA-Z]+|$)")

_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})

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
    """A value that does not convert to a type; whoever knows its place in the query adds the caret."""


def out_of_range(shown: object, target: SqlType) -> ConversionError:
    """The error of a number that `target` does not hold."""
    return ConversionError(f"{shown} is out of range of {target}")


# --- from text ----------------------------------------------------------------------------------------------------------------


def parse_text(text: str, target: SqlType) -> Value:
    """The value of CAST(text AS target).

    >>> from qtensor.types import DATE
    >>> parse_text("1994-01-01", DATE), parse_text(" 1.555", Decimal(9, 2))
    (8766, 156)

    Raises:
        ConversionError: `text` does not convert.
    """
    match target:
        case Varchar():
            return text
        case Boolean():
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ConversionError(f"cannot convert '{text}' to BOOLEAN")
            return word in _TRUE
        case Integer(minimum=minimum, maximum=maximum):
            value = _rounded(text, 0, target)
            if not minimum <= value <= maximum:
                raise out_of_range(f"'{text}'", target)
            return value
        case Decimal(scale=scale, maximum=maximum):
            value = _rounded(text, scale, target)
            if abs(value) > maximum:
                raise out_of_range(f"'{text}'", target)
            return value
        case Float():
            return _parse_float(text, target)
        case Date():
            days, rest = _parse_days(text, target)
            if rest:
                _parse_timestamp(text, target)
            return days
        case Timestamp():
            return _parse_timestamp(text, target)
        case Interval():
            return parse_interval(text)
        case _:
            raise ConversionError(f"cannot convert '{text}' to {target}")


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


def _microseconds(hours: str, minutes: str, seconds: str | None, fraction: str | None) -> int:
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return whole * 1_000_000 + int(((fraction or "") + "000000")[:6])


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
            raise out_of_range(f"'{text}'", target)
        return int(value.scaleb(scale).to_integral_value(decimal.ROUND_HALF_UP))


def _parse_float(text: str, target: Float) -> float:
    stripped = text.strip()
    named = stripped.lower().removeprefix("+").removeprefix("-")
    if not _NUMBER.fullmatch(stripped) and named not in ("nan", "inf", "infinity"):
        raise ConversionError(f"cannot convert '{text}' to {target}")
    value = float(stripped.replace("_", ""))
    return to_float32(value) if target.bits == 32 else value


def to_float32(value: float) -> float:
    """The FLOAT nearest to `value`; an infinity where it is too large."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


# --- intervals ----------------------------------------------------------------------------------------------------------------


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


# --- to text ------------------------------------------------------------------------------------------------------------------


def format_value(value: Value, source: SqlType) -> str:
    """The text of CAST(value AS VARCHAR), `value` being of type `source`.

    >>> from qtensor.types import DATE, TIMESTAMP
    >>> format_value(-5, Decimal(4, 2)), format_value(5, Decimal(2, 2)), format_value(True, Boolean())
    ('-0.05', '.05', 'true')
    >>> format_value(19000, DATE), format_value(-719529, DATE), format_value(500_000, TIMESTAMP)
    ('2022-01-08', '0001-12-31 (BC)', '1970-01-01 00:00:00.5')

    Raises:
        ConversionError: values of that type have no text here.
    """
    match source, value:
        case Varchar(), str():
            return value
        case Boolean(), int():
            return "true" if value else "false"
        case Integer(), int():
            return str(value)
        case Decimal(precision, scale), int():
            return _format_decimal(value, precision, scale)
        case Float(bits), float():
            return _format_float(value, bits)
        case Date(), int():
            return _format_days(value)
        case Timestamp(), int():
            return _format_timestamp(value)
        case _:
            raise ConversionError(f"cannot convert a {source} to VARCHAR")


def _format_decimal(value: int, precision: int, scale: int) -> str:
    """As many digits after the point as the type has, and none before it where the type has none there."""
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(scale + (precision > scale), "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else sign + digits


def _format_float(value: float, bits: int) -> str:
    """The shortest text that reads back as the same value."""
    if math.isnan(value):
        return "-nan" if math.copysign(1, value) < 0 else "nan"
    if bits == 32 and math.isfinite(value):
        value = float(np.format_float_scientific(np.float32(value)))
    return repr(value)


def _format_days(days: int) -> str:
    """The calendar goes on before the year 1, which follows the year 1 BC."""
    text = str(np.datetime64(days, "D"))
    year, month, day = text.rsplit("-", 2)
    return text if int(year) > 0 else f"{1 - int(year):04}-{month}-{day} (BC)"


def _format_timestamp(microseconds: int) -> str:
    days, rest = divmod(microseconds, MICROSECONDS_PER_DAY)
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    decimals = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{_format_days(days)} {clock}{decimals}"
