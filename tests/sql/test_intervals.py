"""Intervals that texts describe, against DuckDB: fractions of every unit, signs, clocks, and what is no interval."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from tests.oracle import Engines

TEXTS = [
    "1.5", "-1.5", "+1", "+1 day", ".5 days", "1. day", "1e3 days", "1 day ago", "1.5 days ago", "-1 day ago", "1 day -2 hours",
    "1:30", "-1:30:00.5", "10:", "10:20:", "1 year 1:00", "1 hour -00:30", "-1 hour -00:30:15.5", "1.123456789 seconds",
    "0.5 microseconds", "1 month1 day", "1  day", "1day", "", " ", "abc", "1 day 2", "2 1 day", "1 2", "1 ", "1 ago", "10:00 ago",
    "1.99 months", "-1.99 months", "0.1 weeks", "-0.1 weeks", "1.25 quarters", "-1.75 quarters", "2.999 years", "-0.04 years",
    "0.05 years", "0.3 decades", "1.7 centuries", "1.5 millenium", "1 millenia", "1.5 milliseconds", "1.0005 milliseconds",
    "1.00000000001 years", "100000000000 years", "3000000000 days", "1 yr 2 mons 3 d 4 hrs 5 mins 6 secs 7 ms 8 us",
    "1 day 10:00 1 hour", "10:00 1 day", "1 decade ago 2 days", "@ 1 day", "@1 day ago", "1 DAY AGO", "1 fortnight",
    "1 minute 1.5 seconds", "- 1 day", "--1 day", "1 day,2 hours", "0.333333 hours", "0.0000001 days", "1 weeks 1.5 days", "1 epoch",
]  # fmt: skip


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """Both engines, without tables."""
    engines = Engines.over(threads=1)
    yield engines
    engines.close()


@pytest.mark.parametrize("text", TEXTS)
def test_texts(engines: Engines, text: str) -> None:
    for written in (f"CAST('{text}' AS INTERVAL)", f"INTERVAL '{text}'"):
        query = f"SELECT TIMESTAMP '2020-01-31 00:00:00' + {written}"
        try:
            engines.theirs.execute(query).fetchall()
        except duckdb.Error:
            engines.check_refused(query)
        else:
            engines.check(query)


def test_quantities_beside_a_unit(engines: Engines) -> None:
    """A fraction is cut off there; of what stands in a text with its unit, it counts."""
    for unit in ("YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND"):
        engines.check(
            f"SELECT DATE '2020-01-31' + INTERVAL 1.5 {unit}, DATE '2020-01-31' + INTERVAL '1.5' {unit}, "
            f"DATE '2020-01-31' + INTERVAL '1.5 {unit}', DATE '2020-01-31' + INTERVAL (1.5) {unit}"
        )
