"""Casts of columns to VARCHAR against DuckDB, and what is said of those that are not supported."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb
import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

TABLE = """
    SELECT (i * 37 % 2000 - 1000)::INTEGER AS i, (i % 100 - 50)::TINYINT AS small, i::HUGEINT AS huge, i * 100_000_000 AS big,
           CASE WHEN i % 7 <> 0 THEN ((i % 200 - 100) / 8)::DECIMAL(6, 3) END AS d, ((i % 100 - 50) / 100)::DECIMAL(2, 2) AS fraction,
           DATE '1969-12-25' + (i % 30)::INTEGER AS day, DATE '0001-01-05' - (i % 10)::INTEGER AS ancient, i % 2 = 0 AS b,
           TIMESTAMP '1969-12-31 23:59:59.99998' + (i % 50) * INTERVAL 1 MICROSECOND AS ts, i::DOUBLE AS x, i AS id
    FROM range(500) r(i)
"""


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    opened = Engines.over(t=duckdb.sql(TABLE).to_arrow_table())
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i::VARCHAR, small::VARCHAR, huge::VARCHAR, d::VARCHAR, fraction::VARCHAR, day::VARCHAR, b::VARCHAR, ts::VARCHAR FROM t",
        "SELECT id, ancient::VARCHAR FROM t WHERE ancient::VARCHAR LIKE '%(BC)'",
        "SELECT id FROM t WHERE i::VARCHAR LIKE '-1%' OR fraction::VARCHAR IN ('.05', '-.10') OR b::VARCHAR < 'g'",
        "SELECT day::VARCHAR AS day, count(*), max(d::VARCHAR), count(DISTINCT small::VARCHAR) FROM t GROUP BY 1 ORDER BY 1",
        "SELECT i::VARCHAR::INTEGER + 1, d::VARCHAR::DOUBLE, day::VARCHAR::DATE, ts::VARCHAR::TIMESTAMP FROM t",
        "SELECT CASE WHEN b THEN coalesce(d::VARCHAR, 'none') ELSE day::VARCHAR END FROM t ORDER BY 1, id",
        "SELECT (i % 10)::VARCHAR, (i + 1)::SMALLINT::VARCHAR, count(*) OVER_ FROM t GROUP BY ALL".replace("OVER_", "AS n"),
    ],
)
def test_columns_as_texts(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize(
    ("query", "says", "marked", "hint"),
    [
        ("SELECT id, big::VARCHAR FROM t", "of a BIGINT that may have more than 65,536 values", "big::VARCHAR", "SMALLINT"),
        ("SELECT CAST(sum(i) AS VARCHAR) FROM t", "of a HUGEINT that may", "CAST(sum(i) AS VARCHAR)", "Cast to a narrower type"),
        (
            "SELECT 1 + (day + i * 1000)::VARCHAR::INTEGER FROM t",
            "of a DATE that",
            "(day + i * 1000)::VARCHAR",
            "Select it as it is",
        ),
        ("SELECT id FROM t WHERE x::VARCHAR = '1.0'", "casts from DOUBLE to VARCHAR", "x::VARCHAR", ""),
    ],
)
def test_columns_of_too_many_values(engines: Engines, query: str, says: str, marked: str, hint: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        engines.ours.sql(query)
    first, shown, carets, *rest = str(caught.value).splitlines()
    assert first.startswith("not supported yet: casts")
    assert says in first
    assert (shown, carets) == (f"  {query}", "  " + " " * query.index(marked) + "^" * len(marked))
    assert hint in "".join(rest)


@pytest.mark.parametrize(
    ("query", "says", "marked"),
    [
        ("SELECT CAST('abc' AS INTEGER) FROM t", "cannot convert 'abc' to INTEGER", "CAST('abc' AS INTEGER)"),
        ("SELECT id FROM t WHERE day < 'abc'", "cannot convert 'abc' to DATE: a date is written YYYY-MM-DD", "'abc'"),
        ("SELECT i + 300::TINYINT FROM t", "300 is out of range of TINYINT", "300::TINYINT"),
        ("SELECT fraction = '12345' FROM t", "'12345' is out of range of DECIMAL(2,2)", "'12345'"),
        ("SELECT CASE WHEN b THEN 1 ELSE '1e9' // small END FROM t", "'1e9' is out of range of TINYINT", "'1e9'"),
    ],
)
def test_constants_that_do_not_convert(engines: Engines, query: str, says: str, marked: str) -> None:
    told = engines.check_refused(query, match=re.escape(says))
    assert told.splitlines()[1:] == [f"  {query}", "  " + " " * query.index(marked) + "^" * len(marked)]


def test_constants_that_no_row_reaches(engines: Engines) -> None:
    engines.check("SELECT CASE WHEN id < 0 THEN CAST('abc' AS INTEGER) ELSE 1 END, coalesce(id, 'abc') FROM t")
    engines.check("SELECT id FROM t WHERE id < 0 AND day < 'abc'")
    engines.check("SELECT CAST('abc' AS INTEGER) FROM t WHERE false")
