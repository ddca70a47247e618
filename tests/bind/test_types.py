"""The type of every operator over every pair of types, as DuckDB has it; and what DuckDB refuses is refused."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from qtensor.bind import bind
from qtensor.errors import BindError, ExecutionError, UnsupportedError
from tests.bind.catalog import CREATE_EVERY_TYPE, EVERY_TYPE, MemoryCatalog

COLUMNS = [name for name in EVERY_TYPE if name != "My Col"]
LITERALS = [
    "1", "100", "1000", "100000", "10000000000", "-1", "-1000", "1.5", "-1.5", "1e1", "'1'", "'2020-01-01'", "NULL", "true",
    "date '2020-01-01'", "timestamp '2020-01-01'", "interval 1 day",
]  # fmt: skip
ONE_ROW = "INSERT INTO t SELECT true, 1,1,1,1, 1,1,1,1, 1, 1,1, 1,1,1,1, DATE '2000-01-01', TIMESTAMP '2000-01-01', '1', 1"
CATALOG = MemoryCatalog()


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute(CREATE_EVERY_TYPE)
        opened.execute(ONE_ROW)
        yield opened


def bound_type(expression: str) -> str:
    return str(bind(f"SELECT {expression} FROM t", CATALOG).schema[0].type)


def check(connection: duckdb.DuckDBPyConnection, expressions: list[str]) -> int:
    """Compare the types of `expressions` with DuckDB's; how many of them are supported here.

    An error at bind time must be DuckDB's error too, but that may come as late as the first row.
    """
    bound: dict[str, str] = {}
    refused = 0
    for expression in expressions:
        try:
            bound[expression] = bound_type(expression)
        except UnsupportedError:
            continue
        except (BindError, ExecutionError):
            refused += 1
            with pytest.raises(duckdb.Error):
                pytest.fail(f"DuckDB takes {expression}: {connection.sql(f'SELECT {expression} FROM t').fetchall()}")
    if bound:
        described = connection.sql(f"SELECT {', '.join(bound)} FROM t")
        assert bound == dict(zip(bound, map(str, described.types), strict=True))
    return len(bound) + refused


@pytest.mark.parametrize("left", [*COLUMNS, *LITERALS])
@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "//", "%"])
def test_arithmetic(connection: duckdb.DuckDBPyConnection, operator: str, left: str) -> None:
    # Beside NULL, DuckDB converts no text, and so does not notice a wrong one.
    rights = [right for right in [*COLUMNS, *LITERALS] if {left, right} != {"NULL", "'2020-01-01'"}]
    supported = check(connection, [f"{left} {operator} {right}" for right in rights])
    assert supported > (7 if "interval" in left else 20)


@pytest.mark.parametrize("left", [*COLUMNS, *(literal for literal in LITERALS if not literal.startswith(("'", "interval")))])
@pytest.mark.parametrize(
    "template",
    [
        "{} < {}",
        "{} = {}",
        "{} IS DISTINCT FROM {}",
        "{1} IN ({0})",
        "{1} BETWEEN {0} AND {0}",
        # DuckDB converts a text only where it is evaluated, so the right operand has to be.
        "CASE WHEN NOT b THEN {} ELSE {} END",
        "COALESCE({1}, {0})",
        "CASE WHEN b THEN {} WHEN NOT b THEN {} END",
        "greatest({0}, {0}, {1})",
        "nullif({}, {})",
    ],
)
def test_common_types(connection: duckdb.DuckDBPyConnection, template: str, left: str) -> None:
    expressions = [template.format(left, right) for right in [*COLUMNS, *LITERALS]]
    assert check(connection, expressions) > len(expressions) // 2


@pytest.mark.parametrize("function", ["-", "abs", "sum", "avg", "min", "max", "count", "NOT ", "count(DISTINCT {})"])
def test_functions_of_one_argument(connection: duckdb.DuckDBPyConnection, function: str) -> None:
    template = function if "{}" in function else function + "({})"
    expressions = [template.format(operand) for operand in [*COLUMNS, *LITERALS]]
    assert check(connection, expressions) >= len(expressions) - 6


@pytest.mark.parametrize("target", [*map(str, EVERY_TYPE.values()), "DECIMAL", "DECIMAL(5)", "REAL", "INT8", "TEXT", "DATETIME"])
def test_casts(connection: duckdb.DuckDBPyConnection, target: str) -> None:
    operands = [*COLUMNS, "1", "1.5", "1e0", "true", "NULL", "'1'", "'2020-01-01'"]
    expressions = [f"{cast}({operand} AS {target})" for cast in ("CAST", "TRY_CAST") for operand in operands]
    assert check(connection, expressions) >= (8 if target in ("VARCHAR", "TEXT") else len(expressions) - 1)


@pytest.mark.parametrize(
    "expression",
    [
        # literals
        "0.06", "00.5", "0.5", "000", "12.", "1234567890123456789.5", "12345678901234567890123456789012345678.5", "2147483647",
        "2147483648", "9223372036854775808", "-2147483648", "-9223372036854775808", "-.5", "1e5", "1_000", "-(-5)",
        # a literal stays flexible in parentheses and under an alias, not in a CASE, a COALESCE or a cast
        "i1 + (1)", "i1 + (-(1))", "i1 + CASE WHEN b THEN 1 ELSE 2 END", "i1 + coalesce(NULL, 1)", "i1 + 1::INTEGER",
        "i1 + (i1 + 1)", "CASE WHEN b THEN 1 ELSE 10000000000 END", "CASE WHEN b THEN i1 WHEN b THEN 1.5 ELSE 1e0 END",
        "CASE WHEN b THEN i1 WHEN b THEN 1000 ELSE 1 END", "if(b, i1, 1000)", "CASE i1 WHEN 1000 THEN 1 END",
        # decimals at the caps
        "d38 * d9", "d38 * d38 * d38", "cast(1 as decimal(38,20)) * cast(1 as decimal(38,20))", "d18 * d18 * d18",
        "sum(d9 * (1 - d9) * (1 + d9))", "100.00 * sum(CASE WHEN s LIKE 'P%' THEN d9 * (1 - d9) ELSE 0 END) / sum(d9)",
        # days and intervals
        "dt + interval '3' month", "interval 1 day + dt", "ts - interval '1 month 2 days'", "ts + '1 day'",
        "date '1998-12-01' - interval '90' day", "'2020-01-01' - dt", "dt - '2020-01-01'", "dt + u2", "dt + u4",
        # aggregates
        "sum(DISTINCT b)", "sum(i4) FILTER (WHERE b)", "mean(f4)", "count(*)", "min(i1 + 1)", "sum(i4) + 1", "max(d4) * 2",
        # conditions
        "i4 AND s", "NOT f8", "i4 IS TRUE", "b IS NOT UNKNOWN", "s LIKE 'a%'", "i4 LIKE 'a'", "s LIKE 'a' ESCAPE '!'",
    ],
)  # fmt: skip
def test_expression(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    assert check(connection, [expression]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i1 + x FROM (SELECT 1 AS x, i1 FROM t)",
        "SELECT 1 AS x, i1 + x FROM t",
        "SELECT '1' AS x, i1 + x FROM t",
        "SELECT x, x + 1, coalesce(x, 1) FROM (SELECT NULL AS x)",
        "SELECT i4 AS x, i8 AS x, x + 1 FROM t",
    ],
)
def test_types_through_names(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    assert [str(field.type) for field in bind(query, CATALOG).schema] == list(map(str, connection.sql(query).types))


@pytest.mark.parametrize("value", [1, -1, 2**31, 2**63, 2**100, 1.5, "7", True, None])
@pytest.mark.parametrize("expression", ["?", "i1 + ?", "coalesce(i1, ?)", "i8 < ?"])
def test_parameters(connection: duckdb.DuckDBPyConnection, expression: str, value: object) -> None:
    query = f"SELECT {expression} AS x FROM t"
    try:
        plan = bind(query, CATALOG, [value])
    except BindError:
        with pytest.raises(duckdb.Error):
            connection.execute(query, [value])
        return
    described = connection.execute(f"SELECT typeof(x) FROM ({query})", [value]).fetchone()
    assert described is not None
    assert str(plan.schema[0].type) == described[0]
