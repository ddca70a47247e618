"""Frozen graphs, the `.pb` files of TensorFlow 1: looked at before TensorFlow reads them, and what goes in and comes out."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow.files import LARGEST_PART, read_plain_file
from qtensor.lowering.models.tensorflow.saved_model import problems_of_node

VARIABLES = frozenset(("VarHandleOp", "Variable", "VariableV2", "ReadVariableOp"))
NO_OUTPUTS = frozenset(("Assert", "Const", "NoOp", "Placeholder", "Print", "PrintV2"))


def read_frozen_graph(name: str, path: Path, *, trust: bool) -> Any:
    """The protocol buffer. Raises ModelError: it cannot be read, does more than compute (unless `trust`), or has variables."""
    module = importlib.import_module("tensorflow.core.framework.graph_pb2")
    decoding = importlib.import_module("google.protobuf.message")
    graph = module.GraphDef()
    try:
        graph.ParseFromString(read_plain_file(name, path, LARGEST_PART))
    except (decoding.DecodeError, ValueError, RecursionError) as error:
        raise ModelError(f'model "{name}": the graph in "{path}" cannot be read: {error}') from error
    if not graph.node:
        raise ModelError(f'model "{name}": "{path}" holds no graph (that of a SavedModel is registered by its folder)')
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    variables = sorted(node.name for node in nodes if node.op in VARIABLES)
    if variables:
        raise ModelError(
            f'model "{name}": the graph in "{path}" is not frozen, its variables have no values: {", ".join(variables[:5])}'
        )
    functions = {function.signature.name: function for function in graph.library.function}
    problems = sorted({problem for node in nodes for problem in problems_of_node(node, functions, may_save=False)})
    if problems and not trust:
        listed = "\n  ".join(problems)
        raise ModelError(
            f'model "{name}": the graph in "{path}" does more than compute, and is not loaded; if you trust who made it, '
            f"pass trust=True (--trust-models):\n  {listed}"
        )
    return graph


def source_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def is_tensor_of(graph: Any, tensor: str) -> bool:
    return any(node.name == source_of(tensor) for node in graph.node)


def sinks_of(graph: Any) -> Iterator[str]:
    """The nodes that no other reads."""
    read = {source_of(tensor) for node in graph.node for tensor in node.input}
    return (node.name for node in graph.node if node.name not in read and node.op not in NO_OUTPUTS)


def placeholders_of(graph: Any, outputs: Sequence[str]) -> list[str]:
    """The placeholders that `outputs` depend on, in the order of the graph."""
    nodes = {node.name: node for node in graph.node}
    pending, seen = [source_of(output) for output in outputs], set()
    while pending:
        name = pending.pop()
        if name not in seen and name in nodes:
            seen.add(name)
            pending += map(source_of, nodes[name].input)
    return [node.name for node in graph.node if node.name in seen and node.op == "Placeholder"]
