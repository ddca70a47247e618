"""Walk a frozen graph: abstractly when a model is imported, to find all that cannot be done; then inside the query's trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import InternalError
from qtensor.lowering.models.mapped import mapped
from qtensor.lowering.models.model import Prediction
from qtensor.lowering.models.tensorflow import (
    control_flow,
    convolutions,
    dense,
    elementwise,
    gathers,
    images,
    lookups,
    numerics,
    ordering,
    products,
    reductions,
    shapes,
    slices,
    tensor_lists,
)
from qtensor.lowering.models.tensorflow.graph import (
    Argument,
    Constant,
    Function,
    Graph,
    Operation,
    Ref,
    Step,
    TableLeaf,
    WeightLeaf,
    all_steps,
    needed,
    pruned,
)
from qtensor.lowering.models.tensorflow.quoting import quoted
from qtensor.lowering.models.tensorflow.registry import OPS, Call
from qtensor.lowering.models.tensorflow.text_cut import TextTensor
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Labels,
    Refusal,
    Reported,
    Static,
    Tensors,
    Value,
    Weight,
    tensor_shape,
)
from qtensor.lowering.program.row_major import rows_of_columns, stacked
from qtensor.lowering.program.work import shape_of

# Importing these modules fills OPS.
OPERATOR_MODULES = (
    *(control_flow, convolutions, dense, elementwise, gathers, images, lookups, numerics),
    *(ordering, products, reductions, shapes, slices, tensor_lists),
)

# Operators that mark rows as failed, and why.
FAILURES = {
    "CheckNumerics": "a number that is not finite",
    "CheckNumericsV2": "a number that is not finite",
    "FloorDiv": "an integer divided by zero",
    "FloorMod": "an integer divided by zero",
    "Gather": "an index outside its table",
    "GatherNd": "an index outside its tensor",
    "GatherV2": "an index outside its table",
    "Mod": "an integer divided by zero",
    "ScatterNd": "an index outside its tensor",
    "StatelessWhile": "a loop without an end",
    "StridedSlice": "an index outside its tensor",
    "TensorListGetItem": "an index outside its list",
    "TensorListSetItem": "an index outside its list",
    "TruncateDiv": "an integer divided by zero",
    "TruncateMod": "an integer divided by zero",
    "While": "a loop without an end",
    **{f"TensorScatter{kind}": "an index outside its tensor" for kind in ("Add", "Max", "Min", "Sub", "Update")},
    "DenseBincount": "a negative number that is counted",
    "LabelGather": "an index outside its texts",
    "FailsWhere": "a value that it must not have",
}

# What an operator raises whose inputs are not what TensorFlow gives it: a graph that was changed by hand.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# The outputs of a step; None where the step, or one before it, was refused.
Outputs = tuple[Value, ...] | None
Report = Callable[[Operation, str], None]


@dataclass(frozen=True)
class InputLayout:
    """A model input: columns of `dtype` as a tensor [batch, *shape], in the order in which it is in memory."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def columns(self) -> int:
        return math.prod(self.shape)


def walk(steps: Sequence[Step], weights: Sequence[jax.Array], inputs: Sequence[Value | None], report: Report) -> list[Outputs]:
    """The outputs of every one of `steps`; what cannot be done goes to `report`, and nothing is computed from it."""
    outputs: list[Outputs] = []
    for step in steps:
        match step:
            case Argument(index):
                value = inputs[index]
                outputs.append(None if value is None else (value,))
            case Constant(array):
                outputs.append((Static(array),))
            case WeightLeaf(index):
                outputs.append((Weight(weights[index]),))
            case TableLeaf():
                raise InternalError("a look-up table in a graph that was not cut")
            case Operation():
                outputs.append(perform(step, outputs, weights, report))
    return outputs


