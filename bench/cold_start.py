"""Cold starts: new processes that load an exported query and give the result of 2,000 rows.

Run as `python -m bench.cold_start ARTIFACT DATA` it is such a process, and prints what it measured as JSON; with `--spark
SAVED_MODEL DATA` it starts Spark instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.timing import Contest, Measured

ROOT = Path(__file__).resolve().parents[1]
ARTIFACT = "qtensor, Python artifact"
BEYOND_JAX = "of that, beyond importing JAX"
NATIVE = "native executable"
SPARK = "PySpark, pandas UDF"


def cold_starts(data: pa.Table, folder: Path, saved_model: Path, native: Any | None, count: int, *, spark: bool) -> Contest:
    """`count` processes of each kind, taking turns."""
    path = folder / "cold.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, data.schema) as writer:
        writer.write_table(data)
    samples: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        samples.setdefault(name, []).append(seconds)

    artifact_command = [sys.executable, "-m", "bench.cold_start", str(folder / "headline.qta"), str(path)]
    for _ in range(count):
        seconds, output = process(artifact_command)
        note(ARTIFACT, seconds)
        note(BEYOND_JAX, json.loads(output)["beyond_jax"])
        if native is not None:
            note(NATIVE, process([str(native.executable), str(path)])[0])
        if spark:
            note(SPARK, process([sys.executable, "-m", "bench.cold_start", "--spark", str(saved_model), str(path)])[0])
    return Contest("2,000 rows, cold", tuple(Measured(name, tuple(seconds)) for name, seconds in samples.items()))


def process(command: list[str]) -> tuple[float, str]:
    """Seconds from starting a process to its end, and what it printed. Raises RuntimeError if it fails."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr}")
    return seconds, done.stdout


def start_artifact(artifact: str, path: str) -> dict[str, float]:
    """What this process measures of itself."""
    start = time.perf_counter()
    import jax  # noqa: F401

    imported = time.perf_counter()
    import qtensor

    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    result = qtensor.load(artifact, isolated=False)(data=table)
    return {"jax": imported - start, "beyond_jax": time.perf_counter() - imported, "rows": result.num_rows}


def start_spark(saved_model: str, path: str) -> dict[str, float]:
    from bench.spark import spark_headline, spark_session
    from qtensor.process.cores import available_cores

    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    with spark_session(available_cores()) as session:
        contestants = spark_headline(session, table, saved_model, by_row=False)
        return {"rows": contestants[0].run().num_rows}


if __name__ == "__main__":
    kinds: dict[bool, Callable[[str, str], dict[str, float]]] = {True: start_spark, False: start_artifact}
    print(json.dumps(kinds[sys.argv[1] == "--spark"](*sys.argv[-2:])))
