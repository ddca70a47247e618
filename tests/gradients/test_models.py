"""Derivatives of queries by the weights of models: as TensorFlow's tape, plain JAX and differences of the engine have them."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor import value_and_grad
from qtensor.errors import DataError, UnsupportedError

RANDOM = np.random.default_rng(4)
ROWS = 300
TABLE = pa.table(
    {
        "a": pa.array(RANDOM.normal(size=ROWS), mask=RANDOM.random(ROWS) < 0.1),
        "b": RANDOM.normal(size=ROWS),
        "g": RANDOM.integers(0, 3, ROWS),
        "k": RANDOM.integers(0, 5, ROWS),
    }
)
GROUPS = pa.table({"g": [0, 1, 2], "price": [2.0, -1.0, 0.5]})
THERE = np.asarray(TABLE["a"].is_valid())
A, B, G, K = (np.nan_to_num(TABLE[name].to_numpy()) for name in "abgk")
PRICE = np.array([2.0, -1.0, 0.5])[G]


def net() -> tuple[Any, dict[str, np.ndarray]]:
    """A net of 2, 5 and 3 units in float64, and its arrays."""
    random = np.random.default_rng(9)
    arrays = {"0": random.normal(size=(2, 5)), "1": random.normal(size=5), "2": random.normal(size=(5, 3))}
    first, bias, last = arrays.values()
    return lambda a, b: jnp.tanh(jnp.stack([a, b]) @ first + bias) @ last, arrays


def scores_of(arrays: dict[str, Any]) -> Any:
    """The net's scores of all rows, [rows, 3]."""
    first, bias, last = arrays.values()
    return jnp.tanh(jnp.stack([A, B], 1) @ first + bias) @ last


@pytest.fixture(scope="module")
def con() -> Any:
    function, _ = net()
    with qtensor.connect() as con:
        con.register("t", TABLE).register("groups", GROUPS)
        con.create_function("scores", function).create_function("class", function, output="class")
        con.create_function("head", lambda a, b: function(a, b)[0])
        yield con


# By weights of `scores`: the query, and the same in JAX, of the scores [rows, 3].
EXACT = [
    ("SELECT sum(head(a, b)) FROM t", lambda s: jnp.where(THERE, s[:, 0], 0).sum()),
    ("SELECT avg(scores(a, b)[2]) FROM t WHERE g = 1", lambda s: s[THERE & (G == 1), 1].mean()),
    ("SELECT stddev_pop(scores(a, b)[1]) FROM t", lambda s: s[THERE, 0].std()),
    ("SELECT max(scores(a, b)[3]) - min(scores(a, b)[1]) FROM t", lambda s: s[THERE, 2].max() - s[THERE, 0].min()),
    ("SELECT sum(s[1] * price) FROM (SELECT g, scores(a, b) AS s FROM t WHERE k > 1) JOIN groups USING (g)",
     lambda s: (s[:, 0] * PRICE)[THERE & (K > 1)].sum()),
    ("SELECT sum(m ** 2) FROM (SELECT g, avg(scores(a, b)[1]) AS m FROM t GROUP BY g)",
     lambda s: sum(s[THERE & (g == G), 0].mean() ** 2 for g in range(3))),
    ("SELECT sum(CASE WHEN k = 2 THEN scores(a, b)[1] ELSE scores(b, b)[2] END) / count(*) FROM t WHERE a IS NOT NULL AND a = b OR k = 2",
     lambda s: s[THERE & (K == 2), 0].sum() / (K == 2).sum()),
]  # fmt: skip


@pytest.mark.parametrize(("query", "by_hand"), EXACT, ids=[query for query, _ in EXACT])
def test_as_plain_jax(con: qtensor.Connection, query: str, by_hand: Any) -> None:
    model = "head" if "head(" in query else "scores"
    _, arrays = net()
    f = value_and_grad(con.sql(query), model)
    assert {name: weight.shape for name, weight in f.weights.items()} == {name: array.shape for name, array in arrays.items()}
    value, gradient = f()
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        wanted, of_weights = jax.value_and_grad(lambda arrays: by_hand(scores_of(arrays)))(arrays)
    assert math.isclose(value, wanted, rel_tol=1e-9)
    for name in arrays:
        np.testing.assert_allclose(gradient[name], of_weights[name], rtol=1e-8, atol=1e-10)
    (row,) = con.sql(query).fetchall()
    assert math.isclose(value, row[0], rel_tol=1e-9)


