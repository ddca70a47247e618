"""The benchmark of models in queries. Run as `python bench/models.py [--networks 4-16-4,lstm,xgboost-100-6] [--rows 10000]`;
bench/inference/benchmark.py is the benchmark.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.inference.benchmark import main

    sys.exit(main())
