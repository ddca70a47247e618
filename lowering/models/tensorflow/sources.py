"""From what a user calls a model to one concrete TensorFlow function of tensors. Imports TensorFlow, and only when called."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtensor.errors import ModelError, QTensorError, suggestion
from qtensor.lowering.models.tensorflow.frozen_graph import is_tensor_of, placeholders_of, read_frozen_graph, sinks_of
from qtensor.lowering.models.tensorflow.inputs import InputNames, names_of_structure
from qtensor.lowering.models.tensorflow.keras_file import KERAS_FILES, check_h5_file, check_keras_file
from qtensor.lowering.models.tensorflow.quoting import quoted
from qtensor.lowering.models.tensorflow.saved_model import check_saved_model

# What code of a model may raise while it is traced, beside TensorFlow's own errors.
USER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class TracedModel:
    """A concrete function, the names of its outputs in order, and what must stay alive while the function is used.

    inputs: what the model calls its inputs; None where the function's own signature tells. declared: whether the model itself
    said what it takes.
    """

    function: Any
    output_names: tuple[str, ...]
    owner: object
    inputs: InputNames | None = None
    declared: bool = True


@dataclass(frozen=True)
class Wanted:
    """What is said of an input that the model says nothing of: how many columns it takes, and their type; whether a file's code
    may run; and which signature of a SavedModel is meant, or which output, that of a frozen graph may be any tensor.
    """

    arguments: int | None = None
    dtype: str = "float32"
    trust: bool = False
    signature: str | None = None
    output: str | None = None


def load_tensorflow() -> Any:
    """The module tensorflow, without its messages about drivers unless asked for (a few come before it reads the setting)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise ModelError(
            f"TensorFlow is needed to register a TensorFlow model or its file, and cannot be imported: {error}. Install it "
            '(pip install "tensorflow>=2.20"); a query exported with the model runs without it'
        ) from error


def is_tensorflow_model(model: object) -> bool:
    """Whether `import_model` is meant for `model`: a Keras or TensorFlow object, or a folder's path (str or PathLike).

    Never imports TensorFlow: an object of it can only exist when it is imported already.

    >>> is_tensorflow_model("models/classifier"), is_tensorflow_model(lambda x: x)
    (True, False)
    """
    if isinstance(model, str | os.PathLike):
        return True
    if (keras := sys.modules.get("keras")) is not None and isinstance(model, keras.Model):
        return True
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(model, tensorflow_types(tensorflow))


def tensorflow_types(tf: Any) -> tuple[type, ...]:
    # What tf.saved_model.load returns shares with tf.Module only a base class that has no public name.
    trackable: type = tf.Module.mro()[1]
    return (tf.Module, trackable, tf.types.experimental.PolymorphicFunction, tf.types.experimental.ConcreteFunction)


def trace_model(name: str, model: object, wanted: Wanted) -> TracedModel:
    """The concrete function behind `model`, traced for any number of rows.

    Raises ModelError when `model` is not a model, or its input's width is unknown and `wanted` does not tell it.
    """
    if not is_tensorflow_model(model):
        raise ModelError(
            f'model "{name}": expected a Keras model, a tf.Module, a tf.function or the path of a SavedModel, '
            f"not {type(model).__module__}.{type(model).__qualname__}"
        )
    keras = sys.modules.get("keras")
    is_folder = isinstance(model, str | os.PathLike) and Path(model).is_dir()
    if wanted.signature is not None and not (is_folder or hasattr(model, "signatures")):
        raise ModelError(f'model "{name}": signature= is for SavedModels, and this is none')
    if keras is not None and isinstance(model, keras.Model):
        return trace_keras(name, model, keras, wanted)
    tf = load_tensorflow()
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.suffix == ".pb" and path.is_file():
            return trace_frozen(name, path, tf, wanted)
        if path.suffix in KERAS_FILES and path.is_file():
            return trace_keras(name, load_keras(name, path, wanted.trust), sys.modules["keras"], wanted)
        return trace_loaded(name, load_folder(name, path, tf, wanted.trust), tf, wanted)
    if hasattr(model, "signatures"):
        return trace_loaded(name, model, tf, wanted)
    if isinstance(model, tf.types.experimental.ConcreteFunction):
        return traced(model, tf, model)
    if isinstance(model, tf.types.experimental.PolymorphicFunction):
        return trace_function(name, model, model, tf, wanted)
    return trace_function(name, function_of_module(name, model, tf), model, tf, wanted)


