"""The queries that qtensor is made for, verbatim: the headline query, TPC-H Q1 and Q6."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

import qtensor
from qtensor import datasets
from tests.headline import HEADLINE, Q1, Q6, features_and_labels, trained_classifier
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer


@pytest.fixture(scope="module")
def tpch() -> Iterator[Engines]:
    engines = Engines(qtensor.connect(), duckdb.connect())
    path = str(datasets.tpch(0.01)["lineitem"])
    engines.ours.register("lineitem", path)
    engines.theirs.execute(f"CREATE VIEW lineitem AS SELECT * FROM '{path}'")
    yield engines
    engines.close()


@pytest.mark.parametrize("query", [Q1, Q6], ids=["Q1", "Q6"])
def test_tpch(tpch: Engines, query: str) -> None:
    assert tpch.check(query).rows


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*), min(l_shipdate), max(l_comment), sum(l_orderkey) FROM lineitem",
        "SELECT l_shipmode, l_shipinstruct, count(*), sum(l_tax) FROM lineitem GROUP BY ALL ORDER BY ALL",
        "SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS r FROM lineitem "
        "GROUP BY l_orderkey ORDER BY r DESC, 1 LIMIT 10",
        "SELECT l_orderkey, l_linenumber, l_comment FROM lineitem WHERE l_comment LIKE '%special%' ORDER BY 1, 2",
        "SELECT count(*) FROM lineitem WHERE l_commitdate < l_receiptdate AND l_shipmode IN ('MAIL', 'SHIP')",
    ],
)
def test_over_tpch_data(tpch: Engines, query: str) -> None:
    tpch.check(query)


@pytest.mark.parametrize("rows", [0, 1, 50, 200, 2_000, 300_000])
def test_headline(rows: int) -> None:
    """Classes by TensorFlow, everything else by DuckDB; and the classifier makes no mistake."""
    data, (features, _) = datasets.crime(rows), features_and_labels(rows)
    connection = qtensor.connect().register("data", data).create_function("classifier", trained_classifier())
    classes = pa.array(trained_classifier()(features).numpy())
    oracle = duckdb.connect()
    oracle.register("classified", data.append_column("class", classes))
    query = HEADLINE.replace("classifier(murder, assault, population, rape)", "class").replace("FROM data", "FROM classified")
    found = answer_of_qtensor(connection.sql(HEADLINE))
    assert_same_answer(found, answer_of_duckdb(oracle, query), ordered=True)
    for cluster, *counts in found.rows:
        assert [position for position, count in enumerate(counts) if count] == [cluster]


def test_null_into_a_model_is_null_out_of_it() -> None:
    data = pa.table({"a": [1.0, None, 3.0], "b": [1, 2, None]})
    connection = qtensor.connect().register("t", data).create_function("plus", lambda a, b: a + b)
    assert connection.sql("SELECT plus(a, b) FROM t").fetchall() == [(2.0,), (None,), (None,)]
    assert connection.sql("SELECT count(plus(a, b)), sum(plus(a, 1)), count(*) FROM t WHERE plus(a, b) > 1").fetchall() == [
        (1, 2.0, 1)
    ]
    assert connection.sql("SELECT plus(NULL, 1)").fetchall() == [(None,)]


def test_a_model_in_every_place() -> None:
    """WHERE, keys, aggregates, HAVING, ORDER BY, CASE and arguments of itself."""
    data = pa.table({"a": [1, 2, 3, 4, 5, 6, 7]})
    connection = qtensor.connect().register("t", data).create_function("odd", lambda a: (a % 2).astype("int32"))

    def rows(query: str) -> list[tuple[object, ...]]:
        return connection.sql(query).fetchall()

    assert rows("SELECT a FROM t WHERE odd(a) = 1 AND a > 1") == [(3,), (5,), (7,)]
    assert rows("SELECT odd(a), count(*) FROM t GROUP BY odd(a) ORDER BY 1") == [(0, 3), (1, 4)]
    assert rows("SELECT odd(a) AS o, sum(odd(a)) FROM t GROUP BY o HAVING sum(odd(a)) > 0 ORDER BY odd(a)") == [(1, 4)]
    assert rows("SELECT a FROM t ORDER BY odd(a), a DESC LIMIT 4") == [(6,), (4,), (2,), (7,)]
    assert rows("SELECT CASE WHEN odd(a) = 0 THEN 'even' ELSE 'odd' END, odd(odd(a) + a) FROM t LIMIT 1") == [("odd", 0)]
    assert rows("SELECT ODD(a) + 1, -odd(a), odd(a) * 1.5 FROM t LIMIT 1")[0][0] == 2
