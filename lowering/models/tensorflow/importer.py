"""Turn a user's TensorFlow model into a `Model`: trace, freeze, check, fold, and say what SQL gives and gets."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.labels import labelled
from qtensor.lowering.models.mapped import LARGE_ROW, rows_together
from qtensor.lowering.models.model import TEXT, Model, ModelInput, SeveralOutputs, input_dtype, order_of
from qtensor.lowering.models.tensorflow.evaluate import GraphFunction, InputLayout, Inspection, fold, inspect
from qtensor.lowering.models.tensorflow.freeze import SUPPORTED_TYPES, InputSpec, freeze, read_graph, variables_changed
from qtensor.lowering.models.tensorflow.graph import (
    Constant,
    Graph,
    Operation,
    Ref,
    Step,
    TableLeaf,
    digest,
    reordered,
    without_bounds,
)
from qtensor.lowering.models.tensorflow.inputs import names_of_signature
from qtensor.lowering.models.tensorflow.keras_on_jax import import_keras_on_jax, keras_on_jax
from qtensor.lowering.models.tensorflow.sources import Wanted, load_tensorflow, reading, shown, trace_model
from qtensor.lowering.models.tensorflow.text_cut import Cut, TextSource, TextTensor, cut
from qtensor.lowering.program.row_major import BY_ROWS
from qtensor.lowering.program.work import work_of
from qtensor.types import BOOLEAN, DOUBLE, FLOAT, Array, Integer, SqlType

TABLES = ("resource", "variant")  # TensorFlow's types of what is no tensor of values


def import_model(
    name: str,
    model: object,
    *,
    arguments: int | None = None,
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
    trust: bool = False,
    signature: str | None = None,
) -> Model:
    """A TensorFlow model as a row-wise JAX function that needs TensorFlow no more.

    model: a keras.Model (run with training=False), a tf.Module with __call__ or one tf.function, a tf.function, a
    ConcreteFunction, what tf.saved_model.load returns, or the path of a SavedModel, a .keras or .h5 file, or a frozen graph, .pb.
    An input [batch, k] takes k SQL arguments, an input [batch] or [batch, 1] one, and one of more axes as many as a row has
    numbers, in the order of memory: the last axis runs fastest. Several inputs take consecutive arguments in the order of the
    model's list of inputs (Keras) or of the parameters (functions). Where inputs have names and no order (dictionaries, the
    signatures of SavedModels, frozen graphs), calls name them, unless `inputs` says the order.
    arguments: the number of columns, and dtype: their type (float32), where the model does not tell it.
    inputs: the names of all inputs in the order in which SQL gives them.
    signature: which of a SavedModel's several is meant ("serving_default").
    output: the name of one output of several, of a frozen graph any tensor; or "class", the first index of the greatest of k
    scores (BIGINT); or "scores", the scores as they are, which is the default.
    trust: whether a file may hold operators on files and Python code, which run when it is loaded, and be of any size.

    The result is a scalar for an output [batch] or [batch, 1], and FLOAT[k] or DOUBLE[k] for k scores. Half-precision scores
    become FLOAT; XLA may keep more digits between two half-precision operations than TensorFlow does. A row for which TensorFlow
    raises an error (an embedding's index outside its table, an integer divided by zero) is an ExecutionError of the query that
    needs it. A softmax right before the argmax of its classes is left out: see `reductions.arg_max_of_logits`.

    Raises ModelError: not a model, a width that is unknown, an operator or a type that is not supported, a model in which one
    row's result depends on other rows. All such problems are listed at once.
    """
    wanted = Wanted(arguments, str(input_dtype(name, dtype, np.float32)), trust, signature, output)
    if (on_jax := keras_on_jax(name, model, trust)) is not None:
        return import_keras_on_jax(name, on_jax, wanted, output, inputs, declared=dtype is not None)
    if isinstance(model, str | os.PathLike):
        with reading(f'model "{name}": "{os.fspath(model)}" cannot be used'):
            return imported(name, model, wanted, output, inputs, declared=dtype is not None)
    return imported(name, model, wanted, output, inputs, declared=dtype is not None)


def imported(
    name: str, model: object, wanted: Wanted, output: str | None, inputs: Sequence[str] | None, *, declared: bool
) -> Model:
    """What `import_model` does. declared: whether its caller said the type of the columns."""
    tf, arguments = load_tensorflow(), wanted.arguments
    traced = trace_model(name, model, wanted)
    if declared and traced.declared:
        raise ModelError(f'model "{name}" says itself of which types its inputs are: leave out dtype=')
    if changes := variables_changed(traced.function):
        raise ModelError(f'model "{name}" changes its variables ({", ".join(changes)}): SQL calls a model that only computes')
    frozen = freeze(traced.function)
    refuse_tables(name, frozen.inputs)
    names = traced.inputs or names_of_signature(traced.function.structured_input_signature, frozen.input_nodes)
    chosen, as_class = choose_output(name, traced.output_names, output)
    layouts = tuple(
        input_layout(name, replace(spec, name=known), arguments, alone=len(frozen.inputs) == 1)
        for spec, known in zip(frozen.inputs, names.names, strict=True)
    )
    taken = sum(layout.columns for layout in layouts)
    if arguments is not None and taken != arguments:
        raise ModelError(f'model "{name}" takes {taken} columns, not the {arguments} of arguments=')
    graph = read_graph(frozen, chosen, tf)
    if inputs is not None:
        order = order_of(name, names.names, inputs)
        graph, layouts = reordered(graph, order), tuple(layouts[position] for position in order)
    texts = cut_texts(name, graph, layouts)
    numeric = tuple(layout for layout in layouts if layout.dtype != TEXT)
    inspection = checked(name, inspect(texts.graph, numeric, texts.tensors))
    if as_class:
        graph = with_class(name, inspection)
        inspection = checked(name, inspect(graph, numeric, texts.tensors))
    result = result_type(name, inspection)
    types = tuple(argument_type(layout) for layout in layouts for _ in range(layout.columns))
    numbers = tuple(position for position, dtype in enumerate(types) if dtype != TEXT)
    apply = GraphFunction(inspection.graph, numeric, False, numbers, texts.tensors)
    tables = [np.zeros(output.width or 1, output.dtype) for program in texts.programs for output in program.outputs]
    with jax.enable_x64(True):
        machine_types = [np.dtype(np.int32) if dtype == TEXT else dtype for dtype in types]
        work = work_of(apply, [*inspection.graph.weights, *tables], machine_types)
    by_rows = work.multiply_adds >= BY_ROWS or work.largest >= LARGE_ROW
    apply = replace(apply, by_rows=by_rows, together=rows_together(work.largest))
    model = Model(
        name=name,
        digest=digest(inspection.graph, layouts_described(layouts), result, *map(without_names, texts.tensors)),
        arguments=types,
        result=result,
        weights=inspection.graph.weights,
        apply=apply,
        inputs=tuple(ModelInput(layout.name, layout.columns) for layout in layouts),
        ordered=names.ordered or inputs is not None,
        classes=inspection.classes,
        fails=inspection.fails,
        work=work.multiply_adds,
        texts=texts.programs,
    )
    return model if inspection.labels is None else labelled(model, inspection.labels)


def cut_texts(name: str, graph: Graph, layouts: Sequence[InputLayout]) -> Cut:
    """The graph of numbers, and what is made of texts before it. Raises ModelError: what cannot be done with texts."""
    sources: list[TextSource | None] = []
    first = 0
    for layout in layouts:
        if layout.dtype == TEXT and len(layout.shape) > 1:
            raise ModelError(f'model "{name}": its input "{layout.name}" has texts along several axes; only one is supported')
        width = layout.columns if layout.shape else None
        sources.append(TextSource(layout.name, first, width) if layout.dtype == TEXT else None)
        first += layout.columns
    graph = without_bounds(graph)
    if not any(map(is_of_text, graph.steps)) and not any(sources):
        return Cut(graph, (), (), ())
    found = cut(graph, sources, fold)
    if found.problems:
        raise ModelError("\n  ".join([f'model "{name}" cannot be used in SQL:', *found.problems]))
    return found


def without_names(tensor: TextTensor) -> TextTensor:
    """What of a text tensor decides the program."""
    return replace(tensor, name="", why="")


def is_of_text(step: Step) -> bool:
    """Whether a step of a graph without text inputs is a matter of texts or tables all the same."""
    match step:
        case TableLeaf():
            return True
        case Constant(array):
            return array.dtype == TEXT
        case Operation(op="SparseCross" | "AsString"):
            return True
        case _:
            return False


def refuse_tables(name: str, specs: Sequence[InputSpec]) -> None:
    """Raise ModelError for what a function reads beside tensors: look-up tables, which cannot be frozen, and variables."""
    found = [f'"{spec.name}"' for spec in specs if spec.dtype in TABLES]
    if found:
        raise ModelError(
            f'model "{name}" reads a look-up table or a variable of TensorFlow, and not by looking up: {", ".join(found)}; '
            "look the values up in SQL, by a JOIN, and give the model the rest of it and what was found"
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
        raise SeveralOutputs(name, names)
    return 0, output == "class"


def input_layout(name: str, spec: InputSpec, arguments: int | None, *, alone: bool) -> InputLayout:
    """How SQL arguments become the input `spec`."""
    if spec.dtype != "string" and spec.dtype not in SUPPORTED_TYPES:
        raise ModelError(
            f'model "{name}": its input "{spec.name}" is of type {spec.dtype}; only numbers, booleans and texts are supported'
        )
    dtype = TEXT if spec.dtype == "string" else jnp.dtype(spec.dtype)
    shape = spec.shape if spec.shape is not None else (None, None)
    if not shape:
        raise ModelError(
            f'model "{name}": its input "{spec.name}" has the shape [], one value for all rows; '
            "make it a constant of the function, and register that"
        )
    if shape[0] is not None:
        raise ModelError(
            f'model "{name}": its input "{spec.name}" is fixed to {shape[0]} rows; '
            f"make it for any number: {shown((None, *shape[1:]))}"
        )
    if 0 in shape[1:]:
        raise ModelError(f'model "{name}": its input "{spec.name}" has the shape {shown(shape)}, no features')
    return InputLayout(spec.name, dtype, sizes_of_input(name, spec.name, shape[1:], arguments, alone=alone))


def sizes_of_input(name: str, called: str, sizes: Sequence[int | None], arguments: int | None, *, alone: bool) -> tuple[int, ...]:
    """The shape of a row of an input; `arguments` tells one size that the model does not."""
    known = tuple(size for size in sizes if size is not None)
    if len(known) == len(sizes):
        return known
    if arguments is None or not alone:
        advice = "pass arguments=, the number of columns it takes" if alone else "give every input a fixed number of features"
        of_what = "the width" if len(sizes) == 1 else f"the shape {shown((None, *sizes))}"
        raise ModelError(f'model "{name}": {of_what} of its input "{called}" is unknown; {advice}')
    rest = arguments // math.prod(known)
    if len(known) < len(sizes) - 1 or rest * math.prod(known) != arguments or rest < 1:
        raise ModelError(
            f'model "{name}": its input "{called}" has the shape {shown((None, *sizes))}, which {arguments} columns do not fill; '
            "give it a fixed shape"
        )
    return tuple(rest if size is None else size for size in sizes)


def argument_type(layout: InputLayout) -> np.dtype[np.generic]:
    """The type of an input's columns; SQL has no half precision, so those come as float32 and are rounded inside."""
    if layout.dtype == TEXT:
        return TEXT
    is_half = layout.dtype.itemsize == 2 and jnp.issubdtype(layout.dtype, jnp.floating)
    return np.dtype(np.float32) if is_half else layout.dtype


def layouts_described(layouts: Sequence[InputLayout]) -> str:
    return str([(str(layout.dtype), layout.shape) for layout in layouts])


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
        raise ModelError(
            f'model "{name}": its output has the shape {shape}; only [batch] and [batch, k] are supported: '
            "put a keras.layers.Flatten, or tf.reshape, behind it"
        )
    width = features[0] if features else 1
    if inspection.labels is not None and width > 1:
        raise ModelError(f'model "{name}": its output are {width} texts a row; only one is supported')
    if jnp.issubdtype(dtype, jnp.floating):
        element = DOUBLE if dtype == np.float64 else FLOAT
        return element if width == 1 else Array(element, width)
    if width > 1:
        raise ModelError(f'model "{name}": its output is {dtype} {shape}; several values a row must be floating-point scores')
    return BOOLEAN if dtype == np.bool_ else Integer(8 * dtype.itemsize, bool(jnp.issubdtype(dtype, jnp.signedinteger)))
