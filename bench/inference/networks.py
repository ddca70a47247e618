"""The Keras models of the benchmark, by their names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

CITIES = 1_000  # different texts in the columns that models look up
WORDS, WORDS_IN_TEXT = 200, 6


def keras_model(name: str) -> Any:
    """A network of `NETWORKS`, or a dense one by the widths of its layers, of which the first is the input's: "4-16-4"."""
    import keras

    keras.utils.set_random_seed(0)
    return NETWORKS[name]() if name in NETWORKS else dense(tuple(map(int, name.split("-"))))


def dense(sizes: Sequence[int]) -> Any:
    import keras

    hidden = [keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]]
    return keras.Sequential([keras.Input((sizes[0],)), *hidden, keras.layers.Dense(sizes[-1])])


def softmax() -> Any:
    """A softmax regression of four features and classes."""
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="softmax")])


def recurrent(layer: str) -> Any:
    """32 units over 20 steps of 8 features."""
    import keras

    return keras.Sequential([keras.Input((20, 8)), getattr(keras.layers, layer)(32), keras.layers.Dense(1)])


def cnn() -> Any:
    """Two convolutions of images of 28 x 28."""
    import keras

    layers = keras.layers
    blocks = [part for width in (16, 32) for part in (layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D())]
    return keras.Sequential([keras.Input((28, 28, 1)), *blocks, layers.Flatten(), layers.Dense(1)])


def mobile() -> Any:
    """Separable convolutions of images of 28 x 28."""
    import keras

    layers = keras.layers
    blocks = [layers.SeparableConv2D(width, 3, activation="relu") for width in (16, 32)]
    first = layers.Conv2D(8, 3, strides=2, activation="relu")
    return keras.Sequential([keras.Input((28, 28, 1)), first, *blocks, layers.GlobalAveragePooling2D(), layers.Dense(1)])


def encoder() -> Any:
    """A transformer's encoder of 32 tokens of 16 numbers, four heads."""
    import keras

    layers = keras.layers
    given = keras.Input((32, 16))
    attended = layers.LayerNormalization(name="first")(given + layers.MultiHeadAttention(4, 4, name="attention")(given, given))
    wide = layers.Dense(16, name="narrow")(layers.Dense(32, activation="relu", name="wide")(attended))
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization(name="second")(attended + wide))
    return keras.Model(given, layers.Dense(1, name="score")(pooled))


def wide_deep() -> Any:
    """Two texts looked up, each with an embedding (deep) and a weight for each value (wide), beside six numbers."""
    import keras

    layers = keras.layers
    texts = [keras.Input((1,), dtype="string", name=name) for name in ("city", "shop")]
    numbers = keras.Input((6,), name="numbers")
    deep, wide = [numbers], [layers.Dense(1)(numbers)]
    for text in texts:
        code = layers.StringLookup(vocabulary=[city(number) for number in range(CITIES)])(text)
        deep.append(layers.Flatten()(layers.Embedding(CITIES + 1, 8)(code)))
        wide.append(layers.Flatten()(layers.Embedding(CITIES + 1, 1)(code)))
    hidden = layers.Dense(16, activation="relu")(layers.Dense(32, activation="relu")(layers.Concatenate()(deep)))
    return keras.Model([*texts, numbers], layers.Add()([*wide, layers.Dense(1)(hidden)]))


def text() -> Any:
    """Words of a text, lower and without punctuation, looked up, embedded, averaged."""
    import keras

    layers = keras.layers
    given = keras.Input((1,), dtype="string", name="text")
    words = layers.TextVectorization(
        vocabulary=[word(number) for number in range(WORDS)], output_sequence_length=WORDS_IN_TEXT, ragged=False
    )(given)
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(WORDS + 2, 8)(words))
    return keras.Model(given, layers.Dense(1)(layers.Dense(16, activation="relu")(pooled)))


def city(number: int) -> str:
    return f"city {number}"


def word(number: int) -> str:
    return f"word{number}"


NETWORKS: dict[str, Callable[[], Any]] = {
    "softmax": softmax,
    "wide-deep": wide_deep,
    "text": text,
    "lstm": functools.partial(recurrent, "LSTM"),
    "gru": functools.partial(recurrent, "GRU"),
    "cnn": cnn,
    "mobile": mobile,
    "encoder": encoder,
}
