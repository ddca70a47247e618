"""`.keras` files: damaged, and with another configuration or other weights inside a zip that is right."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.doors.saved_model import ROWS, SavedModelDoor, answer_of, close, columns
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_json, mutated_parts, zip_parts, zipped

FILE = "model.keras"


class KerasDoor(Door):
    """Registered, and called over a few rows."""

    file = FILE

    def import_libraries(self) -> None:
        SavedModelDoor().import_libraries()

    def make_seeds(self, folder: Path) -> None:
        import keras

        keras.utils.set_random_seed(1)
        layers = keras.layers
        first, second = keras.Input((3,), name="first"), keras.Input((1,), name="second")
        joined = layers.Dense(2, activation="softmax")(layers.Concatenate()([first, second]))
        models: dict[str, Any] = {
            "dense": keras.Sequential(
                [
                    keras.Input((4,)),
                    layers.Dense(5, "relu", kernel_regularizer="l2"),
                    layers.Dropout(0.5),
                    layers.Dense(2, "gelu"),
                ]
            ),
            "normalised": keras.Sequential(
                [keras.Input((3,)), layers.BatchNormalization(), layers.LayerNormalization(), layers.PReLU()]
            ),
            "embedding": keras.Sequential(
                [keras.Input((1,), dtype="int64"), layers.Embedding(6, 3), layers.Flatten(), layers.Dense(1, dtype="float64")]
            ),
            "two": keras.Model([first, second], keras.ops.sum(joined * 2.0, axis=1, keepdims=True)),
        }
        for name, model in models.items():
            (folder / name).mkdir()
            model.save(folder / name / FILE)

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        if random.random() < 0.2:
            return {FILE: mutated_bytes(random, content, [other[FILE] for other in others])}

        def change(name: str, part: bytes) -> bytes:
            return mutated_json(random, part) if name.endswith(".json") and random.random() < 0.9 else mutated_bytes(random, part)

        parts = mutated_parts(random, zip_parts(content), change)
        return {FILE: zipped(parts, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))}

    def answer(self, folder: Path) -> object:
        return answer_of(folder / self.file)

    def expected(self, folder: Path) -> object:
        """What Keras itself computes."""
        import keras
        import numpy as np

        model = keras.models.load_model(folder / self.file, compile=False)
        start, taken = 0, {}
        for tensor in sorted(model.inputs, key=lambda tensor: tensor.name):
            width = 1 if len(tensor.shape) == 1 else int(tensor.shape[1])
            taken[tensor.name] = columns()[:, start : start + width].astype(tensor.dtype)
            start += width
        given = [taken[tensor.name] for tensor in model.inputs]
        found = model(given[0] if len(given) == 1 else given, training=False)
        return np.asarray(found, np.float64).reshape(ROWS, -1)

    def same(self, found: object, expected: object) -> bool:
        return close(found, expected)


DOOR = KerasDoor()
