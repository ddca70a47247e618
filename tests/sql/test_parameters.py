"""Parameters; and literals and parameters that change without compiling anything anew."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal

import pyarrow as pa
import pytest

import qtensor
from qtensor import datasets
from qtensor.aot.machine.compile import CompiledQuery
from tests.headline import HEADLINE, Q6, trained_classifier
from tests.oracle import Engines


def compiled(connection: qtensor.Connection, query: str, parameters: Sequence[object] | None = None) -> CompiledQuery:
    """The compiled program that `query` uses; equal programs are one object."""
    return connection.sql(query, parameters)._prepare().compiled


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("SELECT id FROM t WHERE i8 > ?", [1]),
        ("SELECT id FROM t WHERE i8 BETWEEN ? AND ?", [-2, 2]),
        ("SELECT id FROM t WHERE i8 > $1 AND i16 < $2 OR i8 = $1", [1, 100]),
        ("SELECT id FROM t WHERE i8 > $2 AND i16 < $1", [100, 1]),
        ("SELECT id FROM t WHERE s = $name AND i8 >= $least", {"name": "a", "least": -5}),
        ("SELECT id FROM t WHERE s LIKE ?", ["a%"]),
        ("SELECT id FROM t WHERE s IN (?, ?)", ["a", "b"]),
        ("SELECT id FROM t WHERE day < ?", [datetime.date(1990, 1, 1)]),
        ("SELECT id FROM t WHERE moment >= ?", [datetime.datetime(1985, 5, 5, 12, 30, 0, 5)]),
        ("SELECT id FROM t WHERE d > ?", [Decimal("1.25")]),
        ("SELECT id FROM t WHERE x < ?", [1.5]),
        ("SELECT id FROM t WHERE x = ?", [float("nan")]),
        ("SELECT id FROM t WHERE b = ?", [True]),
        ("SELECT id FROM t WHERE i8 = ?", [None]),
        ("SELECT id, ?, i16 + ?, coalesce(s, ?) FROM t", [7, 8, "none"]),
        ("SELECT id FROM t ORDER BY id LIMIT ? OFFSET ?", [3, 2]),
        ("SELECT g, sum(i16 * ?) FROM t GROUP BY g HAVING count(*) > ? ORDER BY g", [3, 1]),
        ("SELECT CASE WHEN i8 > ? THEN ? ELSE ? END FROM t", [0, "pos", "neg"]),
        ("SELECT $x, $x + 1", {"x": 41}),
        ("SELECT id FROM t WHERE i8 > 0", []),
    ],
)
def test_parameters(row_engines: Engines, query: str, parameters: Sequence[object] | Mapping[str, object]) -> None:
    row_engines.check(query, parameters)


# Queries of one shape, several times over: only what stands in them as a value differs.
SAME_PROGRAM = {
    "dates": ["SELECT count(*) FROM t WHERE day >= DATE '1980-01-01'", "SELECT count(*) FROM t WHERE day >= DATE '1995-06-17'"],
    "numbers": [
        "SELECT sum(i16) FROM t WHERE i8 > 1",
        "SELECT sum(i16) FROM t WHERE i8 > -5",
        "SELECT sum(i16) FROM t WHERE i8 > 1000",
    ],
    "decimals": ["SELECT sum(i16) FROM t WHERE d > 1.25", "SELECT sum(i16) FROM t WHERE d > -99.99"],
    "floats": ["SELECT count(*) FROM t WHERE x < 1e0", "SELECT count(*) FROM t WHERE x < -2.5e3"],
    "text": [
        "SELECT count(*) FROM t WHERE s = 'a'",
        "SELECT count(*) FROM t WHERE s = 'nothere'",
        "SELECT count(*) FROM t WHERE s = ''",
    ],
    "order of text": ["SELECT count(*) FROM t WHERE s < 'a'", "SELECT count(*) FROM t WHERE s < 'zzz'"],
    "patterns": [
        "SELECT count(*) FROM t WHERE s LIKE 'a%'",
        "SELECT count(*) FROM t WHERE s LIKE '%c'",
        "SELECT count(*) FROM t WHERE s LIKE ''",
    ],
    "members": ["SELECT count(*) FROM t WHERE s IN ('a', 'b')", "SELECT count(*) FROM t WHERE s IN ('é', 'nothere')"],
    "limits": [f"SELECT id FROM t ORDER BY id LIMIT {count}" for count in (5, 6, 8)],
    "limits without order": [f"SELECT i8 FROM t WHERE id < 8 LIMIT {count}" for count in (9, 15, 16)],
    "results": ["SELECT CASE WHEN b THEN 'yes' ELSE 'no' END FROM t", "SELECT CASE WHEN b THEN 'ja' ELSE 'nein' END FROM t"],
    "unnamed columns": ["SELECT i16 + 1 FROM t", "SELECT i16 + 1 AS more FROM t", 'SELECT i16 + 1 AS "+" FROM t'],
    "before what is checked": [
        "SELECT id FROM t WHERE i8 > 1 AND i16 + i16 > 0",
        "SELECT id FROM t WHERE i8 > 101 AND i16 + i16 > 0",
    ],
    "counting": ["SELECT g FROM t GROUP BY g HAVING count(*) > 2", "SELECT g FROM t GROUP BY g HAVING count(*) > 60"],
}


@pytest.mark.parametrize("queries", SAME_PROGRAM.values(), ids=SAME_PROGRAM.keys())
def test_literals_change_without_compiling(full: Engines, queries: list[str]) -> None:
    programs = []
    for query in queries:
        programs.append(compiled(full.ours, query))
        full.check(query)
    assert all(program is programs[0] for program in programs)


def test_parameters_change_without_compiling(full: Engines) -> None:
    query = "SELECT sum(i16) FROM t WHERE i8 > ? AND s LIKE ? AND day < ?"
    values = [[0, "a%", datetime.date(1990, 1, 1)], [-4, "%", datetime.date(1999, 12, 31)], [100, "", datetime.date(1970, 1, 1)]]
    programs = []
    for parameters in values:
        full.check(query, parameters)
        programs.append(compiled(full.ours, query, parameters))
    assert all(program is programs[0] for program in programs)


def test_tpch_q6_with_other_values() -> None:
    path = str(datasets.tpch(0.01)["lineitem"])
    connection = qtensor.connect().register("lineitem", path)
    others = [
        Q6,
        Q6.replace("1994-01-01", "1996-03-01"),
        Q6.replace("< 24", "< 17"),
        Q6.replace(".06 - 0.01 and .06 + 0.01", ".04 - 0.01 and .04 + 0.02"),
        Q6.replace("interval '1' year", "interval '7' month"),
    ]
    programs = [compiled(connection, query) for query in others]
    assert all(program is programs[0] for program in programs)
    revenues = [connection.sql(query).fetchall() for query in others]
    assert len({row for rows in revenues for row in rows}) == len(others)


def test_headline_with_other_values() -> None:
    connection = qtensor.connect().register("data", datasets.crime(2_000)).create_function("classifier", trained_classifier())
    query = HEADLINE.replace("FROM data", "FROM data WHERE murder > 5.0 AND rape < 30.5")
    other = HEADLINE.replace("FROM data", "FROM data WHERE murder > 11.25 AND rape < 99.5")
    assert compiled(connection, query) is compiled(connection, other)
    assert connection.sql(query).fetchall() != connection.sql(other).fetchall()


def test_new_data_of_the_same_layout_is_the_same_program() -> None:
    """Like data, like program: the same types, about the same range, no more NULLs."""
    connection = qtensor.connect()
    programs = []
    for seed in range(3):
        numbers = [(seed * 7 + 13 * index) % 100 for index in range(200)]
        connection.register("t", pa.table({"a": pa.array(numbers, pa.int64())}))
        assert connection.sql("SELECT sum(a) FROM t").fetchall() == [(sum(numbers),)]
        programs.append(compiled(connection, "SELECT sum(a) FROM t"))
    assert programs[1] is programs[0]
    assert programs[2] is programs[0]
