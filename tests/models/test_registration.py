"""Registering models: names, replacing, refreshing, and what errors quote."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

import qtensor  # noqa: E402
from qtensor.errors import DataError, ModelError  # noqa: E402


@pytest.fixture
def connection() -> Any:
    with qtensor.connect(threads=1) as opened:
        yield opened.register("t", {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 20.0])})


def refused(connection: Any, name: Any, model: object, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        connection.create_function(name, model, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "SUM",
        "round",
        "Round",
        "count",
        "rank",
        "row_number",
        "coalesce",
        "if",
        "hash",
        "cast",
        "extract",
        "case",
        "trim",
        "select",
        "positional",
    ],
)
def test_names_of_functions_are_refused(connection: Any, name: str) -> None:
    assert f'a model cannot have the name "{name}"' in refused(connection, name, lambda a, b: a)


@pytest.mark.parametrize("name", ["classifier", "Scores", "my model", 'a"b', "class", "_m", "été", "date"])
def test_other_names_are_called_in_quotes_or_without(connection: Any, name: str) -> None:
    connection.create_function(name, lambda a, b: 100 * a + b)
    written = name.replace('"', '""')
    assert connection.sql(f'SELECT "{written}"(a, b), "{written.upper()}"(b := b, a := a) FROM t').fetchall() == [
        (110.0,) * 2,
        (220.0,) * 2,
    ]


def test_wrong_options(connection: Any) -> None:
    for arguments in (0, -1, "2", 1.0):
        assert "arguments= is a number from 1 on" in refused(connection, "m", lambda a: a, arguments=arguments)
    assert "output= is a name" in refused(connection, "m", lambda a: a, output=3)
    setting = tf.function(lambda x, on: x, input_signature=[tf.TensorSpec([None]), tf.TensorSpec([], tf.bool)])
    assert 'its input "on" has the shape [], one value for all rows' in refused(connection, "m", setting)


class Doubled:
    def __call__(self, x: Any) -> Any:
        return 2 * x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 2 * x,
        functools.partial(lambda factor, x: factor * x, 2),
        Doubled(),
        Doubled().__call__,
        jax.jit(lambda x: 2 * x),
    ],
)
def test_functions_of_every_kind_are_models_of_one_query(function: Any) -> None:
    """Not tables that nobody names, while a model of an earlier query answers."""
    assert qtensor.sql("SELECT given_to_sql(3)", given_to_sql=lambda x: x + 100).fetchall() == [(103.0,)]
    assert qtensor.sql("SELECT given_to_sql(3)", given_to_sql=function).fetchall() == [(6.0,)]


def test_no_names(connection: Any) -> None:
    for name in ("", " ", 3, None):
        assert "the name of a model is a text" in refused(connection, name, lambda a: a)


def test_classes_of_jax_functions(connection: Any) -> None:
    def scores(a: Any, b: Any) -> Any:
        return jnp.stack([a, 15 - b, a - b])

    connection.create_function("class_of", scores, output="class").create_function("scores", scores, output="scores")
    data = np.array([[1.0, 10.0], [2.0, 20.0]])
    expected = np.stack([data[:, 0], 15 - data[:, 1], data[:, 0] - data[:, 1]], 1)
    found = connection.sql("SELECT class_of(a, b), scores(a, b), typeof(class_of(a, b)) FROM t").fetchall()
    assert found == [(int(row.argmax()), tuple(row.tolist()), "BIGINT") for row in expected]
    assert 'is "class" or "scores", not "clas". Did you mean "class"?' in refused(connection, "m", scores, output="clas")
    assert "two or more scores" in refused(connection, "m", lambda a: a, output="class")


def test_replace(connection: Any) -> None:
    connection.create_function("m", lambda a: a)
    assert 'there is a model "m" already' in refused(connection, "M", lambda a: 2 * a, replace=False)
    assert connection.sql("SELECT m(a) FROM t").fetchall() == [(1.0,), (2.0,)]
    connection.create_function("M", lambda a: 2 * a)
    assert connection.sql("SELECT m(a) FROM t").fetchall() == [(2.0,), (4.0,)]
    connection.remove_function("m").create_function("m", lambda a: 3 * a, replace=False)
    assert connection.sql("SELECT m(a) FROM t").fetchall() == [(3.0,), (6.0,)]


def test_refresh_takes_new_weights_and_compiles_nothing(connection: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    rows = np.array([[1.0, 10.0], [2.0, 20.0]], np.float32)

    def expected() -> list[Any]:
        return [(pytest.approx(row, rel=1e-5),) for row in model(rows).numpy().tolist()]

    connection.create_function("m", model)
    relation = connection.sql("SELECT m(a, b) FROM t")
    first = expected()
    assert relation.fetchall() == first
    program = relation._prepare().compiled
    model.set_weights([weight + 1 for weight in model.get_weights()])
    assert relation.fetchall() == first  # until it is said that the model changed
    connection.refresh_function("M")
    assert relation.fetchall() == expected() != first
    assert relation._prepare().compiled is program
    model.set_weights([weight - 3 for weight in model.get_weights()])
    connection.create_function("m", model)
    assert relation.fetchall() == expected()
    assert relation._prepare().compiled is program
    path = tmp_path / "model.keras"
    saved(model, path)
    connection.create_function("kept", path, output="class")
    model.set_weights([-weight for weight in model.get_weights()])
    saved(model, path)
    connection.refresh_function("kept")
    classes = model(rows).numpy().argmax(1).tolist()
    assert connection.sql("SELECT kept(a, b) FROM t").fetchall() == [(each,) for each in classes]
    with pytest.raises(DataError, match='no function "nothing" is registered'):
        connection.refresh_function("nothing")


def saved(model: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about Keras
        model.save(path)


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def function(user_function: Any, *shapes: list[int | None], dtype: Any = tf.float32) -> Any:
    return tf.function(user_function, input_signature=[tf.TensorSpec(shape, dtype) for shape in shapes])


def test_errors_of_the_users_code_are_quoted(connection: Any) -> None:
    def failing(x: Any) -> Any:
        raise RuntimeError("my own words")

    wide = [None, 3]
    assert refused(connection, "m", function(failing, wide)).endswith("with float32 [None, 3]: my own words")
    assert refused(connection, "m", function(lambda x: 1 / 0, wide)).endswith("division by zero")
    assert refused(connection, "m", function(lambda x: x + nothing, wide)).endswith("name 'nothing' is not defined")  # noqa: F821
    assert "Dimensions must be equal" in refused(connection, "m", function(lambda x: x @ tf.ones([2, 2]), wide))
    built = Subclassed()
    built(np.ones((1, 4)))
    built_message = refused(connection, "m", built, arguments=3)
    assert "expected axis -1 of input shape to have value 4, but received input with shape (None, 3)" in built_message
    assert "kwargs" not in built_message


@pytest.mark.parametrize("layer", [keras.layers.LSTM(3, return_sequences=True), keras.layers.Conv1D(3, 2)])
def test_outputs_of_higher_rank(connection: Any, layer: Any) -> None:
    message = refused(connection, "m", keras.Sequential([keras.Input((10, 4)), layer]))
    assert "its output has the shape [None, " in message
    assert "keras.layers.Flatten" in message


def test_an_input_of_higher_rank_takes_an_argument_for_each_number(connection: Any) -> None:
    """In the order of memory: the last axis runs fastest."""
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.LSTM(1)])
    rows = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    connection.create_function("m", model)
    connection.register("t", {f"c{number}": column for number, column in enumerate(rows.reshape(5, 6).T)})
    found = connection.sql("SELECT m(c0, c1, c2, c3, c4, c5) AS s FROM t").arrow()["s"].to_numpy()
    np.testing.assert_allclose(found, model(rows).numpy()[:, 0], rtol=1e-5)


def test_a_declared_input_keeps_its_type(connection: Any) -> None:
    """Of a Sequential that was never called, too."""
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(3, 2), keras.layers.Flatten()])
    connection.create_function("m", model)
    with pytest.raises(qtensor.errors.ExecutionError, match="not a whole number from -2147483648"):
        connection.sql("SELECT m(x) FROM (VALUES (0.5)) AS v(x)").fetchall()
    assert "takes 1 columns, not the 2 of arguments=" in refused(connection, "m", model, arguments=2)


def test_a_sequential_built_by_a_call_takes_any_number_of_rows(connection: Any) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    expected = model(np.array([[1.0, 10.0], [2.0, 20.0]], np.float32)).numpy()
    connection.create_function("m", model).register("u", {"a": np.arange(5.0), "b": np.zeros(5)})
    found = connection.sql("SELECT m(a, b) FROM t").fetchall()
    np.testing.assert_allclose([row[0] for row in found], expected, rtol=1e-5)
    assert len(connection.sql("SELECT m(a, b) FROM u").fetchall()) == 5


def test_several_inputs_that_are_not_declared(connection: Any) -> None:
    class Sum(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs["a"] + inputs["b"]

    model = Sum()
    model({"a": np.ones((2, 1)), "b": np.ones((2, 1))})
    assert "a Sum takes several inputs, and does not say which" in refused(connection, "m", model)


def test_a_class_is_no_model(connection: Any) -> None:
    for given in (keras.Sequential, dict):
        with pytest.raises(ModelError, match="is a class; pass a model that was made of it"):
            connection.create_function("m", given)
