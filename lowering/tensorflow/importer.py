"""Turn a user's TensorFlow model into a `Model`: trace, freeze, check, fold, and say what SQL gives and gets."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.model import Model
from qtensor.lowering.tensorflow.evaluate import GraphFunction, InputLayout, Inspection, inspect
from qtensor.lowering.tensorflow.freeze import SUPPORTED_TYPES, InputSpec, freeze, read_graph
from qtensor.lowering.tensorflow.graph import Constant, Graph, Operation, Ref, digest
from qtensor.lowering.tensorflow.sources import load_tensorflow, trace_model
from qtensor.types import BOOLEAN, DOUBLE, FLOAT, Array, Integer, SqlType


def import_model(name: str, model: object, *, arguments: int | None = None, output: str | None = None) -> Model:
    """A TensorFlow model as a row-wise JAX function that needs TensorFlow no more.

    model: a keras.Model (run with training=False), a tf.Module with __call__, a tf.function, a ConcreteFunction, what
    tf.saved_model.load returns, or the path of a SavedModel or .keras file. An input [batch, k] takes k SQL arguments, an input
    [batch] or [batch, 1] one; several inputs take consecutive arguments in the order of model.inputs (Keras), of the parameters
    (functions; dicts by sorted key), or of the sorted names of the signature (a SavedModel not exported by Keras).
    arguments: the number of columns, where the model does not tell it.
    output: the name of one output of several; or "class", the first index of the greatest of k scores (BIGINT); or "scores",
    the scores as they are, which is the default.

    The result is a scalar for an output [batch] or [batch, 1], and FLOAT[k] or DOUBLE[k] for k scores. Half-precision scores
    become FLOAT; XLA may keep more digits between two half-precision operations than TensorFlow does. A row for which TensorFlow
    raises an error (an embedding's index outside its table, an integer divided by zero) gives NaN, or -1 where the result is
    an integer. A softmax right before the argmax of its classes is left out: see `reductions.arg_max_of_logits`.

    Raises ModelError: not a model, a width that is unknown, an operator or a type that is not supported, a model in which one
    row's result depends on other rows. All such problems are listed at once.
    """
    tf = load_tensorflow()
    traced = trace_model(name, model, arguments)
    frozen = freeze(traced.function)
    chosen, as_class = choose_output(name, traced.output_names, output)
    layouts = tuple(input_layout(name, spec, arguments, alone=len(frozen.inputs) == 1) for spec in frozen.inputs)
    taken = sum(layout.columns for layout in layouts)
    if arguments is not None and taken != arguments:
        raise ModelError(f'model "{name}" takes {taken} columns, not the {arguments} of arguments=')
    graph = read_graph(frozen, chosen, tf)
    inspection = checked(name, inspect(graph, layouts))
    if as_class:
        graph = with_class(name, inspection)
        inspection = checked(name, inspect(graph, layouts))
    result = result_type(name, inspection)
    return Model(
        name=name,
        digest=digest(inspection.graph, layouts_described(layouts), result),
        arguments=tuple(argument_type(layout) for layout in layouts for _ in range(layout.columns)),
        result=result,
        weights=inspection.graph.weights,
        apply=GraphFunction(inspection.graph, layouts),
        classes=None if inspection.can_fail else inspection.classes,  # such a row's class is -1
    )


def choose_output(name: str, names: Sequence[str], output: str | None) -> tuple[int, bool]:
    """The position of the wanted output, and whether its class is wanted; an output's own name goes before "class"."""
    listed = ", ".join(f'"{known}"' for known in names)
    if not names:
        raise ModelError(f'model "{name}" returns no tensor')
    if output in names:
        return names.index(output), False
    if output is not None and output not in ("class", "scores"):
        hint = suggestion(output, [*names, "class", "scores"])
        raise ModelError(f'model "{name}" has no output "{output}"; its outputs: {listed}. {hint}'.rstrip())
    if len(names) > 1:
        raise ModelError(f'model "{name}" has {len(names)} outputs: {listed}; choose one with output=')
    return 0, output == "class"


def input_layout(name: str, spec: InputSpec, arguments: int | None, *, alone: bool) -> InputLayout:
    """How SQL arguments become the input `spec`."""
    if spec.dtype not in SUPPORTED_TYPES:
        raise ModelError(
            f'model "{name}": its input "{spec.name}" is of type {spec.dtype}; only numbers and booleans are supported'
        )
    dtype = jnp.dtype(spec.dtype)
    shape = spec.shape if spec.shape is not None else (None, None)
    if len(shape) not in (1, 2):
        raise ModelError(
            f'model "{name}": its input "{spec.name}" has the shape {shown(shape)}; '
            "only [batch] and [batch, features] are supported"
        )
    if shape[0] is not None:
        raise ModelError(
            f'model "{name}": its input "{spec.name}" is fixed to {shape[0]} rows; '
            f"make it for any number: {shown((None, *shape[1:]))}"
        )
    if len(shape) == 1:
        return InputLayout(spec.name, dtype, None)
    if shape[1] is not None:
        return InputLayout(spec.name, dtype, shape[1])
    if arguments is None or not alone:
        advice = "pass arguments=, the number of columns it takes" if alone else "give every input a fixed number of features"
        raise ModelError(f'model "{name}": the width of its input "{spec.name}" is unknown; {advice}')
    return InputLayout(spec.name, dtype, arguments)


def shown(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('None' if size is None else str(size) for size in shape)}]"


