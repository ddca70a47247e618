"""Tables around the borders of a chunk, and of several shares: a sample of every kind of sink."""

from __future__ import annotations

import pytest

from tests.oracle import Engines

REDUCED = [
    "SELECT count(*), sum(i8), sum(i64 * 1000), avg(d), min(x), max(f), min(s), max(day), count(DISTINCT i16), sum(e) FROM t",
    "SELECT g, count(*), sum(i16), avg(y), min(e), max(s), count(DISTINCT u8), sum(h) FROM t GROUP BY g ORDER BY g",
    "SELECT i64, count(*), sum(i16) FROM t WHERE id % 3 = 0 GROUP BY i64 ORDER BY i64 LIMIT 50",
    "SELECT s, b, count(*), sum(d) FROM t WHERE i8 > 0 GROUP BY s, b HAVING count(*) > 3 ORDER BY s, b",
    "SELECT x, y, count(*) FROM t GROUP BY x, y ORDER BY x, y",
    "SELECT e, id FROM t ORDER BY e DESC, id LIMIT 10 OFFSET 7",
    "SELECT id, s FROM t WHERE i64 BETWEEN 0 AND 1000000000000 AND s LIKE 'a%' ORDER BY id DESC",
    "SELECT count(*) FROM (SELECT DISTINCT d FROM t)",
    "SELECT count(*), min(id) FROM t WHERE id >= 65535",
    "SELECT id, i8, s, x FROM t WHERE id IN (0, 1, 65534, 65535, 65536, 131071, 131072, 262143, 262144) ORDER BY id",
    "SELECT count(*) FROM (SELECT id FROM t WHERE b LIMIT 1000 OFFSET 100)",
    "SELECT sum(10 // i8) FROM t WHERE i8 <> 0",
]


@pytest.mark.parametrize("query", REDUCED)
def test_reduced(large: Engines, query: str) -> None:
    large.check(query, signed_zeros=False)


def test_all_rows_come_back(large: Engines) -> None:
    """Every row once and in its own order, though nothing orders them."""
    rows = large.tables["t"].num_rows
    found = large.ours.sql("SELECT id, s, d FROM t").arrow()
    assert found["id"].to_pylist() == list(range(rows))
    assert found["s"].to_pylist() == large.tables["t"]["s"].to_pylist()
    assert found["d"].to_pylist() == large.tables["t"]["d"].to_pylist()


def test_all_rows_in_another_order(large: Engines) -> None:
    found = large.ours.sql("SELECT i64, id FROM t ORDER BY i64 NULLS FIRST, id").fetchall()
    assert found == large.theirs.sql("SELECT i64, id FROM t ORDER BY i64 NULLS FIRST, id").fetchall()


def test_an_error_in_the_last_row_is_seen(large: Engines) -> None:
    last = large.tables["t"].num_rows - 1
    message = large.check_refused(f"SELECT 1 // (id - {last}) FROM t")
    assert "zero" in message
    large.check(f"SELECT sum(1 // (id - {last})) FROM t WHERE id < {last}")
