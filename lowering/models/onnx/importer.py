"""ONNX models as row-wise JAX functions: the graph is computed for one row, as a batch of one, and mapped over rows."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.assembled import Taken
from qtensor.lowering.models.labels import labelled
from qtensor.lowering.models.model import Model, ModelInput, Prediction, order_of
from qtensor.lowering.models.onnx.files import Tensors, UnreadableError, dtype_of, read_model
from qtensor.lowering.models.onnx.graph import FAILURES, Graph, folded, needed, of_row, read_graph, weights_of
from qtensor.lowering.models.onnx.registry import Text
from qtensor.lowering.models.onnx.rows import refuse_mixed_rows
from qtensor.lowering.program.row_major import rows_of_columns
from qtensor.lowering.program.work import shape_of, work_of
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, Array, Integer, SqlType


@dataclass(frozen=True)
class Input:
    """An input of a graph: its shape for one row, a batch of one, and the type of the SQL arguments that it takes."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    argument: np.dtype[Any]
    is_one_row: bool = False  # in the model, too

    @property
    def width(self) -> int:
        return math.prod(self.shape)


def import_onnx(taken: Taken, model: Any) -> Model:
    """A model of ONNX, a ModelProto or the path of a file. Its first axis is that of the rows.

    An input [rows, ...] takes its numbers for one row side by side, in row-major order. Where a graph has two
    outputs, a class and its scores, the class is meant, unless output= says otherwise.

    Raises ModelError: listing operators that are not supported; data outside of the model's folder.
    """
    is_file = isinstance(model, str | os.PathLike)
    tensors = Tensors(taken.name, Path(model).parent if is_file else None)
    graph = read_graph(taken.name, read_model(taken.name, Path(model)) if is_file else model, tensors)
    with jax.enable_x64(True):
        graph = folded(taken.name, graph)
        inputs = inputs_of(taken, graph)
        order = tuple(range(len(inputs)))
        if taken.inputs is not None:
            order = order_of(taken.name, [one.name for one in inputs], taken.inputs)
        inputs = tuple(inputs[position] for position in order)
        graph, as_class = chosen(taken, graph)
        graph = needed(graph, graph.outputs[0])
        return converted(taken, graph, inputs, as_class)


def converted(taken: Taken, graph: Graph, inputs: Sequence[Input], as_class: bool) -> Model:
    weights = weights_of(graph)
    apply = RowFunction(taken.name, graph, tuple(weights), (), tuple(inputs), as_class)
    apply.labels_of([shape_of(one.shape, one.dtype) for one in weights.values()])  # which also finds what nodes hold themselves
    own = {(position, key): array for position, node in enumerate(graph.nodes) for key, array in node.own.items()}
    apply = replace(apply, own=tuple(own))
    types = tuple(one.argument for one in inputs for _ in range(one.width))
    arrays = tuple(np.ascontiguousarray(one) for one in (*weights.values(), *own.values()))
    shapes = [shape_of(one.shape, one.dtype) for one in arrays]

    labels = apply.labels_of(shapes)
    try:
        lowered = jax.jit(apply).lower(shapes, [shape_of((8,), dtype) for dtype in types])
        if not all(one.is_one_row for one in inputs):
            given = [(one.name, one.shape, one.dtype) for one in inputs]
            refuse_mixed_rows(taken.name, lambda values: apply.graph_of(arrays, values), given)
    except FAILURES as error:
        line = str(error).strip().partition("\n")[0]
        raise ModelError(f'model "{taken.name}" cannot be converted: it does not go with rows of its inputs: {line}') from error
    found = lowered.out_info.result
    is_number = as_class or labels is not None
    result = result_type(taken.name, found, is_number)
    made = Model(
        name=taken.name,
        digest=hashlib.sha256(f"{lowered.as_text()}{types}{result}".encode()).hexdigest(),
        arguments=types,
        result=result,
        weights=arrays,
        apply=apply,
        inputs=tuple(ModelInput(one.name, one.width) for one in inputs),
        classes=len(labels) if labels is not None else apply.classes(shapes),
        work=work_of(apply, arrays, types).multiply_adds + sum(node.made.get("work", 0) for node in graph.nodes),
    )
    return made if labels is None else labelled(made, labels)


