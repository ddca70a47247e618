"""The model inside Spark's Python workers: loaded once in each. Imported there by name, and so imports nothing of qtensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def model(path: str) -> Callable[[Any], Any]:
    """The concrete function of the SavedModel at `path`: float32[rows, 4] → int64[rows]."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    function = loaded.signatures["serving_default"]
    (output,) = function.structured_outputs

    def predict(batch: Any) -> Any:
        return function(features=tf.convert_to_tensor(batch))[output].numpy()

    predict.owner = loaded  # type: ignore[attr-defined]  # a signature does not keep its variables alive
    return predict


def classify_row(path: str, murder: float, assault: float, population: float, rape: float) -> int:
    """The class of one row."""
    return int(model(path)(np.array([[murder, assault, population, rape]], np.float32))[0])


def classify_series(path: str, *columns: Any) -> Any:
    """The classes of a batch of rows; pandas Series in and out."""
    import pandas as pd

    batch = np.stack([column.to_numpy() for column in columns], axis=-1, dtype=np.float32, casting="same_kind")
    return pd.Series(model(path)(batch))
