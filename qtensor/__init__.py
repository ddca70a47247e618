"""qtensor: SQL queries and the TensorFlow models they call, compiled together into one XLA module.

>>> import numpy as np
>>> import qtensor
>>> t = {"g": np.array([1, 2, 1]), "x": np.array([3, 4, 5])}
>>> qtensor.sql("SELECT g, sum(x) AS total FROM t GROUP BY g ORDER BY g").fetchall()
[(1, 8), (2, 4)]
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from qtensor.version import __version__

if TYPE_CHECKING:
    from qtensor import datasets, errors
    from qtensor.aot.artifact.artifact import Artifact, load
    from qtensor.connection import Connection, connect, default_connection, export, sql
    from qtensor.gradients import value_and_grad
    from qtensor.relation import Relation
    from qtensor.results.batches import batches

__all__ = [
    "Artifact",
    "Connection",
    "Relation",
    "__version__",
    "batches",
    "connect",
    "datasets",
    "default_connection",
    "errors",
    "export",
    "load",
    "progress",
    "sql",
    "value_and_grad",
]

# Whether a query that reads tables block by block shows how far it is, on a terminal or in a notebook, after two seconds.
progress = True

# Whoever wants to read the log attaches a handler; without this one, Python prints a library's warnings to stderr.
logging.getLogger("qtensor").addHandler(logging.NullHandler())

# Imported when first asked for: who loads an exported query needs no SQL parser, `qtensor --help` no JAX.
_HOMES = {
    "Artifact": "qtensor.aot.artifact.artifact",
    "Connection": "qtensor.connection",
    "Relation": "qtensor.relation",
    "batches": "qtensor.results.batches",
    "connect": "qtensor.connection",
    "default_connection": "qtensor.connection",
    "export": "qtensor.connection",
    "load": "qtensor.aot.artifact.artifact",
    "sql": "qtensor.connection",
    "value_and_grad": "qtensor.gradients",
}


def __getattr__(name: str) -> object:
    if name in ("datasets", "errors"):
        return importlib.import_module(f"qtensor.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'qtensor' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
