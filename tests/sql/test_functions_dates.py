"""Functions of dates and moments against DuckDB: parts, units, names and formats, long before and after 1970."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator

import pyarrow as pa
import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

PARTS = [
    "year", "month", "day", "decade", "century", "millennium", "quarter", "week", "isoyear", "yearweek", "dayofweek", "isodow",
    "dayofyear", "hour", "minute", "second", "millisecond", "microsecond", "epoch", "era", "julian",
]  # fmt: skip
FUNCTIONS = [
    *PARTS,
    "dayofmonth",
    "weekofyear",
    "weekday",
    "epoch_ms",
    "epoch_us",
    "last_day",
    "monthname",
    "dayname",
    "days_in_month",
]
TRUNCATIONS = [
    "year", "month", "day", "decade", "century", "millennium", "quarter", "week", "isoyear", "yearweek", "dow", "doy", "julian",
    "hour", "minute", "second", "millisecond", "microsecond", "epoch",
]  # fmt: skip
UNITS = [unit for unit in TRUNCATIONS if unit not in ("yearweek", "dow", "doy", "julian", "epoch")]


def batched(names: list[str], size: int = 7) -> list[list[str]]:
    """Several to a query: compiling takes longer than running."""
    return [names[start : start + size] for start in range(0, len(names), size)]


WRITTEN = [
    "SELECT extract(year FROM day), extract(month FROM moment), extract(hour FROM moment), extract('dow' FROM day) FROM t",
    "SELECT extract(isodow FROM day), extract(yr FROM day), extract(weeks FROM moment), extract(milliseconds FROM moment) FROM t",
    "SELECT date_part('year', day), date_part('Years', moment), date_part('doy', day), date_part(NULL, day) FROM t",
    "SELECT date_part(lower('YEAR'), day), datepart('mon', day), nanosecond(moment) FROM t",
    "SELECT date_trunc('YeAr', day), datetrunc('mon', moment), date_trunc(NULL, day), date_trunc(lower('DAY'), moment) FROM t",
    "SELECT date_diff('day', day, moment), datediff('month', '2000-01-31', day), date_sub('month', day, moment) FROM t",
    "SELECT datesub('year', moment, day), date_diff(NULL, day, day), date_diff('day', day, NULL) FROM t",
    "SELECT date_add(day, INTERVAL 1 MONTH), date_add(moment, INTERVAL 90 MINUTE) FROM t",
    "SELECT make_date(year(day), month(day), 1), make_date(2000 + i8, 2, 28), make_date(2020, 2, NULL) FROM t",
    "SELECT make_timestamp(2020, 1, 2, 3, 4, 5.6), make_timestamp(i64), epoch_ms(i64 // 1000), make_timestamp(2020, g + 3, 1, 0, 0, 0) FROM t",
    "SELECT year(day) AS p, month(day) AS m, count(*) FROM t GROUP BY p, m ORDER BY p, m",
    "SELECT date_trunc('month', moment) AS m, count(*) FROM t GROUP BY m ORDER BY m",
    "SELECT monthname(day) AS m, count(*) FROM t GROUP BY m ORDER BY m",
    "SELECT id FROM t WHERE extract(year FROM day) BETWEEN 1980 AND 1990 AND dayofweek(day) IN (0, 6)",
    "SELECT extract(isoyear FROM NULL::TIMESTAMP), extract(dow FROM nullif(DATE '1970-01-01', DATE '1970-01-01')), year(NULL::DATE) FROM t",
    "SELECT date_part('year', nullif(day, day)), date_part('year', CASE WHEN TRUE THEN NULL ELSE DATE '1970-01-01' END) FROM t",
    "SELECT quarter(moment + INTERVAL 1 MONTH), year(moment::DATE), month(day + 45) FROM t",
]

INTERVALS = [
    "SELECT day + INTERVAL (i8) DAY, day - INTERVAL (g) MONTH, moment + INTERVAL (i16) HOUR, day + INTERVAL (g + 1) YEAR FROM t",
    "SELECT day + to_days(i8), day + to_months(i16), moment - to_years(g), to_weeks(g) + day, moment + to_quarters(g) FROM t",
    "SELECT moment + to_hours(i16), moment - to_minutes(i16), moment + to_microseconds(i64), moment - INTERVAL (i8) WEEK FROM t",
    "SELECT moment + to_seconds(y), moment - to_milliseconds(y), moment + INTERVAL (y) SECOND, moment + INTERVAL (y) DAY FROM t",
    "SELECT day + g * INTERVAL 1 DAY, day + INTERVAL 2 MONTH * g, moment - i8 * INTERVAL '90 minutes', day + to_days(2) FROM t",
    "SELECT moment + to_seconds(1.5), day + INTERVAL (NULL) DAY, day + INTERVAL (n) DAY, moment + INTERVAL (i8) SECOND FROM t",
    "SELECT DATE '2020-01-31' + to_months(1), DATE '2020-01-31' + 2 * INTERVAL 1 MONTH, INTERVAL 30 DAY = INTERVAL 1 MONTH AS e",
    "SELECT id FROM t WHERE day < DATE '1990-01-01' + to_days(g)",
]

FORMATS = [
    "SELECT strftime(moment, 'x'), strftime(moment, '%z%%'), strftime(day, 'x') FROM t",
    "SELECT strftime(day, '%Y-%m-%d'), strftime(day, '%a %A %w %d %b %B %h %m %y %Y'), strftime(day, '%j %U %W %G %V %u') FROM t",
    "SELECT strftime(day, '%H:%M:%S %p %I %f'), strftime('%d/%m', day), strftime(day, '%-d.%-m.%-y %-j %%'), strftime(day, '%x %X') FROM t",
    "SELECT strftime(moment, '%Y-%m'), strftime(moment, '%H:%M'), strftime(moment, '%I %p'), strftime(moment, '%H:%M:%S') FROM t",
    "SELECT strftime(moment, 'abc'), strftime(moment, NULL), strftime(day, 'é %%') FROM t",
    "SELECT strptime(day::VARCHAR, '%Y-%m-%d'), try_strptime(s, '%Y'), try_strptime(w, '%d'), try_strptime(w, '%H') FROM t",
    "SELECT strptime('20200102','%Y%m%d'), strptime('  2020 ','%Y'), strptime('70','%y'), strptime('68','%y')",
    "SELECT strptime('Jan 5 2020','%b %d %Y'), strptime('january 5 2020','%B %-d %Y'), strptime('5:07 PM','%-I:%M %p')",
    "SELECT strptime('2020-01-01 10:11:12.5','%Y-%m-%d %H:%M:%S.%f'), strptime('2020 060','%Y %j'), strptime('12 am','%I %p')",
    "SELECT strptime('Mon 2020-01-01','%a %Y-%m-%d'), strptime('12 PM','%I %p'), strptime('PM','%p'), strptime('5 AM','%H %p')",
    "SELECT strptime('2021 366','%Y %j'), strptime('2020-02-01 5','%Y-%m-%d %j'), strptime('1.5','%S.%g'), strptime('é2020','é%Y')",
    "SELECT strptime('10:11:12','%T'), strptime('20%','%y%%'), strptime(NULL, '%Y'), strptime('2020  01','%Y %m')",
    "SELECT try_strptime('2020-02-30','%Y-%m-%d'), try_strptime('202011','%Y%m%d'), try_strptime('Mon','%A'), try_strptime('100', '%y')",
    "SELECT strftime(TIMESTAMP '2020-05-06 04:05:09', '%c'), strftime(DATE '2021-01-03', '%U %W %u %w %V %G')",
]

CONSTANTS = [
    "SELECT year(DATE '2020-02-03'), date_trunc('month', TIMESTAMP '2020-02-03 04:05:06'), monthname(DATE '2020-02-03')",
    "SELECT date_diff('week', DATE '2020-02-03', DATE '1969-02-03'), date_sub('month', DATE '2020-01-31', DATE '2020-02-29')",
    "SELECT extract(epoch FROM TIMESTAMP '1969-12-31 23:59:59.1'), epoch_ms(TIMESTAMP '1969-12-31 23:59:59.9995'), epoch_ms(12345)",
    "SELECT make_timestamp(2020, 1, 1, 24, 0, 0), make_timestamp(2020, 1, 1, 23, 59, 59.9999999), make_date(5)",
    "SELECT make_timestamp(2020, 1, 1, 0, 0, 1.0000015), make_timestamp(2020, 1, 1, 23, 59, 60), make_timestamp(2020, 1, 1, 0, 0, 60.5)",
    "SELECT make_date(2020, 2, 29), last_day(DATE '2021-02-03'), dayname(TIMESTAMP '2020-02-03 04:05:06'), julian(DATE '2020-02-03')",
]

REFUSED = [
    "SELECT date_part('nope', day) FROM t",
    "SELECT date_part(5, day) FROM t",
    "SELECT date_part('year') FROM t",
    "SELECT year(s) FROM t",
    "SELECT year(5)",
    "SELECT year('2020-01-01')",
    "SELECT year(NULL)",
    "SELECT extract(nope FROM day) FROM t",
    "SELECT date_trunc('era', day) FROM t",
    "SELECT date_trunc('month', '2020-01-01')",
    "SELECT make_date(2020, 13, 1)",
    "SELECT make_date(2021, 2, 29)",
    "SELECT make_date(i64, 1, 1) FROM t",
    "SELECT make_timestamp(2020, 1, 1, 24, 0, 1)",
    "SELECT make_timestamp(2020, 1, 1, 0, 0, -1)",
    "SELECT make_timestamp(2020, 1, 1, 0, 0, 61)",
    "SELECT make_timestamp(2020, 1, 1, 23, 59, 60.5)",
    "SELECT last_day('2020-01-01')",
    "SELECT strftime(day, '%q') FROM t",
    "SELECT strftime(day, '') FROM t",
    "SELECT strftime(day, '%') FROM t",
    "SELECT strftime('2020-01-01', '%Y')",
    "SELECT strftime(s, '%Y') FROM t",
    "SELECT strptime(s, '%Y') FROM t",
    "SELECT strptime('2020-02-30', '%Y-%m-%d')",
    "SELECT strptime('24', '%H')",
    "SELECT strptime('x', '%q')",
    "SELECT strptime(day, '%Y') FROM t",
    "SELECT day + to_days(y) FROM t",
]


@pytest.fixture(scope="module")
def calendar() -> Iterator[Engines]:
    """Days and moments of 2,500 years, the ends of months and years among them, as `d`, `e`, `a` and `b`."""
    chance = random.Random(5)
    first = datetime.date(1970, 1, 1)
    days = [chance.randrange(-350_000, 600_000) for _ in range(1500)] + list(range(-800, 800))
    days += [(datetime.date(year, month, 1) - first).days - chance.randrange(2) for year in range(1895, 2005) for month in (1, 3)]
    others = days[:]
    chance.shuffle(others)
    times = [chance.choice([0, 1, 43_200_000_000, 86_399_999_999, chance.randrange(86_400_000_000)]) for _ in days]
    table = pa.table(
        {
            "d": pa.array(days, pa.int32()).cast(pa.date32()),
            "e": pa.array(others, pa.int32()).cast(pa.date32()),
            "a": pa.array([day * 86_400_000_000 + time for day, time in zip(days, times, strict=True)], pa.timestamp("us")),
            "b": pa.array(
                [day * 86_400_000_000 + time for day, time in zip(others, times[::-1], strict=True)], pa.timestamp("us")
            ),
        }
    )
    engines = Engines.over(t=table)
    yield engines
    engines.close()


@pytest.mark.parametrize("functions", batched(FUNCTIONS), ids=" ".join)
def test_every_function_over_the_calendar(calendar: Engines, functions: list[str]) -> None:
    calendar.check(f"SELECT d, a, {', '.join(f'{name}(d), {name}(a)' for name in functions)} FROM t")


@pytest.mark.parametrize("units", batched(TRUNCATIONS), ids=" ".join)
def test_date_trunc_over_the_calendar(calendar: Engines, units: list[str]) -> None:
    truncated = ", ".join(f"date_trunc('{unit}', d), date_trunc('{unit}', a)" for unit in units)
    calendar.check(f"SELECT d, a, {truncated} FROM t")


@pytest.mark.parametrize("units", batched(UNITS), ids=" ".join)
@pytest.mark.parametrize("function", ["date_diff", "date_sub"])
def test_differences_over_the_calendar(calendar: Engines, function: str, units: list[str]) -> None:
    differences = [f"{function}('{unit}', {pair})" for unit in units for pair in ("d, e", "a, b", "a, e")]
    calendar.check(f"SELECT d, e, a, b, {', '.join(differences)} FROM t")


@pytest.mark.parametrize("query", WRITTEN + INTERVALS + FORMATS)
def test_of_columns(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", CONSTANTS)
def test_of_constants(full: Engines, query: str) -> None:
    full.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(full: Engines, query: str) -> None:
    full.check_refused(query)


def test_over_chunks(large: Engines) -> None:
    large.check(
        "SELECT date_trunc('year', moment) AS p, quarter(day) AS q, count(*), max(dayname(day)) FROM t GROUP BY p, q ORDER BY p, q"
    )


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT year(INTERVAL 1 DAY)", "year of an INTERVAL"),
        ("SELECT strftime(moment, '%H %f') FROM t", "fractions of a second"),
        ("SELECT strptime(s, '%z') FROM t", "%z in a format that is read"),
        ("SELECT strftime(day, s) FROM t", "a format of a date that is not constant"),
        ("SELECT now()", "the function now"),
        ("SELECT to_days(g) FROM t", "a column of type INTERVAL"),
        ("SELECT to_days(g) = INTERVAL 1 DAY FROM t", "an INTERVAL but to add to a date"),
        ("SELECT day + (CASE WHEN b THEN INTERVAL 1 DAY ELSE to_days(g) END) FROM t", "intervals of several units"),
        ("SELECT count(*) FROM t GROUP BY CASE WHEN b THEN to_days(g) ELSE INTERVAL 1 MONTH END", "a choice between INTERVALs"),
        ("SELECT current_date", "current_date"),
    ],
)
def test_unsupported(full: Engines, query: str, what: str) -> None:
    with pytest.raises(UnsupportedError, match=what):
        full.ours.sql(query).fetchall()


# What could be a unit's name and is a column: DuckDB has no bare words for units in calls.
NAMED_LIKE_UNITS = """(VALUES ('month', 'year', 'DAYS', TIMESTAMP '2020-05-17 10:11:12'), ('w', 'isoyear', 'mon', NULL),
    ('Hour', 'dow', NULL, TIMESTAMP '1969-12-31 23:59:59.5'), (NULL, 'century', 'us', '1102-03-04')) t(s, m, month, moment)"""


@pytest.mark.parametrize(
    "function",
    ["date_trunc", "datetrunc", "date_part", "datepart", "date_diff", "datediff", "date_sub", "datesub"],
)
def test_columns_that_are_called_like_units(full: Engines, function: str) -> None:
    since = ", TIMESTAMP '2001-02-03 04:05:06'" if function.endswith(("diff", "sub")) else ""
    for column in ("s", "m", "month", "t.month", "lower(s)"):
        full.check(f"SELECT {function}({column}{since}, moment) AS x FROM {NAMED_LIKE_UNITS}")
    full.check_refused(f"SELECT {function}(day{since}, moment) FROM {NAMED_LIKE_UNITS}", match='no column "day"')
    full.check_refused(f"SELECT {function}(s || '!'{since}, moment) FROM {NAMED_LIKE_UNITS}", match="names no such part")


def test_extract_names_no_column(full: Engines) -> None:
    for part in ("month", "m", "s", "'month'", "MONTH", "Minute"):
        full.check(f"SELECT extract({part} FROM moment) FROM {NAMED_LIKE_UNITS}")


def test_parts_that_no_unit_has(full: Engines) -> None:
    full.check("SELECT date_part(k, day) AS x FROM t, (VALUES ('era'), ('epoch'), ('julian')) u(k) WHERE id < 9")
    full.check_refused("SELECT date_trunc(k, day) FROM t, (VALUES ('era'), ('year')) u(k)", match="names no such part")
