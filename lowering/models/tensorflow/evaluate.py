"""Walk a frozen graph: abstractly when a model is imported, to find all that cannot be done; then inside the query's trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import InternalError
from qtensor.lowering.models.model import Prediction
from qtensor.lowering.models.tensorflow import dense, elementwise, reductions, shapes
from qtensor.lowering.models.tensorflow.graph import Argument, Constant, Graph, Operation, Step, WeightLeaf, pruned
from qtensor.lowering.models.tensorflow.quoting import quoted
from qtensor.lowering.models.tensorflow.registry import OPS
from qtensor.lowering.models.tensorflow.values import Batched, Refusal, Static, Value, Weight
from qtensor.lowering.program.row_major import rows_of_columns, stacked
from qtensor.lowering.program.work import shape_of

# Importing these modules fills OPS.
OPERATOR_MODULES = (dense, elementwise, reductions, shapes)

# Operators that mark rows as failed, and why.
FAILURES = {
    "GatherV2": "an index outside its table",
    "FloorDiv": "an integer divided by zero",
    "FloorMod": "an integer divided by zero",
}

# What an operator raises whose inputs are not what TensorFlow gives it: a graph that was changed by hand.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# The outputs of a step; None where the step, or one before it, was refused.
Outputs = tuple[Value, ...] | None
Report = Callable[[Operation, str], None]


@dataclass(frozen=True)
class InputLayout:
    """A model input: `width` columns of `dtype` as a tensor [batch, width], or one as [batch] when width is None."""

    name: str
    dtype: np.dtype[np.generic]
    width: int | None

    @property
    def columns(self) -> int:
        return 1 if self.width is None else self.width


def walk(graph: Graph, weights: Sequence[jax.Array], inputs: Sequence[Value], report: Report) -> list[Outputs]:
    """The outputs of every step of `graph`; what cannot be done goes to `report`, and nothing is computed from it."""
    outputs: list[Outputs] = []
    for step in graph.steps:
        match step:
            case Argument(index):
                outputs.append((inputs[index],))
            case Constant(array):
                outputs.append((Static(array),))
            case WeightLeaf(index):
                outputs.append((Weight(weights[index]),))
            case Operation():
                outputs.append(perform(step, outputs, report))
    return outputs


def perform(operation: Operation, outputs: Sequence[Outputs], report: Report) -> Outputs:
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
    static = all(isinstance(value, Static) for value in values)
    try:
        with jax.ensure_compile_time_eval() if static else nullcontext():
            result = entry.lower(*values, **entry.keywords(operation))
    except Refusal as refusal:
        report(operation, str(refusal))
        return None
    except MALFORMED as error:
        report(operation, f"cannot be computed of what it reads: {quoted(error)}")
        return None
    return tuple(with_failures(value, values) for value in (result if isinstance(result, tuple) else (result,)))


def with_failures(value: Value, inputs: Sequence[Value]) -> Value:
    """`value` with the rows marked that failed in one of its inputs."""
    masks = [source.failed for source in inputs if isinstance(source, Batched) and source.failed is not None]
    if not isinstance(value, Batched) or not masks:
        return value
    if value.failed is not None:
        masks.append(value.failed)
    return replace(value, failed=reduce(jnp.logical_or, masks))


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
    return [Batched(mine[0] if layout.width is None else stacked(mine)) for layout, mine in taken]


@dataclass(frozen=True, eq=False)
class GraphFunction:
    """`Model.apply` of an imported graph. Trace it inside `jax.enable_x64(True)`: TensorFlow's class numbers are int64.

    by_rows: whether each row is computed for itself and this mapped over rows, so that all products are over rows, not features.
    """

    graph: Graph
    layouts: tuple[InputLayout, ...]
    by_rows: bool = False

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        if jax.dtypes.canonicalize_dtype(np.int64) != np.int64:
            raise InternalError("a model is traced outside jax.enable_x64(True)")
        if not self.by_rows:
            return self.predict(weights, batched_inputs(self.layouts, columns))
        taken = zip(self.layouts, arguments_of(self.layouts, columns), strict=True)
        rows = [mine[0] if layout.width is None else rows_of_columns(mine) for layout, mine in taken]

        def row(*inputs: jax.Array) -> Prediction:
            """The features of one row, [k] or a scalar, as a batch of one."""
            return self.predict(weights, [Batched(features[..., None]) for features in inputs])

        found = jax.vmap(row)(*rows)
        return Prediction(found.value(None)[..., 0].T, None if found.failed is None else found.failed[:, 0])

    def predict(self, weights: Sequence[jax.Array], inputs: Sequence[Value]) -> Prediction:
        outputs = walk(self.graph, weights, inputs, broken)
        return prediction(self.graph, outputs)


def prediction(graph: Graph, outputs: Sequence[Outputs]) -> Prediction:
    """The model's output, [n] or [k, n], and the rows for which TensorFlow raises an error: those hold what there is."""
    found = outputs[graph.output.step]
    if found is None or not isinstance(value := found[graph.output.output], Batched):
        raise InternalError("a model without a batched result")
    array = value.array
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.dtype.itemsize == 2 and jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(np.float32)
    return Prediction(array, value.failed)


