"""TensorFlow Lite's models: bytes of the FlatBuffer changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.doors.model_answers import answer_of, close, features
from tests.oracle.fuzz_files.doors.saved_model import SavedModelDoor
from tests.oracle.fuzz_files.mutations import mutated_bytes, set_number

FILE = "model.tflite"


class TfliteDoor(Door):
    """Registered, and called over a few rows."""

    def import_libraries(self) -> None:
        import tensorflow.lite.python.schema_py_generated  # noqa: F401

        SavedModelDoor().import_libraries()

    def make_seeds(self, folder: Path) -> None:
        import keras
        import numpy as np
        import tensorflow as tf

        keras.utils.set_random_seed(1)
        layers = keras.layers
        models = {
            "dense": [keras.Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(2, activation="softmax")],
            "window": [keras.Input((6,)), layers.Reshape((6, 1)), layers.Conv1D(2, 3), layers.GlobalMaxPooling1D()],
            "integers": [keras.Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(2, activation="tanh")],
        }
        for name, parts in models.items():
            model = keras.Sequential(parts)
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            if name == "integers":
                examples = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * 4
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda rows=examples: ([row[None]] for row in rows)
            (folder / name).mkdir()
            (folder / name / FILE).write_bytes(converter.convert())

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        if random.random() < 0.5:
            return {FILE: set_number(random, content, ())}
        return {FILE: mutated_bytes(random, content, [other[FILE] for other in others])}

    def answer(self, folder: Path) -> object:
        return answer_of(folder / FILE)

    def expected(self, folder: Path) -> object:
        """What the interpreter's reference kernels compute, row by row."""
        import numpy as np
        import tensorflow as tf

        kind = tf.lite.experimental.OpResolverType.BUILTIN_REF
        interpreter = tf.lite.Interpreter(str(folder / FILE), num_threads=1, experimental_op_resolver_type=kind)
        interpreter.allocate_tensors()
        (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
        rows = features(int(np.prod(given["shape"])))
        if given["dtype"] is not np.float32 or taken["dtype"] is not np.float32:
            raise ValueError("quantised at its ends")
        found = []
        for row in rows.astype(np.float32):
            interpreter.set_tensor(given["index"], row.reshape(given["shape"]))
            interpreter.invoke()
            found.append(interpreter.get_tensor(taken["index"]).ravel())
        return np.asarray(found, np.float64).reshape(len(rows), -1)

    def same(self, found: object, expected: object) -> bool:
        """Sums that overflow do so in another order: what is NaN here may be infinite there, and a class of it any."""
        import numpy as np

        if isinstance(found, str) or np.shape(found) != np.shape(expected):
            return isinstance(found, str)
        kept = ~np.isnan(np.asarray(found)).any(axis=1)
        return close(np.asarray(found)[kept], np.asarray(expected)[kept])


DOOR = TfliteDoor()
