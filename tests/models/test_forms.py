"""Forms in which people have models, beside those of test_import: HDF5, frozen graphs, signatures, modules without a __call__."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import qtensor
from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow import import_model
from tests.models.oracle import assert_scores_equal, run

L = keras.layers
ROWS = np.random.default_rng(2).normal(size=(57, 4)).astype(np.float32)
SPEC = tf.TensorSpec([None, 4], tf.float32)


def refused(model: object, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        import_model("m", model, **options)
    return str(error.value)


def network() -> Any:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), L.Dense(6, activation="relu"), L.BatchNormalization(), L.Dense(3)])


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # by Keras, when it saves HDF5
def saved(model: Any, path: Path) -> Path:
    model.save(path)
    return path


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_an_hdf5_file(suffix: str, tmp_path: Path) -> None:
    model = network()
    path = saved(model, tmp_path / f"model{suffix}")
    assert_scores_equal(run(import_model("m", path), *ROWS.T), model(ROWS).numpy())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_an_hdf5_file_must_not_hold(tmp_path: Path) -> None:
    code = saved(keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: x * 2)]), tmp_path / "code.h5")
    assert "it holds code (a Lambda layer)" in refused(code)
    linked = saved(network(), tmp_path / "linked.h5")
    with h5py.File(linked, "a") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "x")
    assert "a link to another place" in refused(linked)
    foreign = saved(network(), tmp_path / "foreign.h5")
    with h5py.File(foreign, "a") as file:
        file.attrs["model_config"] = str(file.attrs["model_config"]).replace('"keras.initializers"', '"os.path"')
    assert "of the module 'os.path'" in refused(foreign)
    wide = saved(network(), tmp_path / "wide.h5")
    with h5py.File(wide, "a") as file:
        file.attrs["model_config"] = str(file.attrs["model_config"]).replace('"units": 6', '"units": 600000000')
    assert "at most" in refused(wide)
    network().save_weights(tmp_path / "only.weights.h5")
    assert "weights without their layers" in refused(tmp_path / "only.weights.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    assert "cannot be read" in refused(tmp_path / "empty.h5")


def frozen(path: Path, function: Any, *specs: Any) -> Path:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    path.write_bytes(convert_variables_to_constants_v2(concrete).graph.as_graph_def().SerializeToString())
    return path


def test_a_frozen_graph(tmp_path: Path) -> None:
    model = network()
    path = frozen(tmp_path / "model.pb", lambda x: tf.identity(model(x, training=False), "scores"), SPEC)
    assert_scores_equal(run(import_model("m", path), *ROWS.T), model(ROWS).numpy())
    inside = next(node.name for node in graph_of(path).node if node.op == "Relu")
    hidden = run(import_model("m", path, output=inside), *ROWS.T)
    assert_scores_equal(hidden, model.layers[0](ROWS).numpy())
    assert_scores_equal(run(import_model("m", path, output="class"), *ROWS.T), model(ROWS).numpy().argmax(1))


def graph_of(path: Path) -> Any:
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return graph


def test_a_frozen_graph_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    specs = [tf.TensorSpec([None, 4], tf.float32, "wide"), tf.TensorSpec([None], tf.float32, "age")]
    path = frozen(tmp_path / "model.pb", lambda x, y: (tf.identity(x * y[:, None], "a"), tf.identity(y + 1, "b")), *specs)
    assert "choose one with output=" in refused(path)
    ordered = import_model("m", path, output="a", inputs=["age", "wide"])
    assert_scores_equal(run(ordered, ROWS[:, 0], *ROWS.T), ROWS * ROWS[:, :1])
    assert not import_model("m", path, output="a").ordered
    assert len(import_model("m", path, output="b").arguments) == 1


def test_a_frozen_graph_that_is_refused(tmp_path: Path) -> None:
    def writes(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "written"), "x")]):
            return tf.identity(x)

    assert "WriteFile" in refused(frozen(tmp_path / "writes.pb", writes, SPEC))
    assert not (tmp_path / "written").exists()
    (tmp_path / "damaged.pb").write_bytes(b"\xff" * 40)
    assert "cannot be read" in refused(tmp_path / "damaged.pb")
    (tmp_path / "empty.pb").write_bytes(b"")
    assert "holds no graph" in refused(tmp_path / "empty.pb")
    variable = tf.compat.v1.GraphDef()
    variable.node.add(name="w", op="VarHandleOp")
    (tmp_path / "variable.pb").write_bytes(variable.SerializeToString())
    assert "is not frozen" in refused(tmp_path / "variable.pb")


class TwoFunctions(tf.Module):
    @tf.function(input_signature=[SPEC])
    def score(self, x: Any) -> Any:
        return tf.reduce_sum(x, axis=1)

    @tf.function(input_signature=[SPEC])
    def twice(self, x: Any) -> Any:
        return x * 2


def test_signatures(tmp_path: Path) -> None:
    module = TwoFunctions()
    tf.saved_model.save(module, tmp_path / "saved", signatures={"score": module.score, "twice": module.twice})
    assert "choose one with signature=" in refused(tmp_path / "saved")
    assert_scores_equal(run(import_model("m", tmp_path / "saved", signature="twice"), *ROWS.T), ROWS * 2)
    assert 'Did you mean "score"?' in refused(tmp_path / "saved", signature="scores")
    loaded = tf.saved_model.load(tmp_path / "saved")
    assert_scores_equal(run(import_model("m", loaded, signature="score"), *ROWS.T), ROWS.sum(1))
    assert "signature= is for SavedModels" in refused(network(), signature="score")
    with qtensor.connect() as connection:
        connection.create_function("m", tmp_path / "saved", signature="score")
        connection.register("t", {f"c{i}": ROWS[:, i] for i in range(4)})
        found = connection.sql("SELECT m(c0, c1, c2, c3) AS s FROM t").arrow()["s"].to_numpy()
        np.testing.assert_allclose(found, ROWS.sum(1), rtol=1e-5, atol=1e-6)
        with pytest.raises(ModelError, match="signature= is for SavedModels"):
            connection.create_function("m", lambda x: x, signature="score")


def test_a_saved_model_of_tensorflow_1(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        weight = v1.get_variable("w", [4, 2], initializer=v1.constant_initializer(0.5))
        session.run(v1.global_variables_initializer())
        signatures = {
            "sum": v1.saved_model.predict_signature_def({"x": x}, {"y": tf.matmul(x, weight)}),
            "half": v1.saved_model.predict_signature_def({"x": x}, {"y": x / 2}),
        }
        builder = v1.saved_model.Builder(str(tmp_path / "old"))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    assert_scores_equal(run(import_model("m", tmp_path / "old", signature="sum"), *ROWS.T), ROWS @ np.full((4, 2), 0.5))


class OneFunction(tf.Module):
    @tf.function(input_signature=[SPEC])
    def score(self, x: Any) -> Any:
        return tf.reduce_sum(x, axis=1)


def test_a_module_without_a_call() -> None:
    assert_scores_equal(run(import_model("m", OneFunction()), *ROWS.T), ROWS.sum(1))
    assert "pass one of its tf.functions (score, twice)" in refused(TwoFunctions())
