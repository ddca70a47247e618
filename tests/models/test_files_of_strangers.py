"""Files of models from strangers: none runs code or takes all memory when it is registered, and all end in a ModelError."""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow import hdf5_probe, import_model

L = keras.layers
PB = "saved_model.pb"
DATA, INDEX = "variables/variables.data-00000-of-00001", "variables/variables.index"


def refused(model: object, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        import_model("m", model, **options)
    return str(error.value)


class Linear(tf.Module):
    """x @ weight, and whatever `more` adds to it."""

    def __init__(self, more: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.weight = tf.Variable(np.ones((4, 2), np.float32))
        self.more = more

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)], autograph=False)
    def __call__(self, x):
        result = x @ self.weight
        return result if self.more is None else result + self.more(x)


def saved(module: Any, path: Path) -> Path:
    tf.saved_model.save(module, str(path))
    return path


class Resource(tf.saved_model.experimental.TrackableResource):
    """What runs `effect` when it is loaded."""

    def __init__(self, effect: Callable[[], object]) -> None:
        super().__init__()
        self.effect = effect
        self.handle = self.resource_handle

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="resource")

    def _initialize(self) -> None:
        self.effect()


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def test_loading_writes_no_file(tmp_path: Path, mark: Path) -> None:
    module = Linear()
    module.resource = Resource(lambda: tf.io.write_file(str(mark), "x"))
    path = saved(module, tmp_path / "model")
    mark.unlink(missing_ok=True)
    message = refused(path)
    assert "does more than compute, and is not loaded" in message
    assert "WriteFile (node WriteFile)" in message
    assert "trust=True" in message
    assert not mark.exists()
    import_model("m", path, trust=True)
    assert mark.exists()


def test_operators_of_checkpoints_elsewhere(tmp_path: Path, mark: Path) -> None:
    """They belong to the functions that save and restore, which are called with a name by TensorFlow itself."""

    def write() -> None:
        tf.raw_ops.SaveV2(prefix=str(mark), tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)])

    direct = Linear()
    direct.resource = Resource(write)
    assert "SaveV2" in refused(saved(direct, tmp_path / "direct"))
    called = Linear()
    called.resource = Resource(tf.function(write))
    assert "SaveV2" in refused(saved(called, tmp_path / "called"))


def test_models_of_tensorflow_1(tmp_path: Path, mark: Path) -> None:
    """Their graph runs when it is loaded: what its start depends on may not save, whatever it is called."""
    graph = tf.compat.v1.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4])
        y = tf.reduce_sum(x, 1)
        start = tf.raw_ops.SaveV2(prefix=str(mark), tensor_names=["x"], shape_and_slices=[""], tensors=[1.0], name="save/start")
        builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "one"))
        signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=start)
        builder.save()
    shutil.rmtree(tmp_path / "mark", ignore_errors=True)
    assert "SaveV2 (node save/start), when it is loaded" in refused(tmp_path / "one")
    assert not list(tmp_path.glob("mark*"))


def printed(x: Any) -> Any:
    with tf.control_dependencies([tf.print("x", output_stream="file:///nowhere/mark")]):
        return x[:, :2]


EFFECTS = {
    "ReadFile": lambda x: tf.strings.to_number(tf.io.read_file("/proc/version")),
    "MatchingFiles": lambda x: tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32),
    "EagerPyFunc": lambda x: tf.py_function(lambda y: y, [x[:, :2]], tf.float32),
    "PyFunc": lambda x: tf.numpy_function(lambda y: y, [x[:, :2]], tf.float32),
    "PrintV2": printed,
    "DebugIdentityV3": lambda x: tf.raw_ops.DebugIdentityV3(input=x[:, :2], debug_urls=["file:///nowhere/mark"]),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_anywhere_in_a_function(name: str, tmp_path: Path) -> None:
    message = refused(saved(Linear(EFFECTS[name]), tmp_path / "model"))
    assert "does more than compute" in message
    assert name in message


