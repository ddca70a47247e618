"""Constants against DuckDB: the values that texts and numbers become."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterator

import duckdb
import pytest

from qtensor import types as t
from qtensor.bind import bind
from qtensor.expressions import Literal
from qtensor.logical import Project
from tests.bind.catalog import MemoryCatalog

EPOCH = datetime.datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def python_value(literal: Literal) -> object:
    """What DuckDB's Python API would give for `literal`."""
    match literal:
        case Literal(None, _):
            return None
        case Literal(int(days), t.Date()):
            return (EPOCH + datetime.timedelta(days=days)).date()
        case Literal(int(microseconds), t.Timestamp()):
            return EPOCH + datetime.timedelta(microseconds=microseconds)
        case Literal(int(unscaled), t.Decimal(scale=scale)):
            return decimal.Decimal(unscaled).scaleb(-scale)
        case _:
            return literal.value


def bound_literal(expression: str, parameters: list[object] | None = None) -> Literal:
    plan = bind(f"SELECT {expression}", MemoryCatalog(), parameters)
    assert isinstance(plan, Project)
    literal = plan.expressions[0].expr
    assert isinstance(literal, Literal)
    return literal


@pytest.mark.parametrize(
    "expression",
    [
        "1", "-1", "1.50", "-0.06", ".5", "1e-3", "-(-5)", "true", "'it''s'", "NULL", "1_000", "9223372036854775808", "1e999",
        "date '1994-01-01'", "'1969-12-31'::DATE", "'  2020-1-2 '::DATE", "'2020/01/02'::DATE", "'2020-01-02 10:00:00'::DATE",
        "'0001-01-01'::DATE", "'9999-12-31'::DATE", "timestamp '2020-01-02'", "'2020-01-02T10:00:00Z'::TIMESTAMP",
        "'2020-01-02 10:00'::TIMESTAMP", "'2020-01-02 1:2:3.1234567'::TIMESTAMP", "'2020-01-02 10:00:00+02:30'::TIMESTAMP",
        "'1900-01-02 10:00:00.5'::TIMESTAMP", "date '2020-01-01'::TIMESTAMP",
        "'1.5'::INTEGER", "'2.5'::INTEGER", "'-2.5'::INTEGER", "'1e2'::INTEGER", "' 12 '::INTEGER", "'+5'::INTEGER",
        "'0x1F'::INTEGER", "'1_000'::INTEGER", "'1.555'::DECIMAL(9,2)", "'-1.545'::DECIMAL(9,2)", "'1e2'::DECIMAL(9,2)",
        "'yes'::BOOLEAN", "'F'::BOOLEAN", "'1'::BOOLEAN", "'nan'::DOUBLE", "'-Infinity'::DOUBLE", "'1.1'::FLOAT", "'1e39'::FLOAT",
        "1.1::FLOAT", "0.07::DOUBLE", "5::DOUBLE", "7::DECIMAL(5,2)", "1.5::DECIMAL(9,4)", "true::INTEGER", "100::TINYINT",
        "TRY_CAST('abc' AS INTEGER)", "TRY_CAST('300' AS TINYINT)", "TRY_CAST('x' AS DATE)",
    ],
)  # fmt: skip
def test_value(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    row = connection.execute(f"SELECT {expression}").fetchone()
    assert row is not None
    ours, theirs = python_value(bound_literal(expression)), row[0]
    assert type(ours) is type(theirs)
    both_nan = isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours) and math.isnan(theirs)
    assert both_nan or ours == theirs


@pytest.mark.parametrize("expression", ["1.5::INTEGER", "300::TINYINT", "1.555::DECIMAL(3,2)", "16777217::FLOAT", "1e0::INTEGER"])
def test_conversions_that_round_or_fail_are_left_to_run_time(expression: str) -> None:
    plan = bind(f"SELECT {expression}", MemoryCatalog())
    assert isinstance(plan, Project)
    assert not isinstance(plan.expressions[0].expr, Literal)


@pytest.mark.parametrize(
    "text",
    [
        "interval '1' year", "interval '1.5' day", "interval 1.5 hour", "interval 1.7 month", "interval 2 quarter",
        "interval '-3' day", "interval 5 milliseconds", "interval '1.25' second", "interval 1 decade", "interval (3) weeks",
        "interval '1 year 2 months -3 days 04:05:06.5'", "interval '3 days 2 hours'", "'1'::INTERVAL", "'-01:30'::INTERVAL",
        "-interval 1 day", "'2 mons 1 min'::INTERVAL",
    ],
)  # fmt: skip
def test_interval(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    months = "date_part('year', i) * 12 + date_part('month', i)"
    microseconds = "(date_part('hour', i) * 60 + date_part('minute', i)) * 60_000_000 + date_part('microsecond', i)"
    row = connection.execute(f"SELECT {months}, date_part('day', i), {microseconds} FROM (SELECT {text} AS i)").fetchone()
    assert bound_literal(text).value == row


@pytest.mark.parametrize(
    "value",
    [
        3, -(2**40), 2**63, 1.5, "x", True, None, decimal.Decimal("1.50"), decimal.Decimal("1E+2"), decimal.Decimal("-0.001"),
        datetime.date(1960, 2, 29), datetime.datetime(2020, 1, 1, 1, 2, 3, 4),
    ],
)  # fmt: skip
def test_parameter(connection: duckdb.DuckDBPyConnection, value: object) -> None:
    literal = bound_literal("?", [value])
    described = connection.execute("SELECT typeof(?), ?", [value, value]).fetchone()
    assert described is not None
    assert (str(literal.type), python_value(literal)) == described
