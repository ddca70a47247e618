"""The types of a CSV file's columns: the first kind, in DuckDB's order, that every value of a column is of.

All values decide, not a sample, so that what is read always fits. As in DuckDB a whole number that begins with 0 is a text (a ZIP
code is no number), and dates may be written in a few ways, all of a column's in the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from qtensor.errors import InternalError
from qtensor.sources.csv_dates import (
    ISO_TIMESTAMP,
    ISO_TIMESTAMP_OR_DATE,
    SEPARATED,
    SPACE,
    Texts,
    Values,
    all_match,
    cast,
    date_patterns,
    dates_by,
    iso_dates,
    iso_timestamps,
    times_of_day,
    timestamp_patterns,
    timestamps_by,
)

_HEAD = 256  # values by which most kinds are seen not to be a column's
_BIG = 1 << 63

_BOOLEAN = "(?i)^(true|false|t|f|yes|no)$"
_BOOLEAN_WORDS = ["true", "t", "yes", "false", "f", "no"]
_WHOLE = f"^{SPACE}-?[0-9]+{SPACE}$"
_BASED = "^(0[xX][0-9a-fA-F]+|0[bB][01]+)$"
_LEADING_ZERO = f"^{SPACE}0[0-9]"
# As in DuckDB spaces may be around a whole number, and not behind one with a fraction.
_REAL = f"(?i)^{SPACE}(-?[0-9]+{SPACE}|-?([0-9]+\\.?[0-9]*|\\.[0-9]+)(e[+-]?[0-9]+)?|-?(nan(\\([0-9a-z_]*\\))?|inf|infinity))$"
_INFINITE = re.compile(rf"(?i)^{SPACE}[+-]?inf")
_TIME = r"^[0-9]{1,2}:([0-9]{2}|[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?)$"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_ZONED = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?{_ZONE}?)?$"
_IN_ORDER = ("^[0-9]{2}:[0-9]{2}:[0-9]{2}$", "^[0-9]{2}:[0-9]{2}$")  # times that as texts are in their order
_ZONED_IN_ORDER = ("^[0-9-]{10}[ T][0-9:]{8}Z$", "^[0-9-]{10}[ T][0-9:]{5}Z$", r"^[0-9-]{10}[ T][0-9:]{8}\.[0-9]{3}Z$")


@dataclass(frozen=True)
class Kind:
    """What the values of a column are.

    convert: the values, None if one of them is not of this kind; each by itself decides. pattern: of a date. some: a pattern
    that at least one value has to match. in_order: if all values match one of these patterns, the column is of their texts, which
    are in the order of the values.
    """

    name: str
    convert: Callable[[Texts], Values | None]
    pattern: str = ""
    some: str = ""
    in_order: tuple[str, ...] = ()

    def of_all(self, texts: Texts) -> Values | None:
        """The values of a whole column; None if it is not of this kind."""
        values = self.convert(texts)
        if values is None or (self.some and not any_matches(texts, self.some)):
            return None
        return texts if any(all_match(texts, pattern) for pattern in self.in_order) else values

    @property
    def is_text(self) -> bool:
        """Whether any value is of this kind, and so none tells that it is no name of a column."""
        return self.name == "VARCHAR"

    def accepts(self, text: str | None) -> bool:
        """Whether a value in the column's first row would be of this kind, too."""
        return self.of_all(pa.chunked_array([pa.array([text], pa.string())])) is not None


def typed(columns: Sequence[Texts]) -> list[tuple[Kind, Values]]:
    """What kind of values the columns of a file are, NULL where there is none; and these values."""
    dates = DateOrders()
    return [_typed(texts, dates) for texts in columns]


@dataclass
class DateOrders:
    """How the dates and the timestamps of a file are written: as those of the first column that has some.

    So a column that may mean one or another is understood as the one that may not. ISO dates and timestamps are such in any case.
    """

    date: str | None = None
    timestamp: str | None = None

    def learn(self, kind: Kind) -> None:
        """Take note of a column's kind; the columns are to come in their order."""
        match kind.name:
            case "DATE":
                self.date = self.date or kind.pattern
            case "TIMESTAMP":
                self.timestamp = self.timestamp or kind.pattern
            case _:
                pass


def _typed(texts: Texts, dates: DateOrders) -> tuple[Kind, Values]:
    for kind in kinds(first_text(texts), dates):
        values = kind.of_all(texts)
        if values is not None:
            dates.learn(kind)
            return kind, values
    raise InternalError("every value is a text")


def first_text(texts: Texts) -> str | None:
    """The first value that there is; None if there is none."""
    return next((str(text) for chunk in texts.chunks for text in chunk.drop_null().slice(0, 1)), None)


