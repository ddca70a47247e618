"""The first call of a query with a network, nothing cached: from its text to its rows, in a new process with an empty cache.

What comes before does not count, since whoever has a model and a table has done it: importing, the table, registering the model
(`create_function`, measured apart). Run as `python -m bench.inference.first_call NETWORK ROWS` it is such a process, and prints
seconds as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.quiet import import_tensorflow

ROOT = Path(__file__).resolve().parents[2]


def first_calls(network: str, rows: int, count: int) -> list[dict[str, float]]:
    """Seconds of as many processes: "total", "compiling" as a part of it, and "registering" before. Raises RuntimeError."""
    found = []
    for _ in range(count):
        with tempfile.TemporaryDirectory(prefix="qtensor-bench-cache-") as cache:
            environment = {**os.environ, "QTENSOR_CACHE": cache, "TF_CPP_MIN_LOG_LEVEL": "3"}
            command = [sys.executable, "-m", "bench.inference.first_call", network, str(rows)]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the process of the first call failed:\n{done.stderr}")
        found.append(json.loads(done.stdout))
    return found


def measure(network: str, rows: int) -> dict[str, float]:
    """Measure the first call of this process."""
    import qtensor
    from bench.inference.workload import workload

    given = workload(network, rows)
    connection = qtensor.connect().register("t", given.table())
    start = time.perf_counter()
    connection.create_function("score", given.model)
    registered = time.perf_counter()
    relation = connection.sql(given.query(0.5))
    relation.arrow()
    total = time.perf_counter() - registered
    return {"total": total, "compiling": relation._prepare().seconds["compile"], "registering": registered - start}


if __name__ == "__main__":
    import_tensorflow()
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
