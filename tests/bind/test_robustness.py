"""Whatever text comes: the binder answers with a plan or with an error of qtensor, never with another exception."""

from __future__ import annotations

import random
import re

import pytest

from qtensor.bind import bind
from qtensor.errors import ExecutionError, QTensorError, SQLError
from qtensor.logical import Plan
from qtensor.optimise.driver import optimise
from tests.bind.catalog import MemoryCatalog

CATALOG = MemoryCatalog()
QUERIES = [
    "SELECT cluster, classifier(murder, assault, population, rape) AS class, count(*) AS n FROM data WHERE rape > 20.5 "
    "GROUP BY cluster, class HAVING count(*) > 1 ORDER BY cluster DESC NULLS LAST, class LIMIT 10 OFFSET 2",
    "SELECT l_returnflag, sum(l_quantity) AS q, avg(l_discount) FILTER (WHERE l_tax > 0.05), count(DISTINCT l_orderkey) FROM lineitem "
    "WHERE l_shipdate <= date '1998-12-01' - interval '90' day AND l_linestatus LIKE 'a!%%' ESCAPE '!' GROUP BY ALL ORDER BY 1",
    "WITH c(x, y) AS (SELECT i4 + 1, CASE WHEN b THEN s ELSE 'it''s' END FROM t WHERE NOT (i4 IN (1, -2, NULL) OR d9 BETWEEN .5 AND 1e3)) "
    "SELECT DISTINCT x, y FROM c WHERE x IS NOT NULL",
    "SELECT CAST(i4 AS DECIMAL(9, 2)) // 2, TRY_CAST(s AS DATE), i8::VARCHAR, ts + interval 1 month, coalesce(f4, f8, 1), nullif(i4, 0), "
    "-i4 % 3, 'a' || 'b', scores(1, 2)[-1], t.* EXCLUDE (b) FROM t AS t",
    "SELECT \"My Col\" FROM t WHERE dt = '2020-01-01' -- comment\n AND ts > '2020-01-01 10:00' /* more */ ORDER BY ALL",
]
WORDS = """
    ( ) , . * + - / // % = <> < || :: [ ] ' " ; $ ? @ { } : # ~ ! ^ & | -- /* \\ \0 é 1 0 1.5 .5 1e400 '' 'x' x i4 s t count sum day
    SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT AND OR NOT IN LIKE ILIKE ESCAPE BETWEEN IS NULL TRUE CASE WHEN THEN ELSE END CAST AS
    DATE INTERVAL DISTINCT FILTER OVER JOIN ON UNION ALL VALUES WITH RECURSIVE EXISTS ARRAY UNNEST PIVOT
"""
PIECES = [*WORDS.split(), "\n", "9" * 60, "1" * 5_000, "(" * 50]


def mutated(chance: random.Random, query: str) -> str:
    """`query` with one to five pieces dropped, added, replaced, swapped or repeated, or cut off."""
    pieces = re.findall(r"\s+|\w+|'[^']*'|.", query, re.DOTALL)
    for _ in range(chance.randint(1, 5)):
        place, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(6):
            case 0:
                pieces[place] = " "
            case 1:
                pieces.insert(place, f" {chance.choice(PIECES)} ")
            case 2:
                pieces[place] = chance.choice(PIECES)
            case 3:
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 4:
                pieces[place:place] = pieces[place : place + 8]
            case _:
                pieces = pieces[: max(place, 1)]
    return "".join(pieces)


def outcome(query: str) -> Plan | QTensorError:
    try:
        return optimise(bind(query, CATALOG))
    except QTensorError as error:
        return error


@pytest.mark.parametrize("query", QUERIES)
def test_the_queries_are_sound(query: str) -> None:
    assert not isinstance(outcome(query), QTensorError)


@pytest.mark.parametrize("seed", range(6))
def test_mutations(seed: int) -> None:
    chance = random.Random(seed)
    outcomes = [outcome(mutated(chance, chance.choice(QUERIES))) for _ in range(60)]
    refused = [error for error in outcomes if isinstance(error, QTensorError)]
    assert 0 < len(refused) < len(outcomes)
    assert all(isinstance(error, SQLError) and not isinstance(error, ExecutionError) for error in refused)


@pytest.mark.parametrize(
    "query",
    [
        "", ";", "\x00", "SELECT", "SELECT @", "SELECT (", "SELECT 1 1", "SELECT '''", "SELECT $", "SELECT $0", "FROM", "WITH", "()",
        "SELECT " + "(" * 3_000 + "1" + ")" * 3_000, "SELECT " + "-" * 3_000 + "1", "SELECT " + "NOT " * 3_000 + "true",
        "SELECT " + "1" * 5_000, "SELECT i4::DECIMAL(" + "1" * 5_000 + ") FROM t", "SELECT i4 FROM t ORDER BY " + "1" * 5_000,
        "SELECT scores(1, 2)[" + "1" * 5_000 + "]", "SELECT interval '" + "1" * 5_000 + ":00'", "SELECT interval '1e999999999' year",
    ],
)  # fmt: skip
def test_odd_texts(query: str) -> None:
    error = outcome(query)
    assert isinstance(error, SQLError)
    assert str(error)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT " + " + ".join(["i4"] * 150) + " FROM t",
        "SELECT i4 FROM t WHERE " + " AND ".join(f"i4 <> {number}" for number in range(2_000)),
        "SELECT i4 FROM t WHERE i4 IN (" + ", ".join(map(str, range(5_000))) + ")",
        "SELECT " + ", ".join(f"i4 + {number} AS c{number}" for number in range(500)) + " FROM t",
    ],
    ids=["sum", "conjunction", "list", "columns"],
)
def test_long_queries(query: str) -> None:
    assert not isinstance(outcome(query), QTensorError)
