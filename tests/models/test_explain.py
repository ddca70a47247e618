"""explain("model"): layers, weights and the cost of a row; and what planning knows of a JAX function's class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qtensor
from qtensor.lowering.models.jax_function import import_jax_function

FIRST, SECOND = np.ones((2, 128), np.float32), np.ones((128, 64), np.float32)


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with qtensor.connect(threads=1) as opened:
        yield opened.register("t", {"a": np.arange(10.0), "b": np.arange(10.0)})


def test_layers_and_costs(connection: Any) -> None:
    def network(a: Any, b: Any) -> Any:
        return jnp.argmax(jax.nn.softmax(jax.nn.relu(jnp.stack([a, b]) @ FIRST + 1) @ SECOND))

    connection.create_function("wide", network, dtype="float32")
    connection.create_function("plus", lambda first, second: first + second)
    connection.create_function("level", lambda a: jnp.stack([a, -a, a * a]), classes=["x", "y", "z"])
    text = connection.sql("SELECT wide(a, b), plus(a, b), level(a) FROM t").explain("model")
    wide, plus, level = text.split("\n\n")
    assert wide.startswith("model wide(a float32, b float32) gives BIGINT, a class below 64\n")
    size = FIRST.nbytes + SECOND.nbytes
    assert f"{2 * (2 * 128 + 128 * 64):,} floating-point operations in products and 8 bytes of arguments a row; {size:,}" in wide
    assert "computed for about 10 rows, for the rows that filters leave, up to 1,024 at a time" in wide
    assert "matrix product     [2, n], weight 0 -> [n, 128], 256 multiply-adds a row" in wide
    assert "matrix product     [n, 128], weight 1 -> [n, 64], 8,192 multiply-adds a row" in wide
    assert wide.index("weight 0") < wide.index("max\n") < wide.index("weight 1") < wide.index("exp") < wide.index("argmax")
    assert plus.startswith("model plus(first float64, second float64) gives DOUBLE\n")
    assert plus.endswith(
        "  computed for about 10 rows, within the loop over its table's rows\n    1  elementwise        [n]: add"
    )
    assert "VARCHAR, one of 3 names" in level
    assert connection.sql("SELECT a FROM t").explain("model") == "the query calls no model"


@pytest.mark.parametrize(
    ("function", "classes"),
    [
        (lambda a, b: jnp.argmax(jnp.stack([a, b, a])), 3),
        (lambda a, b: jnp.argmin(jnp.stack([a, b])).astype(jnp.int8), 2),
        (lambda a, b: jax.jit(jnp.argmax)(jnp.stack([a, b] * 5)), 10),
        (lambda a, b: jnp.argmax(jnp.stack([a, b]), keepdims=True), 2),
        (lambda a, b: jnp.argmax(jnp.stack([a, b] * 60)).astype(jnp.int8), 120),
        (lambda a, b: jnp.argmax(jnp.stack([a, b] * 150)).astype(jnp.int8), None),
        (lambda a, b: jnp.argmax(jnp.stack([a, b])) + 1, None),
        (lambda a, b: jnp.argmax(jnp.stack([a, b])).astype(jnp.float32), None),
        (lambda a, b: jnp.maximum(jnp.argmax(jnp.stack([a, b])), 7), None),
        (lambda a, b: a.astype(int), None),
    ],
)
def test_classes_of_jax_functions(connection: Any, function: Any, classes: int | None) -> None:
    assert import_jax_function("m", function).classes == classes
    connection.create_function("m", function)
    query = "SELECT m(a, b) AS c, count(*) AS n FROM t GROUP BY c ORDER BY c"
    if classes is not None:
        assert f"in {classes} slots: count()" in connection.sql(query).explain("physical")
    expected: dict[Any, int] = {}
    for number in range(10):
        found = function(jnp.float32(number), jnp.float32(number)).item()
        expected[found] = expected.get(found, 0) + 1
    assert connection.sql(query).fetchall() == sorted(expected.items())


def test_rows_that_a_model_is_called_for() -> None:
    """Those that other conditions leave, or of a table whose rows have several partners; a call that is written twice is one."""
    numbers = np.arange(100_000)
    with qtensor.connect(threads=1) as opened:
        opened.register("t", {"a": numbers, "k": numbers % 1_000})
        opened.register("u", {"k": np.arange(1_000), "b": np.arange(1_000.0)})
        opened.create_function("m", lambda b: jnp.ones(600) @ (jnp.ones(600) * b), dtype="float64")

        def rows(query: str) -> str:
            return opened.sql(query).explain("model").partition("for about ")[2].partition(" rows")[0]

        assert rows("SELECT m(a) FROM t WHERE m(a) > 3") == "100,000"
        assert rows("SELECT a FROM t WHERE m(a) > 3 AND m(a) < 9 AND a < 1000") == "1,000"
        assert rows("SELECT sum(m(b)) FROM t JOIN u ON t.k = u.k") == "1,000"
        steps = opened.sql("SELECT sum(m(b)) FROM t JOIN u ON t.k = u.k").explain("rules").split("\n\n")
        titles = [step.partition("\n")[0] for step in steps]
        assert titles[0] == "bound"
        assert "infer_early" in titles
