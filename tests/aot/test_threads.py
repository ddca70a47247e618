"""One artifact, called from many threads with different tables and parameters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qtensor.aot.artifact.artifact import INPUTS_KEPT, Artifact
from qtensor.aot.artifact.container import opened
from qtensor.errors import ArtifactError
from tests.aot.exports import Exports

SQL = "SELECT g, count(*) AS n, sum(i16) AS total, min(s) AS least FROM t WHERE i16 > $a AND s <> $t GROUP BY g ORDER BY g"


@pytest.mark.parametrize("sql", [SQL, "SELECT id, s, i16 + $a AS more FROM t WHERE s <> $t"], ids=["groups", "rows"])
def test_threads(sql: str, exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    content = exports.path(sql, schema, {"a": 0, "t": "b"}).read_bytes()
    tables = [rows.slice(start, 100 + 700 * start) for start in range(5)]
    calls: list[tuple[pa.Table, dict[str, Any]]] = [
        (table, {"a": a, "t": t}) for table in tables for a in (0, 5, -200) for t in ("b", "zz ", "none")
    ]
    alone = Artifact(opened(content), threads=1)
    expected = [alone(table, **values) for table, values in calls]
    shared = Artifact(opened(content), threads=2)

    def work(seed: int) -> int:
        for turn in np.random.default_rng(seed).permutation(len(calls)):
            table, values = calls[turn]
            found = shared(table, **values) if turn % 5 else shared.stream(table.to_reader(), **values).read_all()
            assert found.combine_chunks() == expected[turn].combine_chunks()
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


def test_many_parameters_at_once(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    """More values than are kept, from all threads, over one table."""
    artifact = exports.of(SQL, schema, {"a": 0, "t": "b"})
    table = rows.slice(0, 50)
    expected = {a: artifact(table, a=a) for a in range(-INPUTS_KEPT, INPUTS_KEPT)}

    def work(seed: int) -> None:
        for a in np.random.default_rng(seed).permutation(list(expected)):
            assert artifact(table, a=int(a)) == expected[a]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_an_error_stays_with_its_call(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of(SQL, schema, {"a": 0, "t": "b"})
    good, bad = rows.slice(0, 500), rows.slice(0, 500).drop_columns(["s"])
    expected = artifact(good)

    def work(turn: int) -> bool:
        try:
            return artifact(bad if turn % 2 else good) == expected
        except ArtifactError:
            return turn % 2 == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))
