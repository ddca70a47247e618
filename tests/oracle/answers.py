"""DuckDB as the oracle: run a query in both engines and compare what came out, or that neither could."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import duckdb
import pytest

import qtensor
from qtensor.bind.text.parse import parse_statement
from qtensor.errors import BindError, ExecutionError, ParseError

Row: TypeAlias = tuple[Any, ...]
Parameters: TypeAlias = Sequence[object] | Mapping[str, object] | None

DOUBLE_TOLERANCE = 1e-12
FLOAT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Answer:
    """What an engine says to a query."""

    names: list[str]
    types: list[str]
    rows: list[Row]


@dataclass
class Engines:
    """qtensor and DuckDB with the same tables."""

    ours: qtensor.Connection
    theirs: duckdb.DuckDBPyConnection
    tables: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def over(cls, threads: int | None = None, **tables: Any) -> Engines:
        """Both engines, in fresh connections, over Arrow tables or DataFrames."""
        engines = cls(qtensor.connect(threads=threads), duckdb.connect())
        for name, table in tables.items():
            engines.register(name, table)
        return engines

    def register(self, name: str, table: Any) -> None:
        self.tables[name] = table
        self.ours.register(name, table)
        self.theirs.register(name, table)

    def check(self, query: str, parameters: Parameters = None, *, signed_zeros: bool = True) -> Answer:
        """Assert that both engines give the same answer, and return it."""
        expected = answer_of_duckdb(self.theirs, query, parameters)
        found = answer_of_qtensor(self.ours.sql(query, parameters))
        assert_same_answer(found, expected, ordered=is_ordered(query), signed_zeros=signed_zeros)
        return found

    def check_refused(self, query: str, parameters: Parameters = None, *, match: str | None = None) -> str:
        """Assert that neither engine can answer, ours for a reason of the query or of the data; the message."""
        with pytest.raises(duckdb.Error):
            answer_of_duckdb(self.theirs, query, parameters)
        with pytest.raises((ParseError, BindError, ExecutionError), match=match) as caught:
            self.ours.sql(query, parameters).fetchall()
        return str(caught.value)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def answer_of_qtensor(relation: qtensor.Relation) -> Answer:
    return Answer(relation.columns, relation.types, relation.fetchall())


def answer_of_duckdb(connection: duckdb.DuckDBPyConnection, query: str, parameters: Parameters = None) -> Answer:
    """The types are taken of the rows' own execution: without parameters' values DuckDB knows less."""
    cursor = connection.execute(query, parameters) if parameters is not None else connection.execute(query)
    assert cursor.description is not None
    return Answer([entry[0] for entry in cursor.description], [str(entry[1]) for entry in cursor.description], cursor.fetchall())


def is_ordered(query: str) -> bool:
    """Whether the query as a whole has an ORDER BY."""
    return parse_statement(query, "duckdb")[0].args.get("order") is not None


def assert_same_answer(found: Answer, expected: Answer, *, ordered: bool, signed_zeros: bool = True) -> None:
    """Equal names, types and rows: exactly, but for floats, to 1e-12 of their value if DOUBLE and 1e-6 if FLOAT.

    Rows are compared in order where `ordered`, else as multisets. NaN equals NaN. `signed_zeros`: -0.0 is not 0.0; False
    where a group of both may be shown as either.
    """
    assert found.names == expected.names, f"columns {found.names} instead of {expected.names}"
    assert found.types == expected.types, f"types {found.types} instead of {expected.types}"
    assert len(found.rows) == len(expected.rows), f"{len(found.rows)} rows instead of {len(expected.rows)}: {found.rows[:5]}"
    left, right = (answer.rows if ordered else sorted(answer.rows, key=sort_key) for answer in (found, expected))
    tolerances = [FLOAT_TOLERANCE if type == "FLOAT" else DOUBLE_TOLERANCE for type in expected.types]
    for number, (ours, theirs) in enumerate(zip(left, right, strict=True)):
        for position, (a, b, tolerance) in enumerate(zip(ours, theirs, tolerances, strict=True)):
            if not same_value(a, b, tolerance, signed_zeros):
                column = f"column {position} ({expected.names[position]} {expected.types[position]})"
                raise AssertionError(f"row {number}, {column}: {a!r} instead of {b!r}\n  found    {ours}\n  expected {theirs}")


def same_value(a: object, b: object, tolerance: float, signed_zeros: bool) -> bool:
    if type(a) is not type(b):
        return False
    if not isinstance(a, float) or not isinstance(b, float):
        return a == b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return not signed_zeros or math.copysign(1, a) == math.copysign(1, b)
    return math.isclose(a, b, rel_tol=tolerance)


def sort_key(row: Row) -> tuple[Any, ...]:
    """Puts rows that should be the same at the same place: exact values first, then floats, rounded."""
    return tuple(map(exact_key, row)), tuple(map(float_key, row))


def exact_key(value: object) -> tuple[int, Any]:
    match value:
        case None:
            return (0, 0)
        case float():
            return (1, 0)
        case bool() | int() | Decimal():
            return (2, value)
        case datetime.datetime():
            return (3, value)
        case datetime.date():
            return (4, value)
        case str():
            return (5, value)
        case _:
            return (6, repr(value))


def float_key(value: object) -> tuple[int, float]:
    if not isinstance(value, float):
        return (0, 0.0)
    if math.isnan(value):
        return (2, 0.0)
    return (1, float(f"{value:.5g}"))
