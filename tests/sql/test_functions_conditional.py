"""TRY, IF, COALESCE and the like, and casts in combination with functions, against DuckDB."""

from __future__ import annotations

import pytest

from tests.oracle import Engines

QUERIES = [
    "SELECT try(i16 // i8), try(w::INTEGER), TRY(i8 + i8), try(chr(i8)), try(i8), try(1 // 0), try('a'::INTEGER), try(chr(-1)) FROM t",
    "SELECT try(x::TINYINT), try(upper(s)), try(make_date(2020, g, 31)), try(strptime(s, '%Y')), try(i32 * i32) FROM t",
    "SELECT sum(try(i16 // i8)), count(try(w::INTEGER)) FROM t WHERE try(w::INTEGER) IS NULL OR try(10 // i8) > 1",
    "SELECT try(CASE WHEN i8 = 0 THEN 1 // i8 ELSE i8 END), coalesce(try(w::INTEGER), -1), try(try(1 // i8) + 1) FROM t",
    "SELECT if(b, i8, i16), if(b, s, w), ifnull(s, w), if(i8 > 0, 'p', NULL), i8 ISNULL, i8 NOTNULL FROM t",
    "SELECT TRY_CAST(s AS TIMESTAMP), TRY_CAST(w AS HUGEINT), TRY_CAST(w AS UTINYINT), TRY_CAST(w AS FLOAT), TRY_CAST(x AS BOOLEAN) FROM t",
    "SELECT i8::VARCHAR, u8::VARCHAR, b::VARCHAR, day::VARCHAR, b::DECIMAL(4, 2), b::FLOAT, moment::DATE::VARCHAR FROM t",
    "SELECT typeof(i8), typeof(d), typeof(NULL), typeof(1), typeof('a'), typeof(i8 + i16), typeof(s || 'x'), typeof(day) FROM t",
    "SELECT typeof(sum(i16)), typeof(x) AS kind, count(*) FROM t GROUP BY kind",
    "SELECT i8::BOOLEAN::VARCHAR, s::VARCHAR(2), CAST(i8 AS DOUBLE)::DECIMAL(5, 1)::INTEGER, length(i16::VARCHAR) FROM t",
    "SELECT CASE WHEN upper(s) = 'A' THEN length(w) WHEN b THEN year(day) ELSE floor(y) END FROM t",
]


@pytest.mark.parametrize("query", QUERIES)
def test_conditional(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


def test_refused(full: Engines) -> None:
    full.check_refused("SELECT try(sum(i8)) FROM t")
    full.check_refused("SELECT try(i16 // i8) + 1 // i8 FROM t")
