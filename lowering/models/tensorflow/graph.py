"""A frozen TensorFlow graph as plain data: what is left of a model once TensorFlow itself may go."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

# A constant of more elements is a weight, so an argument of the compiled program, whatever its type.
LARGEST_STATIC = 64


@dataclass(frozen=True)
class Unreadable:
    """An attribute value that has no meaning here: a string tensor's type, a nested function."""

    description: str


AttributeValue: TypeAlias = "bool | int | float | str | np.dtype[np.generic] | Unreadable | tuple[AttributeValue, ...] | None"


@dataclass(frozen=True)
class Ref:
    """Output number `output` of the step at position `step`."""

    step: int
    output: int = 0


@dataclass(frozen=True)
class Argument:
    """Input number `index` of the model."""

    index: int


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that may decide shapes and axes, so it stays NumPy while the model is traced."""

    array: NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class TableLeaf:
    """A look-up table with the contents that it has: values[i] for keys[i]. Texts are bytes in arrays of objects."""

    keys: NDArray[Any]
    values: NDArray[Any]


@dataclass(frozen=True)
class WeightLeaf:
    """Weight number `index`: an argument of the compiled program."""

    index: int


@dataclass(frozen=True)
class Operation:
    """One TensorFlow operator applied to earlier steps; `name` is for people, as in an error."""

    name: str
    op: str
    inputs: tuple[Ref, ...]
    attributes: tuple[tuple[str, AttributeValue], ...] = ()


Step: TypeAlias = Argument | Constant | TableLeaf | WeightLeaf | Operation


@dataclass(frozen=True, eq=False)
class Graph:
    """Steps in an order in which every step comes after those it reads.

    `effects` are the operations that ran only so that something happens (a check, a print): (node name, operator).
    """

    steps: tuple[Step, ...]
    output: Ref
    weights: tuple[NDArray[np.generic], ...]
    effects: tuple[tuple[str, str], ...] = ()


def is_weight(array: NDArray[np.generic], variable: bool) -> bool:
    """Whether a constant, which may have been a variable, is a parameter of the network rather than an axis, a shape or a bound.

    Of a single number only that tells: a bias of one unit is trained, the 1e-3 of a normalisation is not.
    """
    if array.dtype == object:  # texts
        return False
    if jnp.issubdtype(array.dtype, jnp.floating):
        return variable or array.size > 1
    return array.size > LARGEST_STATIC


def pruned(graph: Graph) -> Graph:
    """The steps and weights that the output needs, renumbered depth first, so that equal graphs get equal numbers."""
    renumbered: dict[int, int] = {}
    steps: list[Step] = []
    weights: list[NDArray[np.generic]] = []
    pending = [graph.output.step]
    while pending:
        position = pending[-1]
        step = graph.steps[position]
        waits = [ref.step for ref in step.inputs if ref.step not in renumbered] if isinstance(step, Operation) else []
        if position not in renumbered and waits:
            pending.extend(reversed(waits))
            continue
        pending.pop()
        if position in renumbered:
            continue
        renumbered[position] = len(steps)
        match step:
            case Operation(name, op, inputs, attributes):
                inputs = tuple(Ref(renumbered[ref.step], ref.output) for ref in inputs)
                steps.append(Operation(name, op, inputs, attributes))
            case WeightLeaf(index):
                steps.append(WeightLeaf(len(weights)))
                weights.append(graph.weights[index])
            case Argument() | Constant() | TableLeaf():
                steps.append(step)
    output = Ref(renumbered[graph.output.step], graph.output.output)
    return Graph(tuple(steps), output, tuple(weights), graph.effects)


def reordered(graph: Graph, order: Sequence[int]) -> Graph:
    """The graph with its inputs in another order: the one at `order[i]` is number i from now on."""
    steps = (Argument(order.index(step.index)) if isinstance(step, Argument) else step for step in graph.steps)
    return replace(graph, steps=tuple(steps))


def digest(graph: Graph, *signature: object) -> str:
    """A name for the computation: operators, attributes, static constants, weights' shapes and types, and `signature`.

    Neither weights' values nor node names take part: the same network retrained, or built a second time, is the same program.
    """
    sha = hashlib.sha256()
    for step in graph.steps:
        match step:
            case Operation(_, op, inputs, attributes):
                described: object = (op, [(ref.step, ref.output) for ref in inputs], [(n, str(v)) for n, v in attributes])
            case Constant(array):
                content = array.tolist() if array.dtype == object else array.tobytes()
                described = ("constant", str(array.dtype), array.shape, content)
            case WeightLeaf(index):
                described = ("weight", index, str(graph.weights[index].dtype), graph.weights[index].shape)
            case Argument(index):
                described = ("argument", index)
            case TableLeaf(keys, values):
                described = ("table", str(keys.dtype), str(values.dtype))
        sha.update(repr(described).encode() + b"\n")
    sha.update(repr((graph.output, [str(part) for part in signature])).encode())
    return sha.hexdigest()


def without_bounds(graph: Graph) -> Graph:
    """The graph without minima that are known: min(a, max(b, x)) is a, whatever x is, where b is a or at least as great.

    tf.math.bincount asks so for its number of bins, of which x is what the values of all rows would need.
    """
    steps = list(graph.steps)
    alias: dict[int, Ref] = {}

    def found(ref: Ref) -> Ref:
        return alias.get(ref.step, ref)

    for number, step in enumerate(steps):
        if not isinstance(step, Operation):
            continue
        steps[number] = step = replace(step, inputs=tuple(found(ref) for ref in step.inputs))
        dtype = dict(step.attributes).get("T")
        if step.op != "Minimum" or not isinstance(dtype, np.dtype) or dtype.kind not in "iu":  # of floats, x may be NaN
            continue
        for bound, other in (step.inputs, step.inputs[::-1]):
            inner = steps[other.step]
            if isinstance(inner, Operation) and inner.op == "Maximum" and any(reaches(steps, ref, bound) for ref in inner.inputs):
                alias[number] = bound
    return pruned(replace(graph, steps=tuple(steps), output=found(graph.output)))


def reaches(steps: Sequence[Step], ref: Ref, bound: Ref) -> bool:
    """Whether a value is known to be at least `bound`."""
    match steps[ref.step], steps[bound.step]:
        case Constant(value), Constant(least):
            return value.shape == least.shape == () and bool(np.greater_equal(value, least))
        case _:
            return ref == bound
