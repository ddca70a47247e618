"""Constant folding against DuckDB: the same value, and nothing folded that DuckDB refuses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import duckdb
import pytest

from qtensor import types as t
from qtensor.bind import bind
from qtensor.errors import BindError, UnsupportedError
from qtensor.expressions import Expr, Literal
from qtensor.logical import Project
from qtensor.optimise.driver import optimise
from tests.bind.catalog import MemoryCatalog
from tests.literal_values import python_value, same

OPERANDS = {
    "integers": ["7", "-7", "2", "0", "(-128)::TINYINT", "9223372036854775807", "255::UTINYINT", "NULL::INTEGER"],
    "decimals": ["7.5", "-7.5", "0.25", "0.0", "9999.99::DECIMAL(6,2)", "3", "NULL::DECIMAL(4,1)"],
    "doubles": [
        "-7.5::DOUBLE", "0.1::DOUBLE", "0::DOUBLE", "'-0.0'::DOUBLE", "1e308", "'inf'::DOUBLE", "'-inf'::DOUBLE", "'nan'::DOUBLE", "NULL::DOUBLE",
    ],
    "texts": ["'a'", "'B'", "'ab'", "''", "'é'", "'a%'", "NULL::VARCHAR"],
    "days": ["date '2020-01-31'", "date '1969-12-31'", "timestamp '2020-01-31 12:00:00'", "NULL::DATE"],
    "booleans": ["true", "false", "NULL::BOOLEAN"],
}  # fmt: skip
ARITHMETIC = ["{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} // {}", "{} % {}", "abs({1})"]
COMPARISONS = [
    "{} = {}", "{} <> {}", "{} < {}", "{} <= {}", "{} > {}", "{} >= {}", "{} IS DISTINCT FROM {}", "{} IS NOT DISTINCT FROM {}",
    "{0} IN ({1}, {0})", "{0} NOT IN ({1}, NULL)", "{1} BETWEEN {0} AND {1}", "coalesce(NULL, {}, {})", "nullif({}, {})",
    "{0} IS NULL OR {1} IS NOT NULL", "CASE WHEN {0} < {1} THEN 'less' WHEN {0} = {1} THEN 'equal' END",
]  # fmt: skip
LIKES = ["{} LIKE {}", "{} NOT ILIKE {}", "{} LIKE '_%'", "{0} LIKE '%' || {0} || '%'", "{} LIKE 'a!%' ESCAPE '!'"]
SHIFTS = [
    "{} + interval 1 month",
    "{} - interval '13 months 2 days 3 hours'",
    "{} + interval '-1.5' second",
    "{} - interval 10 year",
]
TEMPLATES = {
    "integers": ARITHMETIC + COMPARISONS,
    "decimals": [*ARITHMETIC, *COMPARISONS, "-({0})"],
    "doubles": [*ARITHMETIC, *COMPARISONS, "-({0})"],
    "texts": COMPARISONS + LIKES,
    "days": COMPARISONS + SHIFTS,
    "booleans": [*COMPARISONS, "{} AND {}", "{} OR NOT {}"],
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def folded(expression: str) -> Expr | None:
    """What the optimiser makes of a constant expression, None where the binder refuses it."""
    try:
        plan = optimise(bind(f"SELECT {expression}", MemoryCatalog()))
    except (BindError, UnsupportedError):
        return None
    assert isinstance(plan, Project)
    return plan.expressions[0].expr


@pytest.mark.parametrize(
    ("kind", "template"), [(kind, template) for kind, templates in TEMPLATES.items() for template in templates]
)
def test_folding(connection: duckdb.DuckDBPyConnection, kind: str, template: str) -> None:
    expressions = dict.fromkeys(template.format(*pair) for pair in itertools.product(OPERANDS[kind], repeat=2))
    known = 0
    for expression in expressions:
        expr = folded(expression)
        if expr is None:
            continue
        try:
            row = connection.execute(f"SELECT {expression}").fetchone()
        except duckdb.Error:
            assert not isinstance(expr, Literal), f"{expression} raises, and became {expr}"
            continue
        assert row is not None
        assert isinstance(expr, Literal), f"{expression} was not computed"
        assert same(python_value(expr), row[0]), f"{expression} became {expr} instead of {row[0]!r}"
        known += 1
    assert known > len(expressions) // 3


@pytest.mark.parametrize(
    ("expression", "left_alone"),
    [
        ("1 // 0", True),
        ("1 % 0", True),
        ("5.5::DOUBLE // 0", True),
        ("127::TINYINT + 1::TINYINT", True),
        ("-(-128::TINYINT)", True),
        ("'abc'::INTEGER", True),
        ("coalesce(1, 1 // 0)", False),
        ("CASE WHEN false THEN 1 // 0 ELSE 2 END", False),
        ("1.5::FLOAT + 0.1::FLOAT", True),
        ("1.5::FLOAT < 0.1::FLOAT", False),
    ],
)
def test_what_raises_and_floats_are_left_alone(expression: str, left_alone: bool) -> None:
    assert isinstance(folded(expression), Literal) != left_alone


@pytest.mark.parametrize(
    ("expression", "same_as"),
    [
        ("coalesce(NULL, i4, NULL)", "i4"),
        ("coalesce(i4, 1 + 1, i2)", "coalesce(i4, 2)"),
        ("coalesce(i4, NULL, i1)", "coalesce(i4, i1)"),
        ("b AND 1 < 2", "b"),
        ("b OR 1 < 2", "true"),
        ("CASE WHEN 1 > 2 THEN i4 WHEN b THEN 3 END", "CASE WHEN b THEN 3 END"),
        ("i4 + (2 * 3)", "i4 + 6"),
        ("i4 < CAST('5' AS INTEGER)", "i4 < 5"),
    ],
)
def test_parts_of_expressions(expression: str, same_as: str) -> None:
    first, second = (optimise(bind(f"SELECT {text} AS x FROM t", MemoryCatalog())) for text in (expression, same_as))
    assert first == second


def test_a_condition_that_is_true_disappears() -> None:
    plan = optimise(bind("SELECT i4 FROM t WHERE 'abc' LIKE 'a%' AND 2 IN (1, 2)", MemoryCatalog()))
    assert plan == optimise(bind("SELECT i4 FROM t", MemoryCatalog()))
    assert plan.schema[0].type == t.INTEGER