def function_of_module(name: str, model: Any, tf: Any) -> Any:
    """The __call__ of a tf.Module, or its only tf.function."""
    if callable(model):
        return model.__call__
    kind = tf.types.experimental.PolymorphicFunction
    found = [key for key in dir(type(model)) if isinstance(getattr(type(model), key, None), kind)]
    if len(found) == 1:
        return getattr(model, found[0])
    listed = f" of its tf.functions ({', '.join(found)})" if found else " of its tf.functions"
    raise ModelError(f'model "{name}": {type(model).__name__} has no __call__; pass one{listed}, or define it')


def load_keras(name: str, path: Path, trust: bool) -> Any:
    """The model in a Keras file; in Keras's safe mode, which runs no code that the file brings along, unless it is trusted."""
    keras = importlib.import_module("keras")
    with reading(f'model "{name}": the Keras file "{path}" cannot be read'):
        if not trust:
            (check_keras_file if path.suffix == ".keras" else check_h5_file)(name, path, keras)
        return keras.models.load_model(path, compile=False, safe_mode=not trust)


def load_folder(name: str, path: Path, tf: Any, trust: bool) -> Any:
    if not path.exists():
        kind = "file" if path.suffix else "folder"
        raise ModelError(f'model "{name}": there is no {kind} "{path}"')
    if not path.is_dir():
        raise ModelError(f'model "{name}": "{path}" is a file, but neither a Keras file (.keras, .h5) nor a frozen graph (.pb)')
    if not any((path / file).exists() for file in ("saved_model.pb", "saved_model.pbtxt")):
        raise ModelError(
            f'model "{name}": the folder "{path}" holds no saved_model.pb; write one with tf.saved_model.save or model.export'
        )
    with reading(f'model "{name}": the SavedModel in "{path}" cannot be read'):
        if not trust:
            check_saved_model(name, path, tf)
        return tf.saved_model.load(str(path))


@contextmanager
def reading(problem: str) -> Iterator[None]:
    """Raise ModelError for whatever TensorFlow or Keras raise over a file: over damaged ones, any exception there is."""
    try:
        yield
    except QTensorError:
        raise
    except Exception as error:
        raise ModelError(f"{problem}: {quoted(error)}") from error


def trace_loaded(name: str, loaded: Any, tf: Any, wanted: Wanted) -> TracedModel:
    """What a SavedModel offers: Keras's `serve` (it keeps the order of the inputs), its only signature, or a __call__."""
    if wanted.signature is not None:
        return traced(named_signature(name, loaded, wanted.signature), tf, loaded)
    served: Any = getattr(getattr(loaded, "serve", None), "concrete_functions", ())
    if len(served) == 1:
        return traced(served[0], tf, loaded)
    signatures = {key: value for key, value in loaded.signatures.items() if not key.startswith("__")}
    default = signatures.get("serving_default")
    if default is None and len(signatures) == 1:
        (default,) = signatures.values()
    if default is not None:
        return traced(default, tf, loaded)
    functions: Any = getattr(getattr(loaded, "__call__", None), "concrete_functions", ())  # noqa: B004
    if len(functions) == 1:
        return traced(functions[0], tf, loaded)
    if functions:
        return trace_function(name, loaded.__call__, loaded, tf, wanted)
    listed = ", ".join(signatures) or "none"
    raise ModelError(
        f'model "{name}": the SavedModel has no signature "serving_default" (its signatures: {listed}); '
        "choose one with signature=, or give its __call__ an input_signature before saving"
    )


def named_signature(name: str, loaded: Any, signature: str) -> Any:
    known = [key for key in loaded.signatures if not key.startswith("__")]
    if signature in known:
        return loaded.signatures[signature]
    listed = ", ".join(f'"{key}"' for key in known) or "none"
    hint = suggestion(signature, known)
    raise ModelError(f'model "{name}": the SavedModel has no signature "{signature}"; its signatures: {listed}. {hint}'.rstrip())


