"""Texts as values, and values as texts: what CAST from and to VARCHAR means, in the domain in which storage holds values."""

from __future__ import annotations

import decimal
import math
import re
import struct
from typing import TypeAlias

import numpy as np

from qtensor.types import (
    FIRST_DAY,
    FIRST_MOMENT,
    INFINITE_DAY,
    INFINITE_MOMENT,
    LAST_DAY,
    LAST_MOMENT,
    MICROSECONDS_PER_DAY,
    Boolean,
    Date,
    Decimal,
    Enum,
    Float,
    Integer,
    SqlType,
    Timestamp,
    Varchar,
)
from qtensor.values.civil import day_of

Value: TypeAlias = bool | int | float | str

FAR_YEAR = 10**9  # no DATE has it

# Digits and spaces are those of ASCII: DuckDB reads no others.
_DATE = re.compile(
    r"[ \t\n\v\f\r]*(-?)(\d+)([-/ \\])(\d{1,2})\3(\d{1,2})([ \t\n\v\f\r]\([bB][cC]\))?(?!\d)(.*)", re.DOTALL | re.ASCII
)
_SPECIAL = re.compile(r"[ \t\n\v\f\r]*(-?)(?:(inf(?=\Z)|infinity)|epoch)([ \t\n\v\f\r]*)", re.IGNORECASE | re.ASCII)
# What follows a date: a time, and an offset or a time zone that is passed over. Hours have up to nine digits.
_TIME = re.compile(
    r"[ T]?[ \t\n\v\f\r]*(\d{1,9}):(\d{1,2})?(?::(\d{1,2})?(?:\.(\d*))?)?"
    r"(?:Z|[+-]\d{2}(?::?\d{2}(?::\d{2})?)?|[ ][A-Za-z0-9/_+-]*)?[ \t\n\v\f\r]*",
    re.ASCII,
)
_BASED = re.compile(r"0[xX][0-9a-fA-F]+(_[0-9a-fA-F]+)*|0[bB][01]+(_[01]+)*")
NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
EXPONENTS = range(-(1 << 15), 1 << 15)  # of what is read as an exact number
MOST_DIGITS = 60  # more than any exact type has
SPACES = " \t\n\v\f\r"

_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})


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
        case Enum(values) if text not in values:
            raise ConversionError(f"'{text}' is not one of the values of {target}")
        case Varchar():
            return text
        case Boolean():
            word = text.lower()
            if word not in _TRUE | _FALSE:
                raise ConversionError(f"cannot convert '{text}' to BOOLEAN")
            return word in _TRUE
        case Integer(minimum=minimum, maximum=maximum):
            value = int(text, 0) if _BASED.fullmatch(text.lstrip(SPACES)) else _rounded(text, 0, target)
            below = not target.signed and text.lstrip(SPACES).startswith("-") and text.strip("-0" + SPACES)
            if not minimum <= value <= maximum or below:  # DuckDB takes -0 as unsigned, but not -0.4
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
            if rest.strip(SPACES):
                _parse_time(text, rest, target)
            return days
        case Timestamp():
            return _parse_timestamp(text, target)
        case _:
            raise ConversionError(f"cannot convert '{text}' to {target}")


def _parse_days(text: str, target: SqlType) -> tuple[int, str]:
    """Days since 1970-01-01 and what follows the date in `text`."""
    match = _DATE.fullmatch(text)
    special = None if match else _SPECIAL.fullmatch(text)
    if special and special[2]:
        return -INFINITE_DAY if special[1] else INFINITE_DAY, ""
    if special:
        return 0, ""
    if not match:
        raise ConversionError(f"cannot convert '{text}' to {target}: a date is written YYYY-MM-DD")
    minus, digits, _, month, day, before_christ, rest = match.groups()
    year = int(digits) if len(digits) < 10 else FAR_YEAR
    if before_christ and (minus or not year):
        raise ConversionError(f"cannot convert '{text}' to {target}: years before Christ are 1 (BC) and on")
    days = day_of(-year if minus else 1 - year if before_christ else year, int(month), int(day))
    if days is None:
        raise ConversionError(f"cannot convert '{text}' to {target}: there is no such day")
    if not FIRST_DAY <= days <= LAST_DAY:
        raise ConversionError(f"cannot convert '{text}' to {target}: years go from 5877642 (BC) to 5881580")
    return days, rest


def _parse_timestamp(text: str, target: SqlType) -> int:
    """Microseconds since 1970-01-01 00:00:00; a time zone's offset is passed over, as DuckDB does for TIMESTAMP."""
    days, rest = _parse_days(text, target)
    if abs(days) == INFINITE_DAY:
        return INFINITE_MOMENT if days > 0 else -INFINITE_MOMENT
    elapsed = _parse_time(text, rest, target) if rest else 0
    result = days * MICROSECONDS_PER_DAY + elapsed
    if not FIRST_MOMENT <= result <= LAST_MOMENT:
        raise ConversionError(f"cannot convert '{text}' to {target}: years go from 290309 (BC) to 294247")
    return result


