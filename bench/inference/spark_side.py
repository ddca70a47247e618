"""A model inside Spark's Python workers: loaded once in each. Imported there by name, and so imports nothing of qtensor."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import numpy as np


@cache
def loaded(path: str) -> Callable[[Any], Any]:
    """The model saved at `path` as a function of a matrix [rows, features]: its first score, float32[rows]."""
    if Path(path).suffix == ".pickle":  # one that the benchmark wrote itself
        model = pickle.loads(Path(path).read_bytes())
        return lambda batch: model.predict(batch).astype("float32")
    import tensorflow as tf

    kept = tf.saved_model.load(path)
    return lambda batch: kept.first(tf.convert_to_tensor(batch)).numpy()


def of_columns(path: str, width: int) -> Callable[..., Any]:
    """The model at `path` as a function of `width` columns, which Spark counts by its signature."""
    model = loaded(path)

    def score(*columns: Any) -> Any:
        return model(np.stack(columns, axis=-1))

    parameters = [Parameter(f"c{number}", Parameter.POSITIONAL_ONLY) for number in range(width)]
    score.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return score
