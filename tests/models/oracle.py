"""Run an imported model as the engine does, and the original as TensorFlow does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.model import Model, Prediction
from qtensor.types import Array

COMPILER_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


def run(model: Model, *columns: NDArray[Any]) -> NDArray[Any]:
    """The model's result for columns [n], compiled: [n], or [n, k] for k scores."""
    prediction = predicted(model, columns)
    result, rows = np.asarray(prediction.result), len(columns[0])
    if isinstance(model.result, Array):
        assert result.shape == (model.result.length, rows)
        return result.T
    assert result.shape == (rows,)
    return result


def failures(model: Model, *columns: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Which rows have no result, bool[n], and the results as `run` gives them."""
    failed = predicted(model, columns).failed
    assert failed is not None
    return np.asarray(failed), run(model, *columns)


def predicted(model: Model, columns: Sequence[NDArray[Any]]) -> Prediction:
    assert len(columns) == len(model.arguments)
    typed = [np.ascontiguousarray(column, dtype) for column, dtype in zip(columns, model.arguments, strict=True)]
    with jax.enable_x64(True):
        compiled = jax.jit(model.apply).lower(model.weights, typed).compile(compiler_options=COMPILER_OPTIONS)
        prediction: Prediction = compiled(model.weights, typed)
    return prediction


def extreme_rows(rows: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Random features [rows, width], some of them very large, tiny, zero of both signs, infinite or NaN."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, width)).astype(np.float32)
    special = np.array(
        [0, -0.0, 1, -1, 0.5, 2.5, -3.5, 20, -20, 1e4, -1e4, 1e30, -1e30, 1e-30, np.inf, -np.inf, np.nan], np.float32
    )
    odd = random.random(values.shape) < 0.3
    values[odd] = random.choice(special, odd.sum())
    return values


def assert_scores_equal(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """Equal to 1e-5 relative; NaN and infinities at the same places."""
    np.testing.assert_allclose(
        np.asarray(found, np.float64), np.asarray(expected, np.float64).reshape(found.shape), rtol=1e-5, atol=1e-6
    )


def assert_classes_equal(found: NDArray[Any], scores: NDArray[Any], expected: NDArray[Any], margin: float = 1e-6) -> None:
    """Classes equal in all rows whose two greatest `scores` [n, k] are `margin` apart."""
    top = np.sort(np.asarray(scores, np.float64), axis=1)[:, -2:]
    clear = ~(top[:, 1] - top[:, 0] < margin)
    assert len(found) == 0 or clear.mean() > 0.5, "too few rows decide anything"
    np.testing.assert_array_equal(found[clear], np.asarray(expected)[clear])


def columns_of(rows: Sequence[Sequence[float]] | NDArray[Any]) -> list[NDArray[Any]]:
    return list(np.asarray(rows).T)
