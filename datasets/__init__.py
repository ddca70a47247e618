"""Data sets that examples, tests and benchmarks read.

Unlike the other packages' `__init__`, which are docstrings only, this one re-exports: `qtensor.datasets` is what its users
type. The modules are named after what they hold, not after the functions, so that no name means both.
"""

from qtensor.datasets.tpchgen import tpch
from qtensor.datasets.usarrests import crime

__all__ = ["crime", "tpch"]
