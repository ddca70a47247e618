"""INTERVAL constants: quantities of calendar units, and texts of several of them."""

from __future__ import annotations

import decimal
import math
import re

from qtensor.types import INTERVAL, MICROSECONDS_PER_DAY, IntervalValue
from qtensor.values.texts import MOST_DIGITS, NUMBER, SPACES, ConversionError, microseconds_of, out_of_range

_CLOCK = re.compile(r"(-?)(\d{1,10}):(\d{1,2})?(?::(\d{1,2})?(?:\.(\d*))?)?", re.ASCII)
_QUANTITY = re.compile(r"\s*(-?\d+(?:\.\d*)?)\s*([a-zA-Z]+|$)", re.ASCII)

_AGO = re.compile(r"\s+ago$", re.ASCII | re.IGNORECASE)

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
    "MILLENIUM": "MILLENNIUM",
    "MIL": "MILLENNIUM",
    "CENTURIES": "CENTURY",
    "CENT": "CENTURY",
    "C": "CENTURY",
    "DEC": "DECADE",
    "MON": "MONTH",
    "Y": "YEAR",
    "YR": "YEAR",
    "W": "WEEK",
    "D": "DAY",
    "H": "HOUR",
    "HR": "HOUR",
    "M": "MINUTE",
    "MIN": "MINUTE",
    "S": "SECOND",
    "SEC": "SECOND",
    "MS": "MILLISECOND",
    "MSEC": "MILLISECOND",
    "MSECOND": "MILLISECOND",
    "US": "MICROSECOND",
    "USEC": "MICROSECOND",
    "USECOND": "MICROSECOND",
}


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
    if not NUMBER.fullmatch(quantity.strip(SPACES)):
        raise ConversionError(f"cannot convert '{quantity}' to a number of {name.lower()}s")
    try:
        count = decimal.Decimal(quantity.strip(SPACES).replace("_", ""))
    except decimal.InvalidOperation as error:  # an exponent of more than 18 digits
        raise out_of_range(f"'{quantity}'", INTERVAL) from error
    if count.adjusted() > MOST_DIGITS:
        raise out_of_range(f"'{quantity}'", INTERVAL)
    with decimal.localcontext(prec=2 * MOST_DIGITS + len(quantity)):
        if name not in ("SECOND", "MILLISECOND"):
            count = count.to_integral_value(decimal.ROUND_DOWN)
        return _interval(IntervalValue(*(int(count * part) for part in _UNITS[name])))


def written_interval(quantity: str, unit: str) -> IntervalValue:
    """A quantity in a text, whose fraction counts: months of years, days of 30 a month, microseconds of all that is shorter.

    >>> written_interval("1.5", "years"), written_interval("-1.5", "months")
    (IntervalValue(months=18, days=0, microseconds=0), IntervalValue(months=-1, days=-15, microseconds=0))

    Raises:
        ConversionError: an unknown unit.
    """
    name = unit_name(unit)
    if name is None:
        raise ConversionError(f'"{unit}" is not a unit of time')
    whole, _, digits = quantity.partition(".")
    fraction = math.copysign(float(f"0.{digits or 0}"), -1 if quantity.startswith("-") else 1)
    part = interval_of(whole, name)
    if abs(fraction) <= 1e-10 or name == "MICROSECOND":
        return part
    months, days, microseconds = (fraction * length for length in _UNITS[name])
    if name in ("QUARTER", "MONTH"):
        days = (months - math.trunc(months)) * 30
        months = math.trunc(months)
    if name in ("MONTH", "WEEK", "DAY"):
        microseconds = (days - math.trunc(days)) * MICROSECONDS_PER_DAY
        days = math.trunc(days)
    parts = zip(part, (months, days, microseconds), strict=True)
    return _interval(IntervalValue(*(count + half_away(added) for count, added in parts)))


def half_away(value: float) -> int:
    """The nearest integer, halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def parse_interval(text: str) -> IntervalValue:
    """The interval that `text` describes: quantities with units, clock times, and at the end a number of seconds.

    Quantities may have an @ before them, and "ago" behind, which makes them negative.

    >>> parse_interval("1 year 2 months -3 days 04:05:06")
    IntervalValue(months=14, days=-3, microseconds=14706000000)
    >>> parse_interval("@ 2 hours ago")
    IntervalValue(months=0, days=0, microseconds=-7200000000)

    Raises:
        ConversionError: `text` is not an interval.
    """
    stripped = text.removeprefix("@").rstrip()
    ago = _AGO.search(stripped)
    quantities = stripped[: ago.start()] if ago else stripped
    total, position, seen = IntervalValue(), 0, False
    while position < len(quantities):
        rest = quantities[position:]
        clock = _CLOCK.match(rest.lstrip())
        quantity = None if clock else _QUANTITY.match(rest)
        at_end = clock is not None and not rest.lstrip()[clock.end() :]
        if clock and at_end and not ago:
            sign, hours, minutes, seconds, fraction = clock.groups()
            elapsed = microseconds_of(hours, minutes or "0", seconds, fraction)
            part = IntervalValue(microseconds=-elapsed if sign else elapsed)
            position += len(rest) - len(rest.lstrip()) + clock.end()
        elif quantity and not clock and (quantity[2] or (not ago and not seen)):
            part = written_interval(quantity[1], quantity[2] or "SECOND")
            position += quantity.end()
        else:
            raise ConversionError(f"cannot convert '{text}' to INTERVAL")
        if ago:
            part = IntervalValue(-part.months, -part.days, -part.microseconds)
        total, seen = _interval(IntervalValue(*(a + b for a, b in zip(total, part, strict=True)))), True
    if not seen:
        raise ConversionError(f"cannot convert '{text}' to INTERVAL")
    return total


def _interval(value: IntervalValue) -> IntervalValue:
    """`value`, unless one of its parts is too large."""
    if max(abs(value.months), abs(value.days)) >= 1 << 31 or abs(value.microseconds) >= 1 << 63:
        raise ConversionError("an INTERVAL has at most 2147483647 months, as many days, and 2^63 - 1 microseconds")
    return value
