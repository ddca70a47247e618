"""ONNX models: fields of the protocol buffer changed at any depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.doors.model_answers import answer_of, close, features
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_protobuf

FILE = "model.onnx"


class OnnxDoor(Door):
    """Registered, and called over a few rows."""

    def import_libraries(self) -> None:
        import onnxruntime

        import qtensor.connection
        import qtensor.lowering.models.onnx.importer  # noqa: F401

        onnxruntime.set_default_logger_severity(4)

    def make_seeds(self, folder: Path) -> None:
        for name, model in models().items():
            (folder / name).mkdir()
            (folder / name / FILE).write_bytes(model.SerializeToString())

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        if random.random() < 0.15:
            return {FILE: mutated_bytes(random, content, [other[FILE] for other in others])}
        return {FILE: mutated_protobuf(random, content)}

    def answer(self, folder: Path) -> object:
        return answer_of(folder / FILE)

    def expected(self, folder: Path) -> object:
        """What ONNX Runtime computes: the first output, of a batch of all rows."""
        import numpy as np
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        if len(session.get_outputs()) != 1:
            raise ValueError("several outputs")
        width = int(np.prod(list(given.shape[1:])))
        rows = features(width)
        dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}[given.type]
        rows = np.round(rows) if dtype is np.int64 else rows
        (found,) = session.run(None, {given.name: rows.astype(dtype).reshape(-1, *given.shape[1:])})
        return np.asarray(found, np.float64).reshape(len(rows), -1)

    def same(self, found: object, expected: object) -> bool:
        return close(found, expected)


def models() -> dict[str, Any]:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)

    def held(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)

    def whole(name: str, *values: int) -> Any:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    def model(nodes: list[Any], width: int, weights: list[Any], opsets: dict[str, int], *, vector: bool = False) -> Any:
        shape = ["rows"] if vector else ["rows", None]
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "g", [given], [out], weights)
        found = helper.make_model(graph, opset_imports=[helper.make_opsetid(*one) for one in opsets.items()])
        found.ir_version = 8
        onnx.checker.check_model(found)
        return found

    node = helper.make_node
    dense = [
        node("Gemm", ["x", "a", "b"], ["h"], transB=1), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "c"], ["z"]),
        node("Softmax", ["z"], ["y"], axis=-1),
    ]  # fmt: skip
    window = [
        node("Reshape", ["x", "shape"], ["i"]), node("Conv", ["i", "w", "d"], ["h"], pads=[1, 1]), node("MaxPool", ["h"], ["p"], kernel_shape=[2]),
        node("Flatten", ["p"], ["f"]), node("Slice", ["f", "from", "to", "axis"], ["s"]), node("ReduceMean", ["s"], ["y"], axes=[1], keepdims=0),
    ]  # fmt: skip
    gathered = [
        node("Gather", ["x", "places"], ["g"], axis=1), node("Concat", ["g", "x"], ["k"], axis=1), node("LayerNormalization", ["k", "s", "o"], ["n"], axis=-1),
        node("Transpose", ["n"], ["t"], perm=[0, 1]), node("Clip", ["t", "low"], ["y"]),
    ]  # fmt: skip
    trees = node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0] * 5, nodes_nodeids=[*range(5)],
        nodes_featureids=[0, 0, 1, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 3, 0, 0], nodes_falsenodeids=[2, 0, 4, 0, 0], nodes_missing_value_tracks_true=[0] * 5,
        target_treeids=[0, 0, 0], target_nodeids=[1, 3, 4], target_ids=[0, 0, 0], target_weights=[1.0, -2.0, 3.5],
    )  # fmt: skip
    scaled = node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[0.5, 1.0], scale=[2.0, 0.1])
    linear = node("LinearRegressor", ["s"], ["y"], domain="ai.onnx.ml", coefficients=[0.5, -1.0], intercepts=[0.25])
    both = {"": 17, "ai.onnx.ml": 3}
    return {
        "dense": model(dense, 4, [held("a", 5, 4), held("b", 5), held("c", 5, 3)], {"": 17}),
        "window": model(
            window,
            6,
            [whole("shape", 0, 1, 6), held("w", 2, 1, 3), held("d", 2), whole("from", 1), whole("to", 9), whole("axis", 1)],
            {"": 17},
            vector=True,
        ),
        "gathered": model(gathered, 3, [whole("places", 2, 0), held("s", 5), held("o", 5), held("low")], {"": 17}),
        "trees": model([trees], 2, [], both),
        "linear": model([scaled, linear], 2, [], both),
    }


DOOR = OnnxDoor()
