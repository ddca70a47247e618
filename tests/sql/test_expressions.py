"""Scalar expressions of every type, row by row, against DuckDB."""

from __future__ import annotations

import pytest

from tests.oracle import Engines

ARITHMETIC = [
    "SELECT id, i8 + i16, i16 - i8, i16 * i8, -i16, i32 + i64, u8 + u16, u16 * u8 FROM t WHERE u8 < 100 "
    "AND u16 < 200 AND i16 BETWEEN -250 AND 250",
    "SELECT i8 + i32, i32 * 2, i32 - 1, u32 - 1 FROM t WHERE i32 BETWEEN -100 AND 100 AND u32 BETWEEN 1 AND 100",
    "SELECT d + d, d - e, d * e, d * d, d % 7, e % d, d + i16, d * u8, e * 2, e + 0.5, -d, -e FROM t WHERE d <> 0",
    "SELECT d / e, d / 3, e / 7, i8 / 3, i16 / 7, i64 / 3, u8 / 3, h / 3 FROM t",
    "SELECT h, h + 1, h * 2, h - d, h % 2, h * 1.5, -h, abs(h) FROM t",
    "SELECT x + y, x - y, x * y, x / y, y / x, -x, x + f, x * -1, 0 - x, x + 0, x - x FROM t",
    "SELECT f + f, f * f, f / f, f * 2, f + 1, f * 1.5, f / 3, f + i8, f + i32, f + i64, f * d, f + e, f + 0.1 FROM t",
    "SELECT x + 0.1, x * 0.1, y / 0.1, y * 1e-1, x + d, x + e, x * i8 FROM t",
    "SELECT x / 0, 0 / x, i8 / 0, 0 / 0, d / 0, x % 0, f % 0 FROM t",
    "SELECT i16 // i8, i16 % i8, -i16 // i8, u8 // i8, i16 // 7, i16 % -7, i64 // i16 FROM t WHERE i8 <> 0 AND i16 <> 0",
    "SELECT x // 2, x // y, f // 2, d // 2, x % y, y % x, f % 2 FROM t",
    "SELECT abs(i16), abs(d), abs(e), abs(x), abs(f), abs(u8), abs(i64) FROM t",
    "SELECT i64 * 1000, i64 * i16, i64 + i64, u64 + i64, u64 * 9 FROM t WHERE abs(i16) < 9",
    "SELECT 5 // 2, -5 // 2, 5 % -3, -5 % 3, 5 / 2, 5.0 // 2, 5.5 % 2, -5.5 % 2, 1 + 1, 2147483648 + 1, 2.5 * 2",
    "SELECT 5.5::DOUBLE // 2, -5.5::DOUBLE // 2, 7::FLOAT // 2, 1e300::DOUBLE // 1e-300, 'nan'::DOUBLE // 1",
    "SELECT n + 1, -n, abs(n), n // 0, n % 0, n / 0, i8 + NULL, NULL + NULL FROM t",
]

