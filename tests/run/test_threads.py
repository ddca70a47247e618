"""Several threads on one connection, and several cores on one query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import ExecutionError
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import answer_of_qtensor, assert_same_answer, is_ordered
from tests.sql.tables import every_type

QUERIES = [
    "SELECT g, count(*), sum(i64), avg(y), min(s), max(day) FROM t GROUP BY g ORDER BY g",
    "SELECT sum(e), count(DISTINCT i16), min(f), max(moment) FROM t WHERE b",
    "SELECT i64, id FROM t ORDER BY i64 DESC, id LIMIT 20",
    "SELECT id, s, d FROM t WHERE i16 = 7 AND y > 0",
    "SELECT s, w, count(*), sum(h) FROM t GROUP BY s, w",
    "SELECT id, day FROM t WHERE id % 10007 = 0",
    "SELECT count(*) FROM (SELECT DISTINCT e FROM t WHERE id < 1000)",
]


def test_threads_share_a_connection() -> None:
    """Every thread asks every query many times, the first time all at once; while tables and models come and go."""
    connection = qtensor.connect(threads=2).register("t", every_type(5_000))
    alone = qtensor.connect(threads=1).register("t", every_type(5_000))
    expected = [alone.sql(query).fetchall() for query in QUERIES]

    def work(seed: int) -> int:
        order = np.random.default_rng(seed).permutation(len(QUERIES) * 3) % len(QUERIES)
        for turn in order:
            assert connection.sql(QUERIES[turn]).fetchall() == expected[turn]
        connection.register(f"own{seed}", pa.table({"a": [seed] * 10}))
        connection.create_function(f"f{seed}", lambda a: a * seed)
        assert connection.sql(f"SELECT sum(f{seed}(a)) FROM own{seed}").fetchall() == [(10.0 * seed * seed,)]
        local = pa.table({"a": [seed]})  # noqa: F841
        assert connection.sql("SELECT a FROM local").fetchall() == [(seed,)]
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


def test_threads_share_large_queries() -> None:
    """The pool that runs shares is busy with the shares of others."""
    connection = qtensor.connect(threads=2).register("t", {"a": np.arange(5 * CHUNK)})
    total = 5 * CHUNK * (5 * CHUNK - 1) // 2

    def work(limit: int) -> None:
        for _ in range(5):
            assert connection.sql("SELECT sum(a), count(*) FROM t").fetchall() == [(total, 5 * CHUNK)]
            assert connection.sql(f"SELECT count(*) FROM t WHERE a < {limit}").fetchall() == [(limit,)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(1000, 1006)))


def test_an_error_in_one_thread_is_not_seen_in_another() -> None:
    connection = qtensor.connect().register("t", {"a": np.arange(100)})

    def work(divisor: int) -> object:
        query = f"SELECT sum(100 // (a - {divisor})) FROM t WHERE a > 50"
        try:
            return connection.sql(query).fetchall()
        except ExecutionError as error:
            return str(error).partition("\n")[0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, list(range(40, 60)) * 3))
    expected = [
        "Division by zero" if divisor > 50 else [(sum(100 // (a - divisor) for a in range(51, 100)),)]
        for divisor in range(40, 60)
    ]
    assert found == expected * 3


@pytest.mark.parametrize("rows", [7, 4 * CHUNK + 1])
def test_one_core_and_several_give_the_same(rows: int) -> None:
    table = every_type(rows)
    connections = [qtensor.connect(threads=threads).register("t", table) for threads in (1, 2)]
    for query in QUERIES:
        one, several = (answer_of_qtensor(connection.sql(query)) for connection in connections)
        assert_same_answer(several, one, ordered=is_ordered(query))
    for connection in connections:
        connection.close()


def test_rows_come_in_the_order_of_the_table_on_several_cores() -> None:
    connection = qtensor.connect(threads=2).register("t", {"a": np.arange(6 * CHUNK)})
    found = connection.sql("SELECT a FROM t WHERE a % 5 = 0").numpy()["a"]
    np.testing.assert_array_equal(found, np.arange(0, 6 * CHUNK, 5))


def test_a_closed_connection() -> None:
    with qtensor.connect() as connection:
        assert connection.sql("SELECT 1").fetchall() == [(1,)]
