"""Keras models in a process whose Keras runs on JAX: their own function of a batch of one row, mapped over rows."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from qtensor.errors import ModelError
from qtensor.lowering.models.model import Model, order_of
from qtensor.lowering.models.row_function import RowInput, model_of_row
from qtensor.lowering.models.tensorflow.inputs import names_of_structure
from qtensor.lowering.models.tensorflow.keras_file import KERAS_FILES
from qtensor.lowering.models.tensorflow.sources import Wanted, declared_input, load_keras, shown, unnamed_sizes


def keras_on_jax(name: str, model: object, trust: bool) -> Any:
    """The Keras model that `model` is, or that is in its file, if Keras runs on JAX in this process; else None."""
    is_file = isinstance(model, str | os.PathLike) and Path(model).suffix in KERAS_FILES and Path(model).is_file()
    if is_file:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        keras = importlib.import_module("keras") if is_file else sys.modules.get("keras")
    except ImportError:
        return None
    if keras is None or keras.config.backend() != "jax":
        return None
    if is_file:
        return load_keras(name, Path(str(model)), trust)
    return model if isinstance(model, keras.Model) else None


def import_keras_on_jax(
    name: str, model: Any, wanted: Wanted, output: str | None, inputs: Sequence[str] | None, *, declared: bool
) -> Model:
    """A Keras model as JAX computes it: in inference mode, an id that an embedding does not have gives NaN, as there.

    Raises ModelError: what TensorFlow's importer refuses of inputs, and what JAX cannot trace.
    """
    keras = importlib.import_module("keras")
    structure = declared_input(model)
    if structure is not None and declared:
        raise ModelError(f'model "{name}" says itself of which types its inputs are: leave out dtype=')
    if structure is None:
        given = [RowInput("inputs", np.dtype(wanted.dtype), unnamed_sizes(name, model, wanted))]
        structure, ordered = 0, True
    else:
        tensors = keras.tree.flatten(structure)
        names = names_of_structure(
            keras.tree.pack_sequence_as(structure, list(range(len(tensors)))), [tensor.name for tensor in tensors]
        )
        given = [row_input(name, own, tensor, wanted) for own, tensor in zip(names.names, tensors, strict=True)]
        ordered = names.ordered or inputs is not None
    order = list(range(len(given))) if inputs is None else list(order_of(name, [one.name for one in given], inputs))
    trained, others = ([one.value for one in kind] for kind in (model.trainable_variables, model.non_trainable_variables))

    def of_row(*row: Any) -> Any:
        batches = [row[order.index(position)][None] for position in range(len(given))]
        found, _ = model.stateless_call(trained, others, keras.tree.pack_sequence_as(structure, batches), training=False)
        flat = [part[0] for part in keras.tree.flatten(found)]
        names = getattr(model, "output_names", ())
        if len(names) != len(flat):
            names = [str(number) for number in range(1, len(flat) + 1)]
        return dict(zip(names, flat, strict=True)) if len(flat) > 1 else flat[0]

    found = model_of_row(name, of_row, [given[position] for position in order], output)
    taken = len(found.arguments)
    if wanted.arguments is not None and wanted.arguments != taken:
        raise ModelError(f'model "{name}" takes {taken} columns, not the {wanted.arguments} of arguments=')
    return replace(found, ordered=ordered)


def row_input(name: str, own: str, tensor: Any, wanted: Wanted) -> RowInput:
    if tensor.dtype == "string" or getattr(tensor, "sparse", False):
        raise ModelError(
            f'model "{name}": its input "{own}" is of {"texts" if tensor.dtype == "string" else "sparse tensors"}; with Keras on '
            "JAX only numbers are supported: import the model where Keras runs on TensorFlow"
        )
    sizes = tuple(tensor.shape[1:])
    unknown = [place for place, size in enumerate(sizes) if size is None]
    if unknown and (len(sizes) > 1 or wanted.arguments is None):
        raise ModelError(f'model "{name}": the shape of its input "{own}" is {shown((None, *sizes))}; give it a fixed shape')
    sizes = tuple(wanted.arguments if size is None else size for size in sizes)
    dtype = jnp.dtype(tensor.dtype)
    is_half = dtype.itemsize == 2 and jnp.issubdtype(dtype, jnp.floating)
    return RowInput(own, np.dtype(np.float32) if is_half else dtype, sizes)