def trace_frozen(name: str, path: Path, tf: Any, wanted: Wanted) -> TracedModel:
    """The graph in a .pb file: placeholders are the inputs; the outputs what nothing else reads, or the tensor that is wanted."""
    graph = read_frozen_graph(name, path, trust=wanted.trust)
    with reading(f'model "{name}": the graph in "{path}" cannot be used'):
        wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
        output = wanted.output
        outputs = [output] if output is not None and is_tensor_of(graph, output) else list(sinks_of(graph))
        tensors = [wrapped.graph.get_tensor_by_name(one if ":" in one else f"{one}:0") for one in outputs]
        inputs = placeholders_of(graph, outputs)
        function = wrapped.prune([wrapped.graph.get_tensor_by_name(f"{one}:0") for one in inputs], tensors)
    return TracedModel(function, tuple(outputs), wrapped, InputNames(tuple(inputs), len(inputs) == 1))


def trace_function(name: str, function: Any, owner: object, tf: Any, wanted: Wanted) -> TracedModel:
    """A function with an input signature as it is; another one with one tensor [None, arguments]."""
    if not isinstance(function, tf.types.experimental.PolymorphicFunction):
        function = tf.function(function)
    if function.input_signature is not None:
        return traced(concrete(name, function, (), tf, function.input_signature), tf, owner)
    refuse_several(name, function)
    spec = tf.TensorSpec([None, required_arguments(name, wanted)], wanted.dtype)
    return replace(traced(concrete(name, function, (spec,), tf), tf, owner), declared=False)


def refuse_several(name: str, function: Any) -> None:
    """Raise ModelError for a function of several tensors without a signature: it would be given one tensor of all columns."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function.python_function).parameters.values()
    needed = [one.name for one in parameters if one.kind in kinds and one.default is one.empty and one.name != "self"]
    if len(needed) > 1:
        raise ModelError(
            f'model "{name}": the function takes {len(needed)} tensors ({", ".join(needed)}), and without a signature it gets '
            "one, [rows, arguments], of all columns; declare each: tf.function(input_signature=[tf.TensorSpec([None], ...), ...])"
        )


def required_arguments(name: str, wanted: Wanted) -> int:
    if wanted.arguments is None:
        raise ModelError(
            f'model "{name}": the width of its input is unknown; pass arguments=, the number of columns it takes, '
            "or declare an input_signature"
        )
    return wanted.arguments


def trace_keras(name: str, model: Any, keras: Any, wanted: Wanted) -> TracedModel:
    """A Keras model in inference mode; inputs and outputs in the order of model.inputs and model.outputs."""
    if keras.config.backend() != "tensorflow":
        raise ModelError(
            f'model "{name}": this Keras runs on {keras.config.backend()}; only TensorFlow and JAX are supported. '
            "Save it as a .keras file, and pass that where keras was imported with KERAS_BACKEND=tensorflow or jax"
        )
    tf = load_tensorflow()
    structure = declared_input(model)
    names = None
    if structure is None:
        specs: tuple[Any, ...] = (tf.TensorSpec([None, *unnamed_sizes(name, model, wanted)], wanted.dtype),)
        structure = specs[0]
    else:
        tensors = keras.tree.flatten(structure)
        if any(not isinstance(tensor, keras.KerasTensor) or tensor.sparse for tensor in tensors):
            raise ModelError(f'model "{name}": sparse inputs are not supported')
        # A Sequential that was built by a call has the number of rows of that call in its shape, and takes any.
        specs = tuple(
            tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, unique_name(i, tensor.name))
            for i, tensor in enumerate(tensors)
        )
        positions = keras.tree.pack_sequence_as(structure, list(range(len(tensors))))
        names = names_of_structure(positions, [tensor.name for tensor in tensors])

    def infer(*inputs: Any) -> Any:
        return model(keras.tree.pack_sequence_as(structure, list(inputs)), training=False)

    result = traced(concrete(name, tf.function(infer, autograph=False), specs, tf), tf, model)
    outputs = getattr(model, "output_names", ())
    if len(outputs) == len(result.output_names) and result.output_names[0].startswith("output_"):
        result = replace(result, output_names=tuple(outputs))
    return replace(result, inputs=names or InputNames(("inputs",), True), declared=names is not None)


def declared_input(model: Any) -> Any:
    """The inputs that a Keras model declares, nested as its callers nest them; None if it declares none."""
    try:
        return model.input
    except (AttributeError, ValueError):  # a model that was never called, or one defined by subclassing
        pass
    try:
        known = model.inputs  # a Sequential of a keras.Input knows this much before it is called
    except (AttributeError, ValueError):
        return None
    return known[0] if known and len(known) == 1 else None


def unnamed_sizes(name: str, model: Any, wanted: Wanted) -> tuple[int, ...]:
    """The shape of a row of the one input of a Keras model that knows no more than the shape it was built with, if that."""
    built = (model.get_build_config() or {}).get("input_shape")
    if isinstance(built, dict) or (isinstance(built, list | tuple) and any(isinstance(part, list | tuple) for part in built)):
        if wanted.arguments is not None:
            return (wanted.arguments,)
        raise ModelError(
            f'model "{name}": a {type(model).__name__} takes several inputs, and does not say which; '
            "make a functional model of it: keras.Model(inputs, model(inputs)) with a keras.Input for each"
        )
    sizes = tuple(built)[1:] if isinstance(built, list | tuple) else ()
    if len(sizes) == 1 and wanted.arguments is not None:
        return (wanted.arguments,)
    if sizes and all(isinstance(size, int) for size in sizes):
        return sizes
    return (required_arguments(name, wanted),)


def shown(shape: Sequence[int | None]) -> str:
    """A shape as a user writes it.

    >>> shown((None, 4))
    '[None, 4]'
    """
    return f"[{', '.join('None' if size is None else str(size) for size in shape)}]"


def unique_name(position: int, name: str) -> str:
    """A name for a traced input: the user's, unless TensorFlow could take it for something else."""
    return name if name.isidentifier() else f"input_{position}"


