"""Read a concrete TensorFlow function into a `Graph` of plain data: variables become constants, calls are inlined."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.tensorflow.graph import (
    Argument,
    AttributeValue,
    Constant,
    Function,
    Graph,
    Operation,
    Ref,
    Step,
    TableLeaf,
    Unreadable,
    WeightLeaf,
    all_steps,
    is_weight,
)

SUPPORTED_TYPES = frozenset(
    {"bool", "float16", "bfloat16", "float32", "float64"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)

DEEPEST_CALL, MOST_CALLS = 32, 4_096  # functions within functions, and all of them


@dataclass(frozen=True)
class InputSpec:
    """A tensor the model takes: its name, TensorFlow's name of its type, and its shape (None: unknown)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Frozen:
    """A function without variables: TensorFlow's graph, its inputs, and one tensor name for each output.

    variables: the names of the constants that were variables, or tensors made outside the function. named: what those that were
    variables are called.
    functions: those that nodes call, by name. tables: what the look-up tables hold that it reads, by node; they are no inputs.
    """

    nodes: dict[str, Any]
    inputs: tuple[InputSpec, ...]
    input_nodes: tuple[str, ...]
    outputs: tuple[str, ...]
    variables: frozenset[str]
    functions: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, TableLeaf] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)


def variables_changed(function: Any) -> tuple[str, ...]:
    """The operators by which a tf.ConcreteFunction, or one that it calls, changes variables: it cannot be frozen then."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return tuple(sorted({node.op for node in nodes if node.op.startswith(("Assign", "ResourceScatter", "ResourceApply"))}))


def freeze(function: Any) -> Frozen:
    """Freeze a tf.ConcreteFunction; the object that owns its variables must be alive."""
    module = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    frozen = module.convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    inputs = tuple(
        InputSpec(tensor.op.name, tensor.dtype.name, None if tensor.shape.rank is None else tuple(tensor.shape))
        for tensor in frozen.inputs
    )
    definition = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in definition.node}
    functions = {function.signature.name: function for function in definition.library.function}
    variables = frozenset(inside.op.name for _, inside in function.graph.captures)
    tables = read_tables(function, nodes)
    inputs = tuple(spec for spec in inputs if spec.name not in tables)
    names, outputs = tuple(spec.name for spec in inputs), tuple(tensor.name for tensor in frozen.outputs)
    return Frozen(nodes, inputs, names, outputs, variables, functions, tables, variable_names(function))


def variable_names(function: Any) -> dict[str, str]:
    """The names of a function's variables, by the node that stands for each."""
    names = {id(variable.handle): variable.name.removesuffix(":0") for variable in function.graph.variables}
    return {inside.op.name: names[id(outside)] for outside, inside in function.graph.captures if id(outside) in names}


def read_tables(function: Any, nodes: Mapping[str, Any]) -> dict[str, TableLeaf]:
    """The contents of the look-up tables that a function captures, by the node that stands for the table."""
    tf = importlib.import_module("tensorflow")
    handles = {inside.op.name: outside for outside, inside in function.graph.captures if outside.dtype == tf.resource}
    found: dict[str, TableLeaf] = {}
    for node in nodes.values():
        name = node_name(node.input[0]) if node.op == "LookupTableFindV2" else ""
        while name in nodes and nodes[name].op == "Identity":  # of functions that were inlined
            name = node_name(nodes[name].input[0])
        if name in handles and name not in found:
            keys, values = tf.raw_ops.LookupTableExportV2(
                table_handle=handles[name], Tkeys=node.attr["Tin"].type, Tvalues=node.attr["Tout"].type
            )
            found[name] = TableLeaf(keys.numpy(), values.numpy())
    return found