COMPARISON = [
    "SELECT i8 = i16, i8 < i16, i8 <= i16, i8 > i16, i8 >= i16, i8 <> i16, i8 = u8, i64 > u64, i16 = d, i32 < u32 FROM t",
    "SELECT d < e, d = e, d > 1.005, d <= -12.34, e = 1, d <> 0, h < e, h = 1, h BETWEEN -5 AND 5, e BETWEEN d AND 1e3 FROM t",
    "SELECT i8 = 1000, i8 < 1000, i8 > -1000, u8 >= 0, u8 < 0, u8 = -1, i8 < 1.5, i8 = 1.0, i8 > 2.5, u8 <> 255 FROM t",
    "SELECT x < y, x = y, x <> x, x = f, f < y, i32 < x, x = 0, x = -0.0, x <> 0, x >= x, NOT x > 1 FROM t",
    "SELECT x > 'nan'::DOUBLE, x = 'nan'::DOUBLE, x < 'inf'::DOUBLE, x <= '-inf'::DOUBLE, x IS DISTINCT FROM 0 FROM t",
    "SELECT f = 0.5, f < 0.1, f > 1e10, f <= 1.5::FLOAT, f BETWEEN -0.5 AND 0.5, x BETWEEN -1 AND 1, x BETWEEN y AND 2 FROM t",
    "SELECT i16 BETWEEN i8 AND u8, i16 NOT BETWEEN -10 AND 10, i8 BETWEEN NULL AND 5, i8 BETWEEN 0 AND NULL FROM t",
    "SELECT i8 IN (1, 2, 3), i8 IN (1, NULL), i8 NOT IN (1, 2), i8 NOT IN (1, NULL), i8 IN (NULL), NULL IN (1, 2) FROM t",
    "SELECT i8 IN (i16, 2), d IN (1.5, 2), i8 IN (1.0, 2.5), x IN (0.5, 'nan'::DOUBLE), x IN (0), f IN (0.5, 1.5), "
    "h IN (1) FROM t",
    "SELECT i8 IN () AS p, s NOT IN () AS q, NULL IN () AS r, n IN () AS v, (i8, s) IN () AS z FROM t",
    "SELECT (i8, i16) = (i16, i8), (i8, i16) <> (i16, i8), (i8, i16) IS DISTINCT FROM (i8, i16), (i8, s) IN ((1, 'a'), (NULL, ''), (2, NULL)) "
    "FROM t",
    "SELECT (i8, i16) < (i16, i8), (i8, i16) <= (i16, i8), (i8, i16) > (i16, i8), (i8, i16) >= (i16, i8), (i8, i16) < (i8, i8), "
    "(i8, n) <= (i8, NULL), (x, y) < (y, x), (x, f) >= ('nan'::DOUBLE, 0) FROM t",
    "SELECT (g, i8, d) BETWEEN (0, i16, e) AND (2, NULL, 0), (g, i8) NOT BETWEEN (1, 5) AND (2, 7), (s, b) < ('b', TRUE), "
    "(day, s) > (moment, w), (d, i8) = (1.5, 1), (u64, h) <= (i64, e) FROM t",
    "SELECT ((i8, g)) IN ((1, 2), ((i16, 1))), (i8, 1) NOT IN ((1, i16), (NULL, 1)) FROM t",
    "SELECT i8 IS NULL, i8 IS NOT NULL, n IS NULL, NULL IS NULL, 1 IS NOT NULL, (i8 + i16) IS NULL, (x > 1) IS NULL FROM t",
    "SELECT i8 IS DISTINCT FROM i16, i8 IS NOT DISTINCT FROM 1, s IS DISTINCT FROM w, x IS NOT DISTINCT FROM x FROM t",
    "SELECT i8 IS DISTINCT FROM NULL, n IS NOT DISTINCT FROM NULL, b IS DISTINCT FROM TRUE, d IS DISTINCT FROM e FROM t",
    "SELECT i8 = NULL, i8 <> NULL, NULL = NULL, n = n, n < 1, n BETWEEN 0 AND 1 FROM t",
]

LOGIC = [
    "SELECT b AND i8 > 0, b OR i8 > 0, NOT b, (b AND x > 0) OR (NOT b AND i16 > 3), NOT (b AND i8 > 0) FROM t",
    "SELECT b AND b, b OR b, b AND NOT b, b OR NOT b, b AND NULL, b OR NULL, b AND TRUE, b OR FALSE FROM t",
    "SELECT b IS TRUE, b IS NOT TRUE, b IS FALSE, b IS NOT FALSE, b IS NULL, (i8 > 0) IS TRUE, (i8 > 0) IS NOT FALSE FROM t",
    "SELECT NULL AND b, NULL OR b, NOT NULL, TRUE AND b, FALSE OR b, NULL OR i8 > 0, NOT (b AND NULL) FROM t",
    "SELECT b = TRUE, b <> FALSE, b < TRUE, (i8 > 0) = b, (i8 > 0) < (i16 > 0), b IN (TRUE, NULL), b BETWEEN FALSE "
    "AND TRUE FROM t",
    "SELECT id FROM t WHERE b",
    "SELECT id FROM t WHERE NOT b",
    "SELECT id FROM t WHERE b IS NULL OR i8 > 0 AND i16 < 0",
    "SELECT id FROM t WHERE NULL",
    "SELECT id FROM t WHERE i8",
    "SELECT id FROM t WHERE FALSE",
    "SELECT id FROM t WHERE n IS NULL AND n = 1",
]

