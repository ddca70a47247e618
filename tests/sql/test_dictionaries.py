"""Dictionary-encoded columns are their values, whatever the dictionary is: with values twice, with NULL among them, unused ones.

DuckDB is asked about the same table without dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import qtensor
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer, is_ordered

QUERIES = [
    "SELECT c, count(*) AS n, sum(i) AS total FROM t GROUP BY c ORDER BY c",
    "SELECT DISTINCT c FROM t ORDER BY c",
    "SELECT count(DISTINCT c) AS n, min(c) AS low, max(c) AS high FROM t",
    "SELECT i FROM t WHERE c = (SELECT max(c) FROM t) ORDER BY i",
    "SELECT i FROM t WHERE c <> (SELECT max(c) FROM t) ORDER BY i",
    "SELECT i, row_number() OVER (PARTITION BY c ORDER BY i) AS r, rank() OVER (ORDER BY c) AS k FROM t ORDER BY i",
    "SELECT i, c FROM t ORDER BY c DESC, i",
    "SELECT l.i AS i, count(*) AS n FROM t l JOIN t r ON l.c = r.c GROUP BY l.i ORDER BY i",
    "SELECT i, CASE c WHEN (SELECT min(c) FROM t) THEN 'least' WHEN (SELECT max(c) FROM t) THEN 'most' ELSE '-' END AS w FROM t ORDER BY i",
    "SELECT c FROM t INTERSECT SELECT c FROM t WHERE i > 10 ORDER BY c",
    "SELECT c, d, count(*) AS n FROM t GROUP BY c, d ORDER BY c, d",
]
VALUES: dict[str, pa.Array] = {
    "texts": pa.array(["x", "x", "z", None, "unused", "", "ä", "x", None, ""]),
    "large texts": pa.array(["x", "x", "z", None, "unused", "", "ä", "x", None, ""], pa.large_string()),
    "numbers": pa.array([5, 5, -1, None, 99, 0, 300, 5, None, 0], pa.int16()),
    "dates": pa.array([5, 5, -1, None, 99, 0, 300, 5, None, 0], pa.int32()).cast(pa.date32()),
    "only NULL": pa.array([None] * 10, pa.string()),
}


def drawn(values: pa.Array, seed: int, rows: int, index: pa.DataType) -> pa.DictionaryArray:
    """Rows of all values but the fifth, some of them NULL."""
    random = np.random.default_rng(seed)
    codes = random.choice([0, 1, 2, 3, 5, 6, 7, 8, 9], rows)
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=random.random(rows) < 0.1).cast(index), values)


def encoded(values: pa.Array, chunks: int) -> pa.Table:
    """Chunks with dictionaries that differ: each is another rotation of `values`, whose length is the same."""
    columns: dict[str, list[pa.Array]] = {"c": [], "d": []}
    for number in range(chunks):
        order = np.roll(np.arange(len(values)), number)
        columns["c"].append(drawn(values.take(pa.array(order)), number, 12, pa.int8()))
        columns["d"].append(drawn(values, 100 + number, 12, pa.int8()))
    return pa.table({"i": np.arange(12 * chunks), **{name: pa.chunked_array(parts) for name, parts in columns.items()}})


def decoded(table: pa.Table) -> pa.Table:
    return pa.table(
        {
            name: pa.chunked_array([c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in column.chunks])
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_dictionaries_mean_their_values(values: pa.Array, chunks: int) -> None:
    table = encoded(values, chunks)
    engines = Engines.over(t=decoded(table))
    engines.ours.register("t", table)
    for query in QUERIES:
        engines.check(query)


def in_file(table: pa.Table, path: Path, stream: bool, deltas: bool) -> str:
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(path, table.schema, options=options) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return str(path)


def growing() -> pa.Table:
    """Each chunk's dictionary begins as the one before and has more, with strings twice: what is written as deltas."""
    words = ["x", "x", "z", None, "y", "y", "x", "w"]
    chunks = [pa.DictionaryArray.from_arrays([0, size - 1, size - 2, None], pa.array(words[:size])) for size in (3, 5, 8)]
    return pa.table({"i": np.arange(12), "c": pa.chunked_array(chunks), "d": pa.chunked_array(chunks[::-1])})


FILES: dict[str, Callable[[Path], str]] = {
    "stream": lambda folder: in_file(encoded(VALUES["texts"], 3), folder / "t.arrows", stream=True, deltas=False),
    "file": lambda folder: in_file(encoded(VALUES["texts"], 1), folder / "t.arrow", stream=False, deltas=False),
    "stream of deltas": lambda folder: in_file(growing().select(["i", "c"]), folder / "t.arrows", stream=True, deltas=True),
    "file of deltas": lambda folder: in_file(growing().select(["i", "c"]), folder / "t.arrow", stream=False, deltas=True),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
def test_in_files(make: Callable[[Path], str], tmp_path: Path) -> None:
    path = make(tmp_path)
    with pa.ipc.open_stream(path) if path.endswith("s") else pa.ipc.open_file(path) as reader:
        table = decoded(reader.read_all())
    engines = Engines.over(t=table)
    engines.ours.register("t", path)
    for query in QUERIES:
        if "d" in table.column_names or ", d" not in query:
            engines.check(query)


def test_calls_and_streams_of_artifacts(tmp_path: Path) -> None:
    table = encoded(VALUES["texts"], 3)
    engines = Engines.over(t=decoded(table))
    for number, query in enumerate(QUERIES[:2] + QUERIES[-1:]):
        qtensor.export(query, tmp_path / f"{number}.qta", tables={"t": table})
        artifact = qtensor.load(tmp_path / f"{number}.qta", threads=2)
        expected = answer_of_duckdb(engines.theirs, query).rows
        for found in (artifact(table), artifact.stream(table.to_reader()).read_all()):
            assert [tuple(whole(value) for value in row.values()) for row in found.to_pylist()] == expected


def whole(value: Any) -> Any:
    """A HUGEINT of Arrow's as a number of Python's."""
    return value if value is None or isinstance(value, str) else int(value)


@pytest.mark.parametrize("different", [70_000, 200_000], ids=["many", "nearly all different"])
def test_many_values(different: int) -> None:
    """More than are sorted at once, every string twice in the dictionary."""
    random = np.random.default_rng(different)
    words = pa.array([f"word {number % different}" for number in range(2 * different)])
    codes = pa.array(random.integers(0, 2 * different, 200_000), mask=random.random(200_000) < 0.01)
    table = pa.table({"c": pa.DictionaryArray.from_arrays(codes.cast(pa.int32()), words), "i": np.arange(200_000)})
    plain = decoded(table)
    theirs = Engines.over(t=plain).theirs
    ours = qtensor.connect(threads=2)
    ours.register("t", table)
    for query in (
        "SELECT count(DISTINCT c) AS n, max(c) AS high FROM t",
        "SELECT c, count(*) AS n FROM t GROUP BY c ORDER BY n DESC, c LIMIT 20",
    ):
        assert_same_answer(answer_of_qtensor(ours.sql(query)), answer_of_duckdb(theirs, query), ordered=is_ordered(query))