def read_graph(frozen: Frozen, output: int, tf: Any) -> Graph:
    """The part of the graph that output number `output` depends on, weights separated from static constants.

    What its nodes wait for without reading it (a check, a print) is listed in `effects`.
    """
    found = Findings()
    reader = GraphReader(frozen, tf, found)
    ref = reader.ref(frozen.outputs[output])
    for name in sorted(reader.waited_for()):
        if (check := checked_values(frozen.nodes, name)) is not None:
            parts = (ref, *(reader.ref(tensor) for tensor in check))
            reader.steps.append(Operation(name, "FailsWhere", parts))
            ref = Ref(len(reader.steps) - 1)
            reader.checked.add(name)
    reader.note_effects()
    return Graph(tuple(reader.steps), ref, tuple(found.weights), tuple(sorted(found.effects)))


@dataclass
class Findings:
    """What is found in a graph and in the functions that it calls."""

    weights: list[NDArray[np.generic]] = field(default_factory=list)
    effects: set[tuple[str, str]] = field(default_factory=set)
    functions: int = 0


class GraphReader:
    """Depth-first reading of nodes into steps; a graph may be deeper than Python's stack, hence the explicit one."""

    def __init__(self, frozen: Frozen, tf: Any, found: Findings, depth: int = 0) -> None:
        self.frozen = frozen
        self.tf = tf
        self.depth = depth
        self.steps: list[Step] = []
        self.found = found
        self.positions: dict[str, int] = {}
        self.checked: set[str] = set()  # Asserts that are steps now

    def ref(self, tensor: str) -> Ref:
        """The step that computes the tensor "node" or "node:output", after all steps it needs."""
        name, _, output = tensor.partition(":")
        pending = [name]
        while pending:
            node = self.frozen.nodes[pending[-1]]
            waits = [source for source in map(node_name, data_inputs(node)) if source not in self.positions]
            if waits:
                pending.extend(waits)
            else:
                if pending.pop() not in self.positions:
                    self.positions[node.name] = len(self.steps)
                    self.steps.append(self.step(node))
        return Ref(self.positions[name], int(output or 0))

    def step(self, node: Any) -> Step:
        if node.name in self.frozen.tables:
            return self.frozen.tables[node.name]
        if node.name in self.frozen.input_nodes:
            return Argument(self.frozen.input_nodes.index(node.name))
        if node.op == "Const" and isinstance(read_type(node.attr["dtype"].type, self.tf), np.dtype):
            array = np.array(self.tf.make_ndarray(node.attr["value"].tensor))
            array.setflags(write=False)
            if not is_weight(array, node.name in self.frozen.variables):
                return Constant(array)
            self.found.weights.append(array)
            return WeightLeaf(len(self.found.weights) - 1, self.frozen.named.get(node.name, ""))
        inputs = []
        for tensor in data_inputs(node):
            name, _, output = tensor.partition(":")
            inputs.append(Ref(self.positions[name], int(output or 0)))
        attributes = {name: self.attribute(value) for name, value in node.attr.items() if not name.startswith("_")}
        if node.op == "Const":
            attributes = {"dtype": attributes["dtype"]}
        return Operation(node.name, node.op, tuple(inputs), tuple(sorted(attributes.items())))

    def attribute(self, value: Any) -> AttributeValue:
        """A protocol buffer's attribute as a plain value, with the functions that it names."""
        if value.WhichOneof("value") == "func":
            return self.function(value.func.name)
        if value.WhichOneof("value") == "list" and value.list.func:
            return tuple(self.function(function.name) for function in value.list.func)
        return read_attribute(value, self.tf)

    def function(self, name: str) -> Function | Unreadable:
        definition = self.frozen.functions.get(name)
        self.found.functions += 1
        if definition is None or self.depth >= DEEPEST_CALL or self.found.functions > MOST_CALLS:
            return Unreadable(f"function {name}")
        module = importlib.import_module("tensorflow.python.framework.function_def_to_graph")
        try:
            graph, flat = module.function_def_to_graph_def(definition)
        except (KeyError, ValueError, TypeError):  # an operator that this TensorFlow does not have
            return Unreadable(f"function {name}, which cannot be read")
        arguments = tuple(argument.name for argument in definition.signature.input_arg)
        outputs = tuple(flat[definition.ret[argument.name]] for argument in definition.signature.output_arg)
        inner = Frozen({node.name: node for node in graph.node}, (), arguments, outputs, frozenset(), self.frozen.functions)
        reader = GraphReader(inner, self.tf, self.found, self.depth + 1)
        refs = tuple(reader.ref(output) for output in outputs)
        reader.note_effects(tuple(definition.control_ret.values()))
        return Function(name, tuple(reader.steps), refs)

    def note_effects(self, run: Sequence[str] = ()) -> None:
        """Add what runs without being read to the effects: of what is waited for, and of `run`."""
        for name in self.waited_for(run):
            if name in self.positions:
                continue
            node = self.frozen.nodes[name]
            self.found.effects.add((name, node.op))
            called = [self.attribute(value) for value in node.attr.values() if value.WhichOneof("value") in ("func", "list")]
            for part in (part for value in called for part in (value if isinstance(value, tuple) else (value,))):
                if isinstance(part, Function):
                    inner = (step for step in all_steps(part.steps) if isinstance(step, Operation))
                    self.found.effects.update((step.name, step.op) for step in inner)

    def waited_for(self, run: Sequence[str] = ()) -> set[str]:
        """Nodes that are only waited for, and all they read, without those that do nothing."""
        found = {name for name in run if name not in self.positions}
        pending = [*self.positions, *found]
        while pending:
            for tensor in self.frozen.nodes[pending.pop()].input:
                name = node_name(tensor.removeprefix("^"))
                if name in self.checked:
                    continue
                if name not in found and name not in self.positions:
                    found.add(name)
                    pending.append(name)
        return {name for name in found if self.frozen.nodes[name].op not in ("NoOp", "Const", "Placeholder")}


