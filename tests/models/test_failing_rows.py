"""Rows for which TensorFlow raises an error, or never ends, in gathers, branches and loops: they are marked, and only they."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from qtensor.lowering.models.tensorflow import control_flow, import_model
from tests.models.oracle import failures

pytestmark = pytest.mark.usefixtures("orientation")

WHOLE = tf.TensorSpec([None, 3], tf.int32)
ROWS = np.array([[0, 1, 2], [2, 3, 0], [-1, 0, 1], [2, 2, 2], [1, 0, 9]], np.int32)
TABLE = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 2)), tf.float32)


def first(x: Any) -> Any:
    return tf.reduce_sum(tf.reshape(x, [tf.shape(x)[0], -1]), axis=1)


def gathered(x: Any) -> Any:
    return first(tf.cast(tf.gather(x, x, axis=1, batch_dims=1), tf.float32))


def of_places(x: Any) -> Any:
    return first(tf.gather_nd(TABLE, x[:, :2]))


def merged(x: Any) -> Any:
    """An index of each of several entries of a row."""
    return first(tf.reshape(tf.gather(TABLE[0], tf.reshape(x, [-1])), [-1, 6]))


def in_a_loop(x: Any) -> Any:
    def turn(i: Any, total: Any) -> Any:
        return i + 1, total + tf.gather(TABLE[0, :, 0], x[:, i % 3])

    return tf.while_loop(lambda i, _: i < 40, turn, [0, tf.zeros(tf.shape(x)[:1])])[1]


@pytest.mark.parametrize("function", [gathered, of_places, merged, in_a_loop])
def test_an_index_outside(function: Any) -> None:
    traced = tf.function(function, input_signature=[WHOLE], autograph=False)
    model = import_model("m", traced)
    assert "an index outside" in (model.fails or "")
    failed, results = failures(model, *ROWS.T)
    assert failed.any() and not failed.all()
    for row, fails, result in zip(ROWS, failed, results, strict=True):
        if fails:
            with pytest.raises(tf.errors.InvalidArgumentError):
                traced(row[None])
        else:
            np.testing.assert_allclose(result, traced(row[None]).numpy()[0], rtol=1e-5)


def test_only_the_branch_that_a_row_takes_fails() -> None:
    def row(one: Any) -> Any:
        return tf.cond(one[0] > 0, lambda: 7 // one[1], lambda: one[2])

    traced = tf.function(lambda x: tf.map_fn(row, x), input_signature=[WHOLE], autograph=False)
    failed, results = failures(import_model("m", traced), *ROWS.T)
    np.testing.assert_array_equal(failed, [False, False, False, False, True])
    np.testing.assert_array_equal(results[:4], traced(ROWS[:4]).numpy())


def test_a_loop_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_flow, "MOST_TURNS", 30)

    def row(one: Any) -> Any:
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 20, lambda y: [y * 2], [one])[0]

    traced = tf.function(lambda x: first(tf.map_fn(row, x)), input_signature=[WHOLE], autograph=False)
    model = import_model("m", traced)
    assert "a loop without an end" in (model.fails or "")
    rows = np.array([[0, 0, 0], [1, 2, 3], [9, 9, 9], [1, -1, 0]], np.int32)
    failed, results = failures(model, *rows.T)
    np.testing.assert_array_equal(failed, [True, False, False, True])
    np.testing.assert_array_equal(results[1:3], traced(rows[1:3]).numpy())