class Table(tf.Module):
    """Words by their lines in a file, which is an asset of the SavedModel."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.write_text("a\nb\n")
        source = tf.lookup.TextFileInitializer(
            str(path), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(source, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, word):
        return self.table.lookup(word)


def renamed(folder: Path, name: str) -> Path:
    """The SavedModel with another name of its asset."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / PB).read_bytes())
    model.meta_graphs[0].asset_file_def[0].filename = name
    (folder / PB).write_bytes(model.SerializeToString())
    return folder


def test_a_table_in_a_file_of_the_model(tmp_path: Path) -> None:
    folder = saved(Table(tmp_path / "words"), tmp_path / "model")
    (tmp_path / "words").unlink()
    assert import_model("m", folder).arguments == (np.dtype(object),)


def test_a_table_in_a_file_elsewhere(tmp_path: Path) -> None:
    for number, name in enumerate(("../../words", str(tmp_path / "words"), "..", "", "a\\b")):
        folder = saved(Table(tmp_path / "words"), tmp_path / f"model{number}")
        assert "which is outside the model's folder" in refused(renamed(folder, name))
    folder = saved(Table(tmp_path / "words"), tmp_path / "linked")
    (folder / "assets" / "words").unlink()
    (folder / "assets" / "words").symlink_to(tmp_path / "words")
    assert "which is no plain file" in refused(folder)


def test_a_table_from_a_path_that_is_computed(tmp_path: Path) -> None:
    """The function that reads an asset is called by another one, with a path of its own."""
    folder = saved(Table(tmp_path / "words"), tmp_path / "model")
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / PB).read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    reader = next(one for one in functions if any(node.op == "InitializeTableFromTextFileV2" for node in one.node_def))
    other = next(one for one in functions if one is not reader)
    other.node_def.add(name="call", op="StatefulPartitionedCall").attr["f"].func.name = reader.signature.name
    (folder / PB).write_bytes(model.SerializeToString())
    assert "InitializeTableFromTextFileV2" in refused(folder)
    for node in reader.node_def:  # or by itself, of a constant
        if node.op == "InitializeTableFromTextFileV2":
            node.input[1] = "path:output:0"
    other.node_def.pop()
    reader.node_def.add(name="path", op="Const").attr["value"].tensor.string_val.append(b"/etc/passwd")
    (folder / PB).write_bytes(model.SerializeToString())
    assert "InitializeTableFromTextFileV2" in refused(folder)


def test_a_vocabulary_elsewhere(tmp_path: Path) -> None:
    """A layer of a .keras file that names a file: Keras would read it, whatever it is."""
    (tmp_path / "words").write_text("a\nb\n")
    model = keras.Sequential([keras.Input((1,), dtype="string"), L.StringLookup(vocabulary=["a", "b"]), L.Embedding(3, 1)])
    written(model, tmp_path / "model.keras")
    parts = unpacked(tmp_path / "model.keras")
    vocabulary = json.dumps(str(tmp_path / "words")).encode()
    assert b'"vocabulary": ["a", "b"]' in parts["config.json"]
    parts["config.json"] = parts["config.json"].replace(b'"vocabulary": ["a", "b"]', b'"vocabulary": ' + vocabulary)
    assert "reads its vocabulary from the file" in refused(packed(tmp_path / "other.keras", parts))


def nothing(x: Any, constant: Any) -> Any:
    return tf.reduce_sum(constant) * x[:, :2]


LARGE = {
    "Fill": lambda x: nothing(x, tf.zeros([100_000, 200_000])),
    "Mul": lambda x: nothing(x, tf.ones([100_000, 1]) * tf.ones([1, 200_000])),
    "Range": lambda x: nothing(x, tf.cast(tf.range(10**11), tf.float32)),
    "Tile": lambda x: nothing(x, tf.tile(tf.ones([1_000]), [10**8])),
    "OneHot": lambda x: nothing(x, tf.one_hot([0, 1], 2 * 10**9)),
    "MatMul": lambda x: nothing(x, tf.linalg.matmul(tf.ones([10**6, 1]), tf.ones([1, 10**6]))),
    "GatherV2": lambda x: nothing(x, tf.gather(tf.ones([2, 10**6]), tf.zeros([10**4], tf.int32))),
    "BroadcastTo": lambda x: nothing(x, tf.broadcast_to(tf.ones([2, 1]), [2, 10**10])),
}


