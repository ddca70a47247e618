"""Dates and timestamps in the texts of a CSV file: in which orders DuckDB looks for them, and what days and times they are.

A pattern says of a text how it is a date: its groups are the year, `short` if it has two digits, the month, the day and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qtensor.types import MICROSECONDS_PER_DAY

Texts: TypeAlias = pa.ChunkedArray
Values: TypeAlias = pa.ChunkedArray | pa.Array
Parts: TypeAlias = dict[str, NDArray[Any]]

SPACE = "[ \\t\\n\\v\\f\\r]*"

_HEAD = 256  # values by which most patterns are seen not to be a column's
_CLOCK = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})"
ANY_CLOCK = _CLOCK + r"(?::(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]*))?)?"
_PARTS = {
    "Y": "(?P<year>[0-9]{3,4})",
    "y": "(?P<short>[0-9]{2})",
    "m": "(?P<month>[0-9]{1,2})",
    "d": "(?P<day>[0-9]{1,2})",
}
_DATE_ORDERS = ("ymd", "Ymd", "dmy", "dmY", "mdy", "mdY")
_PRECISE_CLOCK = _CLOCK + ":(?P<second>[0-9]{1,2})"
_HALF_DAY_CLOCK = _PRECISE_CLOCK + " (?P<half>[aApP][mM])"
_TIMESTAMP_ORDERS = (
    *((order, _PRECISE_CLOCK) for order in ("ymd", "Ymd", "dmy", "dmY")),
    *((order, _HALF_DAY_CLOCK) for order in ("mdy", "mdY")),
)
_ISO_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_PRECISE_ISO_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?$"
ISO_TIMESTAMP = f"^{SPACE}{'[-/]'.join(_PARTS[part] for part in 'Ymd')}(?: +|T){ANY_CLOCK}(?: UTC)?{SPACE}$"
# A column that begins with a timestamp may go on with dates, which are midnights; one that begins with a date may not.
ISO_TIMESTAMP_OR_DATE = ISO_TIMESTAMP.replace(f"(?: +|T){ANY_CLOCK}(?: UTC)?", f"(?:(?: +|T){ANY_CLOCK}(?: UTC)?)?")
SEPARATED = re.compile(rf"{SPACE}[0-9]+([^0-9:])[0-9]+\1[0-9]+")


def date_patterns(separator: str) -> Iterator[str]:
    for order in _DATE_ORDERS:
        yield f"^{SPACE}{re.escape(separator).join(_PARTS[part] for part in order)}{SPACE}$"


def timestamp_patterns(separator: str) -> Iterator[str]:
    for order, clock in _TIMESTAMP_ORDERS:
        yield f"^{SPACE}{re.escape(separator).join(_PARTS[part] for part in order)} +{clock}{SPACE}$"


def all_match(texts: Texts, pattern: str) -> bool:
    """Whether all values that there are match `pattern`."""
    return all(pc.all(pc.match_substring_regex(part, pattern), min_count=0).as_py() for part in (texts.slice(0, _HEAD), texts))


def iso_dates(texts: Texts) -> Values | None:
    return cast(texts, pa.date32()) if all_match(texts.slice(0, _HEAD), _ISO_DATE) else None


def iso_timestamps(texts: Texts) -> Values | None:
    """Arrow would take dates for timestamps as well, and would do without minutes: these are shorter."""
    if not all_match(texts.slice(0, _HEAD), _PRECISE_ISO_TIMESTAMP):
        return None
    shortest = pc.min(pc.binary_length(texts)).as_py()
    return cast(texts, pa.timestamp("us")) if shortest is None or shortest >= len("2020-01-31 12:00") else None


def cast(texts: Texts, type: pa.DataType) -> Values | None:
    """`texts` by Arrow, which is the fastest way; None if one does not convert."""
    try:
        return texts.cast(type)
    except pa.ArrowInvalid:
        return None


def dates_by(texts: Texts, pattern: str) -> Values | None:
    """Dates that are written as `pattern` says; None if one is not."""
    if not all_match(texts, pattern):
        return None
    days = _days(_parts(texts, pattern))
    return None if days is None else pa.array(days.astype(np.int32), pa.int32(), mask=_missing(texts)).cast(pa.date32())


def timestamps_by(texts: Texts, pattern: str) -> Values | None:
    """Timestamps that are written as `pattern` says; None if one is not."""
    if not all_match(texts, pattern):
        return None
    parts = _parts(texts, pattern)
    days, elapsed = _days(parts), _clock(parts)
    if days is None or elapsed is None:
        return None
    microseconds = days * MICROSECONDS_PER_DAY + elapsed
    return pa.array(microseconds, pa.int64(), mask=_missing(texts)).cast(pa.timestamp("us"))


def times_of_day(texts: Texts) -> Values | None:
    """Times of a day; None if one is none."""
    microseconds = _clock(_parts(texts, f"^{ANY_CLOCK}$"))
    if microseconds is None:
        return None
    return pa.array(microseconds % MICROSECONDS_PER_DAY, pa.time64("us"), mask=_missing(texts))


def _missing(texts: Texts) -> NDArray[np.bool_]:
    return np.asarray(texts.is_null())


def _parts(texts: Texts, pattern: str) -> Parts:
    """The named groups of `pattern` as whole numbers, `half` as text; 0 where there is none. `missing`: where no value is."""
    found = pc.extract_regex(texts, pattern).combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        found = pa.concat_arrays(found.chunks)
    parts: Parts = {"missing": _missing(texts)}
    for field in found.type:
        part = pc.fill_null(found.field(field.name), "0")
        part = pc.if_else(pc.equal(part, ""), "0", part)
        if field.name == "fraction":  # of a second: as microseconds
            part = pc.utf8_slice_codeunits(pc.utf8_rpad(part, 6, "0"), 0, 6)
        parts[field.name] = part.to_numpy(zero_copy_only=False) if field.name == "half" else part.cast(pa.int64()).to_numpy()
    return parts


def _days(parts: Parts) -> NDArray[np.int64] | None:
    """Days since 1970-01-01; None if one of them is no day. Where there is no value it is any day."""
    year = parts["short"] + np.where(parts["short"] < 69, 2000, 1900) if "short" in parts else parts["year"]
    month, day = parts["month"], parts["day"]
    month, day = np.where(parts["missing"], 1, month), np.where(parts["missing"], 1, day)
    if (month < 1).any() or (month > 12).any() or (year < 0).any():
        return None
    months = ((year - 1970) * 12 + month - 1).astype("M8[M]")
    first, following = months.astype("M8[D]").astype(np.int64), (months + np.timedelta64(1, "M")).astype("M8[D]").astype(np.int64)
    if (day < 1).any() or (first + day - 1 >= following).any():
        return None
    days: NDArray[np.int64] = first + day - 1
    return days


def _clock(parts: Parts) -> NDArray[np.int64] | None:
    """Microseconds since midnight; None if one of them is no time of a day."""
    hour, minute = parts["hour"], parts["minute"]
    second = parts["second"]
    if "half" in parts:
        if (hour > 12).any():
            return None
        afternoon = np.isin(np.char.lower(parts["half"].astype(str)), ["pm"])
        hour = hour % 12 + np.where(afternoon, 12, 0)
    elapsed = ((hour * 60 + minute) * 60 + second) * 1_000_000 + parts.get("fraction", 0)
    if (minute > 59).any() or (second > 59).any() or (elapsed > MICROSECONDS_PER_DAY).any():
        return None
    found: NDArray[np.int64] = np.asarray(elapsed, np.int64)
    return found
