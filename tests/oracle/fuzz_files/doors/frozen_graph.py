"""Frozen graphs (`.pb`): the fields of the protocol buffer changed at any depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.doors.model_answers import answer_of, close, features
from tests.oracle.fuzz_files.doors.saved_model import SavedModelDoor
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_protobuf

FILE = "model.pb"


class FrozenGraphDoor(Door):
    """Registered, and called over a few rows."""

    def import_libraries(self) -> None:
        SavedModelDoor().import_libraries()

    def make_seeds(self, folder: Path) -> None:
        import keras
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        keras.utils.set_random_seed(1)
        layers = keras.layers
        models = {
            "dense": [keras.Input((4,)), layers.Dense(5, activation="relu"), layers.BatchNormalization(), layers.Dense(2)],
            "window": [keras.Input((6,)), layers.Reshape((6, 1)), layers.Conv1D(2, 3), layers.GlobalMaxPooling1D()],
        }
        for name, parts in models.items():
            model = keras.Sequential(parts)
            function = tf.function(model, autograph=False).get_concrete_function(tf.TensorSpec(model.input_shape, tf.float32))
            (folder / name).mkdir()
            graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
            (folder / name / FILE).write_bytes(graph.SerializeToString())

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        if random.random() < 0.1:
            return {FILE: mutated_bytes(random, seed[FILE], [other[FILE] for other in others])}
        return {FILE: mutated_protobuf(random, seed[FILE])}

    def answer(self, folder: Path) -> object:
        return answer_of(folder / FILE)

    def expected(self, folder: Path) -> object:
        """What TensorFlow computes of the only placeholder's rows by the only tensor that no other reads."""
        import numpy as np
        import tensorflow as tf

        definition = tf.compat.v1.GraphDef.FromString((folder / FILE).read_bytes())
        read = {name.lstrip("^").split(":")[0] for node in definition.node for name in node.input}
        (given,) = (node.name for node in definition.node if node.op == "Placeholder")
        (last,) = (node.name for node in definition.node if node.name not in read and node.op not in ("NoOp", "Placeholder"))
        with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
            tf.graph_util.import_graph_def(definition, name="")
            taken = graph.get_tensor_by_name(f"{given}:0")
            rows = features(int(np.prod(taken.shape[1:])))
            rows = rows.reshape(-1, *taken.shape[1:]).astype(taken.dtype.as_numpy_dtype)
            found = session.run(f"{last}:0", {taken: rows})
        return np.asarray(found, np.float64).reshape(len(rows), -1)

    def same(self, found: object, expected: object) -> bool:
        return close(found, expected)


DOOR = FrozenGraphDoor()
