"""The benchmark's models as ONNX files, built from what was trained: no converter is needed, and rows are compared anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.inference.networks import NETWORKS
from bench.inference.trees import LIBRARIES
from qtensor.lowering.models.trees.ensemble import LEAF, Ensemble, Tree

OPSET, OPSET_OF_TREES, IR_VERSION = 17, 3, 8


class Graph:
    """The nodes and weights of a network of one input, `x`: float32[rows, width]."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, values: Any) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Appends a node; the name of its last output."""
        from onnx import helper

        names = [f"n{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names[-1]

    def reshaped(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.weight(np.array(shape, np.int64)))

    def dense(self, x: str, layer: Any, activation: str | None = None) -> str:
        kernel, bias = map(np.asarray, layer.get_weights())
        found = self.node("Add", self.node("MatMul", x, self.weight(kernel)), self.weight(bias))
        return self.node(activation, found) if activation else found

    def written(self, result: str, width: int) -> bytes:
        from onnx import TensorProto, checker, helper

        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])
        found = helper.make_tensor_value_info(result, TensorProto.FLOAT, [None, None])
        graph = helper.make_graph(self.nodes, "model", [given], [found], self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", OPSET_OF_TREES)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content


def onnx_model(name: str, model: Any) -> bytes | None:
    """The model of a workload as ONNX, None if nothing here builds it."""
    kind = name.partition("-")[0]
    if kind in LIBRARIES:
        return trees(kind, model)
    if name in BUILDERS:
        return BUILDERS[name](model)
    return None if name in NETWORKS else dense(model)


def dense(model: Any) -> bytes:
    graph, x = Graph(), "x"
    for layer in model.layers:
        x = graph.dense(x, layer, {"relu": "Relu", "softmax": "Softmax", "linear": None}[layer.activation.__name__])
    return graph.written(x, model.inputs[0].shape[1])


def cnn(model: Any) -> bytes:
    """Keras's channels are last, ONNX's first; before the dense layer they go last again."""
    graph = Graph()
    x = graph.reshaped("x", -1, 1, 28, 28)
    for layer in model.layers:
        match type(layer).__name__:
            case "Conv2D":
                kernel, bias = map(np.asarray, layer.get_weights())
                x = graph.node("Relu", graph.node("Conv", x, graph.weight(kernel.transpose(3, 2, 0, 1)), graph.weight(bias)))
            case "MaxPooling2D":
                x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            case "Flatten":
                x = graph.node("Flatten", graph.node("Transpose", x, perm=[0, 2, 3, 1]))
            case _:
                x = graph.dense(x, layer)
    return graph.written(x, 28 * 28)


def lstm(model: Any) -> bytes:
    """Keras orders the gates input, forget, cell, output; ONNX input, output, forget, cell."""
    layer, last = model.layers
    kernel, recurrent, bias = map(np.asarray, layer.get_weights())
    steps, features = model.inputs[0].shape[1:]

    def ordered(weights: NDArray[Any]) -> NDArray[Any]:
        gates = np.split(weights, 4, axis=-1)
        return np.concatenate([gates[number] for number in (0, 3, 1, 2)], axis=-1).T[None]

    graph = Graph()
    x = graph.node("Transpose", graph.reshaped("x", -1, steps, features), perm=[1, 0, 2])
    both = np.concatenate([ordered(bias), np.zeros_like(ordered(bias))], axis=-1)
    parts = [graph.weight(part) for part in (ordered(kernel), ordered(recurrent), both)]
    hidden = graph.node("LSTM", x, *parts, outputs=2, hidden_size=layer.units)  # the second output: of the last step
    return graph.written(graph.dense(graph.reshaped(hidden, -1, layer.units), last), steps * features)


def encoder(model: Any) -> bytes:
    layers = {layer.name: layer for layer in model.layers}
    attention, graph = layers["attention"], Graph()
    tokens, width = model.inputs[0].shape[1:]
    x = graph.reshaped("x", -1, tokens, width)

    def projected(part: Any, order: Sequence[int]) -> str:
        kernel, bias = (np.asarray(weight) for weight in part.get_weights())
        flat = graph.node("MatMul", x, graph.weight(kernel.reshape(width, -1)))
        added = graph.node("Add", flat, graph.weight(bias.reshape(-1)))
        return graph.node("Transpose", graph.reshaped(added, 0, tokens, *bias.shape), perm=order)

    def normalised(x: str, layer: Any) -> str:
        return graph.node("LayerNormalization", x, *map(graph.weight, layer.get_weights()), epsilon=layer.epsilon)

    query, key = projected(attention.query_dense, (0, 2, 1, 3)), projected(attention.key_dense, (0, 2, 3, 1))
    value = projected(attention.value_dense, (0, 2, 1, 3))
    scale = graph.weight(np.float32(attention.key_dim**-0.5))
    scores = graph.node("Softmax", graph.node("Mul", graph.node("MatMul", query, key), scale))
    heads = graph.node("Transpose", graph.node("MatMul", scores, value), perm=[0, 2, 1, 3])
    kernel, bias = (np.asarray(weight) for weight in attention.output_dense.get_weights())
    joined = graph.node("MatMul", graph.reshaped(heads, 0, tokens, -1), graph.weight(kernel.reshape(-1, width)))
    attended = normalised(graph.node("Add", x, graph.node("Add", joined, graph.weight(bias))), layers["first"])
    wide = graph.dense(graph.dense(attended, layers["wide"], "Relu"), layers["narrow"])
    found = normalised(graph.node("Add", attended, wide), layers["second"])
    pooled = graph.node("ReduceMean", found, axes=[1], keepdims=0)
    return graph.written(graph.dense(pooled, layers["score"]), tokens * width)


BUILDERS = {"softmax": dense, "cnn": cnn, "lstm": lstm, "encoder": encoder}


def trees(kind: str, model: Any) -> bytes:
    """An ensemble as one node of trees."""
    ensemble = ensemble_of(kind, model)
    (group,) = ensemble.groups
    columns: dict[str, list[Any]] = {name: [] for name in NODE_PARTS + LEAF_PARTS}
    for number, tree in enumerate(group):
        add_tree(columns, number, tree, ensemble.divisor)
    graph = Graph()
    base = [float(ensemble.start.reshape(-1)[0] / ensemble.divisor)]
    result = graph.node("TreeEnsembleRegressor", "x", domain="ai.onnx.ml", n_targets=1, base_values=base, **columns)
    return graph.written(result, len(ensemble.names))


NODE_PARTS = [f"nodes_{part}" for part in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")]
LEAF_PARTS = [f"target_{part}" for part in ("treeids", "nodeids", "ids", "weights")]


def ensemble_of(kind: str, model: Any) -> Ensemble:
    match kind:
        case "xgboost":
            from qtensor.lowering.models.trees.xgboost import ensemble_of_xgboost

            return ensemble_of_xgboost("model", model)[0]
        case "lightgbm":
            from qtensor.lowering.models.trees.lightgbm import ensemble_of_lightgbm

            return ensemble_of_lightgbm("model", model)[0]
        case _:
            from qtensor.lowering.models.sklearn.forests import first_value, tree_of

            found = tuple(tree_of(one, first_value) for one in model.estimators_)
            names = tuple(f"c{number}" for number in range(model.n_features_in_))
            return Ensemble(names, np.dtype(np.float32), (found,), np.zeros(1), float(len(found)))


def add_tree(columns: dict[str, list[Any]], number: int, tree: Tree, divisor: float) -> None:
    count = len(tree.feature)
    is_leaf = np.asarray(tree.feature) == LEAF
    (leaves,) = is_leaf.nonzero()
    inner = ~is_leaf
    values = np.where(inner, tree.threshold, 0).astype(np.float32)
    above = values.astype(np.float64) > np.where(inner, tree.threshold, 0)
    values = np.where(above, np.nextafter(values, np.float32(-np.inf)), values)
    parts = [
        [number] * count,
        list(range(count)),
        np.where(inner, tree.feature, 0).tolist(),
        values.tolist(),
        ["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf],
        np.where(inner, tree.left, 0).tolist(),
        np.where(inner, tree.right, 0).tolist(),
        [number] * len(leaves),
        leaves.tolist(),
        [0] * len(leaves),
        (np.asarray(tree.leaf, np.float64)[leaves, 0] / divisor).tolist(),
    ]
    for name, part in zip(NODE_PARTS + LEAF_PARTS, parts, strict=True):
        columns[name] += part