def kinds(first: str | None, dates: DateOrders) -> Iterator[Kind]:
    """The kinds that a column may be of whose first value is `first`, in DuckDB's order."""
    yield NOTHING
    first = first or ""
    yield _BOOLEANS
    yield _TIMES
    separated = SEPARATED.match(first)
    if separated:
        yield _ISO_DATES
        yield from map(_dates, [dates.date] if dates.date else date_patterns(separated[1]))
        yield _ISO_TIMESTAMPS
        yield from map(_timestamps, [dates.timestamp] if dates.timestamp else timestamp_patterns(separated[1]))
        yield _timestamps(ISO_TIMESTAMP)
        if re.match(ISO_TIMESTAMP, first):
            yield _ISO_TIMESTAMPS_AND_DATES
        yield _ZONED_TIMESTAMPS
    yield _INTEGERS
    yield _LARGE
    if not _INFINITE.match(first):  # which is a date to DuckDB, and beside numbers a text
        yield _REALS
    yield _TEXTS


def any_matches(texts: Texts, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _nothing(texts: Texts) -> Values | None:
    return texts if texts.null_count == len(texts) else None


def _booleans(texts: Texts) -> Values | None:
    if not all_match(texts.slice(0, _HEAD), _BOOLEAN):
        return None
    found = pc.index_in(pc.ascii_lower(texts), value_set=pa.array(_BOOLEAN_WORDS))
    return pc.less(found, len(_BOOLEAN_WORDS) // 2) if found.null_count == texts.null_count else None


def _times(texts: Texts) -> Values | None:
    return times_of_day(texts) if all_match(texts, _TIME) else None


def _integers(texts: Texts) -> Values | None:
    if not all_match(texts.slice(0, _HEAD), f"{_WHOLE}|{_BASED}") or _has_leading_zeros(texts):
        return None
    values = cast(texts, pa.int64())
    if values is not None and not any_matches(texts, "[xX]"):  # Arrow reads negative numbers by 0xFF...
        return values
    if all_match(texts, _WHOLE):
        return cast(pc.ascii_trim_whitespace(texts), pa.int64())
    if not all_match(texts, f"{_WHOLE}|{_BASED}"):
        return None
    numbers = [None if text is None else int(text, 0 if text[:2].isalnum() else 10) for text in texts.to_pylist()]
    return pa.array(numbers, pa.int64()) if all(number is None or -_BIG <= number < _BIG for number in numbers) else None


def _has_leading_zeros(texts: Texts) -> bool:
    """Whether a number begins with 0 and a digit, so that it is none, but a code."""
    likely = pc.any(pc.or_(pc.starts_with(texts, "0"), pc.starts_with(texts, " ")), min_count=0).as_py()
    return likely and any_matches(texts, _LEADING_ZERO)


def _large(texts: Texts) -> Values | None:
    """Whole numbers beyond 64 bits keep all their digits, as texts: two of them may be the same DOUBLE."""
    return texts if all_match(texts, _WHOLE) and not _has_leading_zeros(texts) else None


def _reals(texts: Texts) -> Values | None:
    if not all_match(texts.slice(0, _HEAD), _REAL) or _has_leading_zeros(texts):
        return None
    signed = pc.any(pc.starts_with(texts, "+"), min_count=0).as_py()  # which Arrow takes for numbers, and DuckDB does not
    values = None if signed else cast(texts, pa.float64())
    if values is not None or not all_match(texts, _REAL):
        return values
    return cast(pc.ascii_trim_whitespace(texts), pa.float64())


@cache
def _dates(pattern: str) -> Kind:
    return Kind("DATE", lambda texts: dates_by(texts, pattern), pattern)


@cache
def _timestamps(pattern: str) -> Kind:
    return Kind("TIMESTAMP", lambda texts: timestamps_by(texts, pattern), pattern)


def _zoned(texts: Texts) -> Values | None:
    """Of a type that is not supported, and so no values."""
    return pa.nulls(len(texts), pa.timestamp("us", "UTC")) if all_match(texts, _ZONED) else None


_ISO_DATES = Kind("DATE", iso_dates, next(pattern for pattern in date_patterns("-") if "year" in pattern))
_ISO_TIMESTAMPS = Kind("TIMESTAMP", iso_timestamps, ISO_TIMESTAMP)
_ISO_TIMESTAMPS_AND_DATES = Kind("TIMESTAMP", lambda texts: timestamps_by(texts, ISO_TIMESTAMP_OR_DATE), ISO_TIMESTAMP)
NOTHING = Kind("NULL", _nothing)
_BOOLEANS = Kind("BOOLEAN", _booleans)
_TIMES = Kind("TIME", _times, in_order=_IN_ORDER)
_ZONED_TIMESTAMPS = Kind("TIMESTAMP WITH TIME ZONE", _zoned, some=f":[0-9.]+{_ZONE}$", in_order=_ZONED_IN_ORDER)
_INTEGERS = Kind("BIGINT", _integers)
_LARGE = Kind("HUGEINT", _large)
_REALS = Kind("DOUBLE", _reals)
_TEXTS = Kind("VARCHAR", lambda texts: texts)
