"""Every aggregate function, in groups of slots and in sorted groups, against DuckDB."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import BindError, ParseError, UnsupportedError
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor
from tests.sql.tables import every_type

# Each list of aggregates is computed without keys, by a dense key and by keys that are sorted.
AGGREGATES = [
    "stddev(i8), stddev_samp(i16), stddev_pop(d), variance(y), var_samp(f), var_pop(i64), sem(i16), stddev(n)",
    "corr(i8, i16), covar_pop(d, y), covar_samp(y, i8), corr(y, d), corr(n, i8)",
    "regr_count(y, i8), regr_avgx(y, i8), regr_avgy(y, i8), regr_sxx(y, i8), regr_syy(y, i8), regr_sxy(y, i8)",
    "regr_slope(y, i8), regr_intercept(y, i8), regr_r2(y, i8), regr_r2(i8, y), regr_slope(i8, 1)",
    "bool_and(b), bool_or(b), bool_and(i8 > 0), bool_or(i8 > 100), bool_and(n IS NULL), count_if(b), countif(i8 > 0)",
    "any_value(i8), first(i8), last(i8), first(s), last(s), first(b), last(x), any_value(n), arbitrary(day), last(moment)",
    "first(i8 ORDER BY id DESC), last(i8 ORDER BY id DESC), first(s ORDER BY d, id), last(s ORDER BY d, id)",
    "any_value(s ORDER BY i64 DESC, id), first(id ORDER BY s DESC NULLS FIRST, i8, id), last(id ORDER BY x, s, id)",
    "arg_min(id, i64), arg_max(s, i64), min_by(day, id), max_by(x, id), argmin(s, id), argmax(n, id), arg_min_null(i8, id)",
    "bit_and(i8), bit_or(i8), bit_xor(i8), bit_and(i64), bit_or(u8), bit_xor(i32), bit_and(u32), bit_xor(u64), bit_or(n)",
    "median(i8), median(y), median(f), median(d), median(day), median(moment), median(s), median(b), median(n), median(u64)",
    "quantile_cont(i8, 0.3), quantile_cont(y, 0.9), quantile_cont(d, 0.25), quantile_cont(moment, 0.123)",
    "quantile_cont(day, 0.7), quantile_cont(i16, -0.3), quantile_cont(e, 0.31), quantile_cont(f, 0.99::DOUBLE)",
    "quantile_disc(i8, 0.3), quantile_disc(s, 0.123), quantile_disc(i16, -0.3), quantile(b, 0.5), quantile_disc(id, 0)",
    "quantile_disc(id, 1), quantile_disc(id, 0.5), quantile_disc(x, 0.99::DOUBLE), quantile_disc(moment, 0.3333)",
    "percentile_cont(0.25) WITHIN GROUP (ORDER BY i8), percentile_disc(0.3) WITHIN GROUP (ORDER BY i16 DESC)",
    "quantile_cont(i8, 0.25 ORDER BY i8 DESC), median(x), quantile_cont(x, 0.1)",
    "count(DISTINCT (i8, s)), count((i8, s)), count(DISTINCT (b, c)), count(DISTINCT (n, n)) FILTER (WHERE b)",
    "stddev(DISTINCT i8), median(DISTINCT i8), quantile_disc(DISTINCT s, 0.5), bit_xor(DISTINCT i8), sum(DISTINCT i64)",
    "avg(day), avg(moment), mean(day), avg(DISTINCT day), count(DISTINCT day), avg(DISTINCT i16), sum(DISTINCT b)",
    "sum(i8 ORDER BY i16), sum(DISTINCT i8 ORDER BY i8 DESC), max(s ORDER BY i8 ASC NULLS FIRST), count_if(DISTINCT b)",
    "stddev(i8) FILTER (WHERE b), first(s) FILTER (WHERE i8 > 0), median(d) FILTER (WHERE b), first(n) FILTER (WHERE NOT b)",
    "arg_min(id, i64) FILTER (WHERE b), quantile_disc(i8, 0.5) FILTER (WHERE FALSE), bit_and(i8) FILTER (WHERE x > 0)",
    "arg_min(DISTINCT id, i64), arg_max(DISTINCT i8 % 3, id), first(DISTINCT i8 ORDER BY -i8::INTEGER, i8), last(DISTINCT id ORDER BY id % 7, id)",
    "first(1), first(NULL), any_value(NULL), median(NULL), corr(NULL, 1), arg_min(NULL, 1), arg_min(1, NULL), bool_and(NULL)",
    "mode(NULL), product(NULL), stddev('1'), bit_or(NULL), quantile_disc(NULL, 0.5), quantile_cont(NULL, 0.5)",
    "var_pop(x), stddev(x), covar_pop(x, y), regr_sxx(x, y), regr_syy(x, y), corr(x, y), regr_slope(x, y)",
    "regr_intercept(y, x), regr_r2(x, y), regr_r2(y, x), regr_avgx(y, x), covar_samp(x, x), stddev_pop(x)",
]
GROUPS = ["", "g", "x", "i64, s"]


@pytest.mark.parametrize("keys", GROUPS)
@pytest.mark.parametrize("aggregates", AGGREGATES)
def test_aggregate(aggregates: str, keys: str, full: Engines) -> None:
    listed = f"{keys}, {aggregates}" if keys else aggregates
    full.check(f"SELECT {listed} FROM t" + (f" GROUP BY {keys}" if keys else ""), signed_zeros=False)


@pytest.mark.parametrize(("keys", "rows"), [("", 0), ("g", 0), ("x", 0), ("", 1), ("x", 1), ("g", 7)])
def test_few_rows(rows: int, keys: str, engines_of: Callable[[int], Engines]) -> None:
    """No rows, one, and groups of one or two."""
    listed = ", ".join([*([keys] if keys else []), *(aggregates for aggregates in AGGREGATES)])
    engines_of(rows).check(f"SELECT {listed} FROM t" + (f" GROUP BY {keys}" if keys else ""), signed_zeros=False)


@pytest.mark.parametrize("keys", ["", "g", "i64"])
def test_several_chunks(keys: str, large: Engines) -> None:
    """States are merged from chunk to chunk and from core to core; first and last mean the order of the table."""
    listed = (
        "stddev(i16), corr(i8, i16), var_pop(y), regr_slope(y, i16), first(id), last(id), first(s), last(n), any_value(i8), "
        "arg_min(id, i64), arg_max(id, e), bit_xor(i16), bit_and(u8), median(i16), quantile_disc(s, 0.25), avg(moment), "
        "count(DISTINCT (i8, s)), sum(DISTINCT i16)"
    )
    large.theirs.execute("SET threads = 1")  # or its first row is that of some thread
    large.check(f"SELECT {keys + ', ' if keys else ''}{listed} FROM t" + (f" GROUP BY {keys}" if keys else ""))


def test_product() -> None:
    engines = Engines.over(t=every_type(40))
    engines.check("SELECT product(y), product(i8), product(d), product(y) FILTER (WHERE FALSE), product(DISTINCT y) FROM t")
    engines.check("SELECT g, product(y), product(x) FROM t GROUP BY g")
    engines.check("SELECT s, product(f) FROM t GROUP BY s, i64")
    engines.close()


@pytest.mark.parametrize("keys", ["", "g", "k"])
@pytest.mark.parametrize("centre", [0.0, 1e9, -1e10])
def test_variance_is_stable(centre: float, keys: str) -> None:
    """Small noise around a large number, over several chunks and cores: nothing cancels."""
    random = np.random.default_rng(4)
    rows = 150_000
    noise = random.normal(size=rows)
    table = pa.table(
        {"x": centre + noise, "y": centre - 2 * noise + 0.1, "g": random.integers(0, 5, rows), "k": random.random(rows) // 0.1}
    )
    engines = Engines.over(threads=2, t=table)
    listed = "var_pop(x), stddev(x), covar_pop(x, y), corr(x, y), regr_slope(x, y)"
    query = f"SELECT {listed} FROM t" + (f" GROUP BY {keys} ORDER BY {keys}" if keys else "")
    ours = answer_of_qtensor(engines.ours.sql(query)).rows
    exact = pa.table({"x": table["x"].to_numpy() - centre, "y": table["y"].to_numpy() - centre, "g": table["g"], "k": table["k"]})
    engines.register("t", exact)  # the variance does not depend on the centre, the error would
    np.testing.assert_allclose(ours, answer_of_duckdb(engines.theirs, query).rows, rtol=1e-9)
    engines.close()


def test_equal_values_do_not_vary() -> None:
    """Values that are all the same have a variance of 0, not of some rounding error: what is divided by it is NULL or NaN."""
    table = pa.table(
        {
            "x": [0.1] * 1_000,
            "y": [1 / 3] * 999 + [2.0],
            "g": [n % 7 for n in range(1_000)],
            "k": [n % 7 + 0.5 for n in range(1_000)],
        }
    )
    engines = Engines.over(t=table)
    listed = "var_pop(x), corr(x, y), regr_slope(y, x), regr_intercept(y, x), regr_r2(y, x), regr_r2(x, y), stddev(x)"
    for keys in ("", " GROUP BY g", " GROUP BY k"):
        engines.check(f"SELECT {listed} FROM t{keys}")
    engines.close()


def test_mode() -> None:
    """The most frequent value; of several, any is right in DuckDB, here the first."""
    values = [3, 1, 1, None, 2, 2, 2, None, None, None]
    texts = ["c", "b", "b", "a", None, None, None, None, "a", "a"]
    floats = [0.0, -0.0, float("nan"), float("nan"), float("nan"), 1.0, 0.0, 0.0, None, None]
    table = pa.table(
        {"v": values, "s": texts, "x": floats, "g": [n % 2 for n in range(10)], "k": [n % 2 + 0.5 for n in range(10)]}
    )
    engines = Engines.over(t=table)
    engines.check("SELECT mode(v), mode(s), mode(x), mode(v > 1), mode() WITHIN GROUP (ORDER BY s) FROM t", signed_zeros=False)
    engines.check("SELECT mode(v) FILTER (WHERE v < 0), mode(v) FILTER (WHERE g = 0) FROM t")
    engines.close()
    tied = Engines.over(t=pa.table({"v": [5, 7, 7, 5, 6], "k": [0.5] * 5}))
    assert tied.ours.sql("SELECT mode(v) FROM t").fetchall() == [(5,)]
    assert tied.ours.sql("SELECT k, mode(v) FROM t GROUP BY k").fetchall() == [(0.5, 5)]
    tied.close()


def test_mode_in_an_order(row_engines: Engines) -> None:
    """Of several values the one that ORDER BY has first."""
    row_engines.check(
        "SELECT g, mode(i8 ORDER BY id DESC), mode(s ORDER BY b, d, id) FILTER (WHERE id % 3 > 0), mode(c ORDER BY s NULLS FIRST, -id),"
        " mode() WITHIN GROUP (ORDER BY d DESC), mode(DISTINCT s ORDER BY s DESC) FROM t GROUP BY g"
    )
    row_engines.check("SELECT mode(id ORDER BY d DESC, id), mode(DISTINCT i8 ORDER BY i8) FROM t")


def test_arg_min_of_ties() -> None:
    """Any row with the extreme is right; NULLs are passed over."""
    table = pa.table({"v": [None, 10, 11, 12, 13], "key": [1, 1, 1, 3, 3]})
    engines = Engines.over(t=table)
    ((least, greatest),) = engines.ours.sql("SELECT arg_min(v, key), arg_max(v, key) FROM t").fetchall()
    assert least in (10, 11) and greatest in (12, 13)
    engines.close()


@pytest.mark.parametrize(
    "values", [(1, 0), (3, 0), (5, 0), (-1, 0), (-3, 0), (-1, -1, 0), (-14, 0, 0), (-6, -3, 0), (7, 0, 0, 0), (1, 1, 0)]
)
def test_moments_are_rounded(values: tuple[int, ...]) -> None:
    """avg rounds half down, before 1970 always up; a quantile rounds half away from 1970."""
    moments = [datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=value) for value in values]
    engines = Engines.over(t=pa.table({"m": pa.array(moments, pa.timestamp("us")), "k": [0.5] * len(values)}))
    engines.check("SELECT avg(m), median(m), quantile_cont(m, 0.2) FROM t")
    engines.check("SELECT k, avg(m), median(m) FROM t GROUP BY k")
    engines.close()


def test_average_beyond_64_bits() -> None:
    """The sum of the microseconds does not fit, the average does."""
    first = datetime.datetime(9000, 1, 1)
    moments = [first + datetime.timedelta(days=n, microseconds=n % 3) for n in range(5_000)] + [datetime.datetime(1, 1, 1)]
    engines = Engines.over(t=pa.table({"m": pa.array(moments, pa.timestamp("us")), "g": [n % 3 for n in range(5_001)]}))
    engines.check("SELECT avg(m) FROM t")
    engines.check("SELECT g, avg(m) FROM t GROUP BY g")
    engines.close()


def test_approximate_count_is_exact(full: Engines) -> None:
    (ours,) = full.ours.sql("SELECT approx_count_distinct(s), approx_count_distinct(x) FROM t").fetchall()
    (theirs,) = full.theirs.sql("SELECT count(DISTINCT s), count(DISTINCT x) FROM t").fetchall()
    assert ours == theirs


def test_distinct_values_too_many_for_a_bitmap() -> None:
    """Dense keys, but values that a bitmap for each group would not hold: the groups are sorted instead."""
    random = np.random.default_rng(5)
    table = pa.table(
        {
            "g": random.integers(0, 300, 20_000),
            "v": random.integers(0, 1 << 40, 20_000) % 5_000 * (1 << 26),
            "w": random.integers(0, 9, 20_000),
        }
    )
    engines = Engines.over(threads=2, t=table)
    query = "SELECT g, count(DISTINCT v), sum(DISTINCT v), count(DISTINCT w), sum(w) FROM t GROUP BY g ORDER BY g"
    assert "group sorted" in engines.ours.sql(query).explain("physical")
    engines.check(query)
    narrow = "SELECT g, count(DISTINCT w), sum(w) FROM t GROUP BY g ORDER BY g"
    assert "group dense" in engines.ours.sql(narrow).explain("physical")
    engines.check(narrow)
    engines.close()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT stddev(s) FROM t", "stddev_samp takes numbers, not VARCHAR"),
        ("SELECT corr(b, i8) FROM t", "corr takes numbers"),
        ("SELECT corr(i8) FROM t", "missing"),
        ("SELECT bool_and(i8) FROM t", "bool_and takes a BOOLEAN, not TINYINT"),
        ("SELECT bit_or(x) FROM t", "bit_or takes an integer, not DOUBLE"),
        ("SELECT product(b) FROM t", "product takes numbers, not BOOLEAN"),
        ("SELECT quantile_cont(s, 0.5) FROM t", "quantile_disc takes any type"),
        ("SELECT quantile_cont(i8, 1.5) FROM t", r"lies in \[-1, 1\]"),
        ("SELECT percentile_disc(-0.5) WITHIN GROUP (ORDER BY i8) FROM t", r"lies in \[0, 1\]"),
        ("SELECT quantile_cont(i8, NULL) FROM t", "cannot be NULL"),
        ("SELECT quantile_cont(i8, i16) FROM t", "fraction that is not a number"),
        ("SELECT count(DISTINCT i8, s) FROM t", r"count\(DISTINCT \(a, b\)\)"),
        ("SELECT median(stddev(i8)) FROM t", "cannot be nested"),
        ("SELECT first(i8 ORDER BY sum(i8)) FROM t", "cannot be nested"),
        ("SELECT first(DISTINCT i8 ORDER BY i16) FROM t", "ORDER BY takes the arguments and what is computed of them"),
        ("SELECT first(DISTINCT i8 ORDER BY i8 + i16) FROM t", "ORDER BY takes the arguments and what is computed of them"),
        ("SELECT every(b) FROM t", 'no function or model "every"'),
    ],
)
def test_refused_as_by_duckdb(query: str, says: str, full: Engines) -> None:
    with pytest.raises((ParseError, BindError, UnsupportedError), match=says):
        full.ours.sql(query).fetchall()
    with pytest.raises(duckdb.Error):
        answer_of_duckdb(full.theirs, query)


def test_bits_of_all_64() -> None:
    table = pa.table(
        {"g": [0, 0, 1, 2, 2], "n": [-(2**63), 5, 2**63 - 1, -(2**63), -(2**63)], "x": [0.5, -1e3, 7.0, -(2.0**63), 3.0]}
    )
    engines = Engines.over(threads=1, t=table)
    for function in ("bit_and", "bit_or", "bit_xor"):
        for bits in (f"{function}(n)", f"{function}(TRY_CAST(x AS BIGINT))"):
            engines.check(f"SELECT min(b), max(b), sum(b), count(DISTINCT b) FROM (SELECT g, {bits} AS b FROM t GROUP BY g)")
            engines.check(f"SELECT b, count(*), max(b) OVER () FROM (SELECT g, {bits} AS b FROM t GROUP BY g) GROUP BY b")
    engines.close()


@pytest.mark.parametrize("call", ["list(i8)", "kurtosis(i8)", "max(i8, 2)", "count(DISTINCT *)", "avg(INTERVAL 1 DAY)"])
def test_unsupported(call: str, full: Engines) -> None:
    with pytest.raises(UnsupportedError, match="not supported yet"):
        full.ours.sql(f"SELECT {call} FROM t").fetchall()