def checked_values(nodes: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    """Of an Assert that no value is a certain one, as Keras's StringLookup without a place for unknown texts has it: the tensor
    of the values, and that of the forbidden one.
    """

    def inputs_of(tensor: str, op: str) -> list[str]:
        node = nodes.get(node_name(tensor))
        return data_inputs(node) if node is not None and node.op == op else []

    match inputs_of(name, "Assert"):
        case [condition, *_]:
            pass
        case _:
            return None
    match inputs_of(condition, "Equal"):
        case [size, zero] if is_zero(nodes[node_name(zero)]):
            pass
        case _:
            return None
    for where in inputs_of(size, "Size"):
        for equal in inputs_of(where, "Where"):
            match inputs_of(equal, "Equal"):
                case [values, forbidden]:
                    return values, forbidden
    return None


def is_zero(node: Any) -> bool:
    """Whether a node is the constant 0."""
    tensor = node.attr["value"].tensor
    return node.op == "Const" and not any(tensor.int_val) and not any(tensor.int64_val) and not any(tensor.tensor_content)


def node_name(tensor: str) -> str:
    return tensor.partition(":")[0]


def data_inputs(node: Any) -> list[str]:
    """The tensors a node reads; "^name" is a node it only waits for."""
    return [tensor for tensor in node.input if not tensor.startswith("^")]


def read_type(number: int, tf: Any) -> np.dtype[np.generic] | Unreadable:
    name = tf.as_dtype(number).name
    if name == "string":
        return np.dtype(object)
    return jnp.dtype(name) if name in SUPPORTED_TYPES else Unreadable(f"{name} type")


def read_attribute(value: Any, tf: Any) -> AttributeValue:
    """A protocol buffer's attribute as a plain value."""
    kind = value.WhichOneof("value")
    match kind:
        case "b" | "i" | "f":
            return getattr(value, kind)  # type: ignore[no-any-return]
        case "s":
            return value.s.decode("utf-8", "replace")  # type: ignore[no-any-return]
        case "type":
            return read_type(value.type, tf)
        case "list":
            items = value.list
            return (
                *(item.decode("utf-8", "replace") for item in items.s),
                *items.i,
                *items.f,
                *items.b,
                *(read_type(item, tf) for item in items.type),
                *(Unreadable("list of shapes") for _ in items.shape),
                *(Unreadable("list of functions") for _ in items.func),
            )
        case "func":
            return Unreadable("function")
        case None:
            return None
        case _:
            return Unreadable(str(kind))