@pytest.mark.parametrize("from_file", [False, True], ids=["in memory", "in a file"])
@pytest.mark.parametrize("name", LARGE)
def test_constants_that_are_too_large(name: str, from_file: bool, tmp_path: Path) -> None:
    """None of them is computed."""
    module = Linear(LARGE[name])
    message = refused(saved(module, tmp_path / "model") if from_file else module)
    assert f"{name} (node " in message
    assert "a constant of " in message and " is too large; at most 268,435,456" in message


def test_a_chain_that_doubles(tmp_path: Path) -> None:
    def chain(x: Any) -> Any:
        constant = tf.range(100.0)
        for _ in range(40):
            constant = tf.concat([constant, constant], 0)
        return nothing(x, constant)

    assert "ConcatV2 (node " in refused(Linear(chain))


def test_no_features() -> None:
    empty = tf.function(lambda x: tf.reduce_sum(x, 1), input_signature=[tf.TensorSpec([None, 0])], autograph=False)
    assert "has the shape [None, 0], no features" in refused(empty)


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(Linear(), tmp_path_factory.mktemp("linear") / "model")


@pytest.fixture
def copied(linear: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(linear, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("file", "kept"),
    [
        (PB, 0),
        (PB, 100),
        (PB, 5_000),
        (DATA, 0),
        (DATA, 10),
        (DATA, 60),
        (INDEX, 0),
        (INDEX, 50),
        (INDEX, 150),
        (DATA, None),
        (INDEX, None),
    ],
)
def test_files_that_are_cut(file: str, kept: int | None, copied: Path) -> None:
    path = copied / file
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:kept])
    assert "cannot be read" in refused(copied)


def test_what_is_no_file(copied: Path) -> None:
    (copied / DATA).unlink()
    (copied / DATA).symlink_to("/dev/zero")
    assert "is no file" in refused(copied)
    (copied / PB).unlink()
    os.mkfifo(copied / PB)
    assert "is no plain file" in refused(copied)


