"""qtensor: SQL queries and the TensorFlow models they call, compiled together into one XLA module.

>>> import numpy as np
>>> import qtensor
>>> qtensor.sql("SELECT g, sum(x) AS total FROM t GROUP BY g ORDER BY g", t={"g": np.array([1, 2, 1]), "x": np.array([3, 4, 5])}).fetchall()
[(1, 8), (2, 4)]
"""

import os

# XLA logs a false alarm of this CPU's features whenever compiled code is loaded from the disk cache.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from qtensor import datasets, errors
from qtensor.connection import Connection, connect, default_connection, sql
from qtensor.relation import Relation

__version__ = "0.1.0"

__all__ = ["Connection", "Relation", "__version__", "connect", "datasets", "default_connection", "errors", "sql"]
