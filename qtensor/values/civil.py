"""The proleptic Gregorian calendar of all years, in days since 1970-01-01: the year before 1 is 0, or 1 BC."""

from __future__ import annotations


def year_of(days: int) -> int:
    """The civil year that holds a day since 1970; the year before 1 is 0.

    >>> year_of(0), year_of(-1), year_of(-719_529)
    (1970, 1969, -1)
    """
    return civil(days)[0]


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of the month of a day since 1970.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    return year_of_era + era * 400 + (month >= 10), month + 3 if month < 10 else month - 9, day


def first_day(year: int) -> int:
    """The days from 1970 to 1 January of a year.

    >>> first_day(1970), first_day(2000)
    (0, 10957)
    """
    past = year - 1
    return past * 365 + past // 4 - past // 100 + past // 400 - 719_162


def month_length(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 + leap if month == 2 else 30 if month in (4, 6, 9, 11) else 31


def day_of(year: int, month: int, day: int) -> int | None:
    """The days since 1970 of a day of a month; None if the month has no such day.

    >>> day_of(1970, 1, 2), day_of(2001, 2, 29), day_of(-43, 3, 15)
    (1, None, -735160)
    """
    if not 1 <= month <= 12 or not 1 <= day <= month_length(year, month):
        return None
    return first_day(year) + sum(month_length(year, earlier) for earlier in range(1, month)) + day - 1
