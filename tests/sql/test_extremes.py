"""The ends of every type, where arithmetic that is nearly right goes wrong: exact, or an error."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import ExecutionError, UnsupportedError
from tests.oracle import Engines

LEAST, GREATEST = -(1 << 63), (1 << 63) - 1
DAYS = [
    datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None, datetime.date(1970, 1, 1), datetime.date(1969, 12, 31),
    datetime.date(1900, 3, 1), datetime.date(2000, 2, 29), datetime.date(1600, 2, 29), datetime.date(2100, 2, 28),
    datetime.date(4, 2, 29), datetime.date(1582, 10, 15), datetime.date(1582, 10, 4),
]  # fmt: skip
WHOLE = ["9999999999999999.99", "-9999999999999999.99", "0.01", "-0.01", "0", "1", "9999999999999999.99", *"56789"]
FLOATS = [1.7976931348623157e308, -1.7976931348623157e308, 1e-300, -1e-300, math.inf, -math.inf, math.nan, -0.0, 0.0, None, 1e16]
SINGLES = [3.4028235e38, -3.4028235e38, 1e-30, -1e-30, math.inf, -math.inf, math.nan, -0.0, 0.0, None, 16777217.0, 0.1]
TABLE = pa.table(
    {
        "id": pa.array(range(12)),
        "k": pa.array([LEAST, GREATEST, None, 0, -1, 1, LEAST, GREATEST, None, LEAST + 1, GREATEST - 1, 5], pa.int64()),
        "k2": pa.array([LEAST, GREATEST, 3, 0, -1, 1, LEAST, GREATEST, GREATEST - 2, LEAST + 1, GREATEST - 1, 5], pa.int64()),
        "v": pa.array([1, 2, 3, None, 5, 6, 7, 8, 9, 10, 11, 12], pa.int32()),
        "d18": pa.array(list(map(Decimal, WHOLE)), pa.decimal128(18, 2)),
        "d38": pa.array(
            [Decimal("92233720368547.75807"), Decimal("-92233720368547.75808"), None, *map(Decimal, range(9))],
            pa.decimal128(38, 5),
        ),
        "x": pa.array([*FLOATS, 9007199254740993.0]),
        "f": pa.array(SINGLES, pa.float32()),
        "s": pa.array(["a\n", "a", "A", "a ", None, "", "\x00", "\U0001f600", "\uffff", "é", "e\u0301", "%_\\"]),
        "u": pa.array([0, 255, None, *range(1, 10)], pa.uint8()),
        "big": pa.array([0, GREATEST, None, *range(1, 10)], pa.uint64()),
        "day": pa.array(DAYS),
        "moment": pa.array(
            [None if day is None else datetime.datetime.combine(day, datetime.time.max) for day in DAYS], pa.timestamp("us")
        ),
    }
)

INTEGERS = [
    "SELECT k, count(*), sum(v) FROM t GROUP BY k ORDER BY k",
    "SELECT k, count(*) FROM t GROUP BY k ORDER BY k DESC NULLS FIRST",
    "SELECT k, k2, count(*) FROM t GROUP BY k, k2 ORDER BY k, k2",
    "SELECT k, v, id FROM t ORDER BY k DESC, v, id",
    "SELECT DISTINCT k FROM t ORDER BY k NULLS FIRST",
    "SELECT id FROM t ORDER BY k2, id LIMIT 3",
    "SELECT id FROM t ORDER BY k2 DESC, id LIMIT 3",
    "SELECT min(k), max(k), sum(k), avg(k), count(DISTINCT k), sum(DISTINCT k), sum(k2), avg(k2), sum(DISTINCT k2) FROM t",
    "SELECT v, sum(k2) FROM t GROUP BY v ORDER BY 2, 1",
    "SELECT v, sum(k2) AS q FROM t GROUP BY v HAVING sum(k2) > 0 ORDER BY v",
    "SELECT sum(k2), sum(k2) < 0 FROM t WHERE id IN (0, 6)",
    "SELECT k = k2, k < k2, k <> k2, k > 9223372036854775806, k >= -9223372036854775807, k = 9223372036854775807 FROM t",
    "SELECT k > 1e18, k = 9223372036854775807::DOUBLE, k < 9.3e18, k::DOUBLE, k::FLOAT, k = 1.5, "
    "k > 9223372036854775806.5 FROM t",
    "SELECT k + 1 FROM t WHERE k < 9223372036854775807",
    "SELECT k - 1, abs(k), -k, k * -1, k // -1 FROM t WHERE k > -9223372036854775807",
    "SELECT k * 0, k * 1, k // 2, k % 2, k % -7, k / 2, k // 9223372036854775807 FROM t",
    "SELECT k // k2, k % k2, k / k2 FROM t WHERE k2 NOT IN (0, -1)",
    "SELECT CASE WHEN k > 0 THEN k ELSE k2 END, coalesce(k, k2), nullif(k, k2), k IN (9223372036854775807, 0) FROM t",
    "SELECT k BETWEEN -1 AND 9223372036854775806, TRY_CAST(k AS INTEGER), TRY_CAST(k AS DECIMAL(18, 0)) FROM t",
    "SELECT k::DECIMAL(19, 0), k2::DECIMAL(38, 0) FROM t",
    "SELECT big, sum(v), big = k, big > k FROM t GROUP BY big, k ORDER BY big, k",
    "SELECT sum(big), avg(big), max(big), big::DOUBLE FROM t GROUP BY big",
    "SELECT u, u + 1, u::BOOLEAN, u > 254, u > 256, u < -1, u BETWEEN -1 AND 256 FROM t WHERE u < 255",
]
INTEGER_OVERFLOWS = [
    "k + 1", "k - 1", "k * 2", "k * -1", "-k", "abs(k)", "k // -1", "k * k2", "k::INTEGER", "v + 2147483647",
    "v * 1000000000", "u + 1::UTINYINT", "u - 1::UTINYINT", "u * u", "u::TINYINT", "k::DECIMAL(18, 0)", "d18 * 2",
    "d18::DECIMAL(18, 4)", "x::BIGINT", "x::FLOAT", "x::DECIMAL(18, 3)", "f::INTEGER", "-big + 1::UBIGINT",
]  # fmt: skip
DECIMALS = [
    "SELECT d18 > 9999999999999999.985, d18 = 0.010, d18 < -9999999999999999.985, d18 BETWEEN -0.005 AND 0.005 FROM t",
    "SELECT sum(d18), avg(d18), min(d18), max(d18), sum(DISTINCT d18), sum(-d18) FROM t",
    "SELECT d18::DOUBLE, d18::FLOAT, d18::BIGINT, d18::DECIMAL(18, 1), d18::DECIMAL(17, 0), d18 / 3, d18 % 7 FROM t",
    "SELECT TRY_CAST(d18 AS INTEGER), TRY_CAST(d18 AS DECIMAL(5, 1)), TRY_CAST(d18 AS DECIMAL(18, 4)) FROM t",
    "SELECT d18 = x, d18 < x, d18 > 1e15 FROM t",
    "SELECT d38, count(*) FROM t GROUP BY d38 ORDER BY d38 DESC NULLS FIRST",
    "SELECT sum(d38), min(d38), max(d38), avg(d38), count(DISTINCT d38) FROM t",
]
FLOATING = [
    "SELECT x, f, id FROM t ORDER BY x, f, id",
    "SELECT x, count(*) FROM t GROUP BY x ORDER BY x DESC NULLS LAST",
    "SELECT f, count(*) FROM t GROUP BY f ORDER BY f",
    "SELECT min(x), max(x), min(f), max(f), count(DISTINCT x), count(DISTINCT f) FROM t",
    "SELECT sum(x), sum(f), avg(f) FROM t",
    "SELECT x + x, x * 2, x / 2, x - x, x * 0, x / x, x * x, -x FROM t",
    "SELECT f + f, f * 2, f / 2, f - f, f * 0, f / f, f * f, f::DOUBLE FROM t",
    "SELECT f = 0.1, f = 0.1::FLOAT, f < 0.1, f::DOUBLE = 0.1, f = x, f < x FROM t",
    "SELECT x = 1e16, x = 9007199254740993, x > 9007199254740992, x > 0, x < 0, x = 0, x::BOOLEAN, x BETWEEN -1 AND 1 FROM t",
    "SELECT TRY_CAST(x AS BIGINT), TRY_CAST(x AS INTEGER), TRY_CAST(x AS DECIMAL(18, 3)), TRY_CAST(f AS INTEGER) FROM t",
    "SELECT TRY_CAST(x AS FLOAT) FROM t",
    "SELECT x::FLOAT FROM t WHERE abs(x) < 1e38 OR x = 'nan' OR x = 'inf'",
]
TEXTS = [
    "SELECT s = 'a', s < 'b', s LIKE 'a', s LIKE 'a_', s LIKE 'a%', s LIKE '%', s LIKE '_', s LIKE '__', s LIKE '%\n' FROM t",
    "SELECT s LIKE '$%$_%' ESCAPE '$', s ILIKE 'É', s ILIKE 'A', s ILIKE 'a%', s LIKE '\U0001f600', s LIKE '%\\' FROM t",
    "SELECT s, count(*) FROM t GROUP BY s ORDER BY s DESC NULLS LAST",
    "SELECT min(s), max(s), min(s) FILTER (WHERE s > ''), max(s) FILTER (WHERE s < 'e') FROM t",
    "SELECT s = 'é', s = 'e\u0301', s > 'e', s < 'z', s IN ('', 'a ', 'é'), s = '\uffff', s > '\ufffe' FROM t",
]
DATES = [
    "SELECT day + INTERVAL 1 MONTH, day - INTERVAL 1 MONTH, day + INTERVAL 12 MONTH "
    "FROM t WHERE day BETWEEN '0002-01-01' AND '9998-01-01'",
    "SELECT moment + INTERVAL 1 MONTH, moment - INTERVAL 1 MONTH, moment + INTERVAL 1 MICROSECOND "
    "FROM t WHERE day BETWEEN '0002-01-01' AND '9998-01-01'",
    "SELECT day + 1, day - 1, day - DATE '1970-01-01', day - DATE '0001-01-01' "
    "FROM t WHERE day BETWEEN '0002-01-01' AND '9998-01-01'",
    "SELECT day < '1582-10-10', day = '1582-10-15', day >= '0004-02-29', day <> '2000-02-29', day::TIMESTAMP FROM t",
    "SELECT moment < '1582-10-10', moment::DATE, moment = day, moment >= day, moment::DATE = day FROM t",
    "SELECT min(day), max(day), min(moment), max(moment), count(DISTINCT day), count(DISTINCT moment) FROM t",
    "SELECT moment, day, count(*) FROM t GROUP BY ALL ORDER BY ALL",
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines.over(t=TABLE)
    yield made
    made.close()


@pytest.mark.parametrize("query", [*INTEGERS, *DECIMALS, *TEXTS, *DATES])
def test_exact(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", FLOATING)
def test_floating(engines: Engines, query: str) -> None:
    engines.check(query, signed_zeros="GROUP" not in query and "min" not in query)


@pytest.mark.parametrize("expression", INTEGER_OVERFLOWS)
def test_overflows(engines: Engines, expression: str) -> None:
    """An error of both, never a wrapped number; and a filter that keeps the rows away keeps the error away."""
    engines.check_refused(f"SELECT {expression} FROM t")
    engines.check_refused(f"SELECT max({expression}) FROM t")
    engines.check(f"SELECT {expression} FROM t WHERE FALSE")


@pytest.mark.parametrize(
    "cast", ["k AS DECIMAL(38, 10)", "k2 AS DECIMAL(25, 6)", "d18 AS DECIMAL(20, 4)", "d38 AS DECIMAL(38, 8)"]
)
def test_decimals_beyond_64_bits_are_exact_or_an_error(engines: Engines, cast: str) -> None:
    for function in ("CAST", "TRY_CAST"):
        query = f"SELECT id, {function}({cast}) FROM t"
        expected = sorted(engines.theirs.execute(query).fetchall())
        try:
            found = sorted(engines.ours.sql(query).fetchall())
        except ExecutionError:
            continue
        assert found == expected


def test_tiny_floats_are_not_zero(engines: Engines) -> None:
    """Subnormal numbers."""
    engines.register(
        "tiny", pa.table({"x": [5e-324, -5e-324, 0.0, 1e-310], "f": pa.array([1e-45, -1e-45, 0.0, 1e-40], pa.float32())})
    )
    engines.check("SELECT x > 0, x = 0, x < 0, x::BOOLEAN, f > 0, f = 0, f::BOOLEAN FROM tiny")
    engines.check("SELECT x, count(*) FROM tiny GROUP BY x ORDER BY x")
    engines.check("SELECT f, count(*) FROM tiny GROUP BY f ORDER BY f")
    engines.check("SELECT min(x), max(x), count(DISTINCT x), min(f), max(f) FROM tiny WHERE x <> 0")


@pytest.mark.parametrize("condition", ["d18 = k", "d38 = d18", "d38 < d18", "d38 > 0.000005", "d38 < 92233720368547.758065"])
def test_comparisons_that_need_more_than_64_bits_are_exact_or_an_error(engines: Engines, condition: str) -> None:
    """DuckDB compares them in 128 bits; here what 64 bits cannot hold is refused, never answered wrong."""
    query = f"SELECT id FROM t WHERE {condition} ORDER BY id"
    try:
        found = engines.ours.sql(query).fetchall()
    except (ExecutionError, UnsupportedError) as error:
        assert "64 bits" in str(error)
    else:
        assert found == engines.theirs.execute(query).fetchall()


@pytest.mark.parametrize("type", ["HUGEINT", "UBIGINT", "DECIMAL(38, 2)", "BIGINT"])
@pytest.mark.parametrize("function", ["CAST", "TRY_CAST"])
def test_texts_of_numbers_beyond_64_bits_are_never_answered_wrong(engines: Engines, function: str, type: str) -> None:
    values = pa.table({"w": ["0", "9007199254740993", "18446744073709551615", "-9223372036854775808"]})
    engines.register("texts", values)
    query = f"SELECT {function}(w AS {type}) FROM texts WHERE length(w) < 17"
    if type == "BIGINT":
        engines.check(query)
    else:
        with pytest.raises(ExecutionError, match="beyond 64 bits"):
            engines.ours.sql(query).fetchall()


QUOTIENTS = [
    "d / 7", "d / 7 / 3", "d / n", "round(d / 7, 1)", "x / y / n", "x / (y / n)", "x / 3::DOUBLE / y", "1 / (x / y)", "y / sqrt(x)",
    "x / power(y, 2)", "d / x", "f / 7 / 3", "d / 100 * 3", "-d / 7", "(x / y)::FLOAT / f",
]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        *(f"SELECT n, {quotient} AS q FROM quotients ORDER BY n" for quotient in QUOTIENTS),
        "SELECT n % 177 AS k, avg(d), avg(d) / 3, avg(d * 1000000000) FROM quotients GROUP BY k ORDER BY k",
        "SELECT avg(d), avg(d) / 7 FROM quotients",
    ],
)
def test_divisions_are_rounded_one_by_one(engines: Engines, query: str) -> None:
    """XLA would make x / (y * z) of x / y / z: the last digit is another, and so is what is rounded."""
    random = np.random.default_rng(1)
    count = 500
    values = {
        "d": pa.array([Decimal(int(value)).scaleb(-2) for value in random.integers(-10_000, 10_000, count)], pa.decimal128(9, 2)),
        "n": random.permutation(np.arange(1, count + 1)),
        "x": random.integers(1, 10_000, count) / 100,
        "y": random.integers(1, 500, count) / 10,
        "f": (random.integers(1, 500, count) / 10).astype(np.float32),
    }
    engines.register("quotients", pa.table(values))
    assert engines.ours.sql(query).fetchall() == engines.theirs.execute(query).fetchall()
