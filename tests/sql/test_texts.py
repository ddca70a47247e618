"""Casts of columns to VARCHAR against DuckDB, and what is said of those that are not supported."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
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
        "SELECT id, big::VARCHAR, (-big)::VARCHAR, x::VARCHAR, (x / 7 - 5)::VARCHAR FROM t",
        "SELECT sum(i)::VARCHAR, max(big)::VARCHAR, avg(i)::VARCHAR, sum(x)::VARCHAR FROM t GROUP BY i % 3",
        "SELECT big::VARCHAR, (big / 3)::VARCHAR, (d * 100_000)::DECIMAL(18, 5)::VARCHAR, (day + i * 1000)::VARCHAR FROM t",
        "SELECT CASE WHEN b THEN big::VARCHAR END, (ts + INTERVAL 1 YEAR * i)::VARCHAR, nullif(big, 0)::VARCHAR FROM t",
        "SELECT big::VARCHAR AS text, count(*), count(DISTINCT (-big)::VARCHAR) FROM t GROUP BY text",
        "SELECT i % 7 AS g, sum(big * 1_000_000)::VARCHAR, sum(-big * 90_000_000)::VARCHAR AS most FROM t GROUP BY g ORDER BY g",
        "SELECT sum(big * 90_000_000)::VARCHAR FROM t UNION ALL SELECT sum(id)::VARCHAR FROM t UNION ALL SELECT sum(id) FROM t WHERE false",
        "SELECT l.big::VARCHAR, r.id FROM t AS l JOIN t AS r ON l.big::VARCHAR = (r.big * 2)::VARCHAR",
        "SELECT big::VARCHAR FROM t UNION ALL SELECT (-big)::VARCHAR FROM t UNION ALL SELECT NULL",
        "SELECT lag(big::VARCHAR) OVER (ORDER BY id), first_value(x::VARCHAR) OVER (ORDER BY id DESC) FROM t",
        "SELECT id FROM t WHERE big::VARCHAR = (id * 100_000_000)::VARCHAR AND big::VARCHAR IS NOT NULL ORDER BY id LIMIT 20",
    ],
)
def test_columns_as_texts(engines: Engines, query: str) -> None:
    engines.check(query)


def test_floats_are_written_as_duckdb_writes_them() -> None:
    """Also where it does not find the shortest digits: of numbers right between two, and beside powers of ten and of two."""
    random = np.random.default_rng(7)
    bits = random.integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    halves = [random.integers(0, 10**digits, 2000) / 8 for digits in (6, 7, 8, 9)]
    edges = np.concatenate([2.0 ** np.arange(-149, 128), [0.0, -0.0, np.inf, -np.inf, np.nan, 3.4028234663852886e38]])
    floats = np.concatenate([bits[~np.isnan(bits)], *halves, edges]).astype(np.float32)
    engines = Engines.over(t=pa.table({"id": np.arange(len(floats)), "f": floats}))
    engines.check("SELECT f::VARCHAR, (-f)::VARCHAR, (f + 1)::VARCHAR FROM t WHERE f < 1e30 OR f IS NULL ORDER BY id")
    engines.check("SELECT f::VARCHAR AS text, count(*) FROM t GROUP BY text")
    engines.check("SELECT 1.5::FLOAT::VARCHAR, 343126.125::FLOAT::VARCHAR, 'inf'::FLOAT::VARCHAR, 0.1::FLOAT::VARCHAR || 'x'")
    engines.close()


@pytest.mark.parametrize(
    ("query", "says", "marked", "hint"),
    [
        (
            "SELECT length(big::VARCHAR) FROM t",
            "text of a BIGINT that may have more than 65,536 values",
            "length(big::VARCHAR)",
            "SMALLINT",
        ),
        ("SELECT 1 + (day + i * 1000)::VARCHAR::INTEGER FROM t", "of a DATE that", "(day + i * 1000)::VARCHAR::INTEGER", ""),
        ("SELECT rank() OVER (ORDER BY big::VARCHAR) FROM t", "of a BIGINT that", "big::VARCHAR", ""),
        ("SELECT max(big::VARCHAR) FROM t", "of a BIGINT that", "max(big::VARCHAR)", "SMALLINT"),
        ("SELECT 1, CASE WHEN b THEN big::VARCHAR ELSE 'odd' END FROM t", "of a BIGINT that", "big::VARCHAR", ""),
        ("SELECT id FROM t WHERE x::VARCHAR = '1.0'", "text of a DOUBLE that", "x::VARCHAR = '1.0'", ""),
        ("SELECT length(x::FLOAT::VARCHAR) FROM t", "text of a FLOAT that", "length(x::FLOAT::VARCHAR)", ""),
    ],
)
def test_columns_of_too_many_values(engines: Engines, query: str, says: str, marked: str, hint: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        engines.ours.sql(query).fetchall()
    first, shown, carets, *rest = str(caught.value).splitlines()
    assert first.startswith("not supported yet: ")
    assert says in first
    assert (shown, carets) == (f"  {query}", "  " + " " * query.index(marked) + "^" * len(marked))
    assert hint in "".join(rest)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT min(sum(i)::VARCHAR) OVER () FROM t",
        "SELECT rank() OVER (ORDER BY id, big::VARCHAR) FROM t",
        "SELECT first_value(id) OVER (PARTITION BY b ORDER BY (-big)::VARCHAR DESC) FROM t",
        "SELECT DISTINCT ON (b) id FROM t ORDER BY b, big::VARCHAR",
        "SELECT arg_min(id, big::VARCHAR) FROM t",
        "SELECT big FROM t ORDER BY big::VARCHAR",
        "SELECT CASE WHEN b THEN big::VARCHAR ELSE 'odd' END FROM t",
        "SELECT big::VARCHAR FROM t UNION ALL SELECT s FROM (VALUES ('a')) v(s)",
        "SELECT string_agg(big::VARCHAR, ',') FROM t",
        "SELECT n FROM (SELECT b, count(*) AS n, sum(big * 90_000_000)::VARCHAR AS s FROM t GROUP BY b) WHERE s = '5'",
        "SELECT min(big::VARCHAR), mode(x::VARCHAR) FROM t",
        "SELECT l.id FROM t AS l JOIN t AS r ON l.big::VARCHAR = r.x::VARCHAR",
        "SELECT id FROM t WHERE big::VARCHAR IN ('1', '2') OR big::VARCHAR < x::VARCHAR OR big::VARCHAR LIKE '1%'",
    ],
)
def test_texts_of_too_many_values_are_not_computed_with(engines: Engines, query: str) -> None:
    with pytest.raises(UnsupportedError, match=r"to compute with the text of a (BIGINT|DOUBLE|HUGEINT) that may have more than"):
        engines.ours.sql(query).fetchall()


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
