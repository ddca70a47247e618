"""Asking qtensor from a frame without variables: the catalog looks for tables in the caller's, and must find none of a test's."""

from __future__ import annotations

import pyarrow as pa

import qtensor
from tests.oracle.answers import Answer, answer_of_qtensor


def ask(_connection: qtensor.Connection, _sql: str) -> Answer | None:
    """The answer to a query; None for a statement that has none. Raises what the connection raises."""
    _relation = _connection.sql(_sql)
    return answer_of_qtensor(_relation) if hasattr(_relation, "fetchall") else None


def ask_arrow(_connection: qtensor.Connection, _sql: str) -> tuple[list[str], list[str], pa.Table]:
    """The names and types of a query's answer, and its rows as Arrow, which holds values that Python has no type for."""
    _relation = _connection.sql(_sql)
    return _relation.columns, _relation.types, _relation.arrow()


def attempt(_connection: qtensor.Connection, _sql: str) -> Answer | Exception | None:
    """The answer, or what was raised: a crash is a finding too, and must not end the run."""
    try:
        return ask(_connection, _sql)
    except Exception as _error:  # noqa: BLE001 - every error is reported
        return _error