CONDITIONAL = [
    "SELECT CASE WHEN i8 > 0 THEN 'pos' WHEN i8 < 0 THEN 'neg' WHEN i8 = 0 THEN 'zero' END FROM t",
    "SELECT CASE WHEN b THEN i8 ELSE i16 END, CASE WHEN b THEN d ELSE e END, CASE WHEN b THEN x END FROM t",
    "SELECT CASE i8 WHEN 1 THEN 10 WHEN 2 THEN 20 ELSE i16 END, CASE s WHEN 'a' THEN w WHEN 'b' THEN c ELSE s END FROM t",
    "SELECT CASE WHEN b THEN s WHEN i8 > 0 THEN 'lit' ELSE w END, CASE WHEN b THEN c ELSE 'none' END FROM t",
    "SELECT CASE WHEN b THEN day ELSE DATE '2000-01-01' END, CASE WHEN b THEN moment ELSE day END FROM t",
    "SELECT CASE WHEN b THEN NULL ELSE i8 END, CASE WHEN NULL THEN 1 ELSE 2 END, CASE WHEN b THEN TRUE ELSE i8 > 0 END FROM t",
    "SELECT CASE WHEN b THEN 1 ELSE 2.5 END, CASE WHEN b THEN i8 ELSE 1000 END, CASE WHEN b THEN u8 ELSE i8 END FROM t",
    "SELECT CASE WHEN b THEN i64 ELSE x END, if(b, 1, 2), if(b, x, f), ifnull(i8, 5) FROM t",
    "SELECT coalesce(i8, i16, 0), coalesce(s, w), coalesce(s, c, 'none'), coalesce(x, 0), coalesce(d, e) FROM t",
    "SELECT coalesce(n, i8), coalesce(b, FALSE), coalesce(day, DATE '2000-01-01'), coalesce(moment, day), "
    "coalesce(NULL, NULL) FROM t",
    "SELECT nullif(i8, 1), nullif(s, 'a'), nullif(x, 0.5), nullif(d, e), nullif(b, TRUE), nullif(w, s), nullif(g, i8) FROM t",
    "SELECT nullif(day, DATE '1980-01-01'), nullif(x, 'nan'::DOUBLE), nullif(NULL, 1), nullif(1, NULL) FROM t",
]

