"""Rows as batches for training: the query's rows, each once an epoch, in order or shuffled; trained on by Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import DataError

ROWS = 1_003


@pytest.fixture(scope="module")
def relation() -> Iterator[Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=ROWS)
    data = {
        "id": np.arange(ROWS),
        "x": pa.array(x, mask=generator.random(ROWS) < 0.1),
        "s": generator.choice(["a", "b", "ü"], ROWS),
        "y": (x > 0).astype(np.int32),
    }
    with qtensor.connect(threads=1) as connection:
        connection.register("t", pa.table(data))
        yield connection.sql("SELECT id, x, id % 2 = 0 AS even, s, y FROM t")


@pytest.mark.parametrize(
    ("size", "drop_last"), [(1, False), (64, False), (64, True), (ROWS, False), (5_000, False), (5_000, True)]
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_row_once_an_epoch(relation: Any, size: int, drop_last: bool, shuffle: bool) -> None:
    made = qtensor.batches(relation, size, shuffle=shuffle, seed=1, drop_last=drop_last)
    whole = relation.arrow()
    expected = {name: whole[name].to_pylist() for name in whole.column_names}
    epochs = []
    for _ in range(2):
        found = list(made)
        assert len(found) == len(made) == (ROWS // size if drop_last else -(-ROWS // size))
        assert all(len(batch["id"]) == size for batch in found[:-1])
        ids = np.concatenate([batch["id"] for batch in found]) if found else np.empty(0, int)
        assert len(set(ids.tolist())) == len(ids) == (ROWS // size * size if drop_last else ROWS)
        for batch in found:
            for name in ("even", "s", "y"):
                assert batch[name].tolist() == [expected[name][number] for number in batch["id"]]
            assert [None if np.isnan(value) else value for value in batch["x"]] == [
                expected["x"][number] for number in batch["id"]
            ]
        epochs.append(ids.tolist())
    assert (epochs[0] == sorted(epochs[0])) is (not shuffle or len(epochs[0]) < 2)
    assert (epochs[0] == epochs[1]) is (not shuffle or len(epochs[0]) < 2)


def test_batches_are_views_and_seeds_repeat(relation: Any) -> None:
    made = qtensor.batches(relation, 100)
    assert all(batch["id"].base is not None and np.shares_memory(batch["id"], made.columns["id"]) for batch in made)
    one, other = (qtensor.batches(relation, 100, shuffle=True, seed=7) for _ in range(2))
    assert all((a["id"] == b["id"]).all() for a, b in zip(one, other, strict=True))


def test_labels_and_matrices(relation: Any) -> None:
    made = qtensor.batches(relation, 400, label="y")
    features, labels = next(iter(made))
    assert sorted(features) == ["even", "id", "s", "x"]
    assert labels.dtype == np.int32
    rows, again = next(iter(made.matrix(["x", "even"])))
    assert rows.dtype == np.float32
    assert rows.shape == (400, 2)
    np.testing.assert_array_equal(rows[:, 0], features["x"].astype(np.float32))
    assert (again == labels).all()


def test_vectors_are_arrays(relation: Any) -> None:
    relation._connection.create_function("vector", lambda a: jnp.stack([a, 2 * a, 3 * a]))
    (batch,) = qtensor.batches(relation._connection.sql("SELECT vector(id) AS v FROM t"), ROWS)
    assert batch["v"].shape == (ROWS, 3)
    np.testing.assert_array_equal(batch["v"], np.arange(ROWS)[:, None] * [1.0, 2.0, 3.0])
    (rows,) = qtensor.batches(relation._connection.sql("SELECT id, vector(id) AS v FROM t"), ROWS).matrix()
    np.testing.assert_array_equal(rows, np.arange(ROWS, dtype=np.float32)[:, None] * [1.0, 1.0, 2.0, 3.0])


def test_keras_learns_from_a_query(relation: Any) -> None:
    keras = pytest.importorskip("keras")
    query = relation._connection.sql("SELECT x, x * x AS square, y FROM t WHERE x IS NOT NULL")
    made = qtensor.batches(query, 64, label="y", shuffle=True, seed=3)
    inputs = {name: keras.Input((1,), name=name) for name in ("x", "square")}
    output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()(list(inputs.values())))
    model = keras.Model(inputs, output)
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="binary_crossentropy", metrics=["accuracy"])
    dataset = made.tf().map(lambda columns, y: ({name: value[:, None] for name, value in columns.items()}, y[:, None]))
    history = model.fit(dataset, epochs=5, shuffle=False, verbose=0)
    assert history.history["accuracy"][-1] > 0.97


def test_refused(relation: Any) -> None:
    for size in (0, -1, 1.5, True, "3"):
        with pytest.raises(DataError, match="batch_size is a number from 1 on"):
            qtensor.batches(relation, size)
    with pytest.raises(DataError, match='no column "yy" to be the label'):
        qtensor.batches(relation, 10, label="yy")
    connection = relation._connection
    with pytest.raises(DataError, match="has NULLs, which are no texts"):
        qtensor.batches(connection.sql("SELECT nullif(s, 'a') AS s FROM t"), 10)
    with pytest.raises(DataError, match="has NULLs"):
        qtensor.batches(connection.sql("SELECT nullif(id, 1) AS i FROM t"), 10)
    with pytest.raises(DataError, match="is no number"):
        qtensor.batches(connection.sql("SELECT DATE '2020-01-01' AS d"), 10)
    with pytest.raises(DataError, match='no column "z"'):
        next(iter(qtensor.batches(relation, 10).matrix(["z"])))
    with pytest.raises(DataError, match='column "s" is text, which a matrix cannot hold'):
        next(iter(qtensor.batches(relation, 10).matrix()))
