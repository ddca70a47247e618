"""The seed's benchmark: qtensor and its rivals side by side. Run as `python bench/seed.py [--light] [--out FOLDER]`.

This file makes `bench` importable, whatever folder it is started from; bench/comparison.py is the benchmark.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.comparison import main

    sys.exit(main())
