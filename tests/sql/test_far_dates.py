"""Infinite dates, those before Christ and far ones: as texts, compared, computed with and given out, against DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.oracle import Engines

SPECIAL = "('infinity'), ('-infinity'), ('0044-03-15 (BC)'), ('10000-01-01'), (NULL), ('2020-02-29')"
WORDS = f"(VALUES {SPECIAL}) w(s)"
DAYS = f"(SELECT s::DATE AS d, n FROM {WORDS}, (VALUES (1), (-7), (NULL)) m(n)) t"
MOMENTS = f"(SELECT s::TIMESTAMP + INTERVAL 37 MINUTE AS d, n FROM {WORDS}, (VALUES (1), (-7), (NULL)) m(n)) t"

# How a date and a moment may be written, and how not.
TEXTS = [
    "2020-1-5", "2020/1/5", "2020 01 05", "2020\\01\\05", " 2020-01-05 ", "1-2-3", "12345-2-3", "-44-03-15", "0000-03-15", "-0044-3-15",
    "2020-1/5", "2020.01.05", "2020-001-05", "2020-01-005", "02020-01-05", "20200105", "2020-01", "2020-01-", "+2020-01-05",
    "--2020-01-05", "2020-13-05", "2020-02-30", "2020-0-1", "123456789-01-05", "99999999999-01-05", "5881580-07-10",
    "5881580-07-11", "5877642-06-25 (BC)", "5877642-06-24 (BC)", "0044-03-15 (bc)", "0044-03-15(BC)", "0044-03-15 BC", "44-3-15 (BC)",
    "0044-03-15 (BC) 10:00:00", "0044-03-15 (BC)T10:00:00 ", "2020-01-05 (BC) (BC)", "2020-01-05  (BC)", "0000-01-05 (BC)",
    "-2020-01-05 (BC)", "infinity", "-infinity", "Infinity", "INFINITY  ", "inf", "-inf", "inf ", "+infinity", "infini", "infinityx",
    "infinity 10:00", "epoch", "-epoch", "epoch 10:00", "", " ", "2020-01-05 10:00:00", "2020-01-05 garbage", "2020-01-05x",
    "2020-01-05 10:00:00 x", "2020-01-05, 10:00:00", "2020-1-5 1:2:3", "2020 1 5 1:2", "2020-01-05 10", "2020-01-05 10:",
    "2020-01-05 10:20:", "2020-01-05 10:20:30.", "2020-01-05T", "2020-01-05t10:20", "2020-01-05T10:20:30Z", "2020-01-05 10:20z",
    "2020-01-05 10:20:30 Z", "2020-01-05 10:20Z ", "2020-01-05 10:20 utc", "2020-01-05 10:20  UTC", "2020-01-05 10:20UTC",
    "2020-01-05 10:20:30 Europe/Berlin", "2020-01-05 10:20+2", "2020-01-05 10:20-0230", "2020-01-05 10:20+02:00:30",
    "2020-01-05 10:20 +02", "2020-01-05 10:20+02 ", "2020-01-05 10:20+02:", "2020-01-05 100:00:00", "2020-01-05 000000010:00:00",
    "2020-01-05 23:59:59.9999999", "2020-01-05 24:00:00", "2020-01-05 24:00:00.000001", "2020-01-05 10:60", "2020-01-05 10:00:60",
    "2020-01-05+02", "2020-01-05Z", "2020-01-05  10:00:00.123456789", "300000-01-01 10:00:00", "300000-01-01 25:00:00",
    "290309-12-22 (BC)", "290309-12-21 (BC)", "294247-01-10 04:00:54.775806", "294247-01-10 04:00:54.775807", "٢٠٢٠-01-05",
]  # fmt: skip

PARTS = ["year", "epoch", "epoch_us", "julian", "dayname", "isfinite", "isinf", "era", "century", "week", "dayofyear", "quarter"]

QUERIES = [
    f"SELECT s::DATE::VARCHAR, s::TIMESTAMP::VARCHAR, s::DATE::TIMESTAMP::VARCHAR, s::TIMESTAMP::DATE::VARCHAR FROM {WORDS}",
    f"SELECT d::VARCHAR AS w FROM {DAYS} ORDER BY d NULLS FIRST, n",
    f"SELECT max(d)::VARCHAR, min(d)::VARCHAR, count(DISTINCT d) FROM {DAYS}",
    f"SELECT d > DATE '2020-01-01', d < '5881580-7-10', d BETWEEN DATE '-infinity' AND DATE '2020-01-01' FROM {DAYS}",
    f"SELECT d = TIMESTAMP 'infinity', d < TIMESTAMP 'infinity', d <> TIMESTAMP 'infinity', d >= TIMESTAMP '-infinity' FROM {DAYS}",
    f"SELECT TIMESTAMP 'infinity' > d, d IN (TIMESTAMP 'infinity', TIMESTAMP '2020-02-29') FROM {DAYS}",
    f"SELECT (d + n)::VARCHAR, (n + d)::VARCHAR, (d - n)::VARCHAR FROM {DAYS}",
    f"SELECT d - DATE '2020-01-01', DATE '2020-01-01' - d FROM {DAYS}",
    f"SELECT (d + to_months(n))::VARCHAR, (d - to_days(n))::VARCHAR, (d + to_seconds(n))::VARCHAR FROM {DAYS}",
    f"SELECT (d + to_years(n))::VARCHAR, (d - to_weeks(n))::VARCHAR, (d + INTERVAL '1 month -1 day 3 hours')::VARCHAR FROM {MOMENTS}",
    *(f"SELECT {', '.join(f'{part}(d)' for part in PARTS[start::3])} FROM {DAYS}" for start in range(3)),
    *(f"SELECT {', '.join(f'{part}(d)' for part in PARTS[start::3])} FROM {MOMENTS}" for start in range(3)),
    f"SELECT last_day(d)::VARCHAR, epoch_ms(d), monthname(d) FROM {DAYS}",
    f"SELECT extract(hour FROM d), extract(minute FROM d), epoch_ms(d) FROM {MOMENTS}",
    f"SELECT date_trunc('month', d)::VARCHAR, date_trunc('week', d)::VARCHAR, date_trunc('decade', d)::VARCHAR FROM {DAYS}",
    f"SELECT date_trunc('hour', d)::VARCHAR, date_trunc('day', d)::VARCHAR, date_trunc('year', d)::VARCHAR FROM {MOMENTS}",
    f"SELECT date_diff('day', d, DATE '2020-01-01'), date_diff('hour', DATE '2020-01-01', d), date_sub('month', d, DATE '2020-01-01') FROM {DAYS}",
    f"SELECT date_diff('month', d, DATE '2020-01-01'), date_sub('second', DATE '2020-01-01', d), date_diff('week', d, d) FROM {MOMENTS}",
    f"SELECT strftime(d, '%Y-%m-%d') FROM {DAYS}",
    f"SELECT strftime(d, '%Y-%m-%d'), strftime(d, '%H:%M'), strftime(d, '%y %H'), strftime(d, 'x') FROM {MOMENTS}",
    "SELECT TRY_CAST(s || '-1-1' AS DATE)::VARCHAR FROM (VALUES ('5881581'), ('20'), ('-9'), ('x')) w(s)",
    "SELECT TRY_CAST(d AS TIMESTAMP)::VARCHAR FROM (VALUES (DATE 'infinity'), (DATE '300000-01-31'), (NULL), (DATE '-infinity')) t(d)",
    "SELECT make_date(y, 1, 1)::VARCHAR FROM (VALUES (-5877640), (5881580), (0), (-43)) t(y)",
    "SELECT make_timestamp(y, 1, 1, 1, 1, 1)::VARCHAR FROM (VALUES (-290307), (294246), (0), (-43)) t(y)",
    "SELECT date_diff('second', a, b), date_diff('hour', a, b), date_diff('century', a, b) "
    "FROM (VALUES (TIMESTAMP '290309-12-22 (BC)', TIMESTAMP '294247-01-10')) t(a, b)",
    "SELECT date_diff('hour', a, b) FROM (VALUES (DATE '5881580-07-10', DATE '5877642-06-25 (BC)')) t(a, b)",
    "SELECT greatest(a, DATE 'infinity')::VARCHAR, least(a, DATE '-infinity')::VARCHAR FROM (VALUES (DATE '5881580-07-10')) t(a)",
    f"SELECT strptime(CASE WHEN s LIKE '%inf%' THEN s ELSE 'epoch' END, '%Y')::VARCHAR FROM {WORDS}",
    # Of constants.
    "SELECT (DATE 'infinity' + 1)::VARCHAR, (1 + DATE '-infinity')::VARCHAR, (DATE 'infinity' - 1)::VARCHAR",
    "SELECT (DATE 'infinity' + INTERVAL 1 DAY)::VARCHAR, (TIMESTAMP '-infinity' - INTERVAL 1 MONTH)::VARCHAR",
    "SELECT DATE 'infinity' = TIMESTAMP 'infinity', DATE '-infinity'::TIMESTAMP::VARCHAR, TIMESTAMP 'infinity'::DATE::VARCHAR",
    "SELECT (DATE '0044-03-15 (BC)' + INTERVAL 1 MONTH)::VARCHAR, (DATE '99999-01-31' + INTERVAL 1 MONTH)::VARCHAR",
    "SELECT isfinite(DATE 'infinity'), isinf(TIMESTAMP '-infinity'), year(DATE 'infinity'), strftime(DATE 'infinity', '%Y')",
]

REFUSED = [
    "SELECT d::TIMESTAMP FROM (VALUES (DATE '300000-01-31')) t(d)",
    "SELECT DATE '300000-01-01'::TIMESTAMP",
    "SELECT DATE '300000-01-01' + INTERVAL 1 YEAR",
    "SELECT d + 1 FROM (VALUES (DATE '5881580-07-10')) t(d)",
    "SELECT d - 1 FROM (VALUES (DATE '5877642-06-25 (BC)')) t(d)",
    "SELECT DATE '5881580-07-10' + 1",
    "SELECT d + INTERVAL 1 DAY FROM (VALUES (TIMESTAMP '294247-01-10')) t(d)",
    "SELECT d - INTERVAL 1 DAY FROM (VALUES (TIMESTAMP '290309-12-22 (BC)')) t(d)",
    "SELECT d - INTERVAL 1 MONTH FROM (VALUES (TIMESTAMP '290309-12-22 (BC)')) t(d)",
    "SELECT date_trunc('month', d) FROM (VALUES (TIMESTAMP '290309-12-22 (BC)')) t(d)",
    "SELECT date_trunc('day', d) FROM (VALUES (DATE '300000-12-22')) t(d)",
    "SELECT date_sub('day', a, b) FROM (VALUES (DATE '300000-07-10', DATE '300642-06-25 (BC)')) t(a, b)",
    "SELECT date_diff('microsecond', a, b) FROM (VALUES (TIMESTAMP '290309-12-22 (BC)', TIMESTAMP '294247-01-10')) t(a, b)",
    "SELECT epoch_ns(TIMESTAMP '290309-12-22 (BC)')",
    "SELECT epoch_us(d) FROM (VALUES (DATE '300000-01-01')) t(d)",
    "SELECT make_date(y, 8, 1) FROM (VALUES (5881580)) t(y)",
    "SELECT make_timestamp(y, 1, 1, 1, 1, 1) FROM (VALUES (294248)) t(y)",
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """Both engines over one table of texts."""
    engines = Engines.over(threads=1, written=pa.table({"s": TEXTS, "id": range(len(TEXTS))}))
    yield engines
    engines.close()


def test_texts_of_rows(engines: Engines) -> None:
    engines.check("SELECT id, TRY_CAST(s AS DATE)::VARCHAR, TRY_CAST(s AS TIMESTAMP)::VARCHAR FROM written ORDER BY id")


def test_texts_as_constants(engines: Engines) -> None:
    quoted = [text.replace("'", "''") for text in TEXTS]
    items = [
        f"TRY_CAST('{text}' AS {type})::VARCHAR AS c{i}_{type}" for i, text in enumerate(quoted) for type in ("DATE", "TIMESTAMP")
    ]
    engines.check(f"SELECT {', '.join(items)}")


@pytest.mark.parametrize("query", QUERIES)
def test_far_and_infinite(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(engines: Engines, query: str) -> None:
    engines.check_refused(query)


def test_as_arrow(engines: Engines) -> None:
    for source in (DAYS, MOMENTS):
        query = f"SELECT d FROM {source} WHERE n = 1 ORDER BY d"
        expected = engines.theirs.sql(query).to_arrow_table()
        assert engines.ours.sql(query).arrow().cast(expected.schema).equals(expected)


@pytest.mark.parametrize("extension", ["csv", "json"])
def test_as_files(engines: Engines, extension: str, tmp_path: Path) -> None:
    query = "SELECT d, d::TIMESTAMP AS m FROM (VALUES (DATE 'infinity'), (DATE '0044-03-15 (BC)'), (DATE '99999-01-01')) t(d)"
    written = []
    for name, connection in (("ours", engines.ours), ("theirs", engines.theirs)):
        path = tmp_path / f"{name}.{extension}"
        connection.execute(f"COPY ({query}) TO '{path}'")
        written.append(path.read_text())
    assert written[0] == written[1]


def test_infinite_days_of_tables(engines: Engines) -> None:
    """Arrow's greatest day is DuckDB's infinity, in a column among others."""
    days = pa.array([18_000, 2_147_483_647, -2_147_483_647, None, 0], pa.int32()).cast(pa.date32())
    engines.register("days", pa.table({"d": days}))
    engines.check("SELECT year(d), (d + 1)::VARCHAR, isfinite(d), date_trunc('month', d)::VARCHAR FROM days")
    engines.check("SELECT count(*) FROM days WHERE d::TIMESTAMP = TIMESTAMP 'infinity'")