def callable_function(function: Function, weights: Sequence[jax.Array], report: Report) -> Call:
    """`function` for the operators of control flow."""

    def run(inputs: Sequence[Value | None], to: Report = report) -> tuple[Value, ...]:
        outputs = walk(function.steps, weights, inputs, to)
        found = []
        for ref in function.outputs:
            values = outputs[ref.step]
            if values is None or ref.output >= len(values):
                raise Reported(f"the function {function.name}")
            found.append(values[ref.output])
        return tuple(found)

    def only(positions: Sequence[int]) -> Call:
        same = {leaf.index: leaf.index for step in all_steps(function.steps) for leaf in [step] if isinstance(leaf, WeightLeaf)}
        steps, outputs = needed(function.steps, [function.outputs[position] for position in positions], same)
        return callable_function(Function(function.name, steps, outputs), weights, report)

    return Call(function, run, lambda inputs: run(inputs, lambda operation, reason: None), only)


def perform(operation: Operation, outputs: Sequence[Outputs], weights: Sequence[jax.Array], report: Report) -> Outputs:
    """The outputs of one operation, or None and a report."""
    values: list[Value] = []
    for ref in operation.inputs:
        source = outputs[ref.step]
        if source is None:
            return None
        if ref.output >= len(source):
            report(operation, f"output {ref.output} of a node it reads is not supported")
            return None
        values.append(source[ref.output])
    entry = OPS.get(operation.op)
    if entry is None or entry.objections(operation):
        return None  # reported by `inspect`, without a walk
    keywords = {name: with_calls(value, weights, report) for name, value in entry.keywords(operation).items()}
    static = all(isinstance(value, Static) for value in values)
    try:
        with jax.ensure_compile_time_eval() if static and operation.op not in control_flow.CALLS else nullcontext():
            result = entry.lower(*values, **keywords)
    except Reported:
        return None
    except Refusal as refusal:
        report(operation, str(refusal))
        return None
    except MALFORMED as error:
        report(operation, f"cannot be computed of what it reads: {quoted(error)}")
        return None
    return tuple(with_failures(value, values) for value in (result if isinstance(result, tuple) else (result,)))


def with_calls(value: Any, weights: Sequence[jax.Array], report: Report) -> Any:
    """An attribute with its functions ready to be run."""
    match value:
        case Function():
            return callable_function(value, weights, report)
        case tuple():
            return tuple(with_calls(part, weights, report) for part in value)
        case _:
            return value


def fold(operation: Operation, inputs: Sequence[Static]) -> Static | None:
    """What an operator makes of constants; None where it cannot be done now."""
    numbered = replace(operation, inputs=tuple(Ref(number) for number in range(len(inputs))))
    problems: list[str] = []
    with jax.enable_x64(True):
        found = perform(numbered, [(value,) for value in inputs], (), lambda _, problem: problems.append(problem))
    return found[0] if found is not None and len(found) == 1 and isinstance(found[0], Static) else None


def with_failures(value: Value, inputs: Sequence[Value]) -> Value:
    """`value` with the rows marked that failed in one of its inputs."""
    masks = [mask for source in inputs if (mask := failed_of(source)) is not None]
    if isinstance(value, Tensors):
        if value.stack is None:
            return value
        stack = with_failures(value.stack, inputs)
        assert isinstance(stack, Static | Weight | Batched)
        return replace(value, stack=stack)
    if not isinstance(value, Batched | Weight | Labels) or not masks:
        return value
    if value.failed is not None:
        masks.append(value.failed)
    rows = (value.count,) if isinstance(value, Batched) else value.array.shape[-1:] if isinstance(value, Labels) else ()
    if not rows and any(mask.ndim for mask in masks):
        return value  # an empty tensor, or one made of the shape of a batch
    return replace(value, failed=reduce(jnp.logical_or, (jnp.broadcast_to(mask, rows) for mask in masks)))


def failed_of(value: Value) -> jax.Array | None:
    match value:
        case Batched() | Weight() | Labels():
            return value.failed
        case Tensors(stack=Batched() | Weight() as stack):
            return stack.failed
        case _:
            return None


def arguments_of(layouts: Sequence[InputLayout], columns: Sequence[jax.Array]) -> list[list[jax.Array]]:
    """The columns of each input, each [n], in order and of the input's type."""
    found = []
    start = 0
    for layout in layouts:
        found.append([column.astype(layout.dtype) for column in columns[start : start + layout.columns]])
        start += layout.columns
    return found


