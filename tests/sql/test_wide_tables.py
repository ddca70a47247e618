"""Tables of a hundred columns and lists of a hundred terms: the rows are DuckDB's, and the code hardly grows with their number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines

WIDTH = 12
ROWS = [0, 1, 700, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK + 321]
SAME_ROWS = [
    "SELECT DISTINCT * EXCLUDE (id) FROM t",
    "SELECT count(*) FROM (SELECT DISTINCT * EXCLUDE (id) FROM t)",
    "SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, count(*), min(id) FROM t GROUP BY ALL",
    "SELECT * EXCLUDE (c3, c4), c3 + 1 AS d FROM t ORDER BY c0 DESC NULLS LAST, id",
    "SELECT * FROM t ORDER BY c2, id LIMIT 7",
    "SELECT * FROM t ORDER BY c2, id LIMIT 7 OFFSET 3",
    "SELECT * FROM t ORDER BY c5, c7, id LIMIT 2000",
    "SELECT * FROM t ORDER BY id LIMIT 0",
    "SELECT * FROM (SELECT * FROM t WHERE c1 > 0 ORDER BY id LIMIT 300) WHERE c0 IS NOT NULL ORDER BY c4, id",
    "SELECT *, row_number() OVER (PARTITION BY c0 ORDER BY id) FROM t",
    "SELECT *, sum(c3) OVER (PARTITION BY c2 ORDER BY id) FROM t QUALIFY row_number() OVER (PARTITION BY c0 ORDER BY id) < 3",
    "SELECT u.*, g.n FROM t u JOIN (SELECT c0, count(*) AS n FROM t GROUP BY c0) g ON u.c0 = g.c0 ORDER BY u.id LIMIT 9",
    "SELECT * FROM (SELECT * FROM t ORDER BY id LIMIT 5) UNION ALL SELECT * FROM (SELECT * FROM t ORDER BY id DESC LIMIT 5)",
    "SELECT " + ", ".join(f"{function}(c{i})" for function in ("min", "max", "count") for i in range(WIDTH)) + " FROM t",
    "SELECT " + ", ".join(f"sum(c3 + {i}), avg(c{(0, 1, 3)[i % 3]})" for i in range(WIDTH)) + " FROM t WHERE id % 7 <> 3",
    "SELECT " + ", ".join(f"sum(c3 * {i}), sum(c{(4, 7)[i % 2]}), count(c{i}) FILTER (c0 > 0)" for i in range(WIDTH)) + " FROM t",
    "SELECT c2, " + ", ".join(f"sum(c3 + {i}), min(c{i})" for i in range(WIDTH)) + " FROM t GROUP BY c2",
]


def table(rows: int) -> pa.Table:
    """Few different rows, with NULLs, NaN, zeros of both signs, texts, decimals and the ends of 64 bits."""
    random = np.random.default_rng(rows)
    choices = [
        pa.array([0.0, -0.0, float("nan"), 1.5, None]),
        pa.array([-3, 7, None]),
        pa.array(["x", "", "ä", None]),
        pa.array([1, 2, 1_000]),
        pa.array([-(2**63) + 1, 2**63 - 1, 0, None]),
        pa.array([True, False, None]),
        pa.array([Decimal("1.25"), Decimal("-0.50"), None]),
        pa.array([Decimal(10**18), Decimal(-(10**18)), None], pa.decimal128(38, 0)),
        pa.array([1, None], pa.int8()),
        pa.array([0, 18_000, None], pa.date32()),
        pa.array([0.25, None], pa.float32()),
        pa.array([3, 4]),
    ]
    row = random.integers(0, max(1, min(rows, 900)), rows)
    kinds = [random.integers(0, len(choice), 900) for choice in choices]
    columns = {f"c{i}": choice.take(pa.array(kind[row])) for i, (choice, kind) in enumerate(zip(choices, kinds, strict=True))}
    return pa.table({**columns, "id": pa.array(np.arange(rows))})


@pytest.fixture(scope="module")
def wide() -> Iterator[Callable[[int], Engines]]:
    made: dict[int, Engines] = {}

    def of(rows: int) -> Engines:
        if rows not in made:
            made[rows] = Engines.over(threads=2, t=table(rows))
        return made[rows]

    yield of
    for engines in made.values():
        engines.close()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("query", SAME_ROWS)
def test_same_rows(wide: Callable[[int], Engines], rows: int, query: str) -> None:
    wide(rows).check(query, signed_zeros="min(" not in query)  # of zeros DuckDB takes whichever it met first


def numbers(columns: int, rows: int = 3 * CHUNK) -> pa.Table:
    """`columns` columns of floats with NULLs."""
    random = np.random.default_rng(columns)
    return pa.table({f"c{i}": pa.array(random.random(rows).round(2), mask=random.random(rows) < 0.1) for i in range(columns)})


def code_of(query: str, columns: int) -> str:
    """The optimised HLO of a query over so many columns."""
    with qtensor.connect(threads=2) as connection:
        connection.register("t", numbers(columns))
        return connection.sql(query).hlo()


def kernels(hlo: str) -> int:
    return len(re.findall(r" (?:fusion|sort|reduce|scatter|gather|while|conditional)\(", hlo))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t ORDER BY c0",
        "SELECT * FROM t ORDER BY c0 LIMIT 10",
        "SELECT * FROM t WHERE c0 > 0.5 LIMIT 10",
        "SELECT * FROM t LIMIT 10",
    ],
)
def test_columns_that_are_passed_on_cost_no_code(query: str) -> None:
    assert kernels(code_of(query, 60)) == kernels(code_of(query, 20))


def test_rows_of_many_columns_are_compared_in_loops() -> None:
    few, many = (code_of("SELECT DISTINCT * FROM t", columns) for columns in (20, 60))
    assert len(re.findall(r" sort\(", many)) == len(re.findall(r" sort\(", few))
    assert kernels(many) - kernels(few) <= 5 * 40


@pytest.mark.parametrize("function", ["avg", "sum", "min", "max"])
def test_aggregates_without_groups_are_reduced_together(function: str) -> None:
    query = "SELECT " + ", ".join(f"{function}(c{i})" for i in range(64)) + " FROM t"
    # Sums or extremes, of each share and merged, and counts of values: eight at a time.
    assert len(re.findall(r" reduce\(", code_of(query, 64))) <= 64


def test_few_columns_go_through_the_program() -> None:
    """Row numbers are worth it for many columns only."""
    with qtensor.connect() as connection:
        connection.register("t", numbers(60, 100))
        few = connection.sql("SELECT c0, c1 FROM t ORDER BY c2").explain("physical")
        many = connection.sql("SELECT * FROM t ORDER BY c2").explain("physical")
    assert " = number" not in few
    assert many.count(" = number") == 1
