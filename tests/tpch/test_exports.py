"""The 22 queries of TPC-H as artifacts: a process without SQL and TensorFlow gives DuckDB's rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from tests.oracle import Answer, Engines, answer_of_duckdb, assert_same_answer

CALLS = """
import sys
from pathlib import Path
import pyarrow as pa
import qtensor

artifact, result, *paths = sys.argv[1:]
query = qtensor.load(artifact)
rows = query(**{Path(path).stem: path for path in paths if Path(path).stem in query.tables})
with pa.OSFile(result, "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
    writer.write_table(rows)
assert not {"tensorflow", "sqlglot", "duckdb"} & sys.modules.keys(), "a module that an artifact does not need"
"""


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    both = Engines.over(**{name: pq.read_table(path) for name, path in qtensor.datasets.tpch(0.01).items()})
    yield both
    both.close()


@pytest.mark.parametrize("number", qtensor.datasets.TPCH_QUERIES)
def test_in_a_fresh_process(number: int, engines: Engines, tmp_path: Path) -> None:
    text = qtensor.datasets.TPCH_QUERIES[number].text()
    relation = engines.ours.sql(text)
    artifact, result = tmp_path / "query.qta", tmp_path / "rows.arrow"
    relation.export(artifact)
    paths = [str(path) for path in qtensor.datasets.tpch(0.01).values()]
    subprocess.run([sys.executable, "-c", CALLS, artifact, result, *paths], check=True, timeout=300)
    with pa.memory_map(str(result)) as file:
        rows = pa.ipc.open_file(file).read_all()
    columns = [python_values(column, type) for column, type in zip(rows.columns, relation.types, strict=True)]
    found = Answer(rows.column_names, relation.types, list(zip(*columns, strict=True)))
    assert_same_answer(found, answer_of_duckdb(engines.theirs, text), ordered=False)


def python_values(column: pa.ChunkedArray, type: str) -> list[object]:
    """As `fetchall` gives them."""
    values = column.to_pylist()
    return [None if value is None else int(value) for value in values] if type == "HUGEINT" else values