def batched_inputs(layouts: Sequence[InputLayout], columns: Sequence[jax.Array]) -> list[Value]:
    """The model's inputs from the query's columns, each [n], in order."""
    taken = zip(layouts, arguments_of(layouts, columns), strict=True)
    return [
        Batched(stacked(mine).reshape((*layout.shape, mine[0].shape[0])) if layout.shape else mine[0]) for layout, mine in taken
    ]


class TextRows(NamedTuple):
    """What a text tensor has for rows: numbers [n] or [n, width], and for which rows there are none, bool[n]."""

    numbers: jax.Array
    failed: jax.Array | None

    def batched(self) -> Batched:
        return Batched(self.numbers.T, failed=self.failed)


def looked_up(tensor: TextTensor, tables: Sequence[jax.Array], codes: jax.Array) -> TextRows:
    """The rows of a text tensor. tables: the outputs of all programs, each flat: [strings] or [strings * width]."""

    def rows(table: jax.Array, width: int | None) -> jax.Array:
        shaped = table if width is None else table.reshape(-1, width)
        return shaped.at[codes].get(mode="clip")

    numbers = rows(tables[tensor.output], None if tensor.width == 1 else tensor.width).astype(tensor.dtype)
    if tensor.width == 1:
        numbers = numbers[:, None]
    return TextRows(numbers, None if tensor.failed is None else rows(tables[tensor.failed], None))


@dataclass(frozen=True, eq=False)
class GraphFunction:
    """`Model.apply` of an imported graph. Trace it inside `jax.enable_x64(True)`: TensorFlow's class numbers are int64.

    by_rows: whether each row is computed for itself and this mapped over rows, so that all products are over rows, not features;
        for so many rows `together`, so that no array of theirs is too large.
    numbers: which arguments are columns of numbers, as `layouts` take them (None: all). tensors: what is looked up by the codes
        of the others, in tables that come behind the weights.
    """

    graph: Graph
    layouts: tuple[InputLayout, ...]
    by_rows: bool = False
    numbers: tuple[int, ...] | None = None
    tensors: tuple[TextTensor, ...] = ()
    together: int = 1 << 30

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        if jax.dtypes.canonicalize_dtype(np.int64) != np.int64:
            raise InternalError("a model is traced outside jax.enable_x64(True)")
        tables = weights[len(self.graph.weights) :]
        texts = [looked_up(tensor, tables, columns[tensor.argument]) for tensor in self.tensors]
        if self.numbers is not None:
            columns = [columns[position] for position in self.numbers]
        if not self.by_rows:
            return self.predict(weights, [*batched_inputs(self.layouts, columns), *(text.batched() for text in texts)])
        taken = zip(self.layouts, arguments_of(self.layouts, columns), strict=True)
        rows = [rows_of_columns(mine).reshape((-1, *layout.shape)) if layout.shape else mine[0] for layout, mine in taken]

        def row(inputs: Sequence[jax.Array], texts: Sequence[TextRows]) -> Prediction:
            """The features of one row as a batch of one."""
            numbers = [Batched(features[..., None]) for features in inputs]
            looked_up = [
                Batched(text.numbers[..., None], failed=None if text.failed is None else text.failed[None]) for text in texts
            ]
            return self.predict(weights, [*numbers, *looked_up])

        found = mapped(row, (rows, texts), self.together)
        return Prediction(found.value(None)[..., 0].T, None if found.failed is None else found.failed[:, 0])

    def predict(self, weights: Sequence[jax.Array], inputs: Sequence[Value]) -> Prediction:
        outputs = walk(self.graph.steps, weights, inputs, broken)
        return prediction(self.graph, outputs)


def prediction(graph: Graph, outputs: Sequence[Outputs]) -> Prediction:
    """The model's output, [n] or [k, n], and the rows for which TensorFlow raises an error: those hold what there is."""
    found = outputs[graph.output.step]
    if found is None or not isinstance(value := found[graph.output.output], Batched | Labels):
        raise InternalError("a model without a batched result")
    array = value.array
    if not is_by_row(value):
        raise InternalError("a model's result is not one of rows")
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.dtype.itemsize == 2 and jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(np.float32)
    return Prediction(array, value.failed)


def is_by_row(value: Batched | Labels) -> bool:
    """Whether the first axis of a tensor is the batch, and nothing else."""
    return isinstance(value, Labels) or (value.axis == 0 and value.times == 1)


