"""Keras models in a process where Keras runs on JAX: objects and files, against Keras's own `predict`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import keras, numpy as np, pyarrow as pa, qtensor

random = np.random.default_rng(0)
x = random.normal(size=(300, 6)).astype(np.float32)
x[:5] = [[np.nan] * 6, [np.inf] * 6, [-np.inf] * 6, [1e30] * 6, [-0.0] * 6]
ids = random.integers(0, 9, 300)
connection = qtensor.connect()
connection.register("t", pa.table({f"c{n}": x[:, n] for n in range(6)} | {"id": ids}))
columns = ", ".join(f"c{n}" for n in range(6))

def check(model, expected, call=None, **options):
    connection.create_function("m", model, **options)
    found = connection.sql(f"SELECT {call or f'm({columns})'} AS r FROM t").fetchall()
    found = np.array([row[0] for row in found], float)
    np.testing.assert_allclose(found, np.asarray(expected).reshape(found.shape), rtol=1e-5, atol=1e-5)

layers = keras.layers
dense = keras.Sequential([
    keras.Input((6,)), layers.Dense(16, activation="gelu"), layers.BatchNormalization(), layers.Dropout(0.5),
    layers.LayerNormalization(), layers.Dense(3, activation="softmax"),
])
scores = dense.predict(x, verbose=0)
check(dense, scores)
check(dense, scores.argmax(1), output="class")
dense.save(sys.argv[1])
check(sys.argv[1], scores)

steps = keras.Sequential([keras.Input((6,)), layers.Reshape((3, 2)), layers.LSTM(5, return_sequences=True), layers.Conv1D(4, 2)])
steps.add(layers.Flatten())
check(steps, steps.predict(x, verbose=0))

first, second = keras.Input((6,), name="features"), keras.Input((1,), dtype="int32", name="id")
joined = layers.Concatenate()([first, layers.Flatten()(layers.Embedding(9, 4)(second))])
several = keras.Model({"features": first, "id": second}, [layers.Dense(2, name="p")(joined), layers.Dense(1, name="q")(joined)])
p, q = several.predict({"features": x, "id": ids[:, None]}, verbose=0)
check(several, p, f"m(features := ({columns}), id := id).p")
check(several, q, f"m(id, {columns})", inputs=["id", "features"], output="q")
for options, problem in [({"dtype": "float64"}, "leave out dtype="), ({"arguments": 5}, "takes 6 columns, not the 5")]:
    try:
        connection.create_function("m", dense, **options)
    except qtensor.errors.ModelError as error:
        assert problem in str(error), error
    else:
        raise AssertionError(options)
"""


def test_objects_and_files(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "dense.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2_000:]
