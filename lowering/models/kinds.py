"""Which importer takes a user's model: the module of its class tells, or the ending of its file. Nothing is imported for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import DTypeLike

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Taken
from qtensor.lowering.models.jax_function import import_jax_function
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.tensorflow import import_model, is_tensorflow_model
from qtensor.lowering.models.tensorflow.files import read_plain_file

Importer: TypeAlias = Callable[[Taken, Any], Model]

LARGEST_FILE, LARGEST_TEXT = 1 << 30, 1 << 28  # bytes; texts become many times as large when they are read
PICKLES = (".joblib", ".pickle", ".pkl", ".skops", ".dill")


def imported_model(
    name: str,
    model: object,
    *,
    arguments: int | None = None,
    output: str | None = None,
    inputs: Sequence[str] | Mapping[str, int] | None = None,
    dtype: DTypeLike | None = None,
    trust: bool = False,
    signature: str | None = None,
) -> Model:
    """The model that a user gave to `create_function`, with its options. Raises ModelError: it cannot be converted."""
    if isinstance(model, type):
        raise ModelError(f'model "{name}": {model.__qualname__} is a class; pass a model that was made of it')
    read = importer_of_file(name, Path(model)) if isinstance(model, str | os.PathLike) else importer_of_object(model)
    if signature is not None and (read is not None or not is_tensorflow_model(model)):
        raise ModelError(f'model "{name}": signature= is for SavedModels, and this is none')
    if read is None and not is_tensorflow_model(model):
        return import_jax_function(name, model, arguments=arguments, output=output, inputs=inputs, dtype=dtype)
    if isinstance(inputs, Mapping):
        raise ModelError(f'model "{name}": inputs= is a list of names; widths are for JAX functions')
    if read is not None:
        return read(Taken(name, arguments, output, inputs, dtype), model)
    read_so = partial(import_model, trust=trust, signature=signature)
    return read_so(name, model, arguments=arguments, output=output, inputs=inputs, dtype=dtype)


def importer_of_object(model: object) -> Importer | None:
    """What reads an object of another library than TensorFlow; each importer is imported when a model needs it."""
    origins = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "xgboost" in origins:
        from qtensor.lowering.models.trees.xgboost import import_xgboost

        return import_xgboost
    if "lightgbm" in origins:
        from qtensor.lowering.models.trees.lightgbm import import_lightgbm

        return import_lightgbm
    if "onnx" in origins and type(model).__name__ == "ModelProto":
        from qtensor.lowering.models.onnx.importer import import_onnx

        return import_onnx
    if "sklearn" in origins:
        from qtensor.lowering.models.sklearn.importer import import_sklearn

        return import_sklearn
    return None


def importer_of_file(name: str, path: Path) -> Importer | None:
    """What reads the file. Raises ModelError: a pickle, which runs whatever code it holds when it is opened."""
    match path.suffix.lower():
        case suffix if suffix in PICKLES:
            raise ModelError(
                f'model "{name}": "{path}" is not opened: pickles run code of whoever made them. If you trust it, load it '
                "yourself and pass the object"
            )
        case ".json" | ".ubj" as ending:
            from qtensor.lowering.models.trees.xgboost import read_xgboost

            most = LARGEST_TEXT if ending == ".json" else LARGEST_FILE
            return lambda taken, _: read_xgboost(taken, read_plain_file(name, path, most))
        case ".onnx":
            from qtensor.lowering.models.onnx.importer import import_onnx

            return import_onnx
        case ".tflite":
            from qtensor.lowering.models.tensorflow.tflite.importer import import_tflite

            return import_tflite
        case ".txt":
            from qtensor.lowering.models.trees.lightgbm import read_lightgbm

            return lambda taken, _: read_lightgbm(taken, text_of(name, path))
        case _:
            return None


def text_of(name: str, path: Path) -> str:
    try:
        return read_plain_file(name, path, LARGEST_TEXT).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f'model "{name}": "{path}" is no text') from error
