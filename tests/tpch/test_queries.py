"""All 22 queries of TPC-H at scale 0.01 against DuckDB: with the validation parameters, and with others that are allowed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

import qtensor
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer

SUBSTITUTIONS = 5  # for each query: 110 in all


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    tables = {name: pq.read_table(path) for name, path in qtensor.datasets.tpch(0.01).items()}
    both = Engines.over(**tables)
    yield both
    both.close()


def check(engines: Engines, text: str) -> int:
    """The rows are compared as multisets; their order is another test's, since DuckDB breaks ties as it likes."""
    found, expected = answer_of_qtensor(engines.ours.sql(text)), answer_of_duckdb(engines.theirs, text)
    assert_same_answer(found, expected, ordered=False)
    return len(found.rows)


@pytest.mark.parametrize("number", qtensor.datasets.TPCH_QUERIES)
def test_with_validation_parameters(engines: Engines, number: int) -> None:
    assert check(engines, qtensor.datasets.TPCH_QUERIES[number].text()) > 0


@pytest.mark.parametrize("number", qtensor.datasets.TPCH_QUERIES)
def test_with_other_parameters(engines: Engines, number: int) -> None:
    generator = random.Random(number)
    for _ in range(SUBSTITUTIONS):
        check(engines, qtensor.datasets.TPCH_QUERIES[number].random_text(generator))


ORDERED = [number for number in qtensor.datasets.TPCH_QUERIES if number not in (6, 14, 17, 19)]


@pytest.mark.parametrize("number", ORDERED)
def test_the_order_of_rows(engines: Engines, number: int) -> None:
    """The columns of ORDER BY have the same values, row by row."""
    text = qtensor.datasets.TPCH_QUERIES[number].text()
    ours, theirs = engines.ours.sql(text).fetchall(), engines.theirs.sql(text).fetchall()
    keys = text.rsplit("order by", 1)[1].split("limit")[0].replace("desc", "")
    names = [key.strip() for key in keys.split(",")]
    columns = [engines.ours.sql(text).columns.index(name) for name in names]
    assert [[row[column] for column in columns] for row in ours] == [[row[column] for column in columns] for row in theirs]
