"""Models that cannot be used in SQL: each is refused with a ModelError that says why, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow import import_model, is_tensorflow_model

L = keras.layers
ROWS = tf.TensorSpec([None, 3], tf.float32)


def refused(model: object, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        import_model("m", model, **options)
    return str(error.value)


def function(body: Callable[..., Any], *signature: Any) -> Any:
    return tf.function(body, input_signature=list(signature) or [ROWS], autograph=False)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x - tf.reduce_mean(x, axis=0),
        lambda x: x / tf.reduce_sum(x),
        lambda x: tf.nn.softmax(x, axis=0),
        lambda x: tf.nn.softmax(x[:, 0]),
        lambda x: tf.argmax(x, axis=0),
        lambda x: tf.cumsum(x, axis=0),
        lambda x: x * tf.cast(tf.shape(x)[0], tf.float32),
        lambda x: x * tf.cast(tf.size(x), tf.float32),
        lambda x: x + tf.transpose(x),
        lambda x: tf.matmul(x, x, transpose_b=True),
        lambda x: tf.matmul(x, x, transpose_a=True),
        lambda x: tf.matmul(tf.ones([2, 3]), x, transpose_b=True),
        lambda x: x[:, 0] + x,
        lambda x: x[:, 0] * tf.constant([1.0, 2.0, 3.0]),
        lambda x: x * tf.ones([5, 3]),
        lambda x: x * tf.ones([5, 1, 3]),
        lambda x: x[1:],
        lambda x: x[::-1],
        lambda x: x[0],
        lambda x: x[tf.newaxis, :, 0],
        lambda x: tf.concat([x, x], axis=0),
        lambda x: tf.stack([x[:, 0], x[:, 1]]),
        lambda x: tf.tile(x, [2, 1]),
        lambda x: tf.reshape(x, [-1]),
        lambda x: tf.reshape(x, [-1, 6]),
        lambda x: tf.reshape(x, [2, -1]),
        lambda x: tf.gather(x, [1, 0], axis=0),
        lambda x: tf.gather(tf.ones([4, 4]), tf.cast(x[:, 0], tf.int32), axis=1),
        lambda x: tf.expand_dims(x[:, 0], 0),
        lambda x: tf.broadcast_to(x, [3, 3]),
        lambda x: tf.where(tf.constant([True, False]), 1.0, 2.0) * x[:, 0],
        lambda x: tf.fill([2 * tf.shape(x)[0], 1], 1.0),
    ],
)
def test_mixing_rows(body: Callable[..., Any]) -> None:
    message = refused(function(body))
    assert "is not row-wise" in message
    assert "(node " in message


def test_everything_unsupported_is_listed_at_once() -> None:
    def body(x: Any) -> Any:
        inverse = tf.linalg.inv(x[:, :, None] * x[:, None, :])[:, 0]
        mixed = x - tf.reduce_mean(x, axis=0)
        random = tf.random.uniform(tf.shape(x))
        return tf.math.special.bessel_j0(inverse) + tf.math.special.bessel_y0(mixed) + random

    message = refused(function(body))
    for operator in ("MatrixInverse", "BesselJ0", "BesselY0", "RandomUniform", "Mean"):
        assert operator in message
    assert message.count("unknown operator") >= 4
    assert "is not row-wise" in message


def test_attributes_that_are_not_understood() -> None:
    ones = tf.ones([3])

    def training(x: Any) -> Any:
        images = x[:, None, None, :]
        return tf.raw_ops.FusedBatchNormV3(x=images, scale=ones, offset=ones, mean=ones, variance=ones, is_training=True)[0][
            :, 0, 0
        ]

    assert "is_training = True is not supported" in refused(function(training))
    truncated = function(lambda x: tf.cast(tf.raw_ops.Cast(x=x, DstT=tf.bfloat16, Truncate=True), tf.float32))
    assert "Truncate = True is not supported" in refused(truncated)


def test_checks_are_not_dropped_silently() -> None:
    def body(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x > 0), [x])]):
            return tf.identity(x)

    message = refused(function(body))
    assert "Assert" in message
    assert "effect" in message


def test_strings_and_complex_numbers() -> None:
    assert "StringFormat" in refused(
        function(lambda x: tf.strings.length(tf.strings.format("{}", x)), tf.TensorSpec([None], tf.string))
    )
    assert "AsString" in refused(function(lambda x: tf.strings.to_number(tf.strings.as_string(x))))
    assert "texts that are no argument" in refused(function(lambda x: tf.where(tf.constant(["a", "b", "c"]) == "a", x, 0.0)))
    assert "complex64 type" in refused(function(lambda x: tf.math.real(tf.cast(x, tf.complex64))))


def test_widths() -> None:
    untold = tf.function(lambda x: x * 2)
    assert "pass arguments=" in refused(untold)
    any_width = function(lambda x: x * 2, tf.TensorSpec([None, None], tf.float32))
    assert "pass arguments=" in refused(any_width)
    assert len(import_model("m", any_width, arguments=5).arguments) == 5
    assert "takes 3 columns, not the 4" in refused(function(lambda x: x), arguments=4)
    assert "fixed to 8 rows" in refused(function(lambda x: x, tf.TensorSpec([8, 3], tf.float32)))
    assert "[None, 2, 2]" in refused(function(lambda x: x, tf.TensorSpec([None, 2, 2], tf.float32)))
    pairs = function(lambda x: tf.reduce_sum(x, axis=[1, 2]), tf.TensorSpec([None, None, 2], tf.float32))
    assert "pass arguments=" in refused(pairs)
    assert "which 5 columns do not fill" in refused(pairs, arguments=5)
    assert len(import_model("m", pairs, arguments=6).arguments) == 6
    two = [tf.TensorSpec([None, None], tf.float32)] * 2
    assert "give every input a fixed number" in refused(function(lambda x, y: x + y, *two), arguments=4)
    weights = tf.ones([3, 2])
    assert "cannot be traced" in refused(tf.function(lambda x: x @ weights), arguments=4)
    wrong = function(lambda x: x @ weights, tf.TensorSpec([None, None], tf.float32))
    assert "4 features meet a weight matrix for 3" in refused(wrong, arguments=4)


def test_outputs() -> None:
    several = function(lambda x: {"risk": x[:, 0], "scores": x})
    assert '2 outputs: "risk", "scores"; choose one with output=' in refused(several)
    assert 'Did you mean "risk"?' in refused(several, output="risks")
    assert len(import_model("m", several, output="scores").arguments) == 3
    assert "returns no tensor" in refused(function(lambda x: None))
    assert "two or more scores" in refused(function(lambda x: x[:, 0]), output="class")
    assert "two or more scores" in refused(function(lambda x: tf.argmax(x, 1)), output="class")
    assert "several values a row must be floating-point" in refused(function(lambda x: tf.cast(x, tf.int32)))
    assert "only [batch] and [batch, k]" in refused(function(lambda x: x[:, None, :] * tf.ones([2, 1])))
    assert "the same for all rows" in refused(function(lambda x: tf.constant([[1.0, 2.0]])))


def test_integer_operations_that_may_fail() -> None:
    whole = tf.TensorSpec([None, 2], tf.int32)
    assert "by zero" in refused(function(lambda x: (x // [2, 0])[:, 0], whole))
    assert "exponent" in refused(function(lambda x: (x**x)[:, 0], whole))
    assert "outside the 2 entries" in refused(function(lambda x: tf.gather(x, [0, 5], axis=1)[:, 0], whole))


def test_several_tensors_without_a_signature() -> None:
    options: dict[str, Any]
    for options in ({}, {"arguments": 2}):
        message = refused(tf.function(lambda x, y: x + y), **options)
        assert "takes 2 tensors (x, y)" in message
        assert "input_signature" in message
    import_model("m", tf.function(lambda x, scale=2.0: x[:, 0] * scale), arguments=2)


def test_things_that_are_no_models(tmp_path: Path) -> None:
    assert "not builtins.int" in refused(3)
    assert not is_tensorflow_model(len)
    assert "there is no folder" in refused(tmp_path / "missing")
    assert 'there is no file "nope.keras"' in refused("nope.keras")
    assert "holds no saved_model.pb" in refused(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"garbage")
    assert "cannot be read" in refused(tmp_path)
    file = tmp_path / "model.keras"
    file.write_bytes(b"PK")
    assert "the Keras file" in refused(file)
    (tmp_path / "model.h5").write_bytes(b"")
    assert "the Keras file" in refused(tmp_path / "model.h5")
    assert "has no __call__" in refused(tf.Module())
    bare = tf.Module()
    bare.weight = tf.Variable(1.0)
    tf.saved_model.save(bare, tmp_path / "bare")
    assert 'no signature "serving_default"' in refused(tmp_path / "bare")


def test_keras_on_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([keras.Input((3,)), L.Dense(1)])
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    assert "runs on torch; only TensorFlow and JAX are supported. Save it as a .keras file" in refused(model)


def test_keras_model_that_was_never_built() -> None:
    assert "pass arguments=" in refused(keras.Sequential([L.Dense(1)]))


def test_weights_are_copies() -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    weights = import_model("m", model).weights
    before = [weight.copy() for weight in weights]
    model.set_weights([weight + 1 for weight in model.get_weights()])
    for weight, kept in zip(weights, before, strict=True):
        np.testing.assert_array_equal(weight, kept)
        assert not weight.flags.writeable


def test_models_that_change_their_variables_are_refused() -> None:
    class Counting(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None])])
        def counted(self, batch: Any) -> Any:
            return batch + self.calls.assign_add(1.0)

        @tf.function(input_signature=[tf.TensorSpec([None])])
        def __call__(self, batch: Any) -> Any:
            return self.counted(batch) * 2

    counting = Counting()
    for model in (counting, counting.counted):
        with pytest.raises(ModelError, match=r"changes its variables \(AssignAddVariableOp\)"):
            import_model("m", model)
