"""Several outputs of one model, and several models under one name: each as it is alone, all in one program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import BindError, ExecutionError, ModelError

ROWS = 66_000


def function(a: Any, b: Any) -> Any:
    """Outputs of every kind of type."""
    weights = jnp.arange(6.0).reshape(2, 3) - 2.5
    scores = jnp.stack([a, b]) @ weights
    return {
        "score": a * 2 + b,
        "half": (a - b).astype(jnp.float32),
        "scores": scores,
        "class": jnp.argmax(scores),
        "small": jnp.int8(jnp.clip(a, -9, 9)),
        "big": (a * 2**40).astype(jnp.int64) * 2**20 + 1,
        "flag": a > b,
    }


NAMES = ["score", "half", "scores", "class", "small", "big", "flag"]


class Pair(NamedTuple):
    """Outputs with names."""

    total: Any
    difference: Any


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    generator = np.random.default_rng(11)
    data = {
        "id": np.arange(ROWS),
        "a": pa.array(generator.normal(size=ROWS), mask=generator.random(ROWS) < 0.1),
        "b": generator.normal(size=ROWS),
    }
    with qtensor.connect() as opened:
        opened.register("t", pa.table(data))
        opened.create_function("m", function)
        for name in NAMES:
            opened.create_function(f"only_{name}", function, output=name)
        yield opened


def test_an_output_is_what_it_is_alone(connection: Any) -> None:
    calls = [f'm(a, b)."{name}"' for name in NAMES], [f'"only_{name}"(a, b)' for name in NAMES]
    found, expected = (
        connection.sql(f"SELECT {', '.join(f'{call} AS c{n}' for n, call in enumerate(listed))} FROM t") for listed in calls
    )
    assert found.arrow().equals(expected.arrow())
    assert found.types == expected.types


@pytest.mark.parametrize("name", ["scores", "class", "big"])
def test_groups_by_an_output(connection: Any, name: str) -> None:
    query = "SELECT {m} AS v, count(*) AS n FROM t GROUP BY v ORDER BY n DESC, v LIMIT 20"
    found, expected = (connection.sql(query.format(m=call)) for call in (f'm(a, b)."{name}"', f'"only_{name}"(a, b)'))
    assert found.arrow().equals(expected.arrow())


def test_outputs_are_chosen_by_name_and_number(connection: Any) -> None:
    query = "SELECT m(a, b).SCORE = m(a, b)['score'] AND m(a, b)[1] = (m(a, b)).score AS same FROM t WHERE a IS NOT NULL"
    assert connection.sql(f"SELECT DISTINCT same FROM ({query})").fetchall() == [(True,)]
    (name,) = connection.sql("SELECT m(a, b).score FROM t").columns
    assert name == "(m(a, b)).score"
    assert connection.sql("SELECT m(a, b).scores[2] = m(a, b)[3][2] FROM t LIMIT 1").fetchall() == [(True,)]
    for wrong in ("m(a, b)", "m(a, b)[8]", "m(a, b)[0]", "m(a, b).skore", "m(a, b)[id]"):
        with pytest.raises(BindError, match=r"several outputs|has no output|chosen by its name"):
            connection.sql(f"SELECT {wrong} FROM t")


def test_outputs_of_different_types_have_no_array(connection: Any) -> None:
    """Of a FLOAT and a DOUBLE nothing may be given as if it were all."""
    connection.create_function("mixed", lambda a, b: {"single": a.astype(jnp.float32), "double": b})
    with pytest.raises(BindError, match="several outputs"):
        connection.sql("SELECT mixed(a, b) FROM t")
    connection.create_function("vectors", lambda a, b: (jnp.stack([a, b]), jnp.stack([b, a])))
    with pytest.raises(BindError, match="several outputs"):
        connection.sql("SELECT vectors(a, b) FROM t")
    assert connection.sql("SELECT vectors(a, b)[2][1] = b AS same FROM t WHERE a IS NOT NULL LIMIT 1").fetchall() == [(True,)]


def test_one_call_serves_all_outputs(connection: Any) -> None:
    query = "SELECT sum(m(a, b).score), sum(m(a, b).half), avg(m(a, b).scores[1]) FROM t WHERE m(a, b).flag"
    assert connection.sql(query).explain("physical").count("ModelUse") == 1


def test_tuples_and_versions(connection: Any) -> None:
    connection.create_function("pair", lambda a, b: Pair(a + b, a - b))
    connection.create_function("two", lambda a, b: (a + b, a - b))
    connection.create_function("listed", [lambda a, b: a + b, lambda a, b: a - b])
    connection.create_function("named", {"sum": lambda a, b: a + b, "less": lambda a, b: a - b})
    calls = ["pair(a, b).total, pair(a, b).difference", "two(a, b)[1], two(a, b)[2]", "listed(a, b)[1], listed(a, b)[2]"]
    calls += ["named(a, b).sum, named(a, b).less", "a + b, a - b"]
    first, *others = (connection.sql(f"SELECT {call} FROM t ORDER BY id").fetchall() for call in calls)
    assert all(other == first for other in others)
    scores = connection.sql("SELECT listed(a, b) AS s FROM t ORDER BY id").fetchall()
    assert scores == [(None if row[0] is None else row,) for row in first]


def test_versions_with_weights_and_labels(connection: Any) -> None:
    generator = np.random.default_rng(2)
    versions = [generator.normal(size=(2, 3)) for _ in range(5)]
    classes = ["low", "mid", "high"]

    def network(weights: Any) -> Any:
        return lambda a, b: jnp.stack([a, b]) @ jnp.asarray(weights)

    connection.create_function("v", {f"v{n}": network(w) for n, w in enumerate(versions)}, classes=classes)
    data = connection.sql("SELECT id, a, b FROM t WHERE a IS NOT NULL ORDER BY id").arrow()
    rows = np.stack([data["a"].to_numpy(), data["b"].to_numpy()], 1)
    listed = ", ".join(f"v(a, b).v{n}" for n in range(5))
    found = connection.sql(f"SELECT {listed} FROM t WHERE a IS NOT NULL ORDER BY id").arrow()
    for column, weights in zip(found.columns, versions, strict=True):
        assert column.to_pylist() == np.array(classes)[(rows @ weights).argmax(1)].tolist()


def test_a_wide_model_goes_block_by_block(connection: Any) -> None:
    generator = np.random.default_rng(3)
    one, two = generator.normal(size=(2, 128)).astype(np.float32), generator.normal(size=(128, 128)).astype(np.float32)

    def network(a: Any, b: Any) -> Any:
        hidden = jnp.tanh(jnp.stack([a, b]) @ one) @ two
        return {"sum": hidden.sum(), "class": jnp.argmax(hidden), "first": hidden[:3]}

    connection.create_function("w", network, dtype="float32")
    for where in ("", "WHERE a > 1.5"):
        query = f'SELECT w(a, b).sum AS s, w(a, b)."class" AS c, w(a, b)."first" AS f FROM t {where} ORDER BY id'
        found = connection.sql(query).arrow()
        rows = connection.sql(f"SELECT a, b FROM t {where} ORDER BY id").arrow()
        hidden = np.tanh(np.stack([rows["a"].to_numpy(), rows["b"].to_numpy()], 1).astype(np.float32) @ one) @ two
        np.testing.assert_allclose(found["s"].to_numpy(), hidden.sum(1), rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(
            np.stack([row for row in found["f"].to_pylist() if row]), hidden[~np.isnan(hidden[:, 0]), :3], rtol=1e-3, atol=1e-3
        )
        known = ~np.isnan(hidden[:, 0])
        assert (np.array(found["c"].fill_null(-1))[known] == hidden[known].argmax(1)).mean() > 0.999


def test_what_does_not_stand_together(connection: Any) -> None:
    for model, message in (
        ([], "there is no model"),
        ([lambda a: a, lambda a, b: a], "take different arguments"),
        ([lambda a: (a, a), lambda a: a], "has several outputs itself"),
        ({1: lambda a: a}, "the names of several models are texts"),
        (lambda a: {"x": a, "y": jnp.stack([a, a])[None]}, "only a scalar or a vector"),
    ):
        with pytest.raises(ModelError, match=message):
            connection.create_function("bad", model)
    with pytest.raises(ModelError, match="classes= are those of one output"):
        connection.create_function("bad", function, classes=["x", "y", "z"])
    connection.create_function("m3", function, output="class", classes=["x", "y", "z"])
    assert connection.sql("SELECT DISTINCT m3(a, b) AS c FROM t WHERE a + b > 0").fetchall() == [("z",)]
    connection.create_function("two", [lambda a: a.astype(int)] * 2, classes=["x", "y"])
    with pytest.raises(ExecutionError, match="none of its 2 classes"):
        connection.sql("SELECT two(5)[1]").fetchall()


def test_artifact(connection: Any, tmp_path: Path) -> None:
    relation = connection.sql(
        'SELECT m(a, b).flag AS f, sum(m(a, b).score) AS s, max(m(a, b)."class") AS c FROM t GROUP BY f ORDER BY f'
    )
    relation.export(tmp_path / "q.qta")
    table = connection.sql("SELECT * FROM t").arrow()
    assert qtensor.load(tmp_path / "q.qta")(t=table).equals(relation.arrow())
