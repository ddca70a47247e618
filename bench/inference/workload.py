"""A workload: a model, the columns that it takes, and how its own library computes its first score of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.inference.networks import CITIES, WORDS, WORDS_IN_TEXT, city, keras_model, word
from bench.inference.trees import FEATURES, LIBRARIES, fitted

GROUPS = 50
TENSORFLOW = "TensorFlow"
DIFFERENT_TEXTS = 5_000
KINDS = {
    "group": "SELECT g, avg({score}) AS s FROM t WHERE {chosen} GROUP BY g ORDER BY g",
    "average": "SELECT avg({score}) AS s FROM t WHERE {chosen}",
    "count": "SELECT count(*) AS s FROM t WHERE {chosen} AND {score} > 0.1",
    "rows": "SELECT {score} AS s FROM t WHERE {chosen}",
}

Column: TypeAlias = NDArray[Any]
Scores: TypeAlias = Callable[[Sequence[Column]], NDArray[Any]]  # the model's columns, [rows] each: the first score of each row


@dataclass(frozen=True, eq=False)
class Workload:
    """columns: what the model takes, in order. library: whose model it is; scores: the ways that it has to compute them, by name.
    matrix: those ways for a matrix [rows, features] of all columns, None if not all columns are numbers. ready: scores of the
    model's inputs, put together from columns before; None where that is a matrix.
    score: the first score in SQL. kind: of query, one of KINDS. groups: int32[rows]. x: float32[rows], uniform in [0, 1).
    """

    name: str
    model: Any
    library: str
    columns: dict[str, Column]
    scores: dict[str, Scores]
    matrix: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]] | None
    score: str
    kind: str
    groups: NDArray[np.int32]
    x: NDArray[np.float32]
    ready: Callable[[], Callable[[], NDArray[Any]]] | None = None

    @property
    def rows(self) -> int:
        return len(self.x)

    def query(self, share: float) -> str:
        """The query over a table t, of a share of its rows."""
        text = KINDS[self.kind].format(score=self.score, chosen=f"x < {share}")
        return text if share < 1 else text.replace(f" WHERE x < {share} AND", " WHERE").replace(f" WHERE x < {share}", "")

    def answer(self, scores: NDArray[Any], groups: NDArray[np.int32]) -> pa.Table:
        """What the query makes of the scores and groups of the chosen rows, by NumPy."""
        match self.kind:
            case "group":
                counts = np.bincount(groups, minlength=GROUPS)
                (there,) = counts.nonzero()
                return pa.table({"g": there, "s": np.bincount(groups, scores, GROUPS)[there] / counts[there]})
            case "average":
                return pa.table({"s": [scores.mean(dtype=np.float64)]})
            case "count":
                return pa.table({"s": [float(np.count_nonzero(scores > np.float32(0.1)))]})
            case _:
                return pa.table({"s": scores})

    def table(self) -> pa.Table:
        return pa.table({**self.columns, "g": self.groups, "x": self.x})

    def stacked(self) -> NDArray[np.float32]:
        """The columns as a matrix [rows, features]."""
        return np.stack(list(self.columns.values()), axis=-1)


def workload(name: str, rows: int, query: str = "group") -> Workload:
    """A network or trees by name, with a table of random rows and a kind of query."""
    kind, *sizes = name.split("-")
    random = np.random.default_rng(0)
    groups, x = random.integers(0, GROUPS, rows).astype(np.int32), random.uniform(size=rows).astype(np.float32)
    if kind in LIBRARIES:
        model, matrix = fitted(kind, *map(int, sizes))
        columns = numbers(random, rows, FEATURES)
        return Workload(name, model, LIBRARIES[kind], columns, of_columns(matrix), matrix, called(columns), query, groups, x)
    model = keras_model(name)
    if name in TEXTS:
        columns, network = TEXTS[name](random, rows), TextNetwork(model)

        def ready() -> Callable[[], NDArray[Any]]:
            return functools.partial(network.of_tensors, network.tensors(list(columns.values())))

        return Workload(name, model, TENSORFLOW, columns, {"graph": network}, None, called(columns), query, groups, x, ready)
    columns = numbers(random, rows, math.prod(model.inputs[0].shape[1:]))
    matrix = network_scores(model)
    score = called(columns) + ("[1]" if model.outputs[0].shape[-1] > 1 else "")
    return Workload(name, model, TENSORFLOW, columns, of_columns(matrix), matrix, score, query, groups, x)


def numbers(random: np.random.Generator, rows: int, width: int) -> dict[str, Column]:
    return {f"c{number}": random.normal(size=rows).astype(np.float32) for number in range(width)}


def wide_deep_columns(random: np.random.Generator, rows: int) -> dict[str, Column]:
    """Texts of which every hundredth is unknown."""
    known = np.array([city(number) for number in range(CITIES + CITIES // 100)], object)
    return {name: known[random.integers(0, len(known), rows)] for name in ("city", "shop")} | numbers(random, rows, 6)


def text_columns(random: np.random.Generator, rows: int) -> dict[str, Column]:
    """Up to DIFFERENT_TEXTS texts, as in a column of products or of reasons."""
    chosen = random.integers(0, WORDS + 20, (min(rows, DIFFERENT_TEXTS), WORDS_IN_TEXT))
    texts = np.array([" ".join(word(number) for number in row).capitalize() + "." for row in chosen], object)
    return {"text": texts[random.integers(0, len(texts), rows)]}


TEXTS = {"wide-deep": wide_deep_columns, "text": text_columns}


def called(columns: dict[str, Column]) -> str:
    return f"score({', '.join(columns)})"


def of_columns(matrix: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]]) -> dict[str, Scores]:
    """The ways of a matrix, of columns that are first brought together."""
    return {name: functools.partial(stacked_first, way) for name, way in matrix.items()}


def stacked_first(way: Callable[[NDArray[np.float32]], NDArray[Any]], columns: Sequence[Column]) -> NDArray[Any]:
    return way(np.stack(columns, axis=-1))


def network_scores(model: Any) -> dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]]:
    """A Keras model of one matrix as XLA compiles it for each number of rows, and as a graph for any."""
    import tensorflow as tf

    shape = tuple(model.inputs[0].shape[1:])

    def first(batch: Any) -> Any:
        return model(tf.reshape(batch, (-1, *shape)), training=False)[:, 0]

    compiled = tf.function(first, jit_compile=True)
    signature = [tf.TensorSpec([None, math.prod(shape)], tf.float32)]
    graph = tf.function(first, input_signature=signature)
    return {"compiled by XLA": lambda batch: compiled(batch).numpy(), "graph": lambda batch: graph(tf.constant(batch)).numpy()}


class TextNetwork:
    """A Keras model with texts as a graph: XLA takes no texts."""

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        inputs = [(one.shape[-1], tf.string if one.dtype == "string" else tf.float32) for one in model.inputs]
        self._inputs = inputs

        @tf.function(input_signature=[tf.TensorSpec([None, width], kind) for width, kind in inputs])  # type: ignore[untyped-decorator]
        def graph(*given: Any) -> Any:
            return model(list(given) if len(given) > 1 else given[0], training=False)[:, 0]

        self._graph = graph

    def tensors(self, columns: Sequence[Column]) -> list[Any]:
        """The model's inputs."""
        import tensorflow as tf

        found, first = [], 0
        for width, kind in self._inputs:
            found.append(tf.constant(np.stack(columns[first : first + width], axis=-1), kind))
            first += width
        return found

    def __call__(self, columns: Sequence[Column]) -> NDArray[Any]:
        return self.of_tensors(self.tensors(columns))

    def of_tensors(self, tensors: Sequence[Any]) -> NDArray[Any]:
        found: NDArray[Any] = self._graph(*tensors).numpy()
        return found