CASTS = [
    "SELECT i8::BIGINT, i16::DOUBLE, i32::FLOAT, i64::FLOAT, i64::DOUBLE, u64::BIGINT, i8::DECIMAL(3, 0), "
    "i16::DECIMAL(5, 2) FROM t",
    "SELECT d::DOUBLE, d::INTEGER, d::DECIMAL(12, 4), e::DECIMAL(15, 1), e::DECIMAL(15, 0), d::FLOAT, e::FLOAT, h::DOUBLE FROM t",
    "SELECT b::INTEGER, b::DOUBLE, i8::BOOLEAN, x::BOOLEAN, d::BOOLEAN, h::DECIMAL(38, 1), h::BIGINT, h::FLOAT FROM t",
    "SELECT x::INTEGER, x::TINYINT, x::DECIMAL(10, 2), x::FLOAT, x::DECIMAL(4, 0) FROM t WHERE x BETWEEN -100 AND 100",
    "SELECT f::BIGINT, y::SMALLINT, y::DECIMAL(10, 1), y::FLOAT, f::DOUBLE, f::DECIMAL(15, 2), y::DECIMAL(3, 1) FROM t",
    "SELECT d::DECIMAL(3, 1) FROM t WHERE d BETWEEN -99.94 AND 99.94",
    "SELECT 0.49999999999999994::DOUBLE::INTEGER, 2.5::DOUBLE::INTEGER, -2.5::DOUBLE::INTEGER, 2.5::FLOAT::TINYINT, "
    "1.5::INTEGER, -2.5::INTEGER",
    "SELECT 0.285::DOUBLE::DECIMAL(5, 2) AS p, 1.005::DOUBLE::DECIMAL(5, 2) AS q, 2.675::DOUBLE::DECIMAL(5, 2) AS r, "
    "-0.125::DOUBLE::DECIMAL(5, 2) AS v",
    "SELECT 9223372036854775807::DOUBLE, 9007199254740993::DOUBLE, 16777217::FLOAT, 9.2e18::DOUBLE::BIGINT",
    "SELECT TRY_CAST(x AS INTEGER), TRY_CAST(x AS DECIMAL(5, 1)), TRY_CAST(x AS FLOAT), TRY_CAST(x AS TINYINT) FROM t",
    "SELECT TRY_CAST(i16 AS UINT8), TRY_CAST(i32 AS UINT16), TRY_CAST(i64 AS uint32), TRY_CAST(i64 AS UINT64), i8::INT16 FROM t",
    "SELECT TRY_CAST(i32 AS SMALLINT), TRY_CAST(i16 AS TINYINT), TRY_CAST(i8 AS UTINYINT), TRY_CAST(u32 AS INTEGER) FROM t",
    "SELECT TRY_CAST(d AS TINYINT), TRY_CAST(d AS DECIMAL(4, 2)), TRY_CAST(i16 AS DECIMAL(4, 2)), "
    "TRY_CAST(e AS DECIMAL(18, 8)) FROM t",
    "SELECT TRY_CAST(127.5::DOUBLE AS TINYINT) AS p, TRY_CAST(127.4::DOUBLE AS TINYINT) AS q, "
    "TRY_CAST(-128.5::DOUBLE AS TINYINT) AS r",
    "SELECT w::INTEGER, w::DOUBLE, w::DECIMAL(5, 2), w::BIGINT FROM t WHERE w IN ('10', '-3')",
    "SELECT TRY_CAST(w AS INTEGER), TRY_CAST(w AS DOUBLE), TRY_CAST(w AS DECIMAL(5, 2)), TRY_CAST(s AS DATE), "
    "TRY_CAST(w AS BOOLEAN) FROM t",
    "SELECT ' 12 '::INTEGER, '1e3'::DOUBLE, 't'::BOOLEAN, '2020-01-01'::DATE, '2020-01-01 10:00:00.5'::TIMESTAMP, '-inf'::DOUBLE",
    "SELECT TRY_CAST(v AS DECIMAL(18, 17)), TRY_CAST(v::BIGINT AS DECIMAL(18, 18)) FROM (VALUES (100::TINYINT), (0), (NULL)) u(v)",
    "SELECT TRY_CAST(v AS DECIMAL(18, 17)) FROM (VALUES (100::TINYINT), (10)) u(v)",
    "SELECT v::DECIMAL(38, 19)::TINYINT AS p, v::DECIMAL(38, 19)::DECIMAL(3, 1) AS q "
    "FROM (VALUES ('0.4999999999999999999'), ('0.5'), ('-0.5'), ('-0.45'), ('0.05')) u(v)",
    "SELECT v::DECIMAL(38, 20)::BIGINT AS p, v::DECIMAL(38, 20)::DECIMAL(38, 1) AS q "
    "FROM (VALUES ('0.04999999999999999999'), ('0.05'), ('-0.05'), (NULL)) u(v)",
    "SELECT v::DECIMAL(38, 36)::TINYINT FROM (VALUES (0::TINYINT), (NULL)) u(v)",
    "SELECT day::TIMESTAMP, moment::DATE, n::DOUBLE, n::BOOLEAN, s::VARCHAR, NULL::DECIMAL(4, 2) FROM t",
]