def test_by_differences_of_the_engine(con: qtensor.Connection) -> None:
    """With other weights the engine's own answer moves as the derivative says."""
    query = "SELECT sum(head(a, b) * price) / stddev(head(a, b)) FROM t JOIN groups USING (g) WHERE k <> 3"
    f = value_and_grad(con.sql(query), "head")
    _, gradient = f()
    direction = {name: np.random.default_rng(1).normal(size=weight.shape) for name, weight in f.weights.items()}
    start, step = {name: np.asarray(weight) for name, weight in f.weights.items()}, 1e-6
    ends = []
    try:
        for sign in (1, -1):
            con.set_weights("head", {name: start[name] + sign * step * direction[name] for name in start})
            ends.append(con.sql(query).fetchall()[0][0])
    finally:
        con.set_weights("head", start)
    along = sum(float((np.asarray(gradient[name]) * direction[name]).sum()) for name in start)
    assert math.isclose(along, (ends[0] - ends[1]) / (2 * step), rel_tol=1e-5)


# Softened: the same of the probabilities of classes [rows, 3] and of scores, and whether a is there.
SOFT = [
    ("SELECT sum(CASE WHEN c = 1 THEN price END) FROM (SELECT g, class(a, b) AS c FROM t) JOIN groups USING (g)",
     lambda p, s: jnp.where(THERE, p[:, 1] * PRICE, 0).sum()),
    ("SELECT sum(n * n) FROM (SELECT g, class(a, b) AS c, count(*) AS n FROM t GROUP BY g, c) WHERE c IS NOT NULL",
     lambda p, s: sum((p[THERE & (g == G)].sum(0) ** 2).sum() for g in range(3))),
    ("SELECT count(*) FROM t WHERE class(a, b) IN (0, 2) AND k < 3", lambda p, s: jnp.where(THERE & (K < 3), p[:, 0] + p[:, 2], 0).sum()),
    ("SELECT avg(b) FROM t WHERE class(a, b) <> 0", lambda p, s: jnp.where(THERE, (1 - p[:, 0]) * B, 0).sum() / jnp.where(THERE, 1 - p[:, 0], 0).sum()),
    ("SELECT sum(w * price) FROM (SELECT class(a, b) AS g, sum(b) AS w FROM t GROUP BY 1) JOIN groups USING (g)",
     lambda p, s: (jnp.where(THERE[:, None], p * B[:, None], 0).sum(0) * np.array([2.0, -1.0, 0.5])).sum()),
    ("SELECT sum(class(a, b)) FROM t", lambda p, s: jnp.where(THERE, p[:, 1] + 2 * p[:, 2], 0).sum()),
]  # fmt: skip


@pytest.mark.parametrize(("query", "by_hand"), SOFT, ids=[query for query, _ in SOFT])
def test_classes_are_expected_counts(con: qtensor.Connection, query: str, by_hand: Any) -> None:
    temperature = 0.7
    _, arrays = net()
    value, gradient = value_and_grad(con.sql(query), "class", soft=temperature)()
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        wanted, of_weights = jax.value_and_grad(
            lambda arrays: by_hand(jax.nn.softmax(scores_of(arrays) / temperature, -1), scores_of(arrays))
        )(arrays)
    assert math.isclose(value, wanted, rel_tol=1e-9)
    for name in arrays:
        np.testing.assert_allclose(gradient[name], of_weights[name], rtol=1e-8, atol=1e-10)


def test_a_cold_class_is_the_query(con: qtensor.Connection) -> None:
    query = "SELECT g, class(a, b) AS c, count(*) AS n FROM t WHERE a IS NOT NULL GROUP BY g, c ORDER BY g, c"
    counts = {(g, c): n for g, c, n in con.sql(query).fetchall()}
    found = np.array([[counts.get((g, c), 0) for c in range(3)] for g in range(3)], float).reshape(-1)
    f = value_and_grad(con.sql(query), "class", soft=1e-6, loss=lambda columns: ((columns["n"] - found) ** 2).sum())
    assert f()[0] < 1e-6


