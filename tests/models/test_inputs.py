"""Inputs with names: what TensorFlow, Keras and Python call them, and the order in which SQL gives them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

import qtensor  # noqa: E402
from qtensor.errors import BindError, ModelError, UnsupportedError  # noqa: E402

ROWS = {"fee": np.array([1.0, 2.0, 3.0]), "age": np.array([10.0, 20.0, 30.0]), "code": np.array([7.0, 8.0, 9.0])}


@pytest.fixture
def connection() -> Any:
    with qtensor.connect(threads=1) as opened:
        yield opened.register("t", ROWS)


def dictionary() -> Any:
    """Keras sorts the inputs of a dictionary by key: age, fee, wide."""
    fee, age, wide = (
        keras.Input((1,), name="fee"),
        keras.Input((1,), name="age"),
        keras.Input((2,), name="wide"),
    )
    out = 100 * fee + age + 1000 * wide[:, :1] + 10000 * wide[:, 1:]
    return keras.Model({"fee": fee, "age": age, "wide": wide}, out)


def expected(model: Any) -> list[Any]:
    """What the model itself says of the rows, (age, code) being its input `wide`."""
    wide = np.stack([ROWS["age"], ROWS["code"]], 1).astype(np.float32)
    given = {"fee": ROWS["fee"][:, None].astype(np.float32), "age": ROWS["age"][:, None].astype(np.float32), "wide": wide}
    return [(float(value),) for value in model(given).numpy()[:, 0]]


BY_NAME = "m(fee := fee, age := age, wide := (age, code))"


@pytest.mark.parametrize(
    "call",
    [
        BY_NAME,
        "m(wide := [age, code], age := age, fee := fee)",
        "m(Age => age, FEE => fee, wide => (age, code))",
        "m(fee => fee, age := age, wide := (age, code))",
    ],
)
def test_named_arguments_are_taken_in_any_order(connection: Any, call: str) -> None:
    model = dictionary()
    connection.create_function("m", model)
    assert connection.sql(f"SELECT {call} FROM t").fetchall() == expected(model)


def test_a_dictionary_takes_no_arguments_by_position(connection: Any) -> None:
    connection.create_function("m", dictionary())
    with pytest.raises(BindError) as caught:
        connection.sql("SELECT m(fee, age, age, code) FROM t")
    assert str(caught.value) == "\n".join(
        [
            'the inputs of the model "m" have names and no order: "age", "fee", "wide" (of 2 values)',
            "  SELECT m(fee, age, age, code) FROM t",
            "         ^^^^^^^^^^^^^^^^^^^^^^",
            "  Write m(age := ..., fee := ..., wide := (...)), or register it with inputs=[...] in the order of your calls.",
        ]
    )


@pytest.mark.parametrize(
    ("order", "arguments"),
    [(["fee", "age", "wide"], "fee, age, age, code"), (["wide", "fee", "age"], "age, code, fee, age")],
)
def test_inputs_say_the_order(connection: Any, order: list[str], arguments: str) -> None:
    model = dictionary()
    connection.create_function("m", model, inputs=order)
    assert connection.sql(f"SELECT m({arguments}), {BY_NAME} FROM t").fetchall() == [row * 2 for row in expected(model)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("m(fee := fee, age := age)", 'a call of the model "m" without its input "wide"'),
        ("m(fee := fee)", 'a call of the model "m" without its inputs "age", "wide"'),
        ("m(fee := fee, fee := age, age := age)", 'the input "fee" of the model "m" is given twice'),
        ("m(fees := fee)", 'the model "m" has no input "fees"'),
        ("m(fee := (fee, age))", 'the input "fee" of the model "m" takes 1 value, not 2'),
        ("m(wide := fee)", 'the input "wide" of the model "m" takes 2 values, not 1'),
        ("m(fee, age := age)", 'arguments of the model "m" are given by position or by name, not both'),
        ("m(fee := 'x', age := age, wide := (age, code))", "text column into a model: 'x' is a VARCHAR"),
        ("n(fee := fee)", 'no function or model "n"'),
    ],
)
def test_wrong_calls_by_name(connection: Any, call: str, message: str) -> None:
    connection.create_function("m", dictionary())
    with pytest.raises(BindError) as caught:
        connection.sql(f"SELECT {call} FROM t")
    assert str(caught.value).startswith(message)
    assert "^" in str(caught.value)


@pytest.mark.parametrize(
    "expression", ["fee := 1", "sum(fee := 1)", "round(x := fee)", "round(x => fee)", "coalesce(fee := 1, 2)"]
)
def test_names_anywhere_else(connection: Any, expression: str) -> None:
    with pytest.raises(UnsupportedError, match=r"arguments with names \(:= or =>\), but to models"):
        connection.sql(f"SELECT {expression} FROM t")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["fee", "age"], "must name each input once"),
        (["fee", "fee", "age", "wide"], "must name each input once"),
        (["fee", "ages", "wide"], 'no input "ages"; its inputs: "age", "fee", "wide". Did you mean "age"?'),
        ("fee", "is a list of names"),
    ],
)
def test_wrong_orders(connection: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        connection.create_function("m", dictionary(), inputs=inputs)
    assert message in str(caught.value)


def test_a_list_keeps_its_order(connection: Any) -> None:
    fee, age = keras.Input((1,), name="fee"), keras.Input((1,), name="age")
    connection.create_function("m", keras.Model([fee, age], 100 * fee + age))
    connection.create_function("turned", keras.Model([fee, age], 100 * fee + age), inputs=["age", "fee"])
    found = connection.sql("SELECT m(fee, age), m(age := age, fee := fee), turned(age, fee) FROM t").fetchall()
    assert found == [(value,) * 3 for value in (110.0, 220.0, 330.0)]


def of(*shape: int) -> Any:
    return tf.TensorSpec([None, *shape], tf.float32)


def kept(folder: Path, model: Any, **options: Any) -> Path:
    tf.saved_model.save(model, str(folder), **options)
    return folder


class Difference(tf.Module):  # type: ignore[misc]
    @tf.function(input_signature=[of(), of(2)])  # type: ignore[untyped-decorator]
    def __call__(self, zed: Any, alpha: Any) -> Any:
        return zed - alpha[:, 0] + 100 * alpha[:, 1]


def test_functions_of_tensorflow(connection: Any, tmp_path: Path) -> None:
    """zed = 10, alpha = (1, 2) are 209 whatever they are called by; TensorFlow itself sorts the keys."""
    module = Difference()
    of_dictionary = tf.function(lambda d: module(d["zed"], d["alpha"]), input_signature=[{"zed": of(), "alpha": of(2)}])

    @tf.function  # type: ignore[untyped-decorator]
    def by_keyword(*, zed: Any, alpha: Any) -> Any:
        return module(zed, alpha)

    @tf.function  # type: ignore[untyped-decorator]
    def nested(zed: Any, rest: Any) -> Any:
        return zed - rest["pair"][0] + 100 * rest["pair"][1]

    saved = kept(tmp_path / "saved", module, signatures=module.__call__.get_concrete_function())
    dictionary().export(str(tmp_path / "exported"), verbose=False)
    models = {
        "of_dictionary": (of_dictionary, "(zed := 10, alpha := (1, 2))"),
        "by_keyword": (by_keyword.get_concrete_function(zed=of(), alpha=of(2)), "(zed := 10, alpha := (1, 2))"),
        "saved": (saved, "(zed := 10, alpha := (1, 2))"),
        "nested": (nested.get_concrete_function(of(), {"pair": (of(), of())}), "(pair_1 := 2, pair_0 := 1, zed := 10)"),
    }
    value = float(module(tf.constant([10.0]), tf.constant([[1.0, 2.0]])).numpy()[0])
    for name, (model, arguments) in models.items():
        connection.create_function(name, model)
        assert connection.sql(f"SELECT {name}{arguments}").fetchall() == [(value,)], name
        if name != "nested":  # its dictionary has one key, so its order is clear
            with pytest.raises(BindError, match="names and no order"):
                connection.sql(f"SELECT {name}(10, 1, 2)")
    connection.create_function("exported", tmp_path / "exported")
    assert connection.sql(f"SELECT exported{BY_NAME[1:]} FROM t").fetchall() == expected(dictionary())
    connection.create_function("by_position", module)
    connection.create_function("ordered", saved, inputs=["zed", "alpha"])
    assert connection.sql("SELECT by_position(10, 1, 2), nested(10, 1, 2), ordered(10, 1, 2)").fetchall() == [(value,) * 3]


def test_parameters_of_jax_functions(connection: Any) -> None:
    connection.create_function("m", lambda fee, age: 100 * fee + age)
    connection.create_function("turned", lambda fee, age: 100 * fee + age, inputs=["age", "fee"])
    connection.create_function("starred", lambda *columns: 100 * columns[0] + columns[1], inputs=["fee", "age"])
    query = "SELECT m(age := age, fee := fee), turned(age, fee), starred(fee, age), starred(age := age, fee := fee) FROM t"
    assert connection.sql(query).fetchall() == [(value,) * 4 for value in (110.0, 220.0, 330.0)]


def test_columns_are_called_by_what_is_called(connection: Any) -> None:
    """As DuckDB prints a function of its own with such arguments."""
    connection.create_function("m", dictionary())
    query = 'SELECT m("FEE":=sum(fee), age:=count(*), wide := [max(code),1]) FROM t'
    with duckdb.connect() as oracle:
        oracle.execute("CREATE TABLE t AS SELECT 1 AS fee, 2 AS code")
        (expected,) = oracle.sql(query.replace("m(", "struct_pack(", 1)).columns
    assert connection.sql(query).columns == [expected.replace("struct_pack", "m")]


def test_names_in_quotes(connection: Any) -> None:
    first, second = keras.Input((1,), name="the fee"), keras.Input((1,), name="order")
    connection.create_function("my model", keras.Model({"the fee": first, "order": second}, first - second))
    assert connection.sql('SELECT "my model"("the fee" := 5, "order" := 2)').fetchall() == [(3.0,)]
    with pytest.raises(BindError, match=re.escape('Write "my model"("order" := ..., "the fee" := ...)')):
        connection.sql('SELECT "my model"(5, 2)')


def test_an_exported_query_keeps_the_order(connection: Any, tmp_path: Path) -> None:
    model = dictionary()
    connection.create_function("m", model)
    connection.sql(f"SELECT {BY_NAME} AS y FROM t").export(tmp_path / "named.qta")
    found = qtensor.load(tmp_path / "named.qta")(t=ROWS)
    assert found.column("y").to_pylist() == [value for (value,) in expected(model)]