DATES = [
    "SELECT day + INTERVAL 1 MONTH, day - INTERVAL 1 MONTH, day + INTERVAL 3 YEAR, day + INTERVAL 10 DAY, "
    "day + INTERVAL 5 HOUR FROM t",
    "SELECT moment + INTERVAL 1 MONTH, moment - INTERVAL 90 MINUTE, moment + INTERVAL 100 MILLISECOND, "
    "moment + INTERVAL 2 WEEK FROM t",
    "SELECT day + INTERVAL '1 month 3 days' AS p, INTERVAL 2 DAY + day, "
    "moment + INTERVAL '1 year 2 months 3 days 04:05:06' AS q FROM t",
    "SELECT day + 3, day - 3, 3 + day, day + i8, day - i16, day - DATE '1990-01-01', day - day FROM t",
    "SELECT DATE '2020-02-29' + INTERVAL 1 YEAR, DATE '2020-03-31' - INTERVAL 1 MONTH, DATE '1900-02-28' + INTERVAL 1 DAY",
    "SELECT DATE '2020-01-31' + INTERVAL 1 MONTH, DATE '2000-02-28' + INTERVAL 1 DAY, DATE '1969-12-31' + INTERVAL 1 DAY",
    "SELECT day < '1990-01-01', day >= DATE '1985-05-05', day = TIMESTAMP '1990-01-01 12:00:00', "
    "day < TIMESTAMP '1990-01-01 12:00:00' FROM t",
    "SELECT moment < TIMESTAMP '1990-01-01', moment >= '1985-05-05', moment = day, day <= moment, moment <> day FROM t",
    "SELECT day IN ('1980-01-01', '1990-01-01'), day BETWEEN '1980-01-01' AND '1990-06-01', moment < day + INTERVAL 1 DAY FROM t",
    "SELECT id FROM t WHERE day >= DATE '1994-01-01' AND day < DATE '1994-01-01' + INTERVAL '1' YEAR",
    "SELECT id FROM t WHERE day <= DATE '1998-12-01' - INTERVAL '90' DAY",
]

TEXT = [
    "SELECT s = 'a', s <> 'a', s < 'b', s >= 'ab', s = 'nothere', s < 'nothere', s = '', s = 'é', s > 'é', 'a' < s FROM t",
    "SELECT s > w, s = w, s < w, s <= c, s <> c, w = w, c = 'red', c = 'none', c <> 'none' FROM t",
    "SELECT s LIKE 'a%', s LIKE '%c', s LIKE '_', s LIKE '%', s LIKE '', s LIKE '%é%', w LIKE '1_', c LIKE '%e%', "
    "s LIKE NULL FROM t",
    "SELECT s LIKE 'a!%c' ESCAPE '!', s NOT LIKE 'a%', s LIKE '.*', s LIKE '__', s LIKE 'a\\_c', s LIKE 'a$_c' ESCAPE '$' FROM t",
    "SELECT s ILIKE 'A%', s ILIKE 'é', s ILIKE 'ä%', s NOT ILIKE 'A', s ILIKE 'SS' FROM t",
    "SELECT 'zz' IN (s, l.c), s NOT IN (w, l.c, 'b'), s = l.c FROM t LEFT JOIN (SELECT 'a' AS c, i8 AS n FROM t) AS l ON l.n = t.i16",
    "SELECT s IN ('a', ''), s IN ('a', NULL), s NOT IN ('a', 'b'), s IN (w, 'b'), w IN ('a', '10', 'zzz'), "
    "c NOT IN ('red') FROM t",
    "SELECT CASE WHEN s < w THEN s ELSE w END, 'it''s', '', 'a\"b', 'ü' FROM t",
    "SELECT s, id FROM t WHERE s > 'A' AND s < 'b'",
    "SELECT s, id FROM t WHERE NOT (s LIKE 'a%') OR s IS NULL",
]


@pytest.mark.parametrize("query", ARITHMETIC)
def test_arithmetic(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", COMPARISON)
def test_comparison(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", LOGIC)
def test_logic(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", CONDITIONAL)
def test_conditional(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", CASTS)
def test_casts(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", DATES)
def test_dates(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


@pytest.mark.parametrize("query", TEXT)
def test_text(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


def test_the_table_holds_what_goes_wrong(full: Engines) -> None:
    """The tests above are worth what their data are: every column has NULLs where it may, and the ends of its type."""
    counts = full.theirs.execute(
        "SELECT count(*) FILTER (WHERE isnan(x)), count(*) FILTER (WHERE x = 'inf'), count(*) FILTER (WHERE x = '-inf'),"
        " count(*) FILTER (WHERE x = 0 AND signbit(x)), count(*) FILTER (WHERE s = ''), count(*) FILTER (WHERE s IS NULL),"
        " count(*) FILTER (WHERE i32 = -2147483648), count(*) FILTER (WHERE i8 = 0), count(*) FILTER (WHERE i8 = 127) FROM t"
    ).fetchone()
    assert counts is not None
    assert min(counts) > 0
