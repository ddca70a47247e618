"""The benchmark of exported queries. Run as `python bench/aot.py [--out FOLDER]`; bench/ahead.py is the benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.ahead import main

    sys.exit(main())
