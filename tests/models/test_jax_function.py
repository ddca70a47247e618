"""Plain JAX functions as models, against NumPy."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtensor.errors import ModelError
from qtensor.lowering.models.jax_function import import_jax_function
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, Array
from tests.models.oracle import assert_scores_equal, run

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(2, 100)).astype(np.float32)


def test_a_scalar_function() -> None:
    model = import_jax_function("m", lambda a, b: jnp.exp(-a * a) + 2 * b)
    assert (model.result, model.arguments, model.weights) == (DOUBLE, (np.dtype(np.float64),) * 2, ())
    assert_scores_equal(run(model, A, B), np.exp(-A * A) + 2 * B)
    single = import_jax_function("m", lambda a, b: a + 2 * b, dtype="float32")
    assert (single.result, single.arguments) == (FLOAT, (np.dtype(np.float32),) * 2)
    np.testing.assert_array_equal(run(single, A, B), A + 2 * B)


def test_captured_arrays_are_weights() -> None:
    matrix = jnp.asarray(RANDOM.normal(size=(2, 3)), jnp.float32)
    model = import_jax_function("m", lambda a, b: jax.nn.softmax(jnp.stack([a, b]) @ matrix), dtype=np.float32)
    assert model.result == Array(FLOAT, 3)
    assert [weight.shape for weight in model.weights] == [(2, 3)]
    logits = np.stack([A, B], 1) @ np.asarray(matrix)
    assert_scores_equal(run(model, A, B), np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    other = jnp.asarray(matrix) + 1
    retrained = import_jax_function("m", lambda a, b: jax.nn.softmax(jnp.stack([a, b]) @ other), dtype=np.float32)
    assert retrained.digest == model.digest


def test_captured_scalars_are_weights() -> None:
    biases = [jnp.asarray(bias, jnp.float32) for bias in (1.5, 2.5)]
    models = [import_jax_function("m", lambda a, b=bias: a + b, dtype=np.float32) for bias in biases]
    assert models[0].digest == models[1].digest
    for model, bias in zip(models, (1.5, 2.5), strict=True):
        np.testing.assert_allclose(run(model, A), A + np.float32(bias), rtol=1e-6)


def test_digests_tell_constants_apart_to_the_last_digit() -> None:
    models = [import_jax_function("m", lambda a, c=c: a * c) for c in (1.1, np.nextafter(1.1, 2))]
    assert models[0].digest != models[1].digest


def test_a_column_function_is_made_row_wise() -> None:
    model = import_jax_function("m", lambda a: a - jnp.max(a))  # of one row the greatest is itself
    np.testing.assert_array_equal(run(model, A), np.zeros(100))


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows: int) -> None:
    np.testing.assert_array_equal(run(import_jax_function("m", lambda a: a * 2), A[:rows]), A[:rows] * 2)


def test_result_types() -> None:
    assert import_jax_function("m", lambda a: a > 0).result == BOOLEAN
    assert import_jax_function("m", lambda a, b: jnp.argmax(jnp.stack([a, b]))).result == BIGINT
    half = import_jax_function("m", lambda a: a.astype(jnp.bfloat16))
    assert half.result == FLOAT
    assert run(half, A).dtype == np.float32
    double = import_jax_function("m", lambda a: a * 0.1)
    assert double.result == DOUBLE
    precise = RANDOM.normal(size=50)
    np.testing.assert_array_equal(run(double, precise), precise * 0.1)


def test_count_of_arguments() -> None:
    assert len(import_jax_function("m", lambda *columns: sum(columns), 3).arguments) == 3
    assert len(import_jax_function("m", lambda a, scale=2.0: a * scale).arguments) == 1


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (3, None, "expected a function, not builtins.int"),
        (lambda *columns: columns[0], None, "pass arguments="),
        (lambda: 1.0, None, "takes no arguments"),
        (lambda a: (a, a), None, 'has 2 outputs: "1", "2"'),
        (lambda a: jnp.full((2, 2), a), None, "float64[2, 2]"),
        (lambda a: jnp.stack([a > 0, a > 1]), None, "bool[2]"),
        (lambda a: float(a), None, "cannot be traced"),
        (lambda a, b: a @ b, None, "cannot be traced"),
        (lambda a: a[5] + a.T.undefined, 2, "with float64[2]: "),
        (lambda *a: a[0].undefined, 2, "with 2 float64 scalars: "),
        (lambda a: a[0, 0], 3, "with float64[1, 3]: the result has no row for each row of the batch"),
    ],
)
def test_refused(function: Any, arguments: int | None, message: str) -> None:
    with pytest.raises(ModelError) as error:
        import_jax_function("m", function, arguments)
    assert message in str(error.value)
    assert '"m"' in str(error.value)


VECTORS = RANDOM.normal(size=(700, 3)).astype(np.float32)
LAYER = RANDOM.normal(size=(3, 5)).astype(np.float32)


def applied(parameters: Any, *inputs: Any, train: bool = False) -> Any:
    """As the modules of neural network libraries are called: with parameters, and any number of inputs."""
    (x,) = inputs
    return jax.nn.relu(x @ parameters["kernel"]) + (jnp.nan if train else 0.0)


def of_batches(x: Any) -> Any:
    return jax.nn.relu(x.reshape((x.shape[0], -1)) @ LAYER)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jax.nn.relu(x @ LAYER),
        jax.jit(lambda x, scale=1.0: jax.nn.relu(x @ LAYER) * scale),
        functools.partial(applied, {"kernel": LAYER}),
        of_batches,
    ],
)
def test_vectors(function: Any) -> None:
    model = import_jax_function("m", function, 3, dtype="float32")
    assert [one.width for one in model.inputs] == [3]
    assert_scores_equal(run(model, *VECTORS.T), np.maximum(VECTORS @ LAYER, 0))


def test_several_vectors() -> None:
    model = import_jax_function("m", lambda u, v, w: u @ v + w, inputs={"w": 1, "u": 2, "v": 2})
    columns = RANDOM.normal(size=(5, 40))
    assert [(one.name, one.width) for one in model.inputs] == [("w", 1), ("u", 2), ("v", 2)]
    w, a, b, c, d = columns
    np.testing.assert_allclose(run(model, *columns), a * c + b * d + w, rtol=1e-12)
    with pytest.raises(ModelError, match="how many arguments it takes"):
        import_jax_function("m", lambda u: u, inputs={"u": 0})
    with pytest.raises(ModelError, match='has no input "x"'):
        import_jax_function("m", lambda u: u, inputs={"x": 2})


def test_large_arrays_are_of_few_rows() -> None:
    """Of a function whose arrays are large, few rows are computed at once, and all of them come."""
    model = import_jax_function("m", lambda x: jnp.cumsum(jnp.outer(x, jnp.arange(9_000.0)), axis=1).max(axis=1), 3)
    with jax.enable_x64(True):
        text = jax.jit(model.apply).lower(model.weights, list(VECTORS.T.astype(np.float64))).as_text()
    assert "700x3x9000" not in text
    expected = np.cumsum(VECTORS[..., None].astype(np.float64) * np.arange(9_000.0), axis=2).max(axis=2)
    np.testing.assert_allclose(run(model, *VECTORS.T), expected, rtol=1e-9)


def printing(value: Any) -> Any:
    jax.debug.print("value = {}", value)
    return value


def called_back(value: Any) -> Any:
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), np.float64), value)


@pytest.mark.parametrize(
    "function", [printing, called_back, jax.jit(printing), lambda a: jax.lax.cond(a > 0, printing, jnp.sin, a)]
)
def test_callbacks_are_refused(function: Any) -> None:
    with pytest.raises(ModelError, match="calls back into Python"):
        import_jax_function("m", function, 1)
