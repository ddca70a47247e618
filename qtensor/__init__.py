"""qtensor: SQL queries and the TensorFlow models they call, compiled together into one XLA module.

>>> import numpy as np
>>> import qtensor
>>> t = {"g": np.array([1, 2, 1]), "x": np.array([3, 4, 5])}
>>> qtensor.sql("SELECT g, sum(x) AS total FROM t GROUP BY g ORDER BY g").fetchall()
[(1, 8), (2, 4)]
"""

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtensor import datasets, errors
    from qtensor.connection import Connection, connect, default_connection, sql
    from qtensor.relation import Relation

__version__ = "0.1.0"

__all__ = ["Connection", "Relation", "__version__", "connect", "datasets", "default_connection", "errors", "sql"]

# Whoever wants to read the log attaches a handler; without this, Python prints the warnings of a library to stderr.
logging.getLogger("qtensor").addHandler(logging.NullHandler())

# Imported when first asked for: `qtensor --help` and artifacts need neither JAX nor the SQL engine.
_HOMES = {
    "Connection": "qtensor.connection",
    "Relation": "qtensor.relation",
    "connect": "qtensor.connection",
    "default_connection": "qtensor.connection",
    "sql": "qtensor.connection",
}
_MODULES = ("datasets", "errors")

if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return importlib.import_module(f"qtensor.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'qtensor' has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
