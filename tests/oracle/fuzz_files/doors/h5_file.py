"""Keras's `.h5` files: bytes of the HDF5 changed, and another configuration in a file that is right."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from random import Random

from tests.oracle.fuzz_files.door import Files
from tests.oracle.fuzz_files.doors.keras_file import KerasDoor
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_json

FILE = "model.h5"


class H5Door(KerasDoor):
    """Registered, and called over a few rows."""

    file = FILE

    def make_seeds(self, folder: Path) -> None:
        import keras

        keras.utils.set_random_seed(1)
        layers = keras.layers
        models = {
            "dense": keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu"), layers.BatchNormalization(), layers.Dense(2)]),
            "embedding": keras.Sequential(
                [keras.Input((1,), dtype="int64"), layers.Embedding(6, 3), layers.Flatten(), layers.Dense(1)]
            ),
        }
        for name, model in models.items():
            (folder / name).mkdir()
            model.save(folder / name / FILE)

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        if random.random() < 0.5:
            return {FILE: mutated_bytes(random, content, [other[FILE] for other in others])}
        return {FILE: with_configuration(random, content)}


def with_configuration(random: Random, content: bytes) -> bytes:
    import h5py

    memory = BytesIO(content)
    with h5py.File(memory, "r+") as file:
        text = mutated_json(random, file.attrs["model_config"].encode())
        del file.attrs["model_config"]
        if len(text) < 60_000:  # that HDF5 has room for
            file.attrs["model_config"] = text
    return memory.getvalue()


DOOR = H5Door()
