"""ONNX models beside onnxruntime, which is given all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import qtensor
from qtensor.errors import ModelError
from qtensor.lowering.models.kinds import imported_model
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, VARCHAR, Array
from tests.models.oracle import columns_of, extreme_rows, run

RANDOM = np.random.default_rng(0)
ROWS = 60
ML = "ai.onnx.ml"


def weights(*shape: int) -> NDArray[np.float32]:
    return (RANDOM.normal(size=shape) / np.sqrt(max(shape[-1], 1))).astype(np.float32)


def node(kind: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    domain = attributes.pop("domain", "")
    return helper.make_node(kind, inputs.split(), outputs.split(), domain=domain, **attributes)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int],
    *,
    opset: int = 18,
    type: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("y",),
    batch: Any = "n",
    **constants: Any,
) -> onnx.ModelProto:
    """A model of one input x [n, *shape]."""
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", type, [batch, *shape])], [helper.make_value_info(one, onnx.TypeProto()) for one in outputs], kept
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def by_onnxruntime(model: onnx.ModelProto, rows: NDArray[Any], output: str | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run([output] if output else None, {"x": rows})[0]


def assert_same(model: onnx.ModelProto, rows: NDArray[Any], tolerance: float = 1e-5) -> None:
    expected = np.asarray(by_onnxruntime(model, rows))
    flat = rows.reshape(len(rows), -1)
    found = run(imported_model("m", model), *columns_of(flat))
    expected = expected.reshape(found.shape)
    if expected.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


ELEMENTWISE = [
    "Abs", "Neg", "Exp", "Sqrt", "Floor", "Ceil", "Round", "Sign", "Tanh", "Erf", "Reciprocal", "Sigmoid", "Relu", "Softplus", "Softsign",
    "HardSwish", "Mish", "LeakyRelu", "ThresholdedRelu", "Elu", "Celu", "Selu", "HardSigmoid", "Atan", "Sinh", "Cosh", "Asinh", "Identity", "Log",
]  # fmt: skip


def test_elementwise() -> None:
    """All in one graph, of extremes: side by side."""
    nodes = [node(kind, "x", kind) for kind in ELEMENTWISE]
    nodes.append(node("Concat", " ".join(ELEMENTWISE), axis=1))
    rows = extreme_rows(300, 2)
    rows = np.where(np.abs(rows) > 50, np.sign(rows) * 50, rows).astype(np.float32)
    assert_same(model_of(nodes, [2], opset=22), rows)


ONE, VECTOR, IMAGE, STEPS = [4], [6], [3, 8, 8], [5, 4]
CASES: dict[str, tuple[list[onnx.NodeProto], list[int], dict[str, Any]]] = {
    "gemm": ([node("Gemm", "x w b", transB=1, alpha=0.5, beta=2.0)], VECTOR, {"w": weights(3, 6), "b": weights(3)}),
    "network": (
        [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("Relu", "c", "d"), node("Gemm", "d v u", "e"), node("Softmax", "e")],
        VECTOR,
        {"w": weights(6, 8), "b": weights(8), "v": weights(8, 3), "u": weights(3)},
    ),
    "attention": (
        [
            node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "s"), node("Mul", "s half", "h"), node("Softmax", "h", "p"),
            node("MatMul", "p x", "o"), node("Shape", "x", "z"), node("Gather", "z zero", "count"), node("Unsqueeze", "count zero1", "head"),
            node("Concat", "head rest", "wanted", axis=0), node("Reshape", "o wanted"),
        ],
        STEPS,
        {"half": np.float32(0.5), "zero": np.int64(0), "zero1": np.array([0]), "rest": np.array([-1])},
    ),
    "einsum": ([node("Einsum", "x w", equation="nsk, km -> nsm")], STEPS, {"w": weights(4, 3)}),
    "convolution": ([node("Conv", "x w b", strides=[2, 2], pads=[1, 0, 1, 2])], IMAGE, {"w": weights(4, 3, 3, 3), "b": weights(4)}),
    "same padding": ([node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 1])], IMAGE, {"w": weights(4, 3, 3, 2)}),
    "depthwise": ([node("Conv", "x w", group=3, dilations=[2, 2])], IMAGE, {"w": weights(6, 1, 3, 3)}),
    "transposed": ([node("ConvTranspose", "x w b", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])], IMAGE, {"w": weights(3, 2, 3, 3), "b": weights(2)}),
    "transposed groups": ([node("ConvTranspose", "x w", group=3)], IMAGE, {"w": weights(3, 2, 2, 2)}),
    "conv 1d": ([node("Conv", "x w")], STEPS, {"w": weights(2, 5, 3)}),
    "max pool": ([node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], IMAGE, {}),
    "average pool": ([node("AveragePool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 1, 0])], IMAGE, {}),
    "average with padding": ([node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)], IMAGE, {}),
    "global pools": ([node("GlobalAveragePool", "x", "a"), node("GlobalMaxPool", "x", "b"), node("Add", "a b")], IMAGE, {}),
    "batch norm": ([node("BatchNormalization", "x s b m v")], IMAGE, {"s": weights(3), "b": weights(3), "m": weights(3), "v": np.abs(weights(3)) + 0.1}),
    "layer norm": ([node("LayerNormalization", "x s b", axis=-1)], STEPS, {"s": weights(4), "b": weights(4)}),
    "instance norm": ([node("InstanceNormalization", "x s b")], IMAGE, {"s": weights(3), "b": weights(3)}),
    "reductions": (
        [node(kind, "x axes", kind, keepdims=0) for kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp")]
        + [node("Concat", "ReduceSum ReduceMean ReduceMax ReduceMin ReduceL2 ReduceLogSumExp", axis=1)],
        STEPS,
        {"axes": np.array([1])},
    ),
    "slices": (
        [node("Slice", "x starts ends axes steps", "s"), node("Split", "s sizes", "a b", axis=2), node("Concat", "b a", axis=2)],
        STEPS,
        {"starts": np.array([-1, 0]), "ends": np.array([-99, 4]), "axes": np.array([1, 2]), "steps": np.array([-2, 1]), "sizes": np.array([1, 3])},
    ),
    "gathers": ([node("Gather", "x places", axis=1)], VECTOR, {"places": np.array([[0, -1], [3, 2]])}),
    "embedding": ([node("Cast", "x", "i", to=7), node("Gather", "w i", "g"), node("Flatten", "g")], ONE, {"w": weights(9, 3)}),
    "pad": ([node("Pad", "x pads value")], IMAGE, {"pads": np.array([0, 0, 1, 2, 0, 1, 0, 1]), "value": np.float32(7)}),
    "reflected": ([node("Pad", "x pads", mode="reflect")], IMAGE, {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1])}),
    "space": ([node("SpaceToDepth", "x", "s", blocksize=2), node("DepthToSpace", "s", blocksize=2, mode="CRD")], IMAGE, {}),
    "resize": ([node("Resize", "x  scales".replace("  ", " r "), coordinate_transformation_mode="asymmetric", nearest_mode="floor")], IMAGE, {"r": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 3], np.float32)}),
    "top k": ([node("TopK", "x k", "y i", axis=1)], VECTOR, {"k": np.array([3])}),
    "cumulative": ([node("CumSum", "x axis", exclusive=1, reverse=1)], VECTOR, {"axis": np.int64(1)}),
    "one hot": ([node("ArgMax", "x", "i", axis=1, keepdims=0), node("OneHot", "i depth values")], VECTOR, {"depth": np.array([6]), "values": np.array([-1, 2], np.float32)}),
    "argmax": ([node("ArgMax", "x", axis=1, keepdims=0)], VECTOR, {}),
    "where": ([node("Greater", "x zero", "c"), node("Where", "c x other")], VECTOR, {"zero": np.float32(0), "other": weights(6)}),
    "is greater": ([node("ReduceSum", "x axes", "s"), node("Greater", "s zero")], VECTOR, {"zero": np.float32(0), "axes": np.array([1])}),
    "clip and power": ([node("Clip", "x low high", "c"), node("Pow", "c two")], VECTOR, {"low": np.float32(-1), "high": np.float32(0.5), "two": np.float32(2)}),
    "lstm": ([node("LSTM", "t w r b", "a h c", hidden_size=3, direction="bidirectional"), node("Transpose", "h", "o", perm=[1, 0, 2]), node("Flatten", "o")], STEPS, {"w": weights(2, 12, 4), "r": weights(2, 12, 3), "b": weights(2, 24)}),
    "gru": ([node("GRU", "t w r b", "a h", hidden_size=3), node("Squeeze", "h zero")], STEPS, {"w": weights(1, 9, 4), "r": weights(1, 9, 3), "b": weights(1, 18), "zero": np.array([0])}),
    "gru of Keras": ([node("GRU", "t w r b", "a h", hidden_size=3, linear_before_reset=1, direction="reverse"), node("Squeeze", "h zero")], STEPS, {"w": weights(1, 9, 4), "r": weights(1, 9, 3), "b": weights(1, 18), "zero": np.array([0])}),
    "rnn": ([node("RNN", "t w r", "a h", hidden_size=3), node("Transpose", "a", "s", perm=[2, 0, 1, 3]), node("Flatten", "s")], STEPS, {"w": weights(1, 3, 4), "r": weights(1, 3, 3)}),
    "quantised": ([node("QuantizeLinear", "x scale zero", "q"), node("DequantizeLinear", "q scale zero")], VECTOR, {"scale": np.float32(0.05), "zero": np.uint8(120)}),
    "scaled": ([node("Scaler", "x", "s", domain=ML, offset=[1.0, 0, 0, 2], scale=[2.0, 1, 3, 1]), node("Normalizer", "s", domain=ML, norm="L2")], ONE, {}),
    "linear regressor": ([node("LinearRegressor", "x", domain=ML, coefficients=[1.0, -2, 0.5, 3], intercepts=[0.25])], ONE, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_operators(case: str) -> None:
    nodes, shape, constants = CASES[case]
    if case in ("lstm", "gru", "gru of Keras", "rnn"):
        nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]), *nodes]
    rows = RANDOM.normal(size=(ROWS, *shape)).astype(np.float32)
    if case == "embedding":
        rows = RANDOM.integers(0, 9, (ROWS, *shape)).astype(np.float32)
    assert_same(model_of(nodes, shape, **constants), rows)


def trees(kind: str, mode: str, **attributes: Any) -> onnx.NodeProto:
    """Two trees of five and three nodes, with leaves of three numbers."""
    targets = "target" if kind == "Regressor" else "class"
    given = {
        "nodes_treeids": [0] * 5 + [1] * 3, "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2], "nodes_featureids": [0, 1, 0, 0, 0, 2, 0, 0],
        "nodes_modes": [mode, mode, "LEAF", "LEAF", "LEAF", mode, "LEAF", "LEAF"], "nodes_values": [0.5, -0.25, 0, 0, 0, 1.0, 0, 0],
        "nodes_truenodeids": [1, 2, 0, 0, 0, 1, 0, 0], "nodes_falsenodeids": [4, 3, 0, 0, 0, 2, 0, 0],
        "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0, 1, 0, 0],
        f"{targets}_treeids": [0, 0, 0, 0, 1, 1], f"{targets}_nodeids": [2, 3, 3, 4, 1, 2], f"{targets}_ids": [0, 1, 2, 2, 0, 1],
        f"{targets}_weights": [0.5, 1.5, 0.25, 2.0, 1.0, 0.75],
    }  # fmt: skip
    return helper.make_node(
        f"TreeEnsemble{kind}", ["x"], ["y"] if kind == "Regressor" else ["y", "p"], domain=ML, **{**given, **attributes}
    )


def rows_of_trees() -> NDArray[np.float32]:
    rows = RANDOM.normal(size=(200, 3)).astype(np.float32)
    rows[:60] = RANDOM.choice(np.array([0.5, -0.25, 1.0, np.nan, 0], np.float32), (60, 3))
    return rows


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
def test_trees(mode: str) -> None:
    assert_same(model_of([trees("Regressor", mode, n_targets=3)], [3]), rows_of_trees(), 1e-6)
    average = trees(
        "Regressor",
        mode,
        n_targets=1,
        base_values=[0.1],
        target_ids=[0] * 5,
        target_treeids=[0, 0, 0, 1, 1],
        target_nodeids=[2, 3, 4, 1, 2],
        target_weights=[0.5, 1.5, 0.25, 2.0, 1.0],
        aggregate_function="AVERAGE",
    )
    assert_same(model_of([average], [3]), rows_of_trees(), 1e-6)


@pytest.mark.parametrize("post", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_classes_of_trees(post: str) -> None:
    model = model_of(
        [trees("Classifier", "BRANCH_LEQ", classlabels_int64s=[3, 5, 9], post_transform=post)], [3], outputs=["y", "p"]
    )
    rows = rows_of_trees()
    taken = imported_model("m", model)
    assert (taken.result, taken.classes) == (BIGINT, None)
    np.testing.assert_array_equal(run(taken, *columns_of(rows)), by_onnxruntime(model, rows, "y"))
    scores = run(imported_model("m", model, output="proba"), *columns_of(rows))
    np.testing.assert_allclose(scores, by_onnxruntime(model, rows, "p"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "weights_", [[0.1, 0.4, 0.2, 0.3, 0.2, 0.1], [-0.5, 1.5, 0.25, -2.0, 1.0, 0.75]], ids=["positive", "any"]
)
@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize("post", ["NONE", "LOGISTIC"])
def test_two_classes_by_the_score_of_one(weights_: list[float], post: str, own: int) -> None:
    model = model_of(
        [trees("Classifier", "BRANCH_LEQ", classlabels_int64s=[0, 1], class_ids=[own] * 6, class_weights=weights_, post_transform=post)], [3], outputs=["y", "p"]
    )  # fmt: skip
    rows = rows_of_trees()
    np.testing.assert_array_equal(run(imported_model("m", model), *columns_of(rows)), by_onnxruntime(model, rows, "y"))
    scores = run(imported_model("m", model, output="scores"), *columns_of(rows))
    np.testing.assert_allclose(scores, by_onnxruntime(model, rows, "p"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_linear_classifiers(post: str) -> None:
    linear = node("LinearClassifier", "x", "y p", domain=ML, coefficients=weights(12).tolist(), intercepts=[0.1, 0, -0.1], classlabels_strings=["low", "mid", "high"], post_transform=post)  # fmt: skip
    model = model_of([linear], [4], outputs=["y", "p"])
    rows = RANDOM.normal(size=(100, 4)).astype(np.float32)
    taken = imported_model("m", model)
    assert (taken.result, taken.labels) == (VARCHAR, ("low", "mid", "high"))
    labels = np.asarray(taken.labels)[run(taken, *columns_of(rows))]
    assert labels.tolist() == list(by_onnxruntime(model, rows, "y"))
    scores = run(imported_model("m", model, output="p"), *columns_of(rows))
    np.testing.assert_allclose(scores, by_onnxruntime(model, rows, "p"), rtol=1e-5, atol=1e-6)


def test_result_types() -> None:
    assert imported_model("m", model_of([node("Relu", "x")], [4])).result == Array(FLOAT, 4)
    assert imported_model("m", model_of([node("Relu", "x")], [1])).result == FLOAT
    assert imported_model("m", model_of([node("Relu", "x")], [1], type=TensorProto.DOUBLE)).result == DOUBLE
    assert imported_model("m", model_of([node("Greater", "x z")], [1], z=np.float32(0))).result == BOOLEAN
    classes = imported_model("m", model_of([node("Relu", "x")], [4]), output="class")
    assert (classes.result, classes.classes) == (BIGINT, 4)
    half = imported_model("m", model_of([node("Relu", "x")], [1], type=TensorProto.FLOAT16))
    assert (half.result, half.arguments) == (FLOAT, (np.dtype(np.float32),))


def test_weights_are_arguments() -> None:
    models = [imported_model("m", model_of([node("Gemm", "x w")], VECTOR, w=weights(6, 2) + seed)) for seed in (0, 1)]
    assert models[0].digest == models[1].digest
    assert [one.shape for one in models[0].weights] == [(6, 2)]
    of_trees = [
        imported_model("m", model_of([trees("Regressor", "BRANCH_LT", n_targets=3, target_weights=[w] * 6)], [3]))
        for w in (1.0, 2.0)
    ]
    assert of_trees[0].digest == of_trees[1].digest


def test_all_that_is_not_supported_is_listed() -> None:
    model = model_of([node("NonZero", "x", "a"), node("Relu", "x", "b"), node("StringNormalizer", "b")], [4])
    with pytest.raises(ModelError, match=r"NonZero .*StringNormalizer"):
        imported_model("m", model)
    with pytest.raises(ModelError, match="attributes that are not supported: strange"):
        imported_model("m", model_of([node("Relu", "x", strange=1)], [4]))
    with pytest.raises(ModelError, match="does not go with its inputs"):
        imported_model("m", model_of([node("Gemm", "x w")], [4], w=weights(5, 2)))
    with pytest.raises(ModelError, match="for 7 rows"):
        imported_model("m", model_of([node("Relu", "x")], [4], batch=7))
    with pytest.raises(ModelError, match="depends on the row"):
        imported_model("m", model_of([node("Cast", "x", "i", to=7), node("Reshape", "x i")], [2]))
    with pytest.raises(ModelError, match="makes a tensor"):
        imported_model("m", model_of([node("Expand", "x w")], [4], w=np.array([1 << 40, 1])))
    doubled = [node("Concat", f"w{n} w{n}", f"w{n + 1}", axis=0) for n in range(40)]
    with pytest.raises(ModelError, match=r"at most .* numbers go"):
        imported_model("m", model_of([*doubled, node("Gemm", "x w40")], [4], w0=weights(4, 4)))
    with pytest.raises(ModelError, match=r"at most .* numbers go"):
        imported_model(
            "m", model_of([node("Einsum", "w w", "v", equation="ab,cd->abcd"), node("Add", "x v")], [4], w=weights(100, 100))
        )
    with pytest.raises(ModelError, match="that no picture has"):
        imported_model("m", model_of([node("Conv", "x w", strides=[1 << 33, 1])], IMAGE, w=weights(4, 3, 3, 3)))
    with pytest.raises(ModelError, match="more than there is to repeat"):
        imported_model("m", model_of([node("Pad", "x pads", mode="reflect")], [4], pads=np.array([0, 0, 0, 1 << 20])))
    with pytest.raises(ModelError, match="nothing gives"):
        imported_model("m", model_of([node("Add", "x other")], [4]))
    with pytest.raises(ModelError, match=r'its outputs: "y". Did you mean "y"|no output'):
        imported_model("m", model_of([node("Relu", "x")], [4]), output="z")


def test_rows_that_depend_on_one_another() -> None:
    """A model is computed for one row at a time, which its library may not do; one that is fixed to one row is taken as it is."""
    mixing = [
        [node("Softmax", "x", axis=0)],
        [node("Transpose", "x", "t"), node("MatMul", "x t", "m"), node("MatMul", "m x")],
        [node("ReduceMean", "x axes", "mean"), node("Sub", "x mean")],
        [node("CumSum", "x zero")],
    ]
    constants = {"axes": np.array([0]), "zero": np.array(0)}
    for nodes in mixing:
        with pytest.raises(ModelError, match="a row depends on the rows beside it"):
            imported_model("m", model_of(nodes, [3], **constants))
        assert imported_model("m", model_of(nodes, [3], batch=1, **constants)).arguments
    for nodes in ([node("Transpose", "x")], [node("ReduceMax", "x axes", keepdims=0)]):
        with pytest.raises(ModelError, match="first axis of its output is not that of the rows"):
            imported_model("m", model_of(nodes, [3], **constants))
    with pytest.raises(ModelError, match="without a version"):
        versions = model_of([node("Relu", "x")], [3])
        versions.opset_import[0].domain = "other"
        imported_model("m", versions)
    with pytest.raises(ModelError, match="reduces no numbers"):
        nothing = [node("Slice", "x from to axes", "s"), node("ReduceMean", "s axes")]
        imported_model("m", model_of(nothing, [3], **{"from": np.array([9]), "to": np.array([9]), "axes": np.array([1])}))


def test_files(tmp_path: Path) -> None:
    """External data lies in the model's folder, and nowhere else."""
    model = model_of([node("Gemm", "x w")], [64], w=weights(64, 32))
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "m.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="w.bin", size_threshold=100)
    rows = RANDOM.normal(size=(50, 64)).astype(np.float32)
    kept = model_of([node("Gemm", "x w")], [64], w=numpy_helper.to_array(onnx.load(path).graph.initializer[0]))
    np.testing.assert_allclose(
        run(imported_model("m", path), *columns_of(rows)), by_onnxruntime(kept, rows), rtol=1e-5, atol=1e-5
    )
    outside = onnx.load(path, load_external_data=False)
    (tmp_path / "secret.bin").write_bytes((tmp_path / "model" / "w.bin").read_bytes())
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), ""):
        outside.graph.initializer[0].external_data[0].value = location
        path.write_bytes(outside.SerializeToString())
        with pytest.raises(ModelError, match="outside of the model's folder"):
            imported_model("m", path)
    outside.graph.initializer[0].external_data[0].value = "w.bin"
    outside.graph.initializer[0].dims[0] = 1 << 40
    path.write_bytes(outside.SerializeToString())
    with pytest.raises(ModelError, match="not as many numbers"):
        imported_model("m", path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    content = model_of([node("MatMul", "x w", "a"), node("Relu", "a")], VECTOR, w=weights(6, 4)).SerializeToString()
    random = np.random.default_rng(0)
    refused = 0
    for number in range(150):
        damaged = bytearray(content[: random.integers(1, len(content))] if number % 3 == 0 else content)
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "m.onnx").write_bytes(damaged)
        try:
            imported_model("m", tmp_path / "m.onnx")
        except ModelError:
            refused += 1
    assert refused > 60


def test_in_queries(tmp_path: Path) -> None:
    nodes, shape, constants = CASES["network"]
    path = tmp_path / "m.onnx"
    path.write_bytes(model_of(nodes, shape, **constants).SerializeToString())
    rows = RANDOM.normal(size=(3_000, 6)).astype(np.float32)
    with qtensor.connect() as connection:
        connection.register("t", {f"c{number}": column for number, column in enumerate(columns_of(rows))})
        connection.create_function("m", path, output="class")
        found = connection.sql(
            "SELECT m(x := (c0, c1, c2, c3, c4, c5)) AS label, count(*) AS n FROM t GROUP BY label ORDER BY label"
        ).fetchall()
    expected = np.bincount(by_onnxruntime(onnx.load(path), rows).argmax(1))
    assert found == list(enumerate(expected.tolist()))
