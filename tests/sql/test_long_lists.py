"""IN with lists of any length, numbers, dates and moments, NULLs, other items among them; CASE of many branches; DuckDB is right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.lowering.expressions.membership import MANY
from tests.oracle import Engines
from tests.sql.tables import every_type

RANDOM = np.random.default_rng(5)
TABLE = every_type(3_000)


def listed(column: str, count: int) -> str:
    """Literals, of which about half are values of the column."""
    there = [value for value in TABLE[column].to_pylist() if value is not None][: count // 2]
    match TABLE.schema.field(column).type:
        case pa.DataType() as type if pa.types.is_date(type):
            return ", ".join([*(f"DATE '{day}'" for day in there), *(f"DATE '19{n % 100:02}-03-01'" for n in range(count // 2))])
        case pa.DataType() as type if pa.types.is_timestamp(type):
            return ", ".join([f"TIMESTAMP '{moment}'" for moment in there] + ["TIMESTAMP '2001-02-03 04:05:06'"] * (count // 2))
        case pa.DataType() as type if pa.types.is_floating(type):
            texts = [f"'{value}'::DOUBLE" for value in there[:12]] + [str(n / 8) for n in range(count - 12)]
            return ", ".join(texts)
        case _:
            return ", ".join(map(str, [*there, *(7 * n - 100 for n in range(count - len(there)))]))


COLUMNS = ["id", "g", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f", "x", "y", "d", "h", "day", "moment"]


@pytest.mark.parametrize("count", [MANY - 1, MANY, 200])
@pytest.mark.parametrize("column", COLUMNS)
def test_lists_of_every_type(row_engines: Engines, column: str, count: int) -> None:
    items = listed(column, count)
    row_engines.check(f"SELECT id FROM t WHERE {column} IN ({items}) ORDER BY id")
    row_engines.check(f"SELECT id, {column} NOT IN ({items}, NULL) AS missing FROM t ORDER BY id")


NUMBERS = ", ".join(str(n * 3 - 50) for n in range(100))

QUERIES = [
    f"SELECT id FROM t WHERE i8 + i16 IN ({NUMBERS}) ORDER BY id",
    f"SELECT id FROM t WHERE i16 IN (g, 1000000000000, {NUMBERS}, id % 7) ORDER BY id",
    f"SELECT id FROM t WHERE i64 * 1000 IN ({NUMBERS}, 9223372036854775807) ORDER BY id",
    f"SELECT g, count(*) FILTER (i16 IN ({NUMBERS})) FROM t GROUP BY g HAVING sum(i64) IN ({NUMBERS}) OR g IN ({NUMBERS}) ORDER BY g",
    f"SELECT CASE WHEN i16 IN ({NUMBERS}) THEN 'a' ELSE 'b' END AS c, count(*) FROM t GROUP BY ALL ORDER BY ALL",
    f"SELECT count(*) FROM t JOIN t u ON t.i16 = u.i16 AND t.i16 IN ({NUMBERS})",
    f"SELECT NULL::INTEGER IN ({NUMBERS}), 4 IN ({NUMBERS}), 5 IN ({NUMBERS})",
    f"SELECT id FROM t WHERE x IN ({', '.join(str(n / 8) for n in range(100))}, 'nan', 'inf', -0.0) ORDER BY id",
    f"SELECT id FROM t WHERE d IN ({', '.join(str(n / 4) for n in range(-200, 200))}, 1e2) ORDER BY id",
]


@pytest.mark.parametrize("query", QUERIES)
def test_lists_anywhere(row_engines: Engines, query: str) -> None:
    row_engines.check(query)


BRANCHES = [
    f"SELECT id, CASE {' '.join(f'WHEN i16 = {n} THEN {n * 7 % 100}' for n in range(-60, 90))} END AS c FROM t ORDER BY id",
    f"SELECT id, CASE {' '.join(f'WHEN i16 < {n * 3} THEN g + {n}' for n in range(-40, 70))} ELSE i16 END AS c FROM t ORDER BY id",
    f"SELECT id, CASE i16 {' '.join(f'WHEN {n} THEN NULL WHEN {n + 1} THEN s' for n in range(-80, 80, 2))} ELSE w END AS c FROM t ORDER BY id",
    f"SELECT id, CASE {' '.join(f'WHEN 100 // nullif(i8, {n}) > 20 THEN {n}' for n in range(1, 70))} END AS c FROM t WHERE i8 <> 0 ORDER BY id",
]


@pytest.mark.parametrize("query", BRANCHES)
def test_cases_of_many_branches(row_engines: Engines, query: str) -> None:
    """In each the first branch whose condition holds, in the last one after others that hold as well."""
    row_engines.check(query)


@pytest.mark.parametrize("wide", [False, True])
def test_a_longer_list_is_the_same_program(wide: bool) -> None:
    """However the numbers differ, and up to a power of two how many they are; of 50,000 as of 50 it has a few operations."""
    values = RANDOM.integers(0, 10**12 if wide else 1000, 5_000)
    connection = qtensor.connect().register("t", {"a": values})

    def hlo(numbers: list[int]) -> str:
        relation = connection.sql(f"SELECT count(*) AS n FROM t WHERE a IN ({', '.join(map(str, numbers))})")
        assert relation.fetchall() == [(np.isin(values, numbers).sum(),)]
        return relation.hlo()

    some = hlo(values[:900].tolist())
    assert some == hlo(values[100:1_100].tolist())
    assert len(some.splitlines()) + 50 > len(hlo(list(range(50_000))).splitlines())
    assert len(re.findall(r" compare\(", some)) < 20


def test_artifacts_and_parameters(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 10**12, 5_000)
    connection = qtensor.connect().register("t", {"a": values, "i": values % 1000})
    numbers = [int(value) for value in values[::100]]
    listed = ", ".join(map(str, numbers))
    query = f"SELECT a, i FROM t WHERE a IN ({listed}, $p) OR i IN ({', '.join(map(str, range(1, 200, 3)))}, $q)"
    connection.sql(query, {"p": 10**11, "q": 500}).export(tmp_path / "q.qta")
    loaded = qtensor.load(tmp_path / "q.qta")
    for p, q in ((10**11, 500), (int(values[7]), 501), (int(values[8]), 510)):
        found = loaded({"a": values, "i": values % 1000}, p=p, q=q)
        kept = np.isin(values, [*numbers, p]) | np.isin(values % 1000, [*range(1, 200, 3), q])
        np.testing.assert_array_equal(found["a"].to_numpy(), values[kept])
        assert connection.sql(query, {"p": p, "q": q}).arrow().equals(found)
