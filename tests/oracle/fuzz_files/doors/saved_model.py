"""SavedModels: the fields of the protocol buffer changed at any depth, and the files of variables damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_protobuf

GRAPH = "saved_model.pb"
WIDEST = 64
ROWS = 7


class SavedModelDoor(Door):
    """Registered, and called over a few rows."""

    def import_libraries(self) -> None:
        import keras
        import tensorflow  # noqa: F401

        import qtensor.connection  # noqa: F401

        keras.backend.floatx()  # imports the rest

    def make_seeds(self, folder: Path) -> None:
        import keras
        import numpy as np
        import tensorflow as tf

        keras.utils.set_random_seed(1)
        layers = keras.layers
        first, second = keras.Input((3,), name="first"), keras.Input((1,), name="second")
        joined = layers.Dense(2, activation="softmax")(layers.Concatenate()([first, second]))
        models = {
            "dense": [keras.Input((4,)), layers.Dense(5, activation="relu"), layers.BatchNormalization(), layers.Dense(2)],
            "embedding": [keras.Input((1,), dtype="int64"), layers.Embedding(6, 3), layers.Flatten(), layers.Dense(1)],
        }
        for name, parts in models.items():
            keras.Sequential(parts).export(folder / name, verbose=False)
        keras.Model([first, second], joined).export(folder / "two", verbose=False)
        tf.saved_model.save(linear(tf, np.arange(8, dtype=np.float32).reshape(4, 2)), str(folder / "module"))
        for path in folder.rglob("fingerprint.pb"):
            path.unlink()

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        kind = random.random()
        chosen = GRAPH if kind < 0.7 else random.choice(sorted(seed))
        if kind > 0.97:
            return {name: content for name, content in seed.items() if name != chosen}
        change = mutated_protobuf if chosen == GRAPH and kind < 0.65 else mutated_bytes
        return {**seed, chosen: change(random, seed[chosen])}

    def answer(self, folder: Path) -> object:
        return answer_of(folder)

    def expected(self, folder: Path) -> object:
        """What TensorFlow itself computes by the signature that is served."""
        import numpy as np
        import tensorflow as tf

        served = tf.saved_model.load(str(folder)).signatures["serving_default"]
        start, taken = 0, {}
        for name, spec in sorted(served.structured_input_signature[1].items()):
            width = 1 if spec.shape.rank == 1 else int(spec.shape[1])
            rows = columns()[:, start : start + width].astype(spec.dtype.as_numpy_dtype)
            taken[name] = tf.constant(rows[:, 0] if spec.shape.rank == 1 else rows)
            start += width
        (found,) = served(**taken).values()
        return np.asarray(found, np.float64).reshape(ROWS, -1)

    def same(self, found: object, expected: object) -> bool:
        return close(found, expected)


def linear(tf: Any, weights: Any) -> Any:
    """A tf.Module of one dense layer and a softmax."""

    class Linear(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(weights)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def __call__(self, x):
            return {"scores": tf.nn.softmax(x @ self.weights)}

    return Linear()


def columns() -> Any:
    """Numbers for any model: small, so that integer inputs and embeddings take them."""
    import numpy as np

    return (np.arange(ROWS)[:, None] + np.arange(WIDEST)) % 5


def answer_of(path: Path) -> Any:
    """The scores that SQL gets of a model file, a float64[rows, scores]; "wide" for one of too many arguments."""
    import numpy as np

    import qtensor

    with qtensor.connect(threads=1) as connection:
        connection.create_function("m", path)
        model = connection._registry.models["m"]
        if len(model.arguments) > WIDEST:
            return "wide"
        rows = columns()
        table = {f"c{number}": rows[:, number] for number in range(WIDEST)}
        found = connection.register("t", table).sql(f"SELECT m({', '.join(arguments(model))}) AS y FROM t").fetchall()
        values = [[np.nan if value is None else value for value in flat(row[0])] for row in found]
        return np.asarray(values, np.float64).reshape(ROWS, -1)


def flat(value: object) -> Sequence[Any]:
    return value if isinstance(value, tuple) else [value]


def arguments(model: Any) -> list[str]:
    """The arguments of a call: each input by its name, in the order of the names, as TensorFlow's signatures have them."""
    found, start = [], 0
    for taken in sorted(model.inputs, key=lambda each: each.name):
        names = [f"c{number}" for number in range(start, start + taken.width)]
        quoted = '"' + taken.name.replace('"', '""') + '"'
        values = ", ".join(names)
        found.append(f"{quoted} := ({values})" if len(names) > 1 else f"{quoted} := {values}")
        start += taken.width
    return found


def close(found: object, expected: object) -> bool:
    """Whether scores are the same but for rounding."""
    import numpy as np

    if isinstance(found, str):
        return True
    return bool(np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-3, atol=1e-4, equal_nan=True))


DOOR = SavedModelDoor()
