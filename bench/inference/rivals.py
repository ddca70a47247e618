"""Who answers a workload's query, and how: the model's own library or ONNX Runtime with NumPy, DuckDB with an Arrow UDF, qtensor.

What can be done in several ways is done in the one that is the fastest on this data, and the figures say which that was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, Signature
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import ARROW
from numpy.typing import NDArray

import qtensor
from bench.inference.workload import TENSORFLOW, Column, Scores, Workload
from bench.timing import Contestant, timed

QTENSOR = "qtensor"
STACKED = "stacked before"
ONNX = "ONNX Runtime"
DUCKDB = "DuckDB, Arrow UDF"
SPARK = "Spark, predict_batch_udf"
TRIED_SECONDS = 0.1
VECTOR = 2_048  # the rows that DuckDB calls a function for

Chosen: TypeAlias = Callable[[NDArray[np.bool_] | None], NDArray[Any]]  # the scores of all rows, or of those that are chosen
Answer: TypeAlias = Callable[[], pa.Table]


def fastest(name: str, ways: Mapping[str, Answer]) -> Contestant:
    """The contestant that goes the fastest of several ways, each tried after a call that is not timed, short ones three times."""
    if len(ways) == 1:
        return Contestant(name, *ways.values(), note=next(iter(ways)))
    seconds = {}
    for way, answer in ways.items():
        answer()
        tries = [timed(answer)]
        while len(tries) < 3 and sum(tries) < TRIED_SECONDS:
            tries.append(timed(answer))
        seconds[way] = min(tries)
    best = min(seconds, key=seconds.__getitem__)
    return Contestant(name, ways[best], note=best)


def with_numpy(workload: Workload, share: float, scores: Mapping[str, Chosen]) -> dict[str, Answer]:
    """The query in NumPy, the model called for all rows, or, where that leaves fewer, for those that the filter chose."""

    def whole(of: Chosen) -> pa.Table:
        found = of(None)
        if share >= 1:
            return workload.answer(found, workload.groups)
        chosen = workload.x < np.float32(share)
        return workload.answer(found[chosen], workload.groups[chosen])

    def filtered(of: Chosen) -> pa.Table:
        chosen = workload.x < np.float32(share)
        return workload.answer(of(chosen), workload.groups[chosen])

    forms = {"all rows": whole} | ({"filtered first": filtered} if share < 1 else {})
    return {f"{way}, {form}": functools.partial(answer, of) for way, of in scores.items() for form, answer in forms.items()}


def from_columns(workload: Workload, scores: Scores) -> Chosen:
    columns = list(workload.columns.values())
    return lambda chosen: scores(columns if chosen is None else [column[chosen] for column in columns])


def library(workload: Workload, share: float) -> list[Contestant]:
    """The model's own library, its input brought together from columns in each call, and from inputs that were so before."""
    ways = {way: from_columns(workload, scores) for way, scores in workload.scores.items()}
    found = [fastest(workload.library, with_numpy(workload, share, ways))]
    if workload.matrix is not None:
        matrix = workload.stacked()
        stacked: dict[str, Chosen] = {
            way: lambda chosen, scores=scores: scores(matrix if chosen is None else matrix[chosen])  # type: ignore[misc]
            for way, scores in workload.matrix.items()
        }
        found.append(fastest(f"{workload.library}, {STACKED}", with_numpy(workload, share, stacked)))
    elif workload.ready is not None:
        scores = workload.ready()
        kept: dict[str, Chosen] = {
            "tensors": lambda chosen: scores() if chosen is None else scores()[chosen]  # a tensor of texts is not cut for less
        }
        found.append(fastest(f"{workload.library}, {STACKED}", with_numpy(workload, share, kept)))
    return found


def onnx_runtime(workload: Workload, share: float, model: bytes) -> Contestant:
    """ONNX Runtime on all cores, over a matrix that is brought together in each call."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def scores(columns: list[Column]) -> NDArray[Any]:
        (found,) = session.run(None, {given.name: np.stack(columns, axis=-1)})
        return found[:, 0]  # type: ignore[no-any-return]

    return fastest(ONNX, with_numpy(workload, share, {"session": from_columns(workload, scores)}))  # type: ignore[arg-type]


@contextmanager
def duckdb_udf(workload: Workload, share: float, threads: int) -> Iterator[Contestant]:
    """DuckDB with the rows in a table of its own, which calls the library for each of its vectors."""
    connection = duckdb.connect(config={"threads": threads})
    table = workload.table()
    connection.register("arrow", table)
    connection.execute("CREATE TABLE t AS SELECT * FROM arrow")
    connection.unregister("arrow")
    types = ["VARCHAR" if column.dtype == object else "FLOAT" for column in workload.columns.values()]
    kind = "FLOAT" if workload.library in (TENSORFLOW, "XGBoost") else "DOUBLE"
    query, ways = workload.query(share).replace("[1]", ""), {}
    for number, (way, scores) in enumerate(udf_ways(workload).items()):
        connection.create_function(f"score{number}", arrow_function(scores, len(types)), types, kind, type=ARROW)
        text = query.replace("score(", f"score{number}(")
        ways[way] = lambda text=text: connection.sql(text).to_arrow_table()
    try:
        yield fastest(DUCKDB, ways)
    finally:
        connection.close()


def udf_ways(workload: Workload) -> dict[str, Scores]:
    """The library's ways; what XLA compiles for each number of rows is given whole vectors."""
    return {way: in_whole_vectors(scores) if way == "compiled by XLA" else scores for way, scores in workload.scores.items()}


def in_whole_vectors(scores: Scores) -> Scores:
    def padded(columns: Any) -> NDArray[Any]:
        rows = len(columns[0])
        missing = -rows % VECTOR
        return scores([np.pad(column, (0, missing)) for column in columns] if missing else columns)[:rows]

    return padded


def arrow_function(scores: Scores, width: int) -> Callable[..., pa.Array]:
    """A function of `width` columns, which DuckDB counts by its signature."""

    def score(*columns: pa.ChunkedArray) -> pa.Array:
        return pa.array(scores([column.to_numpy() for column in columns]))

    parameters = [Parameter(f"c{number}", Parameter.POSITIONAL_ONLY) for number in range(width)]
    score.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return score


@contextmanager
def qtensor_relation(workload: Workload, share: float) -> Iterator[Contestant]:
    with qtensor.connect() as connection:
        connection.register("t", workload.table())
        connection.create_function("score", workload.model)
        yield Contestant(QTENSOR, connection.sql(workload.query(share)).arrow)
