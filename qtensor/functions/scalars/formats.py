"""strftime and strptime: moments as texts of a format, and back."""

from __future__ import annotations

import functools
import re

from qtensor.errors import UnsupportedError
from qtensor.functions.scalars.function import Overload, ScalarFunction, each
from qtensor.types import BIGINT, DATE, INFINITE_DAY, MICROSECONDS_PER_DAY, TIMESTAMP, VARCHAR
from qtensor.values.civil import civil, day_of, first_day, year_of
from qtensor.values.texts import SPACES, ConversionError, parse_text

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
OF_DATE = "aAwdbBhmyYjUWGuVx"
OF_TIME = "HIpMSTXc"  # %c is both
SMALLER = "fgn"  # fractions of a second
_SHORT = {"T": "%H:%M:%S", "X": "%H:%M:%S", "x": "%Y-%m-%d", "c": "%Y-%m-%d %H:%M:%S", "h": "%b"}
_UNPADDED = "dmyHIMSj"
_SPECIFIER = re.compile(r"%(-?)(.)|([^%]+)|(%)", re.DOTALL)


@functools.cache
def parts_of(pattern: str) -> tuple[tuple[str, str], ...]:
    """A format as pairs (specifier, what is padded with: "0" or nothing) and ("", text), abbreviations written out.

    Raises:
        ConversionError: the format is empty, or has a specifier that there is none of.
    """
    if not pattern:
        raise ConversionError("an empty format of a date")
    parts: list[tuple[str, str]] = []
    for match in _SPECIFIER.finditer(pattern):
        minus, letter, text, lone = match.groups()
        if lone:
            raise ConversionError("a format of a date must not end with %")
        if text is not None:
            parts.append(("", text))
        elif letter == "%" and not minus:
            parts.append(("", "%"))
        elif letter in _SHORT and not minus:
            parts += parts_of(_SHORT[letter])
        elif letter in ("zZ" + OF_DATE + OF_TIME + SMALLER if not minus else _UNPADDED):
            parts.append((letter, "" if minus else "0"))
        else:
            raise ConversionError(f"a format of a date has no %{minus}{letter}")
    return tuple(parts)


def letters_of(pattern: str) -> str:
    """The specifiers of a format."""
    return "".join(letter for letter, _ in parts_of(pattern))


