"""A frozen TensorFlow graph as plain data: what is left of a model once TensorFlow itself may go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
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


AttributeValue: TypeAlias = (
    "bool | int | float | str | np.dtype[np.generic] | Unreadable | Function | tuple[AttributeValue, ...] | None"
)


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
    """Weight number `index`: an argument of the compiled program. variable: the name of the variable that it was, if it was."""

    index: int
    variable: str = field(default="", compare=False)


@dataclass(frozen=True)
class Operation:
    """One TensorFlow operator applied to earlier steps; `name` is for people, as in an error."""

    name: str
    op: str
    inputs: tuple[Ref, ...]
    attributes: tuple[tuple[str, AttributeValue], ...] = ()


Step: TypeAlias = Argument | Constant | TableLeaf | WeightLeaf | Operation


@dataclass(frozen=True, eq=False)
class Function:
    """What an operation calls: the body of a loop, a branch. Its weights are those of the graph that it stands in."""

    name: str
    steps: tuple[Step, ...]
    outputs: tuple[Ref, ...]


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
    numbers: dict[int, int] = {}
    steps, (output,) = needed(graph.steps, [graph.output], numbers)
    return Graph(steps, output, tuple(graph.weights[old] for old in numbers), graph.effects)


def needed(steps: Sequence[Step], outputs: Sequence[Ref], weights: dict[int, int]) -> tuple[tuple[Step, ...], tuple[Ref, ...]]:
    """The steps that `outputs` need, renumbered, and the outputs there. New numbers of the weights are added to `weights`."""
    renumbered: dict[int, int] = {}
    found: list[Step] = []
    pending = [output.step for output in reversed(outputs)]
    while pending:
        position = pending[-1]
        step = steps[position]
        waits = [ref.step for ref in step.inputs if ref.step not in renumbered] if isinstance(step, Operation) else []
        if position not in renumbered and waits:
            pending.extend(reversed(waits))
            continue
        pending.pop()
        if position in renumbered:
            continue
        renumbered[position] = len(found)
        match step:
            case Operation(name, op, inputs, attributes):
                inputs = tuple(Ref(renumbered[ref.step], ref.output) for ref in inputs)
                attributes = tuple((key, renumbered_attribute(value, weights)) for key, value in attributes)
                found.append(Operation(name, op, inputs, attributes))
            case WeightLeaf(index, variable):
                found.append(WeightLeaf(weights.setdefault(index, len(weights)), variable))
            case Argument() | Constant() | TableLeaf():
                found.append(step)
    return tuple(found), tuple(Ref(renumbered[output.step], output.output) for output in outputs)


def renumbered_attribute(value: AttributeValue, weights: dict[int, int]) -> AttributeValue:
    match value:
        case Function(name, steps, outputs):
            return Function(name, *needed(steps, outputs, weights))
        case tuple():
            return tuple(renumbered_attribute(part, weights) for part in value)
        case _:
            return value


def functions_of(step: Step) -> tuple[Function, ...]:
    """The functions that an operation calls."""
    if not isinstance(step, Operation):
        return ()
    return tuple(function for _, value in step.attributes for function in functions_of_attribute(value))


def all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """`steps` and those of the functions that they call."""
    for step in steps:
        yield step
        for function in functions_of(step):
            yield from all_steps(function.steps)


def reordered(graph: Graph, order: Sequence[int]) -> Graph:
    """The graph with its inputs in another order: the one at `order[i]` is number i from now on."""
    steps = (Argument(order.index(step.index)) if isinstance(step, Argument) else step for step in graph.steps)
    return replace(graph, steps=tuple(steps))


def digest(graph: Graph, *signature: object) -> str:
    """A name for the computation: operators, attributes, static constants, weights' shapes and types, and `signature`.

    Neither weights' values nor node names take part: the same network retrained, or built a second time, is the same program.
    """
    sha = hashlib.sha256()
    for line in described_steps(graph.steps, graph.weights):
        sha.update(line.encode() + b"\n")
    sha.update(repr((graph.output, [str(part) for part in signature])).encode())
    return sha.hexdigest()


def described_steps(steps: Sequence[Step], weights: Sequence[NDArray[np.generic]]) -> Iterator[str]:
    for step in steps:
        match step:
            case Operation(_, op, inputs, attributes):
                plain = [(name, str(value)) for name, value in attributes if not functions_of_attribute(value)]
                yield repr((op, [(ref.step, ref.output) for ref in inputs], plain))
                for name, value in attributes:
                    for function in functions_of_attribute(value):
                        yield f"function {name} {function.outputs}"
                        yield from described_steps(function.steps, weights)
                        yield "end"
            case Constant(array):
                content = array.tolist() if array.dtype == object else array.tobytes()
                yield repr(("constant", str(array.dtype), array.shape, content))
            case WeightLeaf(index):
                yield repr(("weight", index, str(weights[index].dtype), weights[index].shape))
            case Argument(index):
                yield repr(("argument", index))
            case TableLeaf(keys, values):
                yield repr(("table", str(keys.dtype), str(values.dtype)))


def functions_of_attribute(value: AttributeValue) -> tuple[Function, ...]:
    return tuple(part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, Function))


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
