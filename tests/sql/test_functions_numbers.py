"""Functions of numbers against DuckDB: over columns of every type, and over constants."""

from __future__ import annotations

import pyarrow as pa
import pytest

from qtensor.errors import ExecutionError, UnsupportedError
from tests.oracle import Engines

DOUBLES = [
    "SELECT sqrt(x), cbrt(x), exp(y), ln(x), log(x), log2(x), log10(x), log(2, x), log(y, x) FROM t",
    "SELECT sin(y), cos(y), tan(y), cot(y), asin(y), acos(y), atan(x), sinh(y), cosh(y), tanh(x), asinh(y), acosh(y), atanh(y) FROM t",
    "SELECT sin(x), cos(x), tan(x), asin(x), acos(x), atan2(x, y), atan2(y, x), degrees(x), radians(x), even(x) FROM t",
    "SELECT sqrt(i8), sqrt(d), exp(i16 / 100), ln(u8), power(x, 2), power(2, y), x ^ 2, x ** 3, pow(d, 2), power(x, y) FROM t",
    "SELECT i8 ^ 0.5, nextafter(x, y), nextafter(f, f), lgamma(y), pi(), pi() * x, signbit(x), signbit(f) FROM t",
    "SELECT isnan(x), isinf(x), isfinite(x), isnan(f), isnan(i8), isfinite(day), isinf(moment), isfinite(d) FROM t",
    "SELECT count(*), sum(sqrt(y)) FROM t WHERE ln(y) > 0 AND power(y, 2) < 100",
]

ROUNDING = [
    "SELECT round(x), round(x, 1), round(x, -1), round(y, 2), round(f), round(f, 1), round(f, -1), round(x, NULL) FROM t",
    "SELECT round(d), round(d, 1), round(d, 5), round(d, -1), round(d, -3), round(e, 2), round(e, -6), round(h, 2), round(h) FROM t",
    "SELECT round(i16), round(i16, 2), round(i16, -1), round(i16, -2), round(i16, -9), round(i64, -3), round(u8, -1) FROM t",
    "SELECT round(i64, -18), round(i64, -19), round(i64, -20), round(i8, NULL), round(n), round(x, -400) FROM t",
    "SELECT trunc(x), trunc(x, 1), trunc(x, -1), trunc(f, 1), trunc(d), trunc(d, 1), trunc(d, -1), trunc(e, 2), trunc(i16, -1) FROM t",
    "SELECT trunc(u8, -1), trunc(u8), trunc(u32, -3), trunc(x, 400), trunc(x, -400), trunc(h, -2) FROM t",
    "SELECT floor(x), ceil(x), floor(f), ceiling(f), floor(d), ceil(d), floor(e), ceil(e), floor(h), floor(i8), ceil(u8) FROM t",
    "SELECT sign(x), sign(f), sign(d), sign(i8), sign(u8), sign(i64), sign(n) FROM t",
    "SELECT round(x) AS r, count(*) FROM t GROUP BY r ORDER BY r",
]

INTEGERS = [
    "SELECT mod(i16, 7), mod(d, 3), mod(x, 2), fmod(x, 2), fmod(i16, 7), fdiv(x, 2), fdiv(i16, 7), fmod(d, 2) FROM t",
    "SELECT i8 & i16, i16 & 15, i8 | i16, xor(i8, i16), ~i8, ~i16, ~u8, ~u32, u8 & u16, i64 & 255, u8 | 256, i64 | u8 FROM t",
    "SELECT xor(i64, -1), i8 & NULL, 5 & 3 | 8, 1 | 2 & 3, i8 & 1 = 1, 1 + 2 & 3, 5 - 2 & 1, (~i16) + 1 FROM t",
    "SELECT u8 << 2, i16 >> 1, i64 >> 3, u8 >> i8, i16 >> i8, i8 >> 100, i16 >> -1, u16 >> 4, 1 << 2 + 1 FROM t WHERE u8 < 60",
    "SELECT 1 << g, g << g FROM t WHERE g >= 0",
    "SELECT bit_count(i8), bit_count(i16), bit_count(i32), bit_count(i64), bit_count(u8) FROM t",
    "SELECT gcd(i16, i8), gcd(i64, i16), lcm(i16, i8), gcd(0, i8), lcm(u8, 6), factorial(g + 2) FROM t",
    "SELECT add(i16, 1), subtract(x, y), multiply(y, 2), @i16, @x, @i16 + 1 FROM t",
]

SEVERAL = [
    "SELECT greatest(i8, i16), least(i8, i16, 0), greatest(x, y), least(x, y), greatest(d, e), greatest(i8), greatest(NULL, i8) FROM t",
    "SELECT greatest(s, w), least(s, c, 'm'), greatest(day, moment), least(b, TRUE), greatest(i8, d, x), greatest(NULL, NULL) FROM t",
    "SELECT least(x, f, 0), greatest(5, i8, i16), least(n, i8), greatest(day, '1990-01-01'), greatest(0, x) FROM t",
    "SELECT greatest(h, e), least(e, i8, h), CASE WHEN b THEN h ELSE e END, coalesce(h, e), h = e, h < e, coalesce(h, g) FROM t",
    "SELECT max(greatest(i8, i16)), min(least(x, y)), count(greatest(s, NULL)) FROM t",
]

