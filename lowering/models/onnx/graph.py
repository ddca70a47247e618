"""A graph of ONNX: read into nodes, what is known computed at once, and the rest as a function of one row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.onnx import elementwise, learning, networks, shapes
from qtensor.lowering.models.onnx.files import Tensors, UnreadableError
from qtensor.lowering.models.onnx.registry import OPERATORS, Node, NotConvertedError, Text
from qtensor.lowering.models.onnx.shapes import LARGEST

TABLES = (elementwise, learning, networks, shapes)  # whose importing registers operators
SMALL = 64  # whole numbers up to here may be shapes; longer lists are weights
# Inputs of operators that must be known, though they are floats.
KNOWN_INPUTS = {("Resize", 1), ("Resize", 2), ("Upsample", 1), ("Range", 0), ("Range", 1), ("Range", 2), ("Pow", 1)}
# What operators raise over shapes that do not fit.
FAILURES = (TypeError, ValueError, IndexError, KeyError, NotImplementedError, ZeroDivisionError, OverflowError, AttributeError)
MOST_NODES = 100_000


@dataclass(frozen=True, eq=False)
class Graph:
    """nodes in order, what is known by name, the inputs that rows give, and the outputs."""

    nodes: tuple[Node, ...]
    known: Mapping[str, NDArray[Any]]
    inputs: tuple[Any, ...]
    outputs: tuple[str, ...]


def read_graph(name: str, model: Any, tensors: Tensors) -> Graph:
    """Raises ModelError: operators that are unknown, all of them, and tensors that cannot be read."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    problems = []
    if len(model.graph.node) > MOST_NODES:
        raise ModelError(f'model "{name}" has {len(model.graph.node):,} operators; at most {MOST_NODES:,} are read')
    if len(model.functions):
        problems.append("functions of its own")
    known: dict[str, NDArray[Any]] = {}
    for tensor in model.graph.initializer:
        try:
            known[tensor.name] = tensors.array(tensor)
        except UnreadableError as error:
            problems.append(f'the tensor "{tensor.name}": {error}')
    if len(model.graph.sparse_initializer):
        problems.append("sparse tensors")
    nodes = []
    for number, proto in enumerate(model.graph.node):
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        title = proto.name or f"number {number}"
        if (domain, proto.op_type) not in OPERATORS:
            problems.append(f'{proto.op_type} (operator "{title}"{f" of {domain}" if domain else ""})')
            continue
        try:
            attributes = {one.name: attribute(one, tensors) for one in proto.attribute}
        except UnreadableError as error:
            problems.append(f'{proto.op_type} (operator "{title}"): {error}')
            continue
        version = versions.get(domain, versions.get(domain or "ai.onnx", 0 if versions else 1))
        if version < 1:
            problems.append(f'operators of "{domain or "ai.onnx"}" without a version (opset_import)')
        if not all(isinstance(one, str) for one in (*proto.input, *proto.output, *attributes)):
            problems.append(f"{proto.op_type} (operator number {number}) with names that are no text")
        nodes.append(Node(proto.op_type, domain, title, tuple(proto.input), tuple(proto.output), attributes, version))
    if problems:
        listed = "; ".join(dict.fromkeys(problems))
        raise ModelError(f'model "{name}" cannot be converted. Not supported: {listed}')
    inputs = tuple(one for one in model.graph.input if one.name not in known)
    return Graph(tuple(nodes), known, inputs, tuple(one.name for one in model.graph.output))


def attribute(proto: Any, tensors: Tensors) -> Any:
    match proto.type:
        case 1:
            return proto.f
        case 2:
            return proto.i
        case 3:
            return proto.s.decode("utf-8", "replace")
        case 4:
            return tensors.array(proto.t)
        case 6:
            return list(proto.floats)
        case 7:
            return list(proto.ints)
        case 8:
            return [one.decode("utf-8", "replace") for one in proto.strings]
        case _:
            raise UnreadableError(f'its attribute "{proto.name}" is of a kind that is not supported')


