"""qtensor: SQL queries and the TensorFlow models they call, compiled together into one XLA module.

>>> import numpy as np
>>> import qtensor
>>> t = {"g": np.array([1, 2, 1]), "x": np.array([3, 4, 5])}
>>> qtensor.sql("SELECT g, sum(x) AS total FROM t GROUP BY g ORDER BY g").fetchall()
[(1, 8), (2, 4)]
"""

from qtensor import datasets, errors
from qtensor.connection import Connection, connect, default_connection, sql
from qtensor.relation import Relation

__version__ = "0.1.0"

__all__ = ["Connection", "Relation", "__version__", "connect", "datasets", "default_connection", "errors", "sql"]
