"""Whole models imported and compared with TensorFlow: all ways to hand one over, all kinds of input and output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from qtensor.errors import ModelError
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.tensorflow import import_model, is_tensorflow_model
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, INTEGER, Array
from tests.models.oracle import assert_classes_equal, assert_scores_equal, extreme_rows, failures, run

pytestmark = pytest.mark.usefixtures("orientation")

L = keras.layers
ACTIVATIONS = [
    "relu",
    "relu6",
    "elu",
    "selu",
    "gelu",
    "tanh",
    "sigmoid",
    "softplus",
    "softsign",
    "softmax",
    "log_softmax",
    "silu",
    "leaky_relu",
    "hard_sigmoid",
    "hard_silu",
    "mish",
    "exponential",
    "linear",
    "celu",
    "hard_tanh",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
    "sparse_plus",
    "squareplus",
    "log_sigmoid",
]


def sequential(*layers: Any, width: int = 4) -> Any:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((width,)), *layers])


def normal_rows(rows: int = 257, width: int = 4) -> Any:
    return np.random.default_rng(2).normal(size=(rows, width)).astype(np.float32) * 2


def perturbed(model: Any) -> Any:
    """The model with every weight away from the zeros and ones it starts with; variances stay positive."""
    random = np.random.default_rng(4)
    model.set_weights([np.abs(weight + random.normal(size=weight.shape) * 0.3) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(activation: str) -> None:
    keras_model = sequential(L.Dense(6, activation=activation), L.Dense(3, activation="softmax"))
    rows = normal_rows()
    scores = keras_model(rows).numpy()
    assert_scores_equal(run(import_model("m", keras_model), *rows.T), scores)
    assert_classes_equal(run(import_model("m", keras_model, output="class"), *rows.T), scores, scores.argmax(1))


@pytest.mark.parametrize(
    "layer",
    [
        L.BatchNormalization(),
        L.LayerNormalization(),
        L.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 2.0, 0.0, 4.0]),
        L.UnitNormalization(),
        # Groups of two values that are nearly equal: with Keras's own epsilon TensorFlow is 5e-6 off what float64 gives, as we are.
        L.GroupNormalization(2, epsilon=0.1),
        L.RMSNormalization(),
        L.Rescaling(0.5, 1.0),
        L.Dropout(0.5),
        L.GaussianNoise(0.5),
        L.PReLU(alpha_initializer="uniform"),
        L.ReLU(max_value=3.0, negative_slope=0.1, threshold=0.5),
        L.Flatten(),
        L.Reshape((2, 2)),
        L.Softmax(),
        L.Discretization(bin_boundaries=[-1.0, 0.0, 1.0]),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layer(layer: Any) -> None:
    tail = [L.Flatten(), L.Rescaling(1.0), L.Dense(3)]
    keras_model = perturbed(sequential(layer, *tail))
    rows = normal_rows()
    assert_scores_equal(run(import_model("m", keras_model), *rows.T), keras_model(rows, training=False).numpy())


@pytest.mark.parametrize("sizes", [(1,), (4,), (40, 40, 3), (100, 200, 7)])
def test_network_of_every_size_on_extreme_rows(sizes: tuple[int, ...]) -> None:
    keras_model = sequential(*(L.Dense(size, activation="relu") for size in sizes[:-1]), L.Dense(sizes[-1], activation="sigmoid"))
    rows = np.clip(extreme_rows(509, 4), -1e4, 1e4)
    found, expected = run(import_model("m", keras_model), *rows.T), keras_model(rows).numpy()
    has_nan = np.isnan(rows).any(axis=1)
    assert np.isnan(found[has_nan]).all()
    np.testing.assert_allclose(found[~has_nan].reshape(-1, sizes[-1]), expected[~has_nan], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(rows: int) -> None:
    keras_model = sequential(L.Dense(5, activation="relu"), L.LayerNormalization(), L.Dense(3, activation="softmax"))
    data = normal_rows(rows)
    for output in (None, "class"):
        expected = keras_model(data).numpy()
        found = run(import_model("m", keras_model, output=output), *data.T)
        assert len(found) == rows
        assert_scores_equal(found, expected if output is None else expected.argmax(1))


def two_inputs() -> Any:
    price, age = keras.Input((2,), name="price"), keras.Input((1,), name="age")
    count = keras.Input((), dtype="int32", name="count")
    embedded = L.Embedding(10, 3)(count)
    joined = L.Concatenate()([price, L.Dense(3, activation="relu")(age), embedded])
    return price, age, count, L.Dense(2, name="scores")(joined), L.Dense(1, name="risk")(joined)


def test_several_inputs_take_consecutive_arguments() -> None:
    price, age, count, scores, _ = two_inputs()
    keras_model = keras.Model([price, age, count], scores)
    model = import_model("m", keras_model)
    assert model.arguments == (np.float32, np.float32, np.float32, np.int32)
    data, counts = normal_rows(width=3), np.random.default_rng(0).integers(-10, 10, 257).astype(np.int32)
    expected = keras_model([data[:, :2], data[:, 2:], counts]).numpy()
    assert_scores_equal(run(model, *data.T, counts), expected)


def test_inputs_by_name_are_in_the_order_of_model_inputs() -> None:
    price, age, count, scores, _ = two_inputs()
    keras_model = keras.Model({"price": price, "age": age, "count": count}, scores)
    assert [tensor.name for tensor in keras_model.inputs] == ["age", "count", "price"]
    data, counts = normal_rows(width=3), np.arange(257, dtype=np.int32) % 10
    expected = keras_model({"price": data[:, :2], "age": data[:, 2:], "count": counts}).numpy()
    assert_scores_equal(run(import_model("m", keras_model), data[:, 2], counts, data[:, 0], data[:, 1]), expected)


def test_one_output_of_several() -> None:
    price, age, count, scores, risk = two_inputs()
    keras_model = keras.Model([price, age, count], [scores, risk])
    data, counts = normal_rows(width=3), np.arange(257, dtype=np.int32) % 10
    expected = keras_model([data[:, :2], data[:, 2:], counts])[1].numpy()
    model = import_model("m", keras_model, output="risk")
    assert model.result == FLOAT
    assert_scores_equal(run(model, *data.T, counts), expected)


class Classifier(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def __call__(self, x: Any) -> Any:
        return tf.argmax(tf.nn.softmax(x @ self.weights), axis=1)


class Unsigned(Classifier):
    """The same without tf.function: nothing tells how many columns it takes."""

    def __call__(self, x: Any) -> Any:
        return x @ self.weights


def test_module_function_and_concrete_function() -> None:
    module = Classifier()
    rows = normal_rows()
    expected, scores = module(rows).numpy(), rows @ module.weights.numpy()
    for candidate in (module, module.__call__, module.__call__.get_concrete_function()):
        assert is_tensorflow_model(candidate)
        model = import_model("m", candidate)
        assert model.result == BIGINT
        assert_classes_equal(run(model, *rows.T), scores, expected)


def test_width_from_arguments() -> None:
    module = Unsigned()
    rows = normal_rows()
    assert_scores_equal(run(import_model("m", module, arguments=4), *rows.T), rows @ module.weights.numpy())
    untraced = tf.function(lambda x: tf.reduce_max(x, axis=1))
    assert_scores_equal(run(import_model("m", untraced, arguments=2), *rows[:, :2].T), rows[:, :2].max(1))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # by Keras, when it saves
def test_a_keras_file(tmp_path: Path) -> None:
    """A path is enough; code in the file is not run."""
    keras_model = sequential(L.Dense(6, activation="relu"), L.Dense(3, activation="softmax"))
    keras_model.save(tmp_path / "model.keras")
    rows = normal_rows()
    assert_scores_equal(run(import_model("m", str(tmp_path / "model.keras")), *rows.T), keras_model(rows).numpy())
    sequential(L.Lambda(lambda x: x * 2)).save(tmp_path / "lambda.keras")
    with pytest.raises(ModelError, match=r'the Keras file ".*lambda\.keras" cannot be read'):
        import_model("m", tmp_path / "lambda.keras")


@pytest.mark.parametrize("kind", ["module", "keras", "loaded", "two inputs"])
def test_saved_model(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    if kind == "two inputs":
        price, age, count, scores, risk = two_inputs()
        keras_model = keras.Model([price, age, count], [scores, risk])
        keras_model.export(folder, verbose=False)
        data, counts = normal_rows(width=3), np.arange(257, dtype=np.int32) % 10
        expected = keras_model([data[:, :2], data[:, 2:], counts])[0].numpy()
        assert_scores_equal(run(import_model("m", folder, output="output_0"), *data.T, counts), expected)
        return
    rows = normal_rows()
    if kind == "keras":
        keras_model = sequential(L.Dense(8, activation="relu"), L.BatchNormalization(), L.Dense(3, activation="softmax"))
        keras_model.export(folder, verbose=False)
        assert_scores_equal(run(import_model("m", str(folder)), *rows.T), keras_model(rows).numpy())
        return
    module = Classifier()
    tf.saved_model.save(module, folder)
    source = folder if kind == "module" else tf.saved_model.load(folder)
    assert is_tensorflow_model(source)
    found = run(import_model("m", source), *rows.T)
    assert_classes_equal(found, rows @ module.weights.numpy(), module(rows).numpy())


def test_unbuilt_and_subclassed_keras_models() -> None:
    class Subclassed(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    rows = normal_rows()
    for keras_model in (keras.Sequential([L.Dense(2)]), Subclassed()):
        model = import_model("m", keras_model, arguments=4)
        assert_scores_equal(run(model, *rows.T), keras_model(rows).numpy())
        assert len(import_model("m", keras_model).arguments) == 4  # once built, it knows its width


@pytest.mark.parametrize(
    ("function", "dtype", "result"),
    [
        (lambda x: x[:, 0] > x[:, 1], tf.float32, BOOLEAN),
        (lambda x: tf.cast(x[:, 0], tf.int32), tf.float32, INTEGER),
        (lambda x: x[:, 0] + x[:, 1], tf.int64, BIGINT),
        (lambda x: tf.cast(x, tf.float64) * 0.1, tf.float32, Array(DOUBLE, 2)),
        (lambda x: x[:, :1] / 3, tf.float64, DOUBLE),
        (lambda x: tf.cast(tf.cast(x, tf.bfloat16) / 3, tf.bfloat16), tf.float32, Array(FLOAT, 2)),
        (lambda x: x[:, 0] / 3, tf.float16, FLOAT),
        (lambda x: tf.cast(x, tf.float32) @ tf.ones([2, 1]), tf.bool, FLOAT),
    ],
)
def test_types_of_arguments_and_result(function: Any, dtype: Any, result: Any) -> None:
    traced = tf.function(function, input_signature=[tf.TensorSpec([None, 2], dtype)])
    model = import_model("m", traced)
    assert model.result == result
    assert set(model.arguments) == {np.dtype(np.float32) if dtype == tf.float16 else np.dtype(dtype.as_numpy_dtype)}
    rows = (np.random.default_rng(0).normal(size=(50, 2)) * 5).astype(dtype.as_numpy_dtype)
    expected = tf.cast(traced(rows), tf.float64).numpy()
    found = run(model, *rows.T)
    if dtype == tf.float32 and result == Array(FLOAT, 2):  # bfloat16 has 8 bits, and XLA may keep more between two operations
        np.testing.assert_allclose(found, expected, rtol=2**-7)
    else:
        assert_scores_equal(found, expected)


def test_rows_for_which_tensorflow_raises() -> None:
    table = tf.constant([[0.5, 1.0], [2.0, 3.0]])

    def embed(x: Any) -> Any:
        return tf.gather(table, x)

    signature = [tf.TensorSpec([None], tf.int32)]
    cases = (
        (embed, "an index outside its table (GatherV2"),
        (lambda x: tf.argmax(embed(x), 1), "an index outside its table (GatherV2"),
        (lambda x: 7 % x, "an integer divided by zero (FloorMod"),
        (lambda x: 7 // tf.cast(x, tf.uint8), "an integer divided by zero (FloorDiv"),
    )
    for user_function, reason in cases:
        function = tf.function(user_function, input_signature=signature)
        model = import_model("m", function)
        assert reason in (model.fails or "")
        rows = np.array([0, 2, 1, -1, 2, -4], np.int32)
        failed, results = failures(model, rows)
        assert failed.any() and not failed.all()
        for row, fails, result in zip(rows, failed, results, strict=True):
            if fails:
                with pytest.raises(tf.errors.InvalidArgumentError):
                    function(tf.constant([row]))
            else:
                np.testing.assert_array_equal(result, function(tf.constant([row])).numpy()[0])


def test_not_finite_logits_give_class_zero() -> None:
    rows = np.array([[0, np.inf, 1], [np.nan, 1, 2], [1, 2, np.nan], [-np.inf] * 3, [1, -np.inf, 2]], np.float32)
    signature = [tf.TensorSpec([None, 3], tf.float32)]
    scores = import_model("m", tf.function(tf.nn.softmax, input_signature=signature))
    assert np.isnan(run(scores, *rows.T)[:4]).all()
    classes = import_model("m", tf.function(tf.nn.softmax, input_signature=signature), output="class")
    np.testing.assert_array_equal(run(classes, *rows.T), [0, 0, 0, 0, 2])


def test_softmax_before_argmax_is_never_computed() -> None:
    model = import_model("m", Classifier())
    columns = [jax.ShapeDtypeStruct((1024,), np.float32)] * 4
    with jax.enable_x64(True):
        text = jax.jit(model.apply).lower(model.weights, columns).compile().as_text()
        scores = import_model("m", sequential(L.Dense(3, activation="softmax")))
        with_softmax = jax.jit(scores.apply).lower(scores.weights, columns).compile().as_text()
    assert "exponential" in with_softmax
    assert "exponential" not in text
    assert "custom-call" not in text


def test_digest_names_the_program_not_the_weights() -> None:
    first, second = sequential(L.Dense(3)), sequential(L.Dense(3))
    second.set_weights([weight + 1 for weight in second.get_weights()])
    digests = [import_model(name, model).digest for name, model in (("a", first), ("b", second))]
    assert digests[0] == digests[1]
    others = [
        sequential(L.Dense(4)),
        sequential(L.Dense(3, activation="relu")),
        sequential(L.Dense(3), L.LeakyReLU(negative_slope=0.1)),
    ]
    others.append(sequential(L.Dense(3), L.LeakyReLU(negative_slope=0.2)))
    assert len({digests[0], *(import_model("m", model).digest for model in others)}) == 5
    assert import_model("m", first, output="class").digest != digests[0]


def networks() -> list[Model]:
    layers = [L.Dense(8, activation="gelu"), L.BatchNormalization(), L.LayerNormalization(), L.Dense(3, activation="softmax")]
    keras_model = perturbed(sequential(*layers))
    return [import_model("scores", keras_model), import_model("class", keras_model, output="class")]


NETWORKS = networks()


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from(NETWORKS))
def test_a_row_does_not_depend_on_the_others(count: int, seed: int, model: Model) -> None:
    rows = extreme_rows(64, 4, seed)
    chosen = np.random.default_rng(seed).permutation(64)[:count]
    padded = np.zeros((64, 4), np.float32)  # one shape, so that the property does not measure two compilations
    padded[:count] = rows[chosen]
    np.testing.assert_allclose(run_cached(model, padded)[:count], run_cached(model, rows)[chosen], rtol=1e-6, atol=1e-7)


COMPILED: dict[str, Any] = {}


def run_cached(model: Model, rows: Any) -> Any:
    with jax.enable_x64(True):
        function = COMPILED.setdefault(model.name, jax.jit(model.apply))
        return np.asarray(function(model.weights, list(rows.T)).result).T


WITHOUT_TENSORFLOW = """
import sys
import numpy as np
import tensorflow as tf
import keras
keras.utils.set_random_seed(0)
original = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="gelu"), keras.layers.BatchNormalization(),
                             keras.layers.Dense(3, activation="softmax")])
rows = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
expected = original(rows).numpy()
from qtensor.lowering.models.tensorflow import import_model
model = import_model("m", original)
del original

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras"):
            raise ImportError(name + " is blocked")

for name in [name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras")]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocked())
import jax
with jax.enable_x64(True):
    found = np.asarray(jax.jit(model.apply)(model.weights, list(rows.T)).result)
np.testing.assert_allclose(found.T, expected, rtol=1e-5, atol=1e-6)
try:
    import tensorflow
except ImportError:
    print("blocked and equal")
"""


def test_an_imported_model_needs_no_tensorflow() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "blocked and equal", done.stderr[-2000:]


def test_looking_at_a_model_does_not_import_tensorflow() -> None:
    code = (
        "import sys; from qtensor.lowering.models.tensorflow import is_tensorflow_model\n"
        "print(is_tensorflow_model(print), is_tensorflow_model('folder'), 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "False", "False"], done.stderr[-2000:]