def argument_type(layout: InputLayout) -> np.dtype[np.generic]:
    """The type of an input's columns; SQL has no half precision, so those come as float32 and are rounded inside."""
    is_half = layout.dtype.itemsize == 2 and jnp.issubdtype(layout.dtype, jnp.floating)
    return np.dtype(np.float32) if is_half else layout.dtype


def layouts_described(layouts: Sequence[InputLayout]) -> str:
    return str([(str(layout.dtype), layout.width) for layout in layouts])


def checked(name: str, inspection: Inspection) -> Inspection:
    """The inspection itself, when it found no problems."""
    if inspection.problems:
        unique = dict.fromkeys(inspection.problems)
        raise ModelError("\n  ".join([f'model "{name}" cannot be used in SQL:', *unique]))
    return inspection


def with_class(name: str, inspection: Inspection) -> Graph:
    """The graph followed by the argmax of its scores."""
    graph, features, dtype = inspection.graph, inspection.features, inspection.dtype
    assert features is not None and dtype is not None, "an inspection without problems knows its output"
    if len(features) != 1 or features[0] < 2 or not jnp.issubdtype(dtype, jnp.floating):
        shape = shown((None, *features))
        raise ModelError(f'model "{name}": output="class" needs two or more scores a row; the output is {dtype} {shape}')
    axis = Constant(np.asarray(1, np.int32))
    last = len(graph.steps)
    arg_max = Operation("class", "ArgMax", (graph.output, Ref(last)), (("output_type", np.dtype(np.int64)),))
    return Graph((*graph.steps, axis, arg_max), Ref(last + 1), graph.weights)


def result_type(name: str, inspection: Inspection) -> SqlType:
    """The SQL type of the model's output."""
    features, dtype = inspection.features, inspection.dtype
    assert features is not None and dtype is not None, "an inspection without problems knows its output"
    shape = shown((None, *features))
    if len(features) > 1 or 0 in features:
        raise ModelError(f'model "{name}": its output has the shape {shape}; only [batch] and [batch, k] are supported')
    width = features[0] if features else 1
    if jnp.issubdtype(dtype, jnp.floating):
        element = DOUBLE if dtype == np.float64 else FLOAT
        return element if width == 1 else Array(element, width)
    if width > 1:
        raise ModelError(f'model "{name}": its output is {dtype} {shape}; several values a row must be floating-point scores')
    signed = bool(jnp.issubdtype(dtype, jnp.signedinteger))
    if inspection.can_fail and not signed:
        raise ModelError(f'model "{name}": rows for which TensorFlow raises an error could not be told in its {dtype} result')
    return BOOLEAN if dtype == np.bool_ else Integer(8 * dtype.itemsize, signed)
