"""Data sets that examples, tests and benchmarks read.

`qtensor.datasets` is what users type, so the data sets are exported here; `qtensor.datasets.training` is imported by its own
name, since it needs TensorFlow. The modules are named after what they hold, not after the functions, so that no name means both.
"""

from qtensor.datasets.tpch_queries import TPCH_QUERIES
from qtensor.datasets.tpchgen import tpch
from qtensor.datasets.usarrests import crime

__all__ = ["TPCH_QUERIES", "crime", "tpch"]