def broken(operation: Operation, reason: str) -> None:
    raise InternalError(f"node {operation.name} ({operation.op}) passed its import and fails now: {reason}")


@dataclass(frozen=True)
class Inspection:
    """What an abstract walk found: the problems, one a line; without problems the folded graph and the output.

    `output` has the TensorFlow shape [batch, *features] without its batch; `fails` says why a row may have no result (None:
    every row has one); `classes` that it is an argmax over that many scores.
    """

    problems: tuple[str, ...]
    graph: Graph
    features: tuple[int, ...] | None = None
    dtype: np.dtype[np.generic] | None = None
    fails: str | None = None
    classes: int | None = None


def inspect(graph: Graph, layouts: Sequence[InputLayout]) -> Inspection:
    """Check every step of `graph`, and replace by constants the steps that depend on neither rows nor weights."""
    problems = [
        f"{op} (node {name}): has an effect beside its result, or is unknown" for name, op in graph.effects if op not in OPS
    ]
    for step in graph.steps:
        if isinstance(step, Operation):
            entry = OPS.get(step.op)
            reasons = ["unknown operator"] if entry is None else entry.objections(step)
            problems += [f"{step.op} (node {step.name}): {reason}" for reason in reasons]
    outputs: list[Outputs] = []

    def trace(weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> None:
        def report(operation: Operation, reason: str) -> None:
            problems.append(f"{operation.op} (node {operation.name}): {reason}")

        outputs.extend(walk(graph, weights, batched_inputs(layouts, columns), report))

    with jax.enable_x64(True):
        columns = [shape_of((3,), layout.dtype) for layout in layouts for _ in range(layout.columns)]
        weights = [shape_of(weight.shape, weight.dtype) for weight in graph.weights]
        jax.eval_shape(trace, weights, columns)
    if problems:
        return Inspection(tuple(problems), graph)
    found = outputs[graph.output.step]
    assert found is not None, "no problems, so every step has its outputs"
    value = found[graph.output.output]
    folded = pruned(replace(graph, steps=tuple(map(folded_step, graph.steps, outputs))))
    if not isinstance(value, Batched):
        return Inspection(("its output is the same for all rows",), folded)
    fails = None if value.failed is None else failure(graph, outputs)
    return Inspection((), folded, value.array.shape[:-1], value.array.dtype, fails, value.classes)


def failure(graph: Graph, outputs: Sequence[Outputs]) -> str:
    """Why rows may have no result: the operators that TensorFlow raises errors in, and what for."""
    found: list[str] = []
    for step, values in zip(graph.steps, outputs, strict=True):
        fails = any(isinstance(value, Batched) and value.failed is not None for value in values or ())
        if fails and isinstance(step, Operation) and step.op in FAILURES:
            found.append(f"{FAILURES[step.op]} ({step.op}, node {step.name})")
    return "TensorFlow raises an error for it, " + " or ".join(found)


def folded_step(step: Step, outputs: Outputs) -> Step:
    match outputs:
        case (Static(array),):
            return Constant(array)
        case _:
            return step
