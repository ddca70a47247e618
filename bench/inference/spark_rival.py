"""Spark with `predict_batch_udf` as a contestant, over a cached DataFrame of the workload's table."""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.inference.rivals import SPARK
from bench.inference.spark_side import of_columns
from bench.inference.workload import TENSORFLOW, Workload
from bench.spark import ROWS_IN_BATCH, SETTLE, cached
from bench.timing import Contestant


def saved(workload: Workload, folder: Path) -> str:
    """The model in a file for the workers, which keep what they have read: so each has a name of its own."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    if workload.library != TENSORFLOW:
        path = folder / "model.pickle"
        path.write_bytes(pickle.dumps(workload.model))
        return str(path)
    import tensorflow as tf

    model, shape = workload.model, tuple(workload.model.inputs[0].shape[1:])
    module = tf.Module()
    module.model = model  # its variables
    signature = [tf.TensorSpec([None, math.prod(shape)], tf.float32)]
    module.first = tf.function(
        lambda batch: model(tf.reshape(batch, (-1, *shape)), training=False)[:, 0], input_signature=signature
    )
    tf.saved_model.save(module, str(folder / "model"))
    return str(folder / "model")


@contextmanager
def spark_udf(session: Any, workload: Workload, share: float, folder: Path) -> Iterator[Contestant]:
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import FloatType

    path, width = saved(workload, folder), len(workload.columns)

    def make() -> Callable[[Any], Any]:
        return of_columns(path, width)

    frame = session.createDataFrame(workload.table())
    cached(frame, "t")
    session.udf.register("score", predict_batch_udf(make, return_type=FloatType(), batch_size=ROWS_IN_BATCH))
    query = workload.query(share).replace("[1]", "")
    try:
        yield Contestant(SPARK, lambda: session.sql(query).toArrow(), SETTLE)
    finally:
        session.catalog.dropTempView("t")
        session.catalog.clearCache()