def folded(name: str, graph: Graph) -> Graph:
    """The graph without the nodes that depend on no row: what they give is known."""
    known, left = dict(graph.known), []
    for node in graph.nodes:
        if all(not one or one in known for one in node.inputs) and node.kind not in ("RandomNormal", "RandomUniform"):
            found = evaluated(name, node, [known[one] if one else None for one in node.inputs])
            if all(isinstance(one, np.ndarray) or hasattr(one, "dtype") for one in found):
                known.update(zip(node.outputs, map(np.asarray, found), strict=False))
                continue
        left.append(node)
    return Graph(tuple(left), known, graph.inputs, graph.outputs)


def needed(graph: Graph, output: str) -> Graph:
    """The part of a graph that one output comes from."""
    wanted, nodes = {output}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            nodes.append(node)
    return Graph(tuple(reversed(nodes)), graph.known, graph.inputs, (output,))


def weights_of(graph: Graph) -> dict[str, NDArray[Any]]:
    """What is known and given to the program as an argument: all floats, and long lists of whole numbers."""
    fixed = {one for node in graph.nodes for place, one in enumerate(node.inputs) if (node.kind, place) in KNOWN_INPUTS}
    used = {one for node in graph.nodes for one in node.inputs}
    return {
        key: value
        for key, value in graph.known.items()
        if key in used and key not in fixed and value.dtype != object and (value.dtype.kind not in "iub" or value.size > SMALL)
    }


def of_row(
    name: str, graph: Graph, weights: Mapping[str, Any], own: Mapping[int, Mapping[str, Any]], inputs: Mapping[str, Any]
) -> Any:
    """The graph's one output for a row: its inputs as batches of one. own: the weights of nodes, by their positions."""
    values: dict[str, Any] = {**graph.known, **weights, **inputs}
    for position, node in enumerate(graph.nodes):
        node = replace(node, given=own[position]) if position in own else node
        missing = [one for one in node.inputs if one and one not in values]
        if missing:
            raise ModelError(f'model "{name}": {node.kind} (operator "{node.name}") reads "{missing[0]}", which nothing gives')
        found = evaluated(name, node, [values[one] if one else None for one in node.inputs])
        values.update(zip(node.outputs, found, strict=False))
    if graph.outputs[0] not in values:
        raise ModelError(f'model "{name}": nothing gives its output "{graph.outputs[0]}"')
    return values[graph.outputs[0]]


def refuse_large(node: Node, inputs: Sequence[Any]) -> None:
    """Raise NotConvertedError, before it is computed, if what a node gives is too large."""
    if not any(one is not None and one.dtype == object for one in inputs):
        check_sizes(jax.eval_shape(lambda: OPERATORS[node.domain, node.kind](node, *inputs)))


def check_sizes(found: Any) -> None:
    for one in found if isinstance(found, tuple) else (found,):
        if math.prod(getattr(one, "shape", ())) > LARGEST:
            raise NotConvertedError(f"gives a tensor of the shape {tuple(one.shape)}; at most {LARGEST:,} numbers go")


def evaluated(name: str, node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """What a node gives. Of what is known it is known too, also while a program is traced."""
    compute = OPERATORS[node.domain, node.kind]
    place = f'{node.kind} (operator "{node.name}")'
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    try:
        if any(isinstance(one, Text) for one in inputs) and node.kind not in ("Cast", "Reshape", "Squeeze", "Identity"):
            raise NotConvertedError("computes with texts")
        is_known = all(one is None or isinstance(one, np.ndarray) for one in inputs)
        if is_known:
            refuse_large(node, inputs)
            with jax.ensure_compile_time_eval():
                found = compute(node, *inputs)
        else:
            found = compute(node, *inputs)
            check_sizes(found)
    except NotConvertedError as problem:
        raise ModelError(f'model "{name}" cannot be converted: {place} {problem}') from problem
    except FAILURES as error:
        line = str(error).strip().partition("\n")[0]
        raise ModelError(f'model "{name}" cannot be converted: {place} does not go with its inputs: {line}') from error
    if unread := node.unread():
        raise ModelError(
            f'model "{name}" cannot be converted: {place} has attributes that are not supported: {", ".join(unread)}'
        )
    found = found if isinstance(found, tuple) else (found,)
    if is_known and not any(isinstance(one, Text) for one in found):
        return tuple(np.asarray(one) for one in found)
    return found