@pytest.mark.parametrize("softmax", [False, True])
def test_scores_before_a_softmax(softmax: bool) -> None:
    """Of classes that come from a softmax, as Keras gives them, the probabilities at temperature 1 are that softmax."""
    import tensorflow as tf

    _, arrays = net()
    weights = [tf.Variable(array.astype(np.float32), name=f"w{name}") for name, array in arrays.items()]

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        def __call__(self, x: Any) -> Any:
            found = tf.matmul(tf.tanh(tf.matmul(x, weights[0]) + weights[1]), weights[2])
            return tf.argmax(tf.nn.softmax(found) if softmax else found, axis=-1)

    con = qtensor.connect().register("t", TABLE).create_function("chosen", Net())
    f = value_and_grad(con.sql("SELECT count(*) FROM t WHERE chosen(b, a) = 2"), "chosen", soft=1.0)
    value, gradient = f()
    assert set(gradient) == {"w0", "w1", "w2"}
    with tf.GradientTape() as tape:
        x = tf.constant(np.stack([B, A], 1)[THERE], tf.float32)
        found = tf.matmul(tf.tanh(tf.matmul(x, weights[0]) + weights[1]), weights[2])
        wanted = tf.reduce_sum(tf.nn.softmax(found)[:, 2])
    assert math.isclose(value, float(wanted), rel_tol=1e-5)
    for variable, one in zip(weights, tape.gradient(wanted, weights), strict=True):
        np.testing.assert_allclose(gradient[variable.name.removesuffix(":0")], one.numpy(), rtol=1e-4, atol=1e-4)


LAYERS: dict[str, Any] = {
    "dense": lambda keras: [
        keras.Input((2,)),
        keras.layers.Rescaling(0.5, offset=0.1),
        keras.layers.Dense(6, activation="relu"),
        keras.layers.LayerNormalization(),
        keras.layers.Dense(1, activation="sigmoid"),
    ],
    "lstm": lambda keras: [keras.Input((2, 1)), keras.layers.LSTM(3), keras.layers.Dense(1)],
}


