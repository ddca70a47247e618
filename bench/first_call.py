"""The first call of the headline query, nothing cached: each is made in a new process with an empty cache folder.

Run as `python -m bench.first_call ROWS SAVED_MODEL` it is such a process, and prints what it measured as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import qtensor
from bench.headline import HEADLINE, crime
from qtensor.lowering.models.tensorflow.sources import load_tensorflow

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class FirstCall:
    """Seconds from the query's text to its rows; compiling, a part of them; and, before, loading and registering the model."""

    total: float
    compiling: float
    registering: float


def first_call(rows: int, saved_model: str) -> FirstCall:
    """Measure one in a new process. Raises RuntimeError, with what the process said, if it fails."""
    command = [sys.executable, "-m", "bench.first_call", str(rows), saved_model]
    with tempfile.TemporaryDirectory(prefix="qtensor-bench-cache-") as cache:
        environment = {**os.environ, "QTENSOR_CACHE": cache, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the process of the first call failed:\n{done.stderr}")
    return FirstCall(**json.loads(done.stdout))


def measure(rows: int, saved_model: str) -> FirstCall:
    """Measure the first call of this process."""
    load_tensorflow()  # whoever has a model has imported it
    data = crime(rows)
    start = time.perf_counter()
    qtensor.default_connection().create_function("classifier", saved_model)
    registered = time.perf_counter()
    relation = qtensor.sql(HEADLINE, data=data)
    relation.arrow()
    total = time.perf_counter() - registered
    return FirstCall(total, relation._prepare().seconds["compile"], registered - start)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), sys.argv[2]).__dict__))