def test_a_constant_that_is_written_as_its_shape(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved(Linear(lambda x: x[:, :2] * tf.constant(2.0)), tmp_path / "model")
    model = saved_model_pb2.SavedModel.FromString((path / PB).read_bytes())
    constants = [
        node
        for function in model.meta_graphs[0].graph_def.library.function
        for node in function.node_def
        if node.op == "Const" and node.attr["dtype"].type == 1
    ]
    assert constants
    for node in constants:
        del node.attr["value"].tensor.tensor_shape.dim[:]
        node.attr["value"].tensor.tensor_shape.dim.add(size=1 << 40)
    (path / PB).write_bytes(model.SerializeToString())
    assert "of 1,099,511,627,776 values" in refused(path)


# --- .keras -------------------------------------------------------------------------------------------------------------------


def written(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about Keras
        model.save(path)
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Those of a .keras file."""
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(2)])
    return unpacked(written(model, tmp_path_factory.mktemp("keras") / "model.keras"))


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def weights(change: Callable[[h5py.File], object]) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        change(file)
    return memory.getvalue()


def large(file: h5py.File) -> None:
    file.create_dataset("x", (100_000, 200_000), "f4", chunks=(1_000, 1_000))  # no chunk is there


KERAS: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], str]] = {
    "a bomb": (lambda p: {**p, "assets/x": bytes(300 << 20)}, "unpacked its "),
    "a path": (lambda p: {**p, "../x": b""}, "a part with the name '../x'"),
    "an absolute path": (lambda p: {**p, "/tmp/x": b""}, "a part with the name '/tmp/x'"),
    "pickles": (lambda p: {**p, "model.weights.npz": b""}, "its weights are not in model.weights.h5"),
    "no configuration": (lambda p: {name: part for name, part in p.items() if name != "config.json"}, "no item named 'config.json'"),
    "no weights": (lambda p: {name: part for name, part in p.items() if not name.endswith("h5")}, "cannot be read"),
    "half of the weights": (lambda p: {**p, "model.weights.h5": p["model.weights.h5"][:3_000]}, "truncated file"),
    "other weights": (lambda p: {**p, "model.weights.h5": weights(lambda file: None)}, "cannot be read"),
    "weights of 80 GB": (lambda p: {**p, "model.weights.h5": weights(large)}, "its weights say that they have 80,000,000,000 bytes"),
    "weights elsewhere": (
        lambda p: {**p, "model.weights.h5": weights(lambda file: file.update(x=h5py.ExternalLink("/etc/x.h5", "/")))},
        "are a link to another place",
    ),
    "a list": (lambda p: {**p, "config.json": b"[]"}, "cannot be read"),
    "deep JSON": (lambda p: {**p, "config.json": b"[" * 100_000}, "cannot be read"),
    "a module": (
        lambda p: {**p, "config.json": p["config.json"].replace(b'"module": "keras.initializers"', b'"module": "os.path"')},
        "of the module 'os.path'",
    ),
    "a function that downloads": (
        lambda p: {**p, "config.json": p["config.json"].replace(b'"module": "keras.layers"', b'"module": "keras.utils"')},
        "of the module 'keras.utils'",
    ),
    "a layer of 48 GB": (
        lambda p: {**p, "config.json": p["config.json"].replace(b'"units": 2', b'"units": 4000000000')},
        "its variables take 64,000,000,060 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_keras_files(name: str, parts: dict[str, bytes], tmp_path: Path) -> None:
    change, message = KERAS[name]
    assert message in refused(packed(tmp_path / "model.keras", change(parts)))


def test_keras_files_that_are_cut(parts: dict[str, bytes], tmp_path: Path) -> None:
    content = packed(tmp_path / "model.keras", parts).read_bytes()
    for kept in (0, 1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.keras").write_bytes(content[:kept])
        assert "cannot be read" in refused(tmp_path / "cut.keras")


def test_code_in_a_keras_file(tmp_path: Path) -> None:
    written(keras.Sequential([keras.Input((2,)), L.Lambda(lambda x: x * 2)]), tmp_path / "code.keras")
    assert "Lambda" in refused(tmp_path / "code.keras")
    assert import_model("m", tmp_path / "code.keras", trust=True).arguments


@keras.saving.register_keras_serializable("strangers")
class Doubled(L.Layer):
    def call(self, x):
        return x * 2


def test_keras_files_that_are_good(parts: dict[str, bytes], tmp_path: Path) -> None:
    assert len(import_model("m", packed(tmp_path / "model.keras", parts)).arguments) == 4
    joined = keras.Input((4,))
    model = keras.Model(joined, Doubled()(L.Dense(2)(keras.ops.relu(joined) + 1.0)))
    written(model, tmp_path / "own.keras")
    config = json.loads(zipfile.ZipFile(tmp_path / "own.keras").read("config.json"))
    assert "strangers>Doubled" in json.dumps(config)
    assert len(import_model("m", tmp_path / "own.keras").arguments) == 4


def test_hdf5_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of the heap whose size leads back to itself: HDF5 goes round in a circle."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}" * 50
    content = bytearray(path.read_bytes())
    assert hdf5_probe.problem_of_reading(bytes(content)) is None
    size = content.index(b"GCOL") + 24
    content[size : size + 8] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(content)
    monkeypatch.setattr(hdf5_probe, "SECONDS", 2.0)
    assert "HDF5 did not read it within 2 seconds" in refused(path)
