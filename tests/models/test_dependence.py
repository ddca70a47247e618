"""On which arguments a model does not depend. The model itself is the oracle: other values there change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from jax import lax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import qtensor
from qtensor.lowering.models.dependence import with_unread
from qtensor.lowering.models.jax_function import import_jax_function
from qtensor.lowering.models.kinds import imported_model
from qtensor.lowering.models.model import Model
from tests.models.oracle import run

WEIGHTS = np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 1]])
# A function of a, b and c, and the positions that never matter and that do not matter as long as they are numbers of 64 bits.
FUNCTIONS: dict[str, tuple[Callable[..., Any], set[int], set[int]]] = {
    "all": (lambda a, b, c: a + b * c, set(), set()),
    "none of one": (lambda a, b, c: a + c, {1}, {1}),
    "constant": (lambda a, b, c: jnp.float64(3), {0, 1, 2}, {0, 1, 2}),
    "a slice": (lambda a, b, c: jnp.stack([a, b, c])[1:].sum(), {0}, {0}),
    "picked": (lambda a, b, c: jnp.stack([a, b, c])[np.array([2, 2])].max(), {0, 1}, {0, 1}),
    "picked by an argument": (lambda a, b, c: jnp.stack([a, b, c])[a.astype(int) % 3], set(), set()),
    "moved": (lambda a, b, c: jnp.flip(jnp.pad(jnp.stack([a, b, c]), 1))[2:4].prod(), {2}, {2}),
    "zero weights": (lambda a, b, c: jnp.maximum(jnp.stack([a, b, c]) @ WEIGHTS, 0).sum(), set(), {1}),
    "zero weights of a result": (lambda a, b, c: (jnp.stack([a, b, c]) @ WEIGHTS)[0], set(), {1, 2}),
    "zero weights behind a function": (lambda a, b, c: jnp.exp(jnp.stack([a, b, c])) @ WEIGHTS[:, 0], set(), set()),
    "zero weights, scaled": (lambda a, b, c: ((jnp.stack([a, b, c]) - 5) / 1e3 * 2) @ WEIGHTS[:, 2], set(), {1}),
    "zero weights, scaled beyond all bounds": (lambda a, b, c: (jnp.stack([a, b, c]) * 1e15) @ WEIGHTS[:, 2], set(), set()),
    "zero weights, in a type of few bits": (
        lambda a, b, c: jnp.stack([a, b, c]).astype(jnp.float16).astype(float) @ WEIGHTS[:, 2],
        set(),
        set(),
    ),
    "zero weights, NaN among them": (lambda a, b, c: jnp.stack([a, b, c]) @ np.array([1, 0, np.nan]), set(), set()),
    "a test for NaN": (lambda a, b, c: jnp.where(jnp.isnan(b) | jnp.isinf(b), -1, a + c), set(), {1}),
    "a test of a value": (lambda a, b, c: jnp.where(b > 1e17, -1, a + c), set(), set()),
    "a test beyond all values": (lambda a, b, c: jnp.where(jnp.abs(b) > 1e25, -1, a + c), set(), {1}),
    "a loop": (lambda a, b, c: lax.fori_loop(0, 3, lambda _, x: x * c, a), {1}, {1}),
    "a loop over both": (lambda a, b, c: lax.fori_loop(0, 3, lambda _, x: (x[0] + 1, x[1] * b), (a, c))[0], set(), set()),
    "a branch": (lambda a, b, c: lax.cond(a > 0, lambda: b, lambda: c), set(), set()),
    "a call within": (lambda a, b, c: jax.jit(lambda x, y: x)(a, b) + c, {1}, {1}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function, always, if_small = FUNCTIONS[name]
    model = with_unread(import_jax_function("m", function))
    assert (set(model.unread), set(model.unread_if_small)) == (always, if_small)
    assert_nothing_changes(model, 3)


def assert_nothing_changes(model: Model, width: int) -> None:
    """Values of arguments that do not matter make no difference, and those of others some."""
    random = np.random.default_rng(width)
    columns = [random.normal(size=200).astype(dtype) for dtype in model.arguments]
    expected = run(model, *columns)
    large = np.array([0, -0.0, 1, -1, 2.0**63, -(2.0**63), 12345.678, 1e-30])
    everything = np.array([np.nan, np.inf, -np.inf, *large, *([1e300] if model.arguments[0] == np.float64 else [])])
    for positions, values in ((model.unread, everything), (model.unread_if_small, large)):
        changed = [random.choice(values, 200) if at in positions else column for at, column in enumerate(columns)]
        np.testing.assert_array_equal(run(model, *changed), expected)


X = np.random.default_rng(1).normal(size=(300, 10)).astype(np.float32)
CLASSES = (X[:, 2] - 2 * X[:, 7] > 0).astype(int)
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "lasso": lambda: Lasso(alpha=0.1).fit(X, X[:, 2] - 2 * X[:, 7]),
    "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression(l1_ratio=1, C=0.05, solver="liblinear")).fit(X, CLASSES),
    "forest": lambda: RandomForestClassifier(4, max_depth=2, random_state=1).fit(X, CLASSES),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(name: str) -> None:
    model = with_unread(imported_model("m", ESTIMATORS[name]()))
    assert not model.unread  # NaN and infinities are errors of scikit-learn's
    assert 1 <= len(model.unread_if_small) <= 8
    assert not model.unread_if_small & {2, 7}
    assert_nothing_changes(model, 10)


def test_a_table_of_what_a_model_does_not_read() -> None:
    random = np.random.default_rng(2)
    table = pa.table({"a": random.normal(size=1000), "b": pa.array(random.integers(0, 9, 1000), mask=random.random(1000) < 0.2)})
    with qtensor.connect() as connection:
        connection.register("t", table)
        connection.create_function("m", lambda a, b: jnp.stack([a, b]) @ np.array([2.0, 0]))
        connection.create_function("filled", lambda a, b: jnp.stack([a, b]) @ np.array([2.0, 0]), null=0)
        assert "Scan t (a)" in connection.sql("SELECT filled(a, b) FROM t").explain("logical").partition("optimised")[2]
        of_integers = connection.sql("SELECT sum(m(a, b)) AS s FROM t").fetchone()
        assert of_integers == connection.sql("SELECT sum(2 * a) FROM t WHERE b IS NOT NULL").fetchone()
        assert "IS NOT NULL" not in connection.sql("SELECT m(b, a) FROM t").explain("logical")


def test_other_weights_matter() -> None:
    table = pa.table({"a": np.arange(10), "b": np.arange(10) * 2})
    weights = np.array([1.0, 0.0])
    with qtensor.connect() as connection:
        connection.register("t", table)
        connection.create_function("m", lambda a, b: jnp.stack([a, b]) @ weights)
        relation = connection.sql("SELECT sum(m(a, b)) FROM t")
        assert relation.fetchall() == [(45.0,)]
        assert "m(a, 0)" in relation.explain("logical")
        connection.set_weights("m", {"0": np.array([0.0, 1.0])})
        assert relation.fetchall() == [(90.0,)]
        assert "m(0, b)" in relation.explain("logical")