def strftime(days: int, count: int, unit: int, pattern: str) -> str:
    """The text of a moment: a day since 1970, and so many units, of so many seconds, after its midnight.

    >>> strftime(18_388, 3 * 60 + 7, 60, "%a %-d.%m.%y %I:%M %p")
    'Wed 6.05.20 03:07 AM'
    """
    if abs(days) == INFINITE_DAY:
        return "infinity" if days > 0 else "-infinity"
    year, month, day = civil(days)
    seconds = count * unit
    hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    day_of_year, weekday = days - first_day(year) + 1, (days + 4) % 7
    iso_year, iso_week = iso(days)
    values: dict[str, tuple[int, int]] = {
        "d": (day, 2), "m": (month, 2), "y": (abs(year) % 100, 2), "j": (day_of_year, 3), "w": (weekday, 1),
        "U": ((day_of_year + 6 - weekday) // 7, 2), "W": ((day_of_year + 6 - (weekday - 1) % 7) // 7, 2),
        "u": (weekday or 7, 1), "V": (iso_week, 2), "H": (hour, 2), "I": (hour % 12 or 12, 2), "M": (minute, 2),
        "S": (second, 2), "f": (0, 6), "g": (0, 3), "n": (0, 9),
    }  # fmt: skip
    texts = {
        "a": DAYS[weekday][:3], "A": DAYS[weekday], "b": MONTHS[month - 1][:3], "B": MONTHS[month - 1],
        "p": "AM" if hour < 12 else "PM", "Y": year_text(year), "G": year_text(iso_year), "z": "+00", "Z": "",
    }  # fmt: skip
    written = []
    for letter, padding in parts_of(pattern):
        if letter in values:
            number, width = values[letter]
            written.append(str(number).rjust(width if padding else 0, "0"))
        else:
            written.append(texts[letter] if letter else padding)
    return "".join(written)


def year_text(year: int) -> str:
    """Four digits at least, of a year that is not negative."""
    return f"{year:04}" if year >= 0 else str(year)


def iso(days: int) -> tuple[int, int]:
    """The year and the number of the week by ISO 8601."""
    thursday = days - (days + 3) % 7 + 3
    year = year_of(thursday)
    return year, (thursday - first_day(year)) // 7 + 1


# --- from text ----------------------------------------------------------------------------------------------------------------

_DIGITS = {"Y": 4, "m": 2, "d": 2, "y": 2, "H": 2, "I": 2, "M": 2, "S": 2, "j": 3, "f": 6, "g": 3}
_LIMITS = {"m": (1, 12), "d": (1, 31), "H": (0, 23), "I": (1, 12), "M": (0, 59), "S": (0, 59), "j": (1, 366)}
_SHORT_DAYS, _SHORT_MONTHS = [day[:3] for day in DAYS], [month[:3] for month in MONTHS]
_NAMED = {"a": _SHORT_DAYS, "A": list(DAYS), "b": _SHORT_MONTHS, "B": list(MONTHS), "p": ["AM", "PM"]}


@functools.cache
def reader_of(pattern: str) -> tuple[re.Pattern[str], str]:
    """A format as a regular expression, and the specifier of each of its groups."""
    pieces, letters = [r"\s*"], ""
    for letter, padding in parts_of(pattern):
        if not letter:
            pieces += [re.escape(piece) if piece.strip() else r"\s+" for piece in re.split(r"(\s+)", padding) if piece]
            continue
        letters += letter
        if letter in _DIGITS:
            pieces.append(rf"([0-9]{{1,{_DIGITS[letter]}}}+)")
        elif letter in _NAMED:
            pieces.append(f"((?i:{'|'.join(_NAMED[letter])}))")
        else:
            raise UnsupportedError(f"not supported yet: %{letter} in a format that is read")
    return re.compile("".join(pieces) + r"\s*"), letters


def strptime(text: str, pattern: str) -> int:
    """The moment that a text names, in microseconds since 1970; what the format lacks is that of 1 January 1900, 00:00.

    >>> strptime("1970-01-02 00:00:01", "%Y-%m-%d %H:%M:%S") == MICROSECONDS_PER_DAY + 1_000_000
    True
    """
    reader, letters = reader_of(pattern)
    if text.strip(SPACES).lower() in ("infinity", "-infinity", "epoch"):  # as CAST reads them, whatever the format
        return int(parse_text(text, TIMESTAMP))
    match = reader.fullmatch(text)
    if match is None:
        raise ConversionError(f"'{text}' is not written as {pattern}")
    found = dict(zip(letters, match.groups(), strict=True))
    numbers = {letter: int(written) for letter, written in found.items() if letter in _DIGITS}
    for letter, number in numbers.items():
        low, high = _LIMITS.get(letter, (0, number))
        if not low <= number <= high:
            raise ConversionError(f"'{text}' is not written as {pattern}: %{letter} is from {low} to {high}")
    hour = numbers.get("H", numbers.get("I", 0))
    if "p" in found and hour > 12:
        raise ConversionError(f"'{text}' is not written as {pattern}: an hour before AM and PM is from 0 to 12")
    if "p" in found:
        hour = hour % 12 + 12 if found["p"].upper() == "PM" else 0 if hour == 12 else hour
    microseconds = next((int(found[letter].ljust(6, "0")) for letter in "fg" if letter in found), 0)
    seconds = (hour * 60 + numbers.get("M", 0)) * 60 + numbers.get("S", 0)
    return day_read(text, found, numbers) * MICROSECONDS_PER_DAY + seconds * 1_000_000 + microseconds


def day_read(text: str, found: dict[str, str], numbers: dict[str, int]) -> int:
    """The day since 1970."""
    year = numbers.get("Y", 1900)
    if "y" in numbers:
        year = numbers["y"] + (1900 if numbers["y"] >= 69 else 2000)
    month = numbers.get("m", 1)
    for letter in "bB":
        if letter in found:
            month = [name.lower() for name in _NAMED[letter]].index(found[letter].lower()) + 1
    if "j" in numbers and not {"m", "d", "b", "B"} & set(found):
        return first_day(year) + numbers["j"] - 1
    days = day_of(year, month, numbers.get("d", 1))
    if days is None:
        raise ConversionError(f"'{text}' names a day that there is not")
    return days


def try_strptime(text: str, pattern: str) -> int | None:
    try:
        return strptime(text, pattern)
    except ConversionError:
        parts_of(pattern)
        return None


FORMATS: tuple[ScalarFunction, ...] = (
    # The binder gives these the number of the month (1 to 12) and of the day (0 to 6).
    ScalarFunction(("monthname",), (Overload((BIGINT,), VARCHAR),), each(lambda month: MONTHS[month - 1], VARCHAR)),
    ScalarFunction(("dayname",), (Overload((BIGINT,), VARCHAR),), each(lambda day: DAYS[day], VARCHAR)),
    # Likewise the day, and how many units of so many seconds after midnight.
    ScalarFunction(("strftime",), (Overload((DATE, BIGINT, BIGINT, VARCHAR), VARCHAR),), each(strftime, VARCHAR)),
    ScalarFunction(("strptime",), (Overload((VARCHAR, VARCHAR), TIMESTAMP),), each(strptime, TIMESTAMP), fails=True),
    ScalarFunction(("try_strptime",), (Overload((VARCHAR, VARCHAR), TIMESTAMP),), each(try_strptime, TIMESTAMP), gives_null=True),
)
