"""TensorFlow Lite's files beside its interpreter: floats to 1e-5, quantised numbers equal, or one quantum away where it is said."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

import qtensor
from qtensor.errors import ModelError
from qtensor.lowering.models.kinds import imported_model
from tests.models.oracle import columns_of, run

L = keras.layers


def sequence(width: int, *layers: Any) -> keras.Model:
    return keras.Sequential([keras.Input((width,)), *layers])


def mixed() -> keras.Model:
    first = keras.Input((6,))
    second = L.Dense(6, "relu6")(first)
    product = L.Multiply()([L.Add()([first, second]), second])
    joined = L.Concatenate()([product, first])
    return keras.Model(first, L.Dense(2, "sigmoid")(L.Subtract()([L.Dense(4)(joined), L.Dense(4)(first)])))


def attention() -> keras.Model:
    first = keras.Input((6,))
    rows = L.Reshape((3, 2))(first)
    return keras.Model(first, L.GlobalMaxPooling1D()(L.LayerNormalization()(rows + L.MultiHeadAttention(2, 4)(rows, rows))))


def image() -> keras.Model:
    layers = [L.Conv2D(4, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.DepthwiseConv2D(3), L.AveragePooling2D(2, 1)]
    return sequence(64, L.Reshape((8, 8, 1)), *layers, L.Flatten(), L.Dense(5))


MODELS = {
    "dense": lambda: sequence(6, L.Dense(16, "relu"), L.BatchNormalization(), L.Dense(8, "tanh"), L.Dense(3, "softmax")),
    "image": image,
    "mixed": mixed,
    "attention": attention,
    "mean": lambda: sequence(12, L.Reshape((3, 2, 2)), L.Conv2D(3, 2), L.GlobalAveragePooling2D()),
    "wide": lambda: sequence(64, L.Dense(64, "relu"), L.Dense(40)),
    "wide image": lambda: sequence(64, L.Reshape((8, 8, 1)), L.Conv2D(20, 3), L.Conv2D(20, 3), L.Flatten(), L.Dense(3)),
}  # fmt: skip
QUANTA = {"dense": 0, "image": 1, "mixed": 0, "mean": 1}
CASES = [
    *((name, "float") for name in ("dense", "image", "mixed", "attention", "mean")),
    ("image", "halves"),
    ("wide", "range"),
    ("wide image", "range"),
    *((name, "integers") for name in QUANTA),
]


@functools.cache
def converted(name: str, kind: str) -> tuple[bytes, int]:
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    width = model.input_shape[1]
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "halves":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "integers":
        examples = np.random.default_rng(0).normal(size=(100, width)).astype(np.float32)
        converter.representative_dataset = lambda: ([examples[row : row + 1]] for row in range(100))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert(), width


def interpreted(content: bytes, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """The interpreter's outputs, as numbers that are meant, and the quantum."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for row in rows:
        if given["dtype"] != np.float32:
            scale, zero = given["quantization"]
            ratio = row / np.float32(scale)
            row = np.clip(np.trunc(ratio + np.copysign(np.float32(0.5), ratio)) + zero, -128, 127).astype(given["dtype"])
        interpreter.set_tensor(given["index"], row.reshape(given["shape"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(taken["index"]).ravel())
    scale, zero = taken["quantization"]
    values = np.array(found, np.float64)
    return ((values - zero) * scale, scale) if taken["dtype"] != np.float32 else (values, 0.0)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_as_by_the_interpreter(name: str, kind: str, tmp_path: Path) -> None:
    content, width = converted(name, kind)
    (tmp_path / "model.tflite").write_bytes(content)
    rows = np.concatenate(
        [np.full((1, width), value) for value in (0, -0.0, 1e4, -1e4)] + [np.random.default_rng(1).normal(size=(200, width))]
    )
    rows = rows.astype(np.float32)
    expected, quantum = interpreted(content, rows)
    found = run(imported_model("m", tmp_path / "model.tflite"), *columns_of(rows)).reshape(expected.shape)
    if kind == "integers":
        steps = np.round(np.abs(found - expected) / quantum)
        assert steps.max() <= QUANTA[name]
        assert (steps == 0).mean() > 0.95
        return
    apart = (np.abs(found - expected) / np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))).max(axis=1)
    assert (apart <= 1e-5).mean() > (0.9 if kind == "range" else 0.999)
    assert apart.max() <= (2e-2 if kind == "range" else 1e-5)  # a number of a row that lies between two quanta may be either


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_in_queries_and_what_goes_wrong(tmp_path: Path) -> None:
    content, _ = converted("dense", "float")
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with qtensor.connect() as connection:
        connection.create_function("m", path, output="class")
        assert connection.sql("SELECT m([1, 2, 3, 4, 5, 6]) < 3 FROM (VALUES (1))").fetchall() == [(True,)]
        with pytest.raises(ModelError, match="takes 6 columns, not the 5"):
            connection.create_function("m", path, arguments=5)
    for damaged in (content[:100], b"x" * 64, content[:4] + b"TFL9" + content[8:]):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="no TensorFlow Lite model, or is damaged"):
            imported_model("m", path)
    (tmp_path / "attention.tflite").write_bytes(converted("attention", "integers")[0])
    with pytest.raises(ModelError, match="of quantised numbers is not supported"):
        imported_model("m", tmp_path / "attention.tflite")
