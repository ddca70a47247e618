"""Subnormal numbers are numbers: DuckDB keeps them, XLA's client would take them for zero (`aot/machine/subnormals.py`)."""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.machine import runtime
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines

DOUBLES = [5e-324, -5e-324, 1e-310, -1e-310, 2.2250738585072014e-308, 0.0, -0.0, 1.0, 1e-308, 3e-309, -7e-300, 1e3, 2.0**-1070]
FACTORS = [0.5, 2.0, 1e-10, 3.0, 1e-308, 7.0, -0.25]
FLOATS = [1e-45, -1e-45, 1e-40, 1.17549435e-38, 0.0, 1.0, -3e-39]
FLOAT_FACTORS = [0.5, 2.0, 1e-7, 0.25, 3.0]


def table(rows: int) -> pa.Table:
    return pa.table(
        {
            "id": np.arange(rows),
            "x": np.resize(np.array(DOUBLES), rows),
            "y": np.resize(np.array(FACTORS), rows),
            "f": np.resize(np.array(FLOATS, np.float32), rows),
            "g": np.resize(np.array(FLOAT_FACTORS, np.float32), rows),
        }
    )


@pytest.fixture(scope="module")
def tiny() -> Iterator[Engines]:
    engines = Engines.over(t=table(91))
    yield engines
    engines.close()


def exactly(engines: Engines, query: str) -> None:
    """Both give the very same rows: no tolerance, which is relative, and of zero anything would be in reach."""
    found, expected = engines.ours.sql(query).fetchall(), engines.theirs.execute(query).fetchall()
    assert list(map(repr, found)) == list(map(repr, expected))


ARITHMETIC = ["x + y", "x - y", "x * y", "x / y", "x % y", "x // y", "-x", "abs(x)", "x * 0.5", "x % 1e-308", "-0.5 / x / 1e-308",
              "1.5::DOUBLE // 1e-308", "x / 1e-308", "f + g", "f - g", "f * g", "f / g", "f % g", "f // g", "-f", "f * 0.5",
              "f / 3", "1.17549435e-38::FLOAT * 0.5::FLOAT"]  # fmt: skip
CASTS = ["(x * 0.5)::FLOAT", "(x * 1e30)::FLOAT", "(f / 2)::DOUBLE", "(x * 0.5)::BOOLEAN", "f::DOUBLE", "'1e-310'::DOUBLE * y",
         "'1e-40'::FLOAT * g", "1e-310 * 0.5"]  # fmt: skip
COMPARISONS = ["x * 0.5 > 0", "x * 0.5 = 0", "x * y < x", "f * g > 0", "x BETWEEN 0 AND 1e-308", "x * 0.5 IN (0, 5e-311)",
               "greatest(x * 0.5, 0)", "least(f * 2, 1)", "sign(x * 0.5)", "CASE WHEN x / 3 THEN 1 ELSE 2 END"]  # fmt: skip
FUNCTIONS = ["sqrt(abs(x * 0.5))", "exp(-709 - y * 0) > 1e-309", "exp(-740 + x)", "exp(-746 - y)", "pow(10.0::DOUBLE, -310)", "floor(x)", "ceil(x / 2)", "sin(x * 0.5) > 0",
             "atan(x * 0.5) > 0", "radians(x)", "isnan(x / 2)", "ln(abs(x) + 5e-324) < -700", "(x / 2)::VARCHAR"]  # fmt: skip


@pytest.mark.parametrize("expression", ARITHMETIC + CASTS + COMPARISONS + FUNCTIONS)
def test_expressions(tiny: Engines, expression: str) -> None:
    exactly(tiny, f"SELECT id, {expression} AS e FROM t ORDER BY id")