def concrete(name: str, function: Any, specs: tuple[Any, ...], tf: Any, declared: Sequence[Any] = ()) -> Any:
    """`function` traced for `specs`, or its own signature `declared`; an error of the user's code becomes a ModelError."""
    autograph = importlib.import_module("tensorflow.python.autograph.impl.api")
    try:
        return function.get_concrete_function(*specs)
    except (*USER_ERRORS, autograph.AutoGraphError, tf.errors.OpError) as error:
        shapes = ", ".join(described(spec) for spec in tf.nest.flatten([specs or declared]))
        raise ModelError(f'model "{name}" cannot be traced with {shapes}: {quoted(error)}') from error


def described(spec: Any) -> str:
    """A tensor of a signature: float32 [None, 4]."""
    shape = getattr(spec, "shape", None)
    known = "[...]" if shape is None or shape.rank is None else shown(tuple(shape))
    return f"{spec.dtype.name} {known}" if hasattr(spec, "dtype") else str(spec)


def traced(function: Any, tf: Any, owner: object) -> TracedModel:
    names = tuple(output_names(function.structured_outputs))
    if len(names) != len(function.outputs):
        names = tuple(f"output_{position}" for position in range(len(function.outputs)))
    return TracedModel(function, names, owner)


def output_names(structure: Any, prefix: str = "") -> Iterator[str]:
    """Names of the tensors in a nest of dicts and sequences, in TensorFlow's order: keys sorted, sequences numbered.

    >>> list(output_names({"b": 1, "a": (2, 3)}))
    ['a_0', 'a_1', 'b']
    >>> list(output_names([4, 5]))
    ['output_0', 'output_1']
    """
    if isinstance(structure, dict):
        for key in sorted(structure):
            yield from output_names(structure[key], f"{prefix}_{key}" if prefix else str(key))
    elif isinstance(structure, list | tuple):
        for position, part in enumerate(structure):
            yield from output_names(part, f"{prefix or 'output'}_{position}")
    elif structure is not None:
        yield prefix or "output_0"
