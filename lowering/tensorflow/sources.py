"""From what a user calls a model to one concrete TensorFlow function of tensors. Imports TensorFlow, and only when called."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtensor.errors import ModelError


@dataclass(frozen=True)
class TracedModel:
    """A concrete function, the names of its outputs in order, and what must stay alive while the function is used."""

    function: Any
    output_names: tuple[str, ...]
    owner: object


def load_tensorflow() -> Any:
    """The module tensorflow, without its messages about drivers unless asked for (a few come before it reads the setting)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise ModelError(f"TensorFlow is needed to import a model, and cannot be imported: {error}") from error


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


def trace_model(name: str, model: object, arguments: int | None) -> TracedModel:
    """The concrete function behind `model`, traced for any number of rows.

    Raises ModelError when `model` is not a model, or its input's width is unknown and `arguments` does not tell it.
    """
    if not is_tensorflow_model(model):
        raise ModelError(
            f'model "{name}": expected a Keras model, a tf.Module, a tf.function or the path of a SavedModel, '
            f"not {type(model).__module__}.{type(model).__qualname__}"
        )
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Model):
        return trace_keras(name, model, keras, arguments)
    tf = load_tensorflow()
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.suffix == ".keras" and path.is_file():
            return trace_keras(name, load_keras(name, path), sys.modules["keras"], arguments)
        return trace_loaded(name, load_folder(name, path, tf), tf, arguments)
    if hasattr(model, "signatures"):
        return trace_loaded(name, model, tf, arguments)
    if isinstance(model, tf.types.experimental.ConcreteFunction):
        return traced(model, tf, model)
    if isinstance(model, tf.types.experimental.PolymorphicFunction):
        return trace_function(name, model, model, tf, arguments)
    if not callable(model):
        raise ModelError(f'model "{name}": {type(model).__name__} has no __call__; pass one of its tf.functions, or define it')
    return trace_function(name, model.__call__, model, tf, arguments)


def load_keras(name: str, path: Path) -> Any:
    """The model in a .keras file; in Keras's safe mode, which runs no code that the file brings along."""
    keras = importlib.import_module("keras")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise ModelError(f'model "{name}": the Keras file "{path}" cannot be read: {first_line(error)}') from error


def load_folder(name: str, path: Path, tf: Any) -> Any:
    if not path.exists():
        raise ModelError(f'model "{name}": there is no folder "{path}"')
    if not path.is_dir():
        hint = "; load it with keras.models.load_model and pass the result" if path.suffix in (".h5", ".hdf5") else ""
        raise ModelError(f'model "{name}": "{path}" is a file, neither a SavedModel folder nor a .keras file{hint}')
    if not any((path / file).exists() for file in ("saved_model.pb", "saved_model.pbtxt")):
        raise ModelError(
            f'model "{name}": the folder "{path}" holds no saved_model.pb; write one with tf.saved_model.save or model.export'
        )
    try:
        return tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f'model "{name}": the SavedModel in "{path}" cannot be read: {first_line(error)}') from error


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def trace_loaded(name: str, loaded: Any, tf: Any, arguments: int | None) -> TracedModel:
    """What a SavedModel offers: Keras's `serve` (it keeps the order of the inputs), its only signature, or a __call__."""
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
        return trace_function(name, loaded.__call__, loaded, tf, arguments)
    listed = ", ".join(signatures) or "none"
    raise ModelError(
        f'model "{name}": the SavedModel has no signature "serving_default" (its signatures: {listed}); '
        "pass one of loaded.signatures, or give its __call__ an input_signature before saving"
    )


def trace_function(name: str, function: Any, owner: object, tf: Any, arguments: int | None) -> TracedModel:
    """A function with an input signature as it is; another one with float32 [None, arguments]."""
    if not isinstance(function, tf.types.experimental.PolymorphicFunction):
        function = tf.function(function)
    if function.input_signature is not None:
        return traced(function.get_concrete_function(), tf, owner)
    spec = tf.TensorSpec([None, required_arguments(name, arguments)], tf.float32)
    return traced(concrete(name, function, (spec,), tf), tf, owner)


def required_arguments(name: str, arguments: int | None) -> int:
    if arguments is None:
        raise ModelError(
            f'model "{name}": the width of its input is unknown; pass arguments=, the number of columns it takes, '
            "or declare an input_signature"
        )
    return arguments


def trace_keras(name: str, model: Any, keras: Any, arguments: int | None) -> TracedModel:
    """A Keras model in inference mode; inputs and outputs in the order of model.inputs and model.outputs."""
    if keras.config.backend() != "tensorflow":
        raise ModelError(
            f'model "{name}": this Keras runs on {keras.config.backend()}; only its TensorFlow backend is supported '
            "(set KERAS_BACKEND=tensorflow before importing keras)"
        )
    tf = load_tensorflow()
    try:
        structure = model.input
    except (AttributeError, ValueError):  # a model that was never called, or one defined by subclassing
        structure = None
    if structure is None:
        built = (model.get_build_config() or {}).get("input_shape")
        width = built[1] if isinstance(built, list | tuple) and len(built) == 2 and isinstance(built[1], int) else None
        specs: tuple[Any, ...] = (tf.TensorSpec([None, required_arguments(name, arguments or width)], tf.float32),)
        structure = specs[0]
    else:
        tensors = keras.tree.flatten(structure)
        if any(not isinstance(tensor, keras.KerasTensor) or tensor.sparse for tensor in tensors):
            raise ModelError(f'model "{name}": sparse inputs are not supported')
        specs = tuple(tf.TensorSpec(tensor.shape, tensor.dtype, unique_name(i, tensor.name)) for i, tensor in enumerate(tensors))

    def infer(*inputs: Any) -> Any:
        return model(keras.tree.pack_sequence_as(structure, list(inputs)), training=False)

    result = traced(concrete(name, tf.function(infer, autograph=False), specs, tf), tf, model)
    names = getattr(model, "output_names", ())
    if len(names) == len(result.output_names) and result.output_names[0].startswith("output_"):
        return TracedModel(result.function, tuple(names), model)
    return result


def unique_name(position: int, name: str) -> str:
    """A name for a traced input: the user's, unless TensorFlow could take it for something else."""
    return name if name.isidentifier() else f"input_{position}"


def concrete(name: str, function: Any, specs: tuple[Any, ...], tf: Any) -> Any:
    """`function` traced for `specs`; an error of the user's code becomes a ModelError that quotes it."""
    try:
        return function.get_concrete_function(*specs)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, NotImplementedError, tf.errors.OpError) as error:
        shapes = ", ".join(f"{spec.dtype.name} {list(spec.shape)}" for spec in specs)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(f'model "{name}" cannot be traced with {shapes}: {lines[-1] if lines else error!r}') from error


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