QUERIES = [
    "SELECT x * 0.5 AS k, count(*) FROM t GROUP BY k ORDER BY k",
    "SELECT DISTINCT f * g AS k FROM t ORDER BY k",
    "SELECT id FROM t WHERE x * 0.5 > 0 ORDER BY id",
    "SELECT id FROM t ORDER BY x * 0.5, id",
    "SELECT id FROM t ORDER BY f * g DESC, id LIMIT 20",
    "SELECT count(*) FROM t AS a JOIN t AS b ON a.x * 0.5 = b.x * 0.5",
    "SELECT count(*) FROM t WHERE x * 0.5 IN (SELECT x * 0.5 FROM t WHERE id < 3)",
    "SELECT min(x * y), max(-abs(x) * y), count(DISTINCT x * y), min(f * g), max(-abs(f) * g) FROM t",
    "SELECT arg_max(id, -abs(x * 0.5)), mode(x * 0.5) FROM t WHERE x <> 0 AND id < 12",
    "SELECT median(x / 2), quantile_disc(x / 2, 0.3) FROM t WHERE abs(x) < 1e-307",
    "SELECT id, rank() OVER (ORDER BY x * 0.5), lag(x * 0.5) OVER (ORDER BY id), min(x / 2) OVER (ORDER BY id ROWS 2 PRECEDING) "
    "FROM t ORDER BY id",
    "SELECT sum(x), avg(x), sum(x * 0.5) FROM t WHERE x IN (5e-324, 1e-310, 3e-309)",
    "SELECT id % 3 AS k, sum(x * 0.25), avg(f), sum(f) FROM t WHERE abs(x) < 1e-307 AND abs(f) < 1e-39 GROUP BY k ORDER BY k",
    "SELECT id, sum(x) OVER (ORDER BY id ROWS 2 PRECEDING) FROM t WHERE x IN (5e-324, 1e-310, 3e-309) ORDER BY id",
]


@pytest.mark.parametrize("query", QUERIES)
def test_queries(tiny: Engines, query: str) -> None:
    exactly(tiny, query)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_tables(threads: int) -> None:
    """Loops over chunks, in the threads of a session; sorts and joins are larger programs."""
    engines = Engines.over(threads=threads, t=table(4 * CHUNK + 77))
    with engines.ours, engines.theirs:
        for query in QUERIES[:4] + QUERIES[7:8]:
            exactly(engines, query.replace("FROM t", "FROM t WHERE id % 1000 < 50", 1) if "WHERE" not in query else query)


def test_joined_sorted_and_ranked_at_once() -> None:
    engines = Engines.over(t=table(3_000), u=table(500))
    with engines.ours, engines.theirs:
        exactly(
            engines,
            "SELECT k, n, rank() OVER (ORDER BY k) AS r, s FROM (SELECT t.x * 0.5 AS k, count(*) AS n, min(t.f * u.g) AS s "
            "FROM t JOIN u ON t.id = u.id GROUP BY k) ORDER BY k",
        )


def test_what_xla_hands_to_its_pool() -> None:
    """Independent parts of a program, more than a thread takes at once, on large buffers: XLA runs them in its pool."""
    with jax.enable_x64(True):
        columns = [np.full(50_000, 1e-310 * (1 + number)) for number in range(24)]
        lowered = jax.jit(lambda *xs: [jax.lax.sort(x * jnp.float64(0.5)) for x in xs]).lower(*columns)
        code = runtime.compile_stablehlo(runtime.stablehlo(lowered))
        found = [np.asarray(each) for each in code.executable.execute([runtime.to_device(column) for column in columns])]
    for column, result in zip(columns, found, strict=True):
        assert np.array_equal(result, column * 0.5)


def test_the_callers_thread_is_as_before(tiny: Engines) -> None:
    """Its own arithmetic neither flushes nor rounds otherwise; each thread has settings of its own."""
    libm = ctypes.CDLL("libm.so.6")
    toward_zero = 0xC00 if platform.machine() == "x86_64" else 0xC00000
    seen = []

    def run() -> None:
        libm.fesetround(toward_zero)
        tiny.ours.sql("SELECT sum(x * 0.5) FROM t").fetchall()
        seen.append((libm.fegetround() == toward_zero, np.float64(1e-310) * 0.5 > 0))
        libm.fesetround(0)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(True, True)]


def test_models_keep_them_too(tiny: Engines) -> None:
    tiny.ours.create_function("half", lambda x: x * 0.5, replace=True)
    found = tiny.ours.sql("SELECT half(x) FROM t ORDER BY id").fetchall()
    assert found == tiny.theirs.execute("SELECT x * 0.5 FROM t ORDER BY id").fetchall()


@pytest.mark.parametrize("trusted", [True, False])
def test_exported_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool) -> None:
    """Native code from the file, and StableHLO of a stranger's compiled in a process of its own."""
    query = "SELECT x * 0.5 AS a, f * 0.5::FLOAT AS b, x / 3 > 0 AS c FROM t"
    engines = Engines.over(t=table(3_000))
    with engines.ours, engines.theirs:
        engines.ours.sql(query).export(tmp_path / "query.qta")
        if not trusted:
            monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "none"))
        for rows in (20, 3_000, 70_000):
            engines.register("t", table(rows))
            found = qtensor.load(tmp_path / "query.qta")(t=table(rows))
            assert list(map(repr, map(tuple, zip(*(column.to_pylist() for column in found.columns), strict=True)))) == list(
                map(repr, engines.theirs.execute(query).fetchall())
            )
