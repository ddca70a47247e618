"""Aggregates and groups, against DuckDB."""

from __future__ import annotations

import pytest

from tests.oracle import Engines

WITHOUT_KEYS = [
    "SELECT count(*), count(i8), count(n), count(s), count(1), count(NULL) FROM t",
    "SELECT sum(i8), sum(i16), sum(i32), sum(i64), sum(u8), sum(u64), sum(d), sum(e), sum(h), sum(f), sum(y), sum(b), "
    "sum(n) FROM t",
    "SELECT avg(i8), avg(i16), avg(i64), avg(u64), avg(d), avg(e), avg(h), avg(f), avg(y), avg(n), avg(b::INTEGER) FROM t",
    "SELECT min(i8), max(i32), min(u64), max(d), min(e), min(h), max(h), min(f), max(f), min(b), max(b), min(n) FROM t",
    "SELECT min(s), max(s), min(w), max(c), min(day), max(day), min(moment), max(moment), min('a'), max(NULL) FROM t",
    "SELECT count(DISTINCT i8), count(DISTINCT s), count(DISTINCT d), count(DISTINCT day), count(DISTINCT b), "
    "count(DISTINCT id) FROM t",
    "SELECT count(DISTINCT i64), sum(DISTINCT i64), count(DISTINCT x), count(DISTINCT moment), count(DISTINCT n), "
    "count(DISTINCT h) FROM t",
    "SELECT sum(DISTINCT i16), avg(DISTINCT u8), sum(DISTINCT d), sum(DISTINCT y), sum(DISTINCT f), min(DISTINCT i8), "
    "max(DISTINCT s) FROM t",
    "SELECT sum(i16) FILTER (WHERE b), count(*) FILTER (WHERE x > 0), avg(i8) FILTER (WHERE s = 'a'), "
    "min(s) FILTER (WHERE b) FROM t",
    "SELECT max(x) FILTER (WHERE i8 > 1000), count(DISTINCT i8) FILTER (WHERE b), sum(DISTINCT i8) FILTER (WHERE i8 > 0) FROM t",
    "SELECT sum(i16) * 2, sum(i16) + sum(i8), sum(d) / count(*), avg(i16) * 2, -sum(d), sum(i16) / 2, max(i16) - min(i16) FROM t",
    "SELECT sum(i16) % 5, sum(u8) // 2, coalesce(sum(n), 0), CASE WHEN count(*) > 5 THEN sum(i8) END, sum(i16) > 0 FROM t",
    "SELECT sum(CASE WHEN b THEN 1 ELSE 0 END), sum(CASE WHEN b THEN i16 END), sum(CASE WHEN b THEN d ELSE 0 END) FROM t",
    "SELECT min(i8 + i16), max(d * 2), max(coalesce(s, w)), min(CASE WHEN b THEN s ELSE w END), max(-y), sum(d * e), "
    "sum(d * (1 - d)) FROM t",
    "SELECT sum(i64 * 1000), avg(i64 * 1000), sum(e * d), avg(h * 2), sum(h * 2) FROM t",
    "SELECT sum(i64 * 8000), sum(-i64 * 8000), avg(i64 * 8000), sum(DISTINCT i64 * 8000) FROM t",
    "SELECT sum(i16 / 3), avg(i16 / 3), sum(y * 0.1), sum(1), sum(2.5), count(*) + 1 FROM t",
    "SELECT sum(i16), count(*), min(s), avg(y), min(x), count(DISTINCT i8) FROM t WHERE FALSE",
    "SELECT count(*) FROM t WHERE i8 > 0 AND s LIKE 'a%'",
    "SELECT count(*)",
    "SELECT mean(i8), count_star() FROM t",
    "SELECT count(*) FROM t HAVING count(*) > 1000",
    "SELECT sum(i16) FROM t HAVING sum(i16) IS NULL",
]

SPECIAL_FLOATS = [
    "SELECT min(x), max(x), min(f), max(f) FROM t",
    "SELECT sum(x), avg(x), sum(x) FILTER (WHERE x < 'inf'), sum(x) FILTER (WHERE x > '-inf' AND NOT x = 'nan') FROM t",
    "SELECT min(x), max(x) FROM t WHERE x <> 'nan'",
    "SELECT x, count(*), min(id) FROM t GROUP BY x ORDER BY x NULLS FIRST",
    "SELECT DISTINCT x FROM t",
    "SELECT -x AS z, count(*) FROM t GROUP BY z ORDER BY z DESC NULLS LAST",
]