def _parse_time(text: str, rest: str, target: SqlType) -> int:
    """The microseconds of the time of day `rest`, which follows a date."""
    match = _TIME.fullmatch(rest)
    elapsed = microseconds_of(match[1], match[2] or "0", match[3], match[4]) if match else 0
    if not match or int(match[2] or 0) > 59 or int(match[3] or 0) > 59 or elapsed > MICROSECONDS_PER_DAY:
        raise ConversionError(f"cannot convert '{text}' to {target}: a time of day is written HH:MM:SS.ffffff")
    return elapsed


def microseconds_of(hours: str, minutes: str, seconds: str | None, fraction: str | None) -> int:
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return whole * 1_000_000 + int(((fraction or "") + "000000")[:6])


def _rounded(text: str, scale: int, target: SqlType) -> int:
    """The number `text` in units of 10**-scale, halves rounded away from zero."""
    stripped = text.strip(SPACES)
    written = NUMBER.fullmatch(stripped)
    if not written or int(written[3][1:] if written[3] else 0) not in EXPONENTS:
        raise ConversionError(f"cannot convert '{text}' to {target}")
    with decimal.localcontext(prec=len(text) + 80):
        try:
            value = decimal.Decimal(stripped.replace("_", ""))
        except decimal.InvalidOperation as error:  # an exponent of more than 18 digits
            raise out_of_range(f"'{text}'", target) from error
        if value and value.adjusted() > MOST_DIGITS:
            raise out_of_range(f"'{text}'", target)
        return int(value.scaleb(scale).to_integral_value(decimal.ROUND_HALF_UP))


def _parse_float(text: str, target: Float) -> float:
    stripped = text.strip(SPACES)
    named = stripped.lower().removeprefix("+").removeprefix("-")
    if not NUMBER.fullmatch(stripped) and named not in ("nan", "inf", "infinity"):
        raise ConversionError(f"cannot convert '{text}' to {target}")
    value = float(stripped.replace("_", ""))
    return to_float32(value) if target.bits == 32 else value


def to_float32(value: float) -> float:
    """The FLOAT nearest to `value`; an infinity where it is too large."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


# --- to text ------------------------------------------------------------------------------------------------------------------


def format_value(value: Value, source: SqlType) -> str:
    """The text of CAST(value AS VARCHAR), `value` being of type `source`.

    >>> from qtensor.types import DATE, TIMESTAMP
    >>> format_value(-5, Decimal(4, 2)), format_value(5, Decimal(2, 2)), format_value(True, Boolean())
    ('-0.05', '.05', 'true')
    >>> format_value(19000, DATE), format_value(-719163, DATE), format_value(500_000, TIMESTAMP)
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
        case Float(64), float():
            return _format_double(value)
        case Float(32), float():
            return _format_float(value)
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


def _format_double(value: float) -> str:
    """The shortest text that reads back as the same value."""
    if math.isnan(value):
        return "-nan" if math.copysign(1, value) < 0 else "nan"
    return repr(value)


def _format_float(value: float) -> str:
    """A FLOAT in the shortest digits that read back as the same FLOAT, as DuckDB finds them.

    It looks for them by Grisu3, which gives up where a shorter number lies right on the border to the next FLOAT, or two of the
    shortest are as near; then it writes the value's digits as a DOUBLE. (Loitsch, "Printing Floating-Point Numbers Quickly and
    Accurately with Integers", PLDI 2010.)
    """
    single = np.float32(abs(value))
    if not np.isfinite(single) or single == 0:
        return _format_double(value)
    shortest = float(np.format_float_scientific(single, unique=True))
    digits, exact = decimal.Decimal(repr(shortest)), decimal.Decimal(float(single))
    below, above = (float((single.view(np.int32) + np.int32(step)).view(np.float32)) for step in (-1, 1))
    if math.isinf(above):
        above = 2 * float(single) - below
    borders = [decimal.Decimal((float(single) + neighbour) / 2) for neighbour in (below, above)]
    last = _last_place(digits)
    gives_up = any(_last_place(border) > last or border == digits for border in borders)
    tie = abs(exact - digits) * 2 == decimal.Decimal((0, (1,), last))
    return _format_double(value if gives_up or tie else math.copysign(shortest, value))


def _last_place(number: decimal.Decimal) -> int:
    """The exponent of the last digit that is not 0."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    digits = "".join(map(str, number.as_tuple().digits))
    return exponent + len(digits) - len(digits.rstrip("0"))


def _format_days(days: int) -> str:
    """The calendar goes on before the year 1, which follows the year 1 BC."""
    if abs(days) >= INFINITE_DAY:
        return "infinity" if days > 0 else "-infinity"
    text = str(np.datetime64(days, "D"))
    year, month, day = text.rsplit("-", 2)
    return text if int(year) > 0 else f"{1 - int(year):04}-{month}-{day} (BC)"


def _format_timestamp(microseconds: int) -> str:
    if abs(microseconds) >= INFINITE_MOMENT:
        return "infinity" if microseconds > 0 else "-infinity"
    days, rest = divmod(microseconds, MICROSECONDS_PER_DAY)
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    decimals = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{_format_days(days)} {clock}{decimals}"


def is_utf8(text: str) -> bool:
    """Whether all of `text` can be written as UTF-8, which lone surrogates cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
