"""Networks of layers on sequences and images against Keras: as columns, in queries, of any number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

import qtensor
from qtensor.lowering.models.tensorflow import import_model
from tests.models.oracle import assert_scores_equal, run

L = keras.layers


def stacked(shape: tuple[int, ...], *layers: Any) -> Any:
    return keras.Sequential([keras.Input(shape), *layers, L.Flatten(), L.Dense(2)])


def encoder() -> Any:
    given = keras.Input((6, 8))
    attended = L.LayerNormalization()(given + L.MultiHeadAttention(2, 4)(given, given))
    wide = L.Dense(8)(L.Dense(12, activation="gelu")(attended))
    return keras.Model(given, L.Dense(2)(L.GlobalAveragePooling1D()(L.LayerNormalization()(attended + wide))))


def two_towers() -> Any:
    towers = keras.Input((4,)), keras.Input((3,))
    return keras.Model(list(towers), L.Dot(1, normalize=True)([L.Dense(8)(tower) for tower in towers]))


def attention(kind: Any) -> Any:
    query, value = keras.Input((3, 4)), keras.Input((5, 4))
    return keras.Model([query, value], L.Flatten()(kind([query, value])))


def halves() -> Any:
    policy = keras.mixed_precision.DTypePolicy("mixed_bfloat16")
    return keras.Sequential([keras.Input((6,)), L.Dense(8, activation="relu", dtype=policy), L.Dense(2, dtype="float32")])


NETWORKS: dict[str, Callable[[], Any]] = {
    "dense over time": lambda: stacked((5, 3), L.Dense(4), L.TimeDistributed(L.Dense(2)), L.Permute((2, 1)), L.Dense(3)),
    "encoder": encoder,
    "two towers": two_towers,
    "dot attention": lambda: attention(L.Attention()),
    "additive attention": lambda: attention(L.AdditiveAttention()),
    "grouped attention": lambda: stacked((5, 8), Grouped()),
    "LSTM": lambda: stacked((20, 3), L.LSTM(5)),
    "LSTM of sequences": lambda: stacked((6, 3), L.LSTM(5, return_sequences=True), L.LSTM(4, go_backwards=True)),
    "GRU in both directions": lambda: stacked((12, 3), L.Bidirectional(L.GRU(4, return_sequences=True))),
    "GRU reset before": lambda: stacked((5, 3), L.GRU(4, reset_after=False)),
    "SimpleRNN unrolled": lambda: stacked((5, 3), L.SimpleRNN(4, unroll=True)),
    "cells of several kinds": lambda: stacked((5, 3), L.RNN([L.LSTMCell(4), L.GRUCell(3)])),
    "ConvLSTM": lambda: stacked((4, 6, 6, 2), L.ConvLSTM2D(3, 3)),
    "masked LSTM": lambda: stacked((9, 2), L.Masking(0.0), L.LSTM(3)),
    "CNN": lambda: stacked((12, 12, 2), L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), L.BatchNormalization(), L.Conv2D(5, 2)),
    "MobileNet": lambda: stacked((12, 12, 2), L.SeparableConv2D(4, 3), L.DepthwiseConv2D(3, padding="same"), L.ReLU(6), L.GlobalAveragePooling2D(keepdims=True)),
    "dilated": lambda: stacked((12, 12, 2), L.DepthwiseConv2D(3, dilation_rate=2), L.Conv2D(3, 3, dilation_rate=2)),
    "groups": lambda: stacked((8, 8, 4), L.Conv2D(8, 3, groups=2, strides=2, padding="same")),
    "decoder": lambda: stacked((3, 3, 4), L.Conv2DTranspose(3, 3, strides=2, padding="same"), L.UpSampling2D(2), L.ZeroPadding2D(1), L.Cropping2D(2)),
    "resized": lambda: stacked((6, 5, 2), L.UpSampling2D((2, 3), interpolation="bilinear"), L.Resizing(7, 9)),
    "one dimension": lambda: stacked((20, 3), L.Conv1D(4, 3, padding="causal", dilation_rate=2), L.MaxPooling1D(2), L.AveragePooling1D(3, padding="same"), L.Conv1DTranspose(3, 3)),
    "three dimensions": lambda: stacked((6, 6, 6, 2), L.Conv3D(4, 3), L.MaxPooling3D(2), L.Conv3DTranspose(3, 2)),
    "convolution over time": lambda: stacked((4, 6, 6, 2), L.TimeDistributed(L.Conv2D(3, 3))),
    "repeated": lambda: stacked((4,), L.RepeatVector(3), L.LSTM(3)),
    "squeeze and excite": lambda: squeezed(),
    "bfloat16": halves,
}  # fmt: skip


class Grouped(L.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.attention = L.GroupQueryAttention(4, 4, 2)

    def call(self, x: Any) -> Any:
        return self.attention(x, x)


def squeezed() -> Any:
    given = keras.Input((6, 6, 4))
    share = L.Dense(4, activation="sigmoid")(L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(given)))
    return keras.Model(given, L.GlobalMaxPooling2D()(given * L.Reshape((1, 1, 4))(share)))


def made(name: str) -> Any:
    keras.utils.set_random_seed(1)
    return NETWORKS[name]()


def drawn(model: Any, rows: int) -> list[Any]:
    """Normal numbers for each input, with some zeros and large ones."""
    random = np.random.default_rng(rows)
    found = []
    for tensor in model.inputs:
        values = random.normal(size=(rows, *tensor.shape[1:])).astype(np.float32)
        odd = random.random(values.shape)
        values[odd < 0.1] = 0
        values[odd > 0.99] *= 50
        found.append(values)
    return found


def scores(model: Any, data: list[Any]) -> Any:
    return np.asarray(model(data if len(data) > 1 else data[0], training=False))


def columns(data: list[Any]) -> list[Any]:
    return [column for values in data for column in values.reshape(len(values), -1).T]


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_keras(name: str) -> None:
    model = made(name)
    data = drawn(model, 61)
    expected = scores(model, data)
    scale = np.abs(expected).max() * (2**7 if name == "bfloat16" else 1)  # of which 8 bits are kept
    assert_scores_equal(run(import_model("m", model), *columns(data)) / scale, expected / scale)


def test_how_much_networks_compute() -> None:
    """Multiply-adds of products, convolutions and loops: what decides in which blocks of rows they are computed."""
    lstm = import_model("m", keras.Sequential([keras.Input((20, 8)), L.LSTM(16), L.Dense(1)]))
    assert lstm.work == 20 * (8 + 16) * 4 * 16
    cnn = import_model("m", keras.Sequential([keras.Input((10, 10, 3)), L.Conv2D(8, 3), L.Flatten(), L.Dense(4)]))
    assert cnn.work == 8 * 8 * 8 * 9 * 3 + 512 * 4
    large = import_model("m", keras.Sequential([keras.Input((10, 10, 3)), L.Conv2D(8, 5), L.Flatten(), L.Dense(4)]))
    assert large.work == 6 * 6 * 8 * 25 * 3 + 288 * 4
    deep = import_model("m", keras.Sequential([keras.Input((10, 10, 3)), L.DepthwiseConv2D(3), L.Flatten(), L.Dense(4)]))
    assert deep.work == 8 * 8 * 3 * 9 + 192 * 4
    product = import_model("m", encoder())
    projections, products, wide = 4 * 6 * 8 * 8, 2 * 6 * 6 * 8, 2 * 6 * 8 * 12
    assert product.work == projections + products + wide


def test_images_are_computed_a_few_at_a_time() -> None:
    """No array of a program over many rows of images is larger than a block of them."""
    model = import_model("m", keras.Sequential([keras.Input((4, 4, 1)), L.UpSampling2D(16), L.GlobalMaxPooling2D()]))
    rows = 1 << 16
    shapes = [jax.ShapeDtypeStruct((rows,), np.float32)] * 16
    with jax.enable_x64(True):
        compiled = jax.jit(model.apply).lower(model.weights, shapes).compile()
    held = compiled.memory_analysis().temp_size_in_bytes
    assert held < 8 * rows * 16 * 4, "a few times the rows themselves: all images together are 64 x 64 x 4 bytes a row, 1 GB"


def attended() -> Any:
    given = keras.Input((3, 4))
    return keras.Model(given, L.Dense(2)(L.Flatten()(L.MultiHeadAttention(1, 2)(given, given))))


SMALL: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: stacked((4, 3), L.LSTM(3)),
    "CNN": lambda: stacked((5, 5, 1), L.Conv2D(2, 3), L.MaxPooling2D()),
    "attention": attended,
}


@pytest.mark.parametrize("rows", [1, 65_537])
@pytest.mark.parametrize("name", SMALL)
def test_queries_of_any_number_of_rows(name: str, rows: int) -> None:
    """NULL in any argument gives NULL."""
    keras.utils.set_random_seed(1)
    model = SMALL[name]()
    data = drawn(model, rows)
    given = columns(data)
    table: dict[str, Any] = {f"c{number}": column for number, column in enumerate(given)}
    empty = np.arange(rows) % 7 == 3
    with qtensor.connect() as connection:
        connection.create_function("m", model)
        connection.register("t", table | {"empty": empty})
        first = "CASE WHEN empty THEN NULL ELSE c0 END"
        query = f"SELECT m({', '.join([first, *list(table)[1:]])})[1] AS s FROM t"
        found = connection.sql(query).arrow()["s"]
    np.testing.assert_array_equal(found.is_null().to_numpy(), empty)
    expected = scores(model, data)[~empty, 0]
    scale = np.abs(expected).max()
    assert_scores_equal(found.drop_null().to_numpy() / scale, expected / scale)