@pytest.mark.parametrize("layers", LAYERS)
def test_keras_as_its_tape(layers: str) -> None:
    """Networks of Keras: the variables by their paths, constants of the graph not among them; loops of as many turns as steps."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    model = keras.Sequential(LAYERS[layers](keras))
    con = qtensor.connect().register("t", TABLE).register("groups", GROUPS).create_function("m", model)
    query = "SELECT sum(w * price) FROM (SELECT g, avg(m(b, k)) AS w FROM t WHERE k > 0 GROUP BY g) JOIN groups USING (g)"
    f = value_and_grad(con.sql(query), "m")
    value, gradient = f()
    with tf.GradientTape() as tape:
        x = tf.constant(np.stack([B, K], 1), tf.float32)
        scores = model(x if layers == "dense" else x[:, :, None])[:, 0]
        wanted = sum(float(price) * tf.reduce_mean(scores[(g == G) & (K > 0)]) for g, price in enumerate([2.0, -1.0, 0.5]))
    by_variable = tape.gradient(wanted, model.trainable_variables)
    assert math.isclose(value, float(wanted), rel_tol=1e-5)
    assert set(gradient) == {variable.path for variable in model.trainable_variables}
    for variable, one in zip(model.trainable_variables, by_variable, strict=True):
        np.testing.assert_allclose(gradient[variable.path], one.numpy(), rtol=1e-3, atol=1e-5)
    path = model.trainable_variables[0].path
    np.testing.assert_allclose(value_and_grad(con.sql(query), f"m.{path}")()[1], gradient[path], rtol=1e-4, atol=1e-7)
    with pytest.raises(DataError, match="twice"):
        value_and_grad(con.sql(query), [f"m.{path}", "m"])


def test_weights_and_parameters_and_models_that_are_not_differentiated(con: qtensor.Connection) -> None:
    query = "SELECT sum($a * head(a, $b) + scores(a, b)[1]) FROM t"
    f = value_and_grad(con.sql(query, {"a": 2, "b": 0.5}), ["$a", "b", "head"])
    assert set(f.weights) == {"$a", "b", "head"}
    value, gradient = f()
    _, arrays = net()

    def by_hand(weights: dict[str, Any]) -> Any:
        first, bias, last = (weights["head"][name] for name in "012")
        found = jnp.tanh(jnp.stack([A, jnp.full(ROWS, weights["b"])], 1) @ first + bias) @ last
        return jnp.where(THERE, weights["$a"] * found[:, 0] + scores_of(arrays)[:, 0], 0).sum()

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        wanted, other = jax.value_and_grad(by_hand)({"$a": 2.0, "b": 0.5, "head": arrays})
    assert math.isclose(value, wanted, rel_tol=1e-9)
    assert math.isclose(gradient["$a"], other["$a"], rel_tol=1e-8)
    assert math.isclose(gradient["b"], other["b"], rel_tol=1e-8)
    for name in arrays:
        np.testing.assert_allclose(gradient["head"][name], other["head"][name], rtol=1e-8, atol=1e-10)


def test_refused(con: qtensor.Connection) -> None:
    query = "SELECT count(*) FROM t WHERE class(a, b) = 1"
    with pytest.raises(UnsupportedError, match='the class that the model "class" gives; soft=temperature') as caught:
        value_and_grad(con.sql(query), "class")
    assert f"\n{' ' * (2 + query.index('class(a'))}{'^' * len('class(a, b)')}" in str(caught.value)
    with pytest.raises(UnsupportedError, match=r"derivative by scores.0, scores.1, scores.2 is 0"):
        value_and_grad(con.sql("SELECT sum(b) FROM t WHERE g = 1"), "scores")
    con.create_function("step", lambda a, b: jnp.where(a > jnp.asarray([0.5])[0], 1.0, b))
    with pytest.raises(UnsupportedError, match=r"derivative by step.0 is 0"):
        value_and_grad(con.sql("SELECT sum(step(a, b)) FROM t"), "step")
    con.create_function("whole", lambda a, b: jnp.floor(a * jnp.asarray([0.5])[0]).astype(int) + 0 * b.astype(int))
    with pytest.raises(UnsupportedError, match='the model "whole" gives a BIGINT'):
        value_and_grad(con.sql("SELECT sum(whole(a, b)) FROM t"), "whole")
    with pytest.raises(DataError, match='the model "scores" has no weight "9"; its weights: 0, 1, 2'):
        value_and_grad(con.sql("SELECT sum(scores(a, b)[1]) FROM t"), "scores.9")


def test_weights_that_are_zero() -> None:
    """At registration nothing is read of such arguments; the derivative tells what they would change."""
    con = qtensor.connect().register("t", {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 20.0])})
    con.create_function("m", lambda a, b: jnp.stack([a, b]) @ np.zeros(2))
    value, gradient = value_and_grad(con.sql("SELECT sum(m(a, b)) FROM t"), "m")()
    assert value == 0
    np.testing.assert_array_equal(gradient["0"], [3.0, 30.0])


def test_set_weights() -> None:
    """The engine takes trained weights without compiling anew; arguments that zeros made unread are read again."""
    kernel = np.array([1.0, 0.0])
    con = qtensor.connect().register("t", {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 20.0])})
    con.create_function("m", lambda a, b: jnp.stack([a, b]) @ kernel)
    relation = con.sql("SELECT sum(m(a, b)) AS s FROM t")
    assert relation.fetchall() == [(3.0,)]
    con.set_weights("m", {"0": np.array([1.0, 2.0])})
    assert relation.fetchall() == [(63.0,)]
    con.refresh_function("m")
    assert relation.fetchall() == [(3.0,)]
    with pytest.raises(DataError, match="has no weight 'kernel'"):
        con.set_weights("m", {"kernel": kernel})
    with pytest.raises(DataError, match="shape"):
        con.set_weights("m", {"0": np.zeros(3)})
