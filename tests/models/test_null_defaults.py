"""null=: what a model takes a NULL for; the same as COALESCE around each of its arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import ExecutionError, ModelError

ROWS = 66_000
MODEL = {"arguments": 2, "inputs": ["a", "b"]}


def function(*values: Any) -> Any:
    """A sum in which NaN is a number of its own."""
    a, b = values
    return jnp.where(jnp.isnan(a), 1e6, a) + 100 * jnp.where(jnp.isnan(b), 1e6, b)


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    generator = np.random.default_rng(5)
    missing = generator.random((3, ROWS)) < 0.3
    data = {
        "id": np.arange(ROWS),
        "x": pa.array(generator.normal(size=ROWS), mask=missing[0]),
        "n": pa.array(generator.integers(-5, 5, ROWS), mask=missing[1]),
        "flag": pa.array(generator.random(ROWS) < 0.5, mask=missing[2]),
    }
    with qtensor.connect() as opened:
        opened.register("t", pa.table(data))
        opened.create_function("plain", function, **MODEL)
        yield opened


@pytest.mark.parametrize(
    ("null", "a", "b"),
    [
        (0, "0", "0"),
        (-1.5, "-1.5", "-1.5"),
        (float("nan"), "'nan'::DOUBLE", "'nan'::DOUBLE"),
        ({"b": 7}, None, "7"),
        ({"a": "NaN", "b": -2}, "'nan'::DOUBLE", "-2"),
        (np.float32(2.5), "2.5", "2.5"),
    ],
)
def test_as_coalesce(connection: Any, null: Any, a: str | None, b: str | None) -> None:
    x, y = "n", "x / nullif(n, 0)"
    connection.create_function("m", function, null=null, **MODEL)
    written = f"plain({x if a is None else f'coalesce({x}, {a})'}, {y if b is None else f'coalesce({y}::DOUBLE, {b})'})"
    for query in (
        "SELECT count({m}) AS n, sum({m}) AS s FROM t",
        "SELECT id FROM t WHERE {m} > 0 OR {m} IS NULL ORDER BY id DESC LIMIT 50",
        "SELECT t.id, {m} FROM t LEFT JOIN (SELECT id FROM t WHERE id % 2 = 0) AS u ON t.id = u.id "
        "WHERE {m} < 50 OR t.id < 3 ORDER BY 1 LIMIT 9",
    ):
        found, expected = (connection.sql(query.format(m=call)).arrow() for call in (f"m({x}, {y})", written))
        assert found.num_rows == expected.num_rows > 0
        for one, other in zip(found.columns, expected.columns, strict=True):
            np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), rtol=1e-12)  # NaN, as pyarrow gives NULL, equals NaN


def test_rows_of_an_outer_join_without_a_partner(connection: Any) -> None:
    """A default keeps rows that a model without one would make NULL: no rule may take the join for an inner one."""
    connection.create_function("m", function, null=1, **MODEL)
    joined = "t LEFT JOIN (SELECT id, x FROM t WHERE id < 10) u ON t.id = u.id"
    query = f"SELECT count(*) FROM {joined} WHERE m(u.x, u.x) = 101 AND t.id >= 10"
    assert connection.sql(query).fetchall() == [(ROWS - 10,)]


def test_whole_numbers(connection: Any) -> None:
    connection.create_function("m", lambda a: a * 2, dtype="int8", null=127)
    assert connection.sql("SELECT m(NULL), m(3)").fetchall() == [(-2, 6)]
    with pytest.raises(ExecutionError, match="not a whole number from -128 to 127"):
        connection.sql("SELECT m(n + 1000) FROM t").fetchall()


@pytest.mark.parametrize(
    ("null", "message"),
    [
        ("nan", "null=nan is no value of its int8 argument"),
        (128, "null=128 is no value of its int8 argument"),
        (0.5, "null=0.5 is no value"),
        (float("inf"), "null=inf is no value"),
        ("none", "null= is a number"),
        ([1], "null= is a number"),
        ({"z": 1}, 'null= names "z", which is no input'),
        ({"a": []}, "null= is a number"),
    ],
)
def test_refused(connection: Any, null: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        connection.create_function("refused", lambda a: a, dtype="int8", null=null)


def test_artifact(connection: Any, tmp_path: Path) -> None:
    connection.create_function("m", function, null={"a": -1}, **MODEL)
    relation = connection.sql("SELECT sum(m(x, id)) AS s FROM t")
    relation.export(tmp_path / "q.qta")
    table: Mapping[str, Any] = {"t": connection.sql("SELECT * FROM t").arrow()}
    assert qtensor.load(tmp_path / "q.qta")(**table).to_pylist() == relation.arrow().to_pylist()


def test_texts() -> None:
    tf = pytest.importorskip("tensorflow")
    signature = [tf.TensorSpec([None], tf.string, name="s"), tf.TensorSpec([None], tf.float32, name="x")]
    model = tf.function(lambda s, x: tf.cast(tf.strings.length(s), tf.float32) + 100 * x, input_signature=signature)
    rows = "(VALUES ('abc', 1), (NULL, 2), ('', NULL), (NULL, NULL)) AS t(s, x)"
    with qtensor.connect(threads=1) as opened:
        for null, expected in (
            (None, [103.0, None, None, None]),
            ({"s": "four"}, [103.0, 204.0, None, None]),
            ({"s": "", "x": -1}, [103.0, 200.0, -100.0, -100.0]),
        ):
            opened.create_function("m", model, null=null)
            assert [row[0] for row in opened.sql(f"SELECT m(s, x) FROM {rows}").fetchall()] == expected
        for null, message in ((0, "null=0 is no text"), ("a", "null= is a number")):
            with pytest.raises(ModelError, match=message):
                opened.create_function("m", model, null=null)
        assert opened.functions() == {"m": "m(s text, x float32) gives FLOAT"}
