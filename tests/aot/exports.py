"""Exported queries for the tests, each made once, and their answers beside DuckDB's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

import qtensor
from qtensor.aot.artifact.artifact import Artifact
from tests.oracle import Answer, answer_of_duckdb, assert_same_answer, is_ordered

NOTHING: Mapping[str, Any] = {}


@dataclass
class Exports:
    """Files of exported queries, and the artifacts loaded of them."""

    folder: Path
    loaded: dict[tuple[str, str, int], tuple[Path, Artifact, object]] = field(default_factory=dict)

    def path(self, sql: str, source: object = None, params: Any = None, models: Mapping[str, object] | None = None) -> Path:
        """The file of a query. source: its table's pyarrow.Schema, of which only the types are assumed, or its data."""
        return self._made(sql, source, params, models)[0]

    def of(self, sql: str, source: object = None, params: Any = None, models: Mapping[str, object] | None = None) -> Artifact:
        """The same, loaded."""
        return self._made(sql, source, params, models)[1]

    def _made(self, sql: str, source: object, params: Any, models: Mapping[str, object] | None) -> tuple[Path, Artifact, object]:
        key = (sql, repr(params), id(source))
        if key not in self.loaded:
            path = self.folder / f"{len(self.loaded)}.qta"
            name = re.findall(r"(?i)\bfrom\s+(\w+)", sql)[-1] if source is not None else ""
            qtensor.export(sql, path, tables={name: source} if name else {}, models=models, params=params)
            self.loaded[key] = path, qtensor.load(path, threads=2), source  # the source: its id stays its own
        return self.loaded[key]


def answer_of(artifact: Artifact, found: pa.Table) -> Answer:
    """An artifact's result as the oracle compares it; its Arrow types must be those that the artifact promised."""
    assert found.schema == artifact.schema
    columns = []
    output = artifact.manifest.output
    for promised, column in zip(output, found.columns, strict=True):
        values = column.to_pylist()
        hugeint = str(promised.type) == "HUGEINT"
        columns.append([None if value is None else int(value) for value in values] if hugeint else values)
    return Answer([each.name for each in output], [str(each.type) for each in output], list(zip(*columns, strict=True)))


def check(artifact: Artifact, table: pa.Table, values: Mapping[str, Any] = NOTHING, *, signed_zeros: bool = True) -> Answer:
    """Assert that a call, a stream and DuckDB say the same; that, and DuckDB's answer.

    values: of parameters; names of digits for those that the query counts.
    """
    name = artifact.tables[0]
    ordered = is_ordered(artifact.sql)
    with duckdb.connect() as connection:
        connection.register(name, table)
        everything = {**artifact.parameters, **values}
        given: Any = [everything[key] for key in sorted(everything, key=int)] if all(map(str.isdigit, everything)) else everything
        expected = answer_of_duckdb(connection, artifact.sql, given or None)
    assert_same_answer(answer_of(artifact, artifact(table, **values)), expected, ordered=ordered, signed_zeros=signed_zeros)
    streamed = artifact.stream(odd_batches(table), **values).read_all()
    assert_same_answer(answer_of(artifact, streamed), expected, ordered=ordered, signed_zeros=signed_zeros)
    return expected


def odd_batches(table: pa.Table, sizes: Sequence[int] = (0, 1, 700, 0, 2_048, 30_000)) -> pa.RecordBatchReader:
    """The table as batches of odd sizes, empty ones among them, each a slice of a longer one."""

    def batches() -> Iterator[pa.RecordBatch]:
        start, turn = 0, 0
        combined = table.combine_chunks()
        while start < table.num_rows:
            size = sizes[turn % len(sizes)]
            turn += 1
            part = combined.slice(start, size)
            yield from part.to_batches() or [empty]
            start += size

    empty = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in table.schema], schema=table.schema)
    return pa.RecordBatchReader.from_batches(table.schema, batches())
