"""Functions of days and moments, all computed by the machine (`lowering/expressions/calendar.py`)."""

from __future__ import annotations

from qtensor.functions.scalars.function import ScalarFunction, each, takes
from qtensor.types import BIGINT, DATE, DOUBLE, INTEGER, INTERVAL, TIMESTAMP, VARCHAR, SqlType
from qtensor.values.texts import ConversionError

# The parts of a date or moment, and how DuckDB abbreviates them in date_part, date_trunc and the like.
_SPECIFIERS = {
    "year": "y yr yrs years",
    "month": "mon mons months",
    "day": "d days dayofmonth",
    "decade": "dec decs decades",
    "century": "c cent centuries",
    "millennium": "mil mils millenniums millennia millenium",
    "quarter": "quarters",
    "week": "w weeks weekofyear",
    "isoyear": "",
    "yearweek": "",
    "dayofweek": "weekday dow",
    "isodow": "",
    "dayofyear": "doy",
    "hour": "h hr hrs hours",
    "minute": "m min mins minutes",
    "second": "s sec secs seconds",
    "millisecond": "ms msec msecs milliseconds msecond mseconds",
    "microsecond": "us usec usecs microseconds usecond useconds",
    "epoch": "",
    "era": "",
    "julian": "",
    "timezone": "",
    "timezone_hour": "",
    "timezone_minute": "",
}
SPECIFIERS = {alias: name for name, aliases in _SPECIFIERS.items() for alias in (name, *aliases.split())}
# What date_trunc and date_diff make of a part that is no length of time.
TRUNCATED_AS = {
    "dayofweek": "day",
    "isodow": "day",
    "dayofyear": "day",
    "julian": "day",
    "yearweek": "week",
    "epoch": "second",
}


def specifier(text: str) -> str | None:
    """The part that `text` names, None if there is no such part.

    >>> specifier("YEARS"), specifier("dow"), specifier("fortnight")
    ('year', 'dayofweek', None)
    """
    return SPECIFIERS.get(text.lower())


# Which parts the first argument of date_part may name in a row, and that of date_trunc and its kin.
ALL_PARTS, LENGTHS_OF_TIME = 0, 1
PART_SETS = (
    tuple(_SPECIFIERS),
    tuple(name for name in _SPECIFIERS if name != "era" and not name.startswith("timezone") and name not in TRUNCATED_AS),
)


def part_number(text: str, number: int) -> int:
    """Which of `PART_SETS[number]` the text names."""
    name = specifier(text)
    if name is not None and number == LENGTHS_OF_TIME:
        name = TRUNCATED_AS.get(name, name)
    if name not in PART_SETS[number]:
        raise ConversionError(f'"{text}" is no part of a date{" that is a length of time" if name else ""}')
    return PART_SETS[number].index(name)


def part(result: SqlType, *names: str) -> ScalarFunction:
    """A part of a date or moment; that of an INTERVAL exists in DuckDB too, and makes an untyped NULL ambiguous here as there."""
    return ScalarFunction(names, tuple(takes(type, result=result) for type in (DATE, TIMESTAMP, INTERVAL)))


def of_unit(result: SqlType, *names: str) -> ScalarFunction:
    """A function of a unit of time and two moments."""
    return ScalarFunction(names, tuple(takes(VARCHAR, type, type, result=result) for type in (DATE, TIMESTAMP)))


DATES: tuple[ScalarFunction, ...] = (
    part(BIGINT, "year"),
    part(BIGINT, "month"),
    part(BIGINT, "day", "dayofmonth"),
    part(BIGINT, "decade"),
    part(BIGINT, "century"),
    part(BIGINT, "millennium"),
    part(BIGINT, "quarter"),
    part(BIGINT, "week", "weekofyear"),
    part(BIGINT, "isoyear"),
    part(BIGINT, "yearweek"),
    part(BIGINT, "dayofweek", "weekday"),
    part(BIGINT, "isodow"),
    part(BIGINT, "dayofyear"),
    part(BIGINT, "hour"),
    part(BIGINT, "minute"),
    part(BIGINT, "second"),
    part(BIGINT, "millisecond"),
    part(BIGINT, "microsecond"),
    part(BIGINT, "nanosecond"),
    part(DOUBLE, "epoch"),
    part(BIGINT, "era"),
    part(DOUBLE, "julian"),
    part(BIGINT, "timezone"),
    part(BIGINT, "timezone_hour"),
    part(BIGINT, "timezone_minute"),
    part(BIGINT, "epoch_us"),
    part(BIGINT, "epoch_ns"),
    ScalarFunction(("epoch_ms",), (*part(BIGINT, "").overloads, takes(BIGINT, result=TIMESTAMP))),
    ScalarFunction(("days_in_month",), (takes(DATE, result=BIGINT), takes(TIMESTAMP, result=BIGINT))),
    ScalarFunction(("last_day",), (takes(DATE, result=DATE), takes(TIMESTAMP, result=DATE))),
    ScalarFunction(("date_trunc", "datetrunc"), tuple(takes(VARCHAR, t, result=TIMESTAMP) for t in (DATE, TIMESTAMP, INTERVAL))),
    ScalarFunction(
        ("part_number",),
        (takes(VARCHAR, BIGINT, result=BIGINT),),
        each(part_number, BIGINT),
        fails=True,
        failure="a text that names no such part of a date",
    ),
    # For strftime: a moment without its infinities, and the infinity as a day.
    ScalarFunction(("finite_moment",), (takes(TIMESTAMP, result=TIMESTAMP),)),
    ScalarFunction(("infinite_day",), (takes(TIMESTAMP, result=DATE),)),
    of_unit(BIGINT, "date_diff", "datediff"),
    of_unit(BIGINT, "date_sub", "datesub"),
    ScalarFunction(("make_date",), (takes(INTEGER, result=DATE), takes(BIGINT, BIGINT, BIGINT, result=DATE))),
    ScalarFunction(
        ("make_timestamp",),
        (takes(BIGINT, result=TIMESTAMP), takes(BIGINT, BIGINT, BIGINT, BIGINT, BIGINT, DOUBLE, result=TIMESTAMP)),
    ),
)