def broken(operation: Operation, reason: str) -> None:
    raise InternalError(f"node {operation.name} ({operation.op}) passed its import and fails now: {reason}")


@dataclass(frozen=True)
class Inspection:
    """What an abstract walk found: the problems, one a line; without problems the folded graph and the output.

    `output` has the TensorFlow shape [batch, *features] without its batch; `fails` says why a row may have no result (None:
    every row has one); `classes` that it is an argmax over that many scores, or the number of one of `labels`.
    """

    problems: tuple[str, ...]
    graph: Graph
    features: tuple[int, ...] | None = None
    dtype: np.dtype[np.generic] | None = None
    fails: str | None = None
    classes: int | None = None
    labels: tuple[str, ...] | None = None


def inspect(graph: Graph, layouts: Sequence[InputLayout], tensors: Sequence[TextTensor] = ()) -> Inspection:
    """Check every step of `graph`, and replace by constants the steps that depend on neither rows nor weights."""
    problems = [
        f"{op} (node {name}): has an effect beside its result, or is unknown" for name, op in graph.effects if op not in OPS
    ]
    for step in all_steps(graph.steps):
        if isinstance(step, Operation):
            entry = OPS.get(step.op)
            reasons = ["unknown operator"] if entry is None else entry.objections(step)
            problems += [f"{step.op} (node {step.name}): {reason}" for reason in reasons]
    outputs: list[Outputs] = []

    def trace(weights: Sequence[jax.Array], columns: Sequence[jax.Array], texts: Sequence[TextRows]) -> None:
        def report(operation: Operation, reason: str) -> None:
            problems.append(f"{operation.op} (node {operation.name}): {reason}")

        inputs = [*batched_inputs(layouts, columns), *(text.batched() for text in texts)]
        outputs.extend(walk(graph.steps, weights, inputs, report))

    with jax.enable_x64(True):
        columns = [shape_of((3,), layout.dtype) for layout in layouts for _ in range(layout.columns)]
        weights = [shape_of(weight.shape, weight.dtype) for weight in graph.weights]
        texts = [
            TextRows(
                shape_of((3,) if tensor.width is None else (3, tensor.width), tensor.dtype),
                None if tensor.failed is None else shape_of((3,), np.dtype(np.bool_)),
            )
            for tensor in tensors
        ]
        jax.eval_shape(trace, weights, columns, texts)
    if problems:
        return Inspection(tuple(problems), graph)
    found = outputs[graph.output.step]
    assert found is not None, "no problems, so every step has its outputs"
    value = found[graph.output.output]
    folded = pruned(replace(graph, steps=tuple(map(folded_step, graph.steps, outputs))))
    if not isinstance(value, Batched | Labels):
        return Inspection(("its output is the same for all rows",), folded)
    if not is_by_row(value):
        sizes, step = shapes.described(tensor_shape(value)), graph.steps[graph.output.step]
        node = f" (node {step.name})" if isinstance(step, Operation) else ""
        return Inspection((f"its output{node} {NOT_ROW_WISE} (it has the shape {sizes}, and rows are its first axis)",), folded)
    fails = None if value.failed is None else failure(graph, outputs, tensors)
    labels = value.labels if isinstance(value, Labels) else None
    classes = value.classes if isinstance(value, Batched) else len(value.labels)
    return Inspection((), folded, value.array.shape[:-1], value.array.dtype, fails, classes, labels)


def failure(graph: Graph, outputs: Sequence[Outputs], tensors: Sequence[TextTensor]) -> str:
    """Why rows may have no result: the operators that TensorFlow raises errors in, and what for."""
    found = {tensor.why: None for tensor in tensors if tensor.failed is not None}
    for step, values in zip(graph.steps, outputs, strict=True):
        if any(failed_of(value) is not None for value in values or ()):
            for part in all_steps([step]):
                if isinstance(part, Operation) and part.op in FAILURES and not control_flow.is_counted(part):
                    found[f"{FAILURES[part.op]} ({part.op}, node {part.name})"] = None
    return "TensorFlow raises an error for it, " + " or ".join(found)


def folded_step(step: Step, outputs: Outputs) -> Step:
    match outputs:
        case (Static(array),):
            return Constant(array)
        case _:
            return step
