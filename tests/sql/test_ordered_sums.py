"""Sums and products of floats in an order that the query gives: bit for bit what DuckDB adds up one after the other."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from tests.oracle import Engines

SMALL = "(VALUES ('a', 9007199254740992::DOUBLE, 1), ('a', 1, 2), ('b', 1, 1), ('a', 1, 3), ('b', NULL, 2), ('b', 2, 3), (NULL, 1e300, 1)) t(g, n, k)"

QUERIES = [
    f"SELECT sum(n ORDER BY abs(n)), sum(n ORDER BY n DESC), avg(n ORDER BY n), avg(n ORDER BY k) FROM {SMALL} WHERE g = 'a'",
    f"SELECT g, sum(n ORDER BY n), sum(n ORDER BY k DESC), product(n ORDER BY k) FROM {SMALL} GROUP BY g ORDER BY g",
    f"SELECT g, sum(n ORDER BY g DESC, n) FILTER (WHERE k > 1), sum(DISTINCT n ORDER BY n DESC) FROM {SMALL} GROUP BY ROLLUP (g) ORDER BY ALL",
    "SELECT product(n ORDER BY k), product(n ORDER BY n) FROM (VALUES (1e300, 1), (1e300, 3), (1e-300, 2), (1e-300, 4)) t(n, k)",
    "SELECT sum(n ORDER BY n) FROM (VALUES (1e0)) t(n) WHERE n > 5",
]


@pytest.mark.parametrize("query", QUERIES)
def test_few_rows(query: str) -> None:
    assert qtensor.sql(query).fetchall() == duckdb.sql(query).fetchall()


@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows(threads: int) -> None:
    """Of several chunks and shares, with values of which every order gives another sum."""
    random = np.random.default_rng(7)
    rows = 300_000
    table = pa.table(
        {
            "x": random.normal(size=rows) * 10.0 ** random.integers(-8, 9, rows),
            "k": random.permutation(rows),
            "g": random.integers(0, 3, rows),
            "h": random.integers(0, 50_000, rows),
        }
    )
    engines = Engines.over(threads=threads, t=table)
    for query in (
        "SELECT sum(x ORDER BY k), sum(x ORDER BY k DESC), avg(x ORDER BY x) FROM t",
        "SELECT g, sum(x ORDER BY k) FROM t GROUP BY g ORDER BY g",
        "SELECT h, sum(x ORDER BY k DESC) FROM t GROUP BY h ORDER BY h",
    ):
        assert engines.ours.sql(query).fetchall() == engines.theirs.sql(query).fetchall()
    engines.close()
