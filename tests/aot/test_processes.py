"""Artifacts in processes of their own: without the libraries that made them, and with what another process compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.aot.exports import Exports
from tests.headline import HEADLINE, trained_classifier

ROOT = Path(__file__).parents[2]

ALONE = """
import sys

BLOCKED = {"tensorflow", "keras", "sqlglot", "duckdb", "pandas", "polars", "h5py", "numba"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, Refuse())
import qtensor

query = qtensor.load(sys.argv[1])
table = sys.argv[2]
result = query(data=table)
import pyarrow.parquet
streamed = query.stream(pyarrow.parquet.ParquetFile(table).iter_batches and pyarrow.parquet.read_table(table).to_reader())
assert streamed.read_all() == result
assert not BLOCKED & {name.partition(".")[0] for name in sys.modules}
print(query.trusted, result.to_pylist())
"""

UNTRUSTED = """
import sys
import qtensor
from qtensor.aot.artifact import programs

compiled = []
compile = programs.compile_stablehlo
programs.compile_stablehlo = lambda code: compiled.append(code) or compile(code)
query = qtensor.load(sys.argv[1], isolated=False)
result = query(data=sys.argv[2]).to_pylist()
print(query.trusted, len(compiled), result)
"""


def run(code: str, *arguments: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def table(tmp_path: Path) -> Path:
    from qtensor import datasets

    pq.write_table(datasets.crime(2_000), tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


def exported(exports: Exports) -> Path:
    from qtensor import datasets

    return exports.path(HEADLINE, datasets.crime(200).schema, models={"classifier": trained_classifier()})


def test_alone(exports: Exports, tmp_path: Path) -> None:
    path = exported(exports)
    output = run(ALONE.replace("pyarrow.parquet.ParquetFile(table).iter_batches and ", ""), path, table(tmp_path))
    assert output.startswith("True [{'cluster': 0, 'class1': ")


def test_a_second_process_finds_compiled_code(exports: Exports, tmp_path: Path) -> None:
    """Untrusted, compiled once and for all processes of this user."""
    path, data = exported(exports), table(tmp_path)
    environment = {"QTENSOR_TRUST": str(tmp_path / "trust"), "QTENSOR_CACHE": str(tmp_path / "cache")}
    first, second = (run(UNTRUSTED, path, data, **environment).split(" ", 2) for _ in range(2))
    assert first[:2] == ["False", "1"]
    assert second[:2] == ["False", "0"]
    assert first[2] == second[2]
