"""Models wherever an expression may stand: each query in DuckDB, too, which calls TensorFlow for them; and still one module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from duckdb.func import ARROW

from qtensor import datasets
from qtensor.aot.machine.subnormals import SET_ENVIRONMENT
from tests.headline import trained_classifier
from tests.oracle import Engines

FEATURES = ("murder", "assault", "population", "rape")
CLASS = "classifier(murder, assault, population, rape)"
SCORE = "danger(murder, assault, population, rape)"

QUERIES = {
    "select": f"SELECT id, {CLASS} AS c, {SCORE} AS s FROM data",
    "where": f"SELECT id FROM data WHERE {CLASS} = 2 OR {SCORE} > 0.4",
    "group by": f"SELECT {CLASS} AS c, count(*) AS n, sum(assault) AS a FROM data GROUP BY {CLASS} ORDER BY c",
    "having": f"SELECT cluster, count(*) AS n FROM data GROUP BY cluster HAVING max({SCORE}) > 0.4",
    "order by": f"SELECT id FROM data ORDER BY {SCORE} DESC NULLS LAST, id LIMIT 40",
    "aggregate argument": f"SELECT cluster, avg({SCORE})::FLOAT AS s, max({SCORE}) FILTER (WHERE {CLASS} <> 1) AS m, "
    f"count(DISTINCT {CLASS}) AS n FROM data GROUP BY cluster",
    "case": f"SELECT sum(CASE WHEN {CLASS} IN (0, 3) THEN assault ELSE 0 END) AS a FROM data",
    "join key": f"SELECT names.label, count(*) AS n FROM data JOIN names ON names.class = {CLASS} GROUP BY names.label",
    "join condition": f"SELECT data.id, names.label FROM data LEFT JOIN names ON names.class = cluster AND {SCORE} > names.least",
    "joined columns": "SELECT a.id, classifier(a.murder, b.assault, a.population, b.rape) AS c "
    "FROM data AS a JOIN data AS b ON b.id = a.partner WHERE danger(b.murder, a.assault, b.population, a.rape) > 0.3",
    "window": f"SELECT id, row_number() OVER (PARTITION BY {CLASS} ORDER BY id) AS n, "
    f"lag({CLASS}) OVER (ORDER BY id) AS before, max({SCORE}) OVER (PARTITION BY cluster) AS m FROM data",
    "order of a window": f"SELECT id, rank() OVER (PARTITION BY cluster ORDER BY {SCORE}, id) AS r FROM data",
    "qualify": f"SELECT id FROM data QUALIFY row_number() OVER (PARTITION BY {CLASS} ORDER BY assault DESC, id) <= 2",
    "correlated": f"SELECT id FROM data AS d WHERE {SCORE} > "
    "(SELECT avg(danger(murder, assault, population, rape)) FROM data AS e WHERE e.cluster = d.cluster) + 0.01",
    "in a subquery": f"SELECT label FROM names WHERE class IN (SELECT {CLASS} FROM data WHERE id > 100)",
    "set": f"SELECT {CLASS} AS c FROM data WHERE id < 50 EXCEPT SELECT class FROM names WHERE least > 0.3",
    "of a model": f"SELECT id, danger({CLASS}, {SCORE}, 1, assault) AS s FROM data",
    "grouping sets": f"SELECT {CLASS} AS c, cluster, count(*) AS n FROM data GROUP BY ROLLUP (1, 2)",
}


def scores() -> tf.Module:
    """A small network with one output."""
    module = tf.Module()
    generator = np.random.default_rng(7)
    first = tf.Variable(generator.normal(0, 0.01, (4, 8)).astype(np.float32))
    second = tf.Variable(generator.normal(0, 0.3, (8, 1)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def call(rows: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(tf.matmul(tf.tanh(tf.matmul(rows, first)), second))[:, 0]

    module.variables_of_call = (first, second)
    module.__call__ = call
    return module


def by_tensorflow(model: Callable[[Any], Any]) -> Callable[..., pa.Array]:
    """A model as a function of Arrow columns."""

    def call(a: pa.ChunkedArray, b: pa.ChunkedArray, c: pa.ChunkedArray, d: pa.ChunkedArray) -> pa.Array:
        rows = np.column_stack([column.to_numpy() for column in (a, b, c, d)]).astype(np.float32)
        result = np.asarray(model(tf.constant(rows)))
        return pa.array(result.argmax(1).astype(np.int64) if result.ndim == 2 else result)

    return call


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    crime = datasets.crime(300)
    data = crime.append_column("id", pa.array(range(300), pa.int64()))
    data = data.append_column("partner", pa.array([None if row % 9 == 0 else row * 7 % 300 for row in range(300)], pa.int64()))
    rape = pc.if_else(pa.array(np.arange(300) % 23 == 5), pa.scalar(None, data["rape"].type), data["rape"])
    data = data.set_column(data.column_names.index("rape"), "rape", rape)
    names = pa.table(
        {"class": [0, 1, 2, 2, None], "label": ["calm", "so-so", "wild", "very wild", "?"], "least": [0.1, 0.2, 0.4, 0.5, 0.0]}
    )
    both = Engines.over(threads=1, data=data, names=names)
    classifier, network = trained_classifier(), scores()
    both.ours.create_function("classifier", classifier)
    both.ours.create_function("danger", network.__call__)
    for name, result, model in (("classifier", "BIGINT", classifier), ("danger", "FLOAT", network.__call__)):
        both.theirs.create_function(name, by_tensorflow(model), ["DOUBLE"] * 4, result, type=ARROW)
    yield both
    both.close()


@pytest.mark.parametrize("place", QUERIES)
def test_as_by_tensorflow(engines: Engines, place: str) -> None:
    assert engines.check(QUERIES[place]).rows


@pytest.mark.parametrize("place", QUERIES)
def test_one_module(engines: Engines, place: str) -> None:
    hlo = engines.ours.sql(QUERIES[place]).hlo()
    assert len(re.findall(r"^ENTRY ", hlo, re.MULTILINE)) == 1
    assert set(re.findall(r'custom_call_target="([^"]*)"', hlo)) == {SET_ENVIRONMENT}
