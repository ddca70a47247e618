"""The headline query: classify every row by a TensorFlow model, count classes by cluster. Its data, model and contestants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import ARROW
from numpy.typing import NDArray

import qtensor
from bench.timing import Contestant, Row, timed
from qtensor.datasets.training import train_softmax_regression

SEED = 0
CLASSES = 4
FEATURES = ("murder", "assault", "population", "rape")
TRAINED_ON = 2_000

HEADLINE = """\
SELECT cluster,
       sum(CASE WHEN classification = 0 THEN 1 ELSE 0 END) AS class1,
       sum(CASE WHEN classification = 1 THEN 1 ELSE 0 END) AS class2,
       sum(CASE WHEN classification = 2 THEN 1 ELSE 0 END) AS class3,
       sum(CASE WHEN classification = 3 THEN 1 ELSE 0 END) AS class4
FROM (SELECT cluster, classifier(murder, assault, population, rape) AS classification FROM data)
GROUP BY cluster
ORDER BY cluster"""

SPARK_ROW = "PySpark, row UDF"
SPARK_PANDAS = "PySpark, pandas UDF"
DUCKDB = "DuckDB, Arrow UDF"
ASKED_AGAIN = "qtensor, sql(text).arrow()"
WARM = "qtensor, relation.arrow()"
EXECUTION = "of that, in XLA"

DuckDBFunction = Callable[[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray], pa.Array]


def crime(rows: int) -> pa.Table:
    """The data, the same in every process."""
    return qtensor.datasets.crime(rows, SEED)


def features(data: pa.Table) -> NDArray[np.float32]:
    """The model's input, float32[rows, 4]."""
    return np.stack([data[name].to_numpy() for name in FEATURES], axis=-1, dtype=np.float32, casting="same_kind")


def train(rows: int) -> Any:
    """A softmax regression trained by TensorFlow on the crime data of this size."""
    data = crime(rows)
    return train_softmax_regression(features(data), data["cluster"].to_numpy(), CLASSES)


def confusion(data: pa.Table, model: Any) -> list[Row]:
    """The query's rows as TensorFlow and NumPy, and no SQL engine, compute them: the reference of all contestants."""
    classes, cluster = model(features(data)).numpy(), data["cluster"].to_numpy()
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(counts, (cluster, classes), 1)
    return [(group, *row) for group, row in enumerate(counts.tolist()) if sum(row)]


def accuracy(rows: Sequence[Row]) -> float:
    """The share of counts on the diagonal of the result."""
    counts = np.array([row[1:] for row in rows], np.int64)
    clusters = np.array([row[0] for row in rows], np.int64)
    return float(counts[np.arange(len(clusters)), clusters].sum() / counts.sum())


def qtensor_contestants(data: pa.Table, model: Any) -> list[Contestant]:
    """A relation asked again, the text asked again, and, to tell the two from what XLA does, the compiled module alone."""
    connection = qtensor.default_connection().create_function("classifier", model)
    relation = qtensor.sql(HEADLINE, data=data)
    session, prepared = connection._session, relation._prepare()
    result = relation.arrow()

    def execute() -> pa.Table:
        for part in session.execute(prepared).parts:
            for array in part:
                array.block_until_ready()
        return result  # decoding is what this leaves out

    return [
        Contestant(WARM, relation.arrow),
        Contestant(ASKED_AGAIN, lambda: qtensor.sql(HEADLINE, data=data).arrow()),
        Contestant(EXECUTION, execute),
    ]


class DuckDBHeadline:
    """DuckDB with the data in a table of its own and the model as an Arrow UDF; close it when done."""

    def __init__(self, data: pa.Table, model: Any, threads: int) -> None:
        self._connection = duckdb.connect(config={"threads": threads})
        self._connection.register("arrow", data)
        self._connection.execute("CREATE TABLE data AS SELECT * FROM arrow")
        self._connection.unregister("arrow")
        self._registered = False
        self.function = self._choose(duckdb_functions(model))

    def _choose(self, functions: dict[str, DuckDBFunction]) -> str:
        """Register the function that is the fastest on this data; its name."""
        seconds = {}
        for name, function in functions.items():
            self._register(function)
            self.arrow()
            seconds[name] = min(timed(self.arrow) for _ in range(3))
        best = min(seconds, key=seconds.__getitem__)
        self._register(functions[best])
        return best

    def _register(self, function: DuckDBFunction) -> None:
        if self._registered:
            self._connection.remove_function("classifier")
        self._connection.create_function("classifier", function, ["DOUBLE"] * len(FEATURES), "BIGINT", type=ARROW)
        self._registered = True

    def arrow(self) -> pa.Table:
        """Ask the query and fetch its rows."""
        return self._connection.sql(HEADLINE).to_arrow_table()

    @property
    def contestant(self) -> Contestant:
        return Contestant(DUCKDB, self.arrow, note=self.function)

    def close(self) -> None:
        self._connection.remove_function("classifier")
        self._connection.close()


def duckdb_functions(model: Any) -> dict[str, DuckDBFunction]:
    """Two ways to call the model on a whole vector of DuckDB's, both without tracing and without a copy that can be avoided."""
    import tensorflow as tf

    signature = tf.TensorSpec([None, len(FEATURES)], tf.float32)
    graph = model.__call__.get_concrete_function(signature)
    compiled = tf.function(lambda batch: tf.argmax(model.scores(batch), 1), input_signature=[signature], jit_compile=True)

    def arrow_function(predict: Callable[[Any], Any]) -> DuckDBFunction:
        def classify(
            murder: pa.ChunkedArray, assault: pa.ChunkedArray, population: pa.ChunkedArray, rape: pa.ChunkedArray
        ) -> pa.Array:
            columns = [column.to_numpy() for column in (murder, assault, population, rape)]
            batch = np.stack(columns, axis=-1, dtype=np.float32, casting="same_kind")
            return pa.array(predict(tf.convert_to_tensor(batch)).numpy())

        return classify

    return {"graph": arrow_function(graph), "compiled by XLA": arrow_function(compiled)}
