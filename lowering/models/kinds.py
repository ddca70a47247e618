"""Which importer takes a user's model: the module of its class tells, or the ending of its file. Nothing is imported for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import DTypeLike

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Taken
from qtensor.lowering.models.jax_function import import_jax_function
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.onnx import import_onnx, is_onnx
from qtensor.lowering.models.sklearn import import_sklearn, is_sklearn
from qtensor.lowering.models.tensorflow import import_model, is_tensorflow_model
from qtensor.lowering.models.tensorflow.files import read_plain_file
from qtensor.lowering.models.trees import (
    import_lightgbm,
    import_xgboost,
    is_lightgbm,
    is_xgboost,
    read_lightgbm,
    read_xgboost,
)  # fmt: skip

Importer: TypeAlias = Callable[[Taken, Any], Model]

LARGEST_FILE, LARGEST_TEXT = 1 << 30, 1 << 28  # bytes; texts become many times as large when they are read
PICKLES = (".joblib", ".pickle", ".pkl", ".skops", ".dill")


def imported_model(
    name: str,
    model: object,
    *,
    arguments: int | None = None,
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
    trust: bool = False,
) -> Model:
    """The model that a user gave to `create_function`, with its options. Raises ModelError: it cannot be converted."""
    taken = Taken(name, arguments, output, inputs, dtype)
    read = importer_of_file(name, Path(model)) if isinstance(model, str | os.PathLike) else importer_of_object(model)
    if read is not None:
        return read(taken, model)
    if is_tensorflow_model(model):
        return import_model(name, model, arguments=arguments, output=output, inputs=inputs, dtype=dtype, trust=trust)
    return import_jax_function(name, model, arguments=arguments, output=output, inputs=inputs, dtype=dtype)


def importer_of_object(model: object) -> Importer | None:
    if is_xgboost(model):
        return import_xgboost
    if is_lightgbm(model):
        return import_lightgbm
    if is_onnx(model):
        return import_onnx
    return import_sklearn if is_sklearn(model) else None


def importer_of_file(name: str, path: Path) -> Importer | None:
    """What reads the file. Raises ModelError: a pickle, which runs whatever code it holds when it is opened."""
    match path.suffix.lower():
        case suffix if suffix in PICKLES:
            raise ModelError(
                f'model "{name}": "{path}" is not opened: pickles run code of whoever made them. If you trust it, load it '
                "yourself and pass the object"
            )
        case ".json" | ".ubj" as ending:
            most = LARGEST_TEXT if ending == ".json" else LARGEST_FILE
            return lambda taken, _: read_xgboost(taken, read_plain_file(name, path, most))
        case ".onnx":
            return import_onnx
        case ".txt":
            return lambda taken, _: read_lightgbm(taken, text_of(name, path))
        case _:
            return None


def text_of(name: str, path: Path) -> str:
    try:
        return read_plain_file(name, path, LARGEST_TEXT).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f'model "{name}": "{path}" is no text') from error