GROUPED = [
    "SELECT g, count(*), count(i8), sum(i8), avg(i8), min(i8), max(i8), sum(i64), sum(d), avg(d), sum(e), sum(h) "
    "FROM t GROUP BY g ORDER BY g",
    "SELECT g, sum(f), avg(y), min(y), min(s), max(s), min(day), max(moment), min(b), max(b), max(c), sum(n) "
    "FROM t GROUP BY g ORDER BY g",
    "SELECT g, count(DISTINCT s), count(DISTINCT x), sum(DISTINCT i16), avg(DISTINCT u8), count(DISTINCT moment) "
    "FROM t GROUP BY g ORDER BY g",
    "SELECT g, sum(i16) FILTER (WHERE b), count(*) FILTER (WHERE x > 0), count(DISTINCT i8) FILTER (WHERE b) "
    "FROM t GROUP BY g ORDER BY g",
    "SELECT s, count(*), min(id) FROM t GROUP BY s ORDER BY s",
    "SELECT b, c, count(*), sum(i16) FROM t GROUP BY b, c ORDER BY b, c NULLS FIRST",
    "SELECT day, count(*) FROM t GROUP BY day ORDER BY day DESC NULLS LAST",
    "SELECT d, count(*), max(id) FROM t GROUP BY d ORDER BY 1",
    "SELECT h, count(*), max(id) FROM t GROUP BY h ORDER BY 1",
    "SELECT i64, count(*), count(DISTINCT w), sum(DISTINCT i16) FROM t GROUP BY i64 ORDER BY 1 NULLS FIRST",
    "SELECT f, b, count(*) FROM t GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT moment, count(*) FROM t GROUP BY moment",
    "SELECT i8, s, d, day, count(*) FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT i8, s, count(*) FROM t GROUP BY * ORDER BY *",
    "SELECT i16 % 3 AS r, count(*) FROM t GROUP BY r ORDER BY r",
    "SELECT i16 + 1, sum(i8) FROM t GROUP BY i16 + 1 ORDER BY i16 + 1",
    "SELECT CASE WHEN i8 > 0 THEN 'pos' ELSE s END AS k, count(*) FROM t GROUP BY k ORDER BY k",
    "SELECT coalesce(s, w), count(*) FROM t GROUP BY 1 HAVING count(*) > 1 ORDER BY 1",
    "SELECT b, i8 > 0, count(*) FROM t GROUP BY b, i8 > 0",
    "SELECT n, count(*), sum(n), min(n), avg(n), count(DISTINCT n) FROM t GROUP BY n",
    "SELECT g, 1 AS one, 'x' AS lit, NULL AS nn FROM t GROUP BY g ORDER BY g",
    "SELECT g FROM t GROUP BY g ORDER BY sum(i16), g",
    "SELECT g, s, id % 2 AS p, count(*) FROM t GROUP BY g, s, p",
    "SELECT count(*) FROM t GROUP BY g, s",
    "SELECT g, sum(i16) FROM t WHERE FALSE GROUP BY g",
    "SELECT g, sum(i64 * 8000) FROM t GROUP BY g ORDER BY 2, g",
]

HAVING = [
    "SELECT g, sum(i16) AS q FROM t GROUP BY g HAVING sum(i16) > 0 ORDER BY q",
    "SELECT g, sum(i16) AS q FROM t GROUP BY g HAVING q > 0 ORDER BY q",
    "SELECT g, count(*) FROM t GROUP BY g HAVING g > 0 AND count(*) > 1 ORDER BY g",
    "SELECT g FROM t GROUP BY g HAVING min(b) ORDER BY g",
    "SELECT g FROM t GROUP BY g HAVING NULL",
    "SELECT -g AS g, count(*) FROM t GROUP BY g HAVING g > 0",
    "SELECT g, sum(i16) AS i16 FROM t GROUP BY g HAVING i16 > 0",
    "SELECT b, count(*) FROM t GROUP BY b HAVING b ORDER BY b",
    "SELECT g FROM t GROUP BY g HAVING sum(d) BETWEEN -1000 AND 1000 OR max(s) LIKE 'z%'",
]

DISTINCT = [
    "SELECT DISTINCT g FROM t ORDER BY g",
    "SELECT DISTINCT b, c FROM t ORDER BY b NULLS FIRST, c DESC",
    "SELECT DISTINCT s, g % 2 FROM t ORDER BY 1, 2",
    "SELECT DISTINCT i16 / 2, d FROM t",
    "SELECT DISTINCT day, moment, i64, h FROM t",
    "SELECT DISTINCT g + 1 AS q FROM t ORDER BY q LIMIT 3",
    "SELECT DISTINCT count(*) FROM t GROUP BY s",
    "SELECT DISTINCT 1 FROM t",
    "SELECT DISTINCT n, b FROM t",
]


@pytest.mark.parametrize("query", WITHOUT_KEYS)
def test_without_keys(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", SPECIAL_FLOATS)
def test_special_floats(engines: Engines, query: str) -> None:
    """0.0 and -0.0 are one group, and the least of the two is either; so are all NaNs, which are the greatest value."""
    engines.check(query, signed_zeros=False)


@pytest.mark.parametrize("query", GROUPED)
def test_grouped(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", HAVING)
def test_having(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", DISTINCT)
def test_distinct(engines: Engines, query: str) -> None:
    engines.check(query)