CONSTANTS = [
    "SELECT round(2.5::DOUBLE), round(-2.5::DOUBLE), round(0.49999999999999994::DOUBLE), round(2.675::DOUBLE, 2)",
    "SELECT round(1e300::DOUBLE, 5), round(1e17::DOUBLE, 20), round('nan'::DOUBLE, 1), round('inf'::DOUBLE, -2)",
    "SELECT round(1.5::DOUBLE, 400), round(1.5::DOUBLE, -400), trunc(1.5::DOUBLE, -400), round(2.345::FLOAT, 2)",
    "SELECT round(952.45, -1), round(999.99, 0), round(999.99, 1), round(.99), round(-2.45, 1), round(5, -19)",
    "SELECT round(4000000000000000000, -19), round(-9223372036854775807, -18), floor(-99.99), ceil(.99), round(NULL)",
    "SELECT round(9999::DECIMAL(4,0), -1), round(ceil(-0.005), -1), round(ceil(99.5), -4), trunc(9999::DECIMAL(4,0), -1)",
    "SELECT round(9999::DECIMAL(4,0), -4), round(9999::DECIMAL(4,0), -5), round(99.95, -1), round(9::DECIMAL(38,0), -1)",
    "SELECT sqrt(-1), ln(0), ln(-1), log(0), log(1, 2), log(0, 2), power(0, -1), power(-8, 1.0/3), power(2, 10000), sqrt('4')",
    "SELECT pow('nan'::DOUBLE, 0), pow(1, 'nan'::DOUBLE), cbrt(-8), cbrt(27), exp(1000), cot(0), asin(2), atanh(1), sinh(1000)",
    "SELECT log2(8), log10(1000), log(100), sin('inf'::DOUBLE), degrees(pi()), even(2.1), even(-2.1), even('inf'::DOUBLE)",
    "SELECT 91 & 15, -1 & 255, ~5, 1 << 3, 0 << 100, 5 >> 100, -5 >> 31, -5 >> 32, xor(5, 3), 1 << 30, ~(5::UTINYINT)",
    "SELECT 250::UTINYINT >> 1, gcd(-12, 18), gcd(0, 0), lcm(-4, 6), factorial(20), factorial(0), bit_count(-1), greatest(1, NULL)",
    "SELECT 2 ^ 3 ^ 2, 2 * 3 ^ 2, -2 ^ 2, 2 ** 3, power(2, '3'), greatest(DATE '2020-01-01', '2021-01-01'), least('a', 'b')",
]

REFUSED = [
    "SELECT round(127::TINYINT, -1)",
    "SELECT round(9223372036854775807, -1)",
    "SELECT round(9223372036854775807, -19)",
    "SELECT round(x, 2.5) FROM t",
    "SELECT round('1.5')",
    "SELECT sqrt(s) FROM t",
    "SELECT sqrt(b) FROM t",
    "SELECT sqrt(1, 2)",
    "SELECT 1 << 31",
    "SELECT -1 << 1",
    "SELECT 1 << -1",
    "SELECT 1::UTINYINT << 8",
    "SELECT i32 << 1 FROM t",
    "SELECT 1.5 & 1",
    "SELECT gcd(-9223372036854775808, 0)",
    "SELECT lcm(9223372036854775807, 2)",
    "SELECT factorial(-1)",
    "SELECT greatest(s, 1) FROM t",
    "SELECT greatest()",
    "SELECT mod(i8, 0) FROM t",
    "SELECT pi(1)",
]


@pytest.mark.parametrize("query", DOUBLES + ROUNDING + INTEGERS + SEVERAL)
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
        "SELECT i16 & 7 AS k, count(*), sum(round(e, 1)), sum(floor(d)), max(greatest(i8, u8)) FROM t GROUP BY k ORDER BY k"
    )


@pytest.mark.parametrize("rows", [0, 1, 2, 300])
def test_bits_of_narrow_columns(rows: int) -> None:
    """XLA crashed over some of these."""
    values = [value % 11 - 5 for value in range(rows)]
    engines = Engines.over(t=pa.table({"a": pa.array(values, pa.int8()), "b": pa.array(reversed(values), pa.int8())}))
    engines.check("SELECT a & b, a | b, xor(a, b), ~a, bit_count(a) FROM t")
    engines.check("SELECT a & b FROM t")
    engines.close()


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT ~i8 + 1 FROM t", "write parentheses"),
        ("SELECT 5 + ~i8 * 2 FROM t", "write parentheses"),
        ("SELECT round(x, g) FROM t", "a number of digits that is not constant"),
    ],
)
def test_unsupported(full: Engines, query: str, what: str) -> None:
    with pytest.raises(UnsupportedError, match=what):
        full.ours.sql(query).fetchall()


def test_a_result_beyond_64_bits_is_an_error(full: Engines) -> None:
    assert full.theirs.execute("SELECT factorial(21)").fetchone() is not None
    with pytest.raises(ExecutionError, match="factorial"):
        full.ours.sql("SELECT factorial(21)").fetchall()