@dataclass(frozen=True, eq=False)
class RowFunction:
    """`Model.apply` of a graph.

    weights: names of those of the graph; own: those of nodes, by the node's position. as_class: the result is the place of the
    greatest of its scores.
    """

    name: str
    graph: Graph
    weights: tuple[str, ...]
    own: tuple[tuple[int, str], ...]
    inputs: tuple[Input, ...]
    as_class: bool

    def row(self, weights: Sequence[Any], values: Sequence[Any]) -> Any:
        """The output for one row: a Text, a scalar or a vector."""
        given = {
            one.name: jnp.reshape(value, one.shape).astype(one.dtype) for one, value in zip(self.inputs, values, strict=True)
        }
        found = self.graph_of(weights, given)
        if isinstance(found, Text):
            return Text(jnp.reshape(found.number, ()), found.labels)
        return jnp.reshape(jnp.asarray(found), (-1,))

    def graph_of(self, weights: Sequence[Any], given: Mapping[str, Any]) -> Any:
        """The output for a batch, as it comes."""
        own: dict[int, dict[str, Any]] = {}
        for (position, key), weight in zip(self.own, weights[len(self.weights) :], strict=True):
            own.setdefault(position, {})[key] = weight
        return of_row(self.name, self.graph, dict(zip(self.weights, weights, strict=False)), own, given)

    def labels_of(self, shapes: Sequence[Any]) -> tuple[str, ...] | None:
        """The texts of which the output is one; None of numbers."""
        labels = None

        def observed(weights: Sequence[Any], values: Sequence[Any]) -> Any:
            nonlocal labels
            found = self.row(weights, values)
            if isinstance(found, Text):
                labels = found.labels
                return found.number
            return found

        jax.eval_shape(observed, list(shapes), self.rows())
        return labels

    def rows(self) -> list[Any]:
        return [shape_of((one.width,), one.argument) for one in self.inputs]

    def classes(self, shapes: Sequence[Any]) -> int | None:
        if not self.as_class:
            return None
        scores: Any = jax.eval_shape(self.row, list(shapes), self.rows())
        return int(scores.shape[0])

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        first, batches = 0, []
        for one in self.inputs:
            batches.append(rows_of_columns(columns[first : first + one.width]))
            first += one.width

        def computed(*values: Any) -> Any:
            found = self.row(weights, values)
            if isinstance(found, Text):
                return found.number
            if self.as_class:
                return jnp.argmax(found).astype(jnp.int64)
            return found[0] if found.shape[0] == 1 else found

        result = jax.vmap(computed, out_axes=-1)(*batches)
        if result.dtype.itemsize == 2 and jnp.issubdtype(result.dtype, jnp.floating):
            result = result.astype(jnp.float32)
        return Prediction(result)


def inputs_of(taken: Taken, graph: Graph) -> tuple[Input, ...]:
    """What rows give. Raises ModelError: a size that is unknown, a type that SQL has no numbers for."""
    found = []
    for proto in graph.inputs:
        tensor = proto.type.tensor_type
        dims = list(tensor.shape.dim)
        place = f'model "{taken.name}": its input "{proto.name}"'
        if not proto.type.HasField("tensor_type") or tensor.elem_type == 8:
            raise ModelError(f"{place} is of text, or no tensor; numbers are supported")
        try:
            dtype = dtype_of(tensor.elem_type)
        except UnreadableError as error:
            raise ModelError(f"{place}: {error}") from error
        sizes = [int(one.dim_value) for one in dims[1:]]
        if len(graph.inputs) == 1 and taken.arguments is not None and sizes == [0]:
            sizes = [taken.arguments]
        if not dims or any(size <= 0 for size in sizes) or math.prod(sizes) > 1 << 16:
            raise ModelError(
                f"{place} has no shape [rows, ...] whose other sizes are known; write the model with them, or pass arguments="
            )
        if dims[0].dim_value > 1:
            raise ModelError(f"{place} is for {dims[0].dim_value} rows; write the model for any number of rows, or for one")
        argument = np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind not in "iu" else dtype
        found.append(Input(proto.name, (1, *sizes), dtype, argument, dims[0].dim_value == 1))
    if not found:
        raise ModelError(f'model "{taken.name}" takes no input that depends on a row')
    total = sum(one.width for one in found)
    if taken.arguments is not None and taken.arguments != total:
        raise ModelError(f'model "{taken.name}" takes {total} columns, not the {taken.arguments} of arguments=')
    if taken.dtype is not None:
        raise ModelError(f'model "{taken.name}" says itself of which types its inputs are: leave out dtype=')
    return tuple(found)


def chosen(taken: Taken, graph: Graph) -> tuple[Graph, bool]:
    """The graph with the wanted output alone, and whether the place of its greatest score is wanted."""
    names, output = graph.outputs, taken.output
    if output in names:
        return only(graph, output), False
    if output not in (None, "class", "scores", "proba"):
        listed = ", ".join(f'"{one}"' for one in names)
        hint = suggestion(output, [*names, "class", "scores"])
        raise ModelError(f'model "{taken.name}" has no output "{output}"; its outputs: {listed}. {hint}'.rstrip())
    if len(names) == 2 and gives_classes(graph):  # as classifiers of ai.onnx.ml are written: a label and its scores
        return only(graph, names[1 if output in ("scores", "proba") else 0]), False
    if len(names) != 1:
        listed = ", ".join(f'"{one}"' for one in names)
        raise ModelError(f'model "{taken.name}" has {len(names)} outputs: {listed}; choose one with output=')
    return graph, output == "class"


def gives_classes(graph: Graph) -> bool:
    return any("Classifier" in node.kind or node.kind in ("ZipMap", "ArrayFeatureExtractor") for node in graph.nodes)


def only(graph: Graph, output: str) -> Graph:
    return Graph(graph.nodes, graph.known, graph.inputs, (output,))


def result_type(name: str, result: Any, is_class: bool) -> SqlType:
    if 0 in result.shape:
        raise ModelError(f'model "{name}" gives no numbers for a row')
    if is_class:
        return BIGINT
    if jnp.issubdtype(result.dtype, jnp.floating):
        element = DOUBLE if result.dtype == np.float64 else FLOAT
        return element if result.ndim == 1 else Array(element, result.shape[0])
    if result.ndim == 1:
        if result.dtype == np.bool_:
            return BOOLEAN
        return Integer(8 * result.dtype.itemsize, bool(jnp.issubdtype(result.dtype, jnp.signedinteger)))
    raise ModelError(f'model "{name}" gives {result.dtype}[{result.shape[0]}] for a row; of several numbers only floats go')
