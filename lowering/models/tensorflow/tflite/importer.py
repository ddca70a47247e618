"""TensorFlow Lite's models as row-wise JAX functions: the graph, which is one for one row, is mapped over rows.

Inputs and outputs of quantised models are the numbers that are meant: SQL gives and gets floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Taken
from qtensor.lowering.models.model import Model, order_of
from qtensor.lowering.models.row_function import RowInput, model_of_row
from qtensor.lowering.models.tensorflow.sources import load_tensorflow
from qtensor.lowering.models.tensorflow.tflite.files import File, Operator, read_tflite
from qtensor.lowering.models.tensorflow.tflite.operators import OPERATORS, Array, Node, NotConvertedError
from qtensor.lowering.models.tensorflow.tflite.quantised import KERNELS, computed, dequantised, quantised

# What operators raise over shapes that do not fit.
FAILURES = (TypeError, ValueError, IndexError, KeyError, NotImplementedError, ZeroDivisionError, OverflowError, AttributeError)
ALSO = ("DEQUANTIZE", "QUANTIZE")
LARGEST = 1 << 26  # numbers of what an operator gives


def import_tflite(taken: Taken, path: Any) -> Model:
    """The model of a `.tflite` file. Its inputs have a batch of one row, whose numbers are SQL arguments in the order of memory.

    Raises ModelError: damaged; operators that are not supported, all of them; another number of rows than one.
    """
    load_tensorflow()
    file = read_tflite(taken.name, Path(path))
    supported = {*OPERATORS, *KERNELS, *ALSO}
    unknown = sorted({one.kind for one in file.operators} - supported)
    if unknown:
        raise ModelError(f'model "{taken.name}" cannot be converted. Not supported: {", ".join(unknown)}')
    if not file.inputs or not file.outputs:
        raise ModelError(f'model "{taken.name}" takes nothing of a row, or gives nothing')
    given = [row_input(taken.name, file, place, own) for place, own in zip(file.inputs, file.input_names, strict=True)]
    total = sum(one.columns for one in given)
    if taken.arguments is not None and taken.arguments != total:
        raise ModelError(f'model "{taken.name}" takes {total} columns, not the {taken.arguments} of arguments=')
    if taken.dtype is not None:
        raise ModelError(f'model "{taken.name}" says itself of which types its inputs are: leave out dtype=')
    names = [one.name for one in given]
    order = tuple(range(len(given))) if taken.inputs is None else order_of(taken.name, names, taken.inputs)
    graph = RowGraph(taken.name, file)

    def of_row(*row: Any) -> Any:
        return graph([row[order.index(place)] for place in range(len(order))])

    return model_of_row(taken.name, of_row, [given[place] for place in order], taken.output)


def row_input(name: str, file: File, place: int, own: str) -> RowInput:
    tensor = file.tensors[place]
    if not tensor.shape or tensor.shape[0] != 1 or 0 in tensor.shape or np.prod(tensor.shape) > 1 << 16:
        raise ModelError(
            f'model "{name}": its input "{own}" has the shape {list(tensor.shape)}; that of one row is needed, [1, ...]'
        )
    is_float = tensor.is_quantised or tensor.dtype.itemsize == 2
    return RowInput(own, np.dtype(np.float32) if is_float else tensor.dtype, tensor.shape[1:])


@dataclass(frozen=True, eq=False)
class RowGraph:
    name: str
    file: File

    def __call__(self, row: Sequence[Any]) -> Any:
        """The outputs for one row: of several a dictionary."""
        file = self.file
        values: dict[int, Array] = {place: one.data for place, one in enumerate(file.tensors) if one.data is not None}
        for place, value in zip(file.inputs, row, strict=True):
            tensor = file.tensors[place]
            batch = jnp.reshape(value, tensor.shape)
            values[place] = quantised(tensor, batch) if tensor.is_quantised else batch.astype(tensor.dtype)
        for number, one in enumerate(file.operators):
            values.update(zip(one.outputs, self.evaluated(number, one, values), strict=True))
        found = {}
        for place, own in zip(file.outputs, file.output_names, strict=True):
            if place not in values:
                raise ModelError(f'model "{self.name}": nothing gives its output "{own}"')
            tensor = file.tensors[place]
            value = dequantised(tensor, values[place]) if tensor.is_quantised else jnp.asarray(values[place])
            found[own] = jnp.reshape(value, ()) if value.size == 1 else jnp.reshape(value, (-1,))
        return found if len(found) > 1 else next(iter(found.values()))

    def evaluated(self, number: int, one: Operator, values: dict[int, Array]) -> tuple[Array, ...]:
        place = f'model "{self.name}" cannot be converted: {one.kind} (operator number {number})'
        tensors = self.file.tensors
        if missing := [read for read in one.inputs if read >= 0 and read not in values]:
            raise ModelError(f'{place} reads "{tensors[missing[0]].name}", which nothing gives')
        own = tuple(tensors[read] if read >= 0 else None for read in one.inputs)
        node = Node(one.kind, one.options, own, tuple(tensors[write] for write in one.outputs))
        given = [values[read] if read >= 0 else None for read in one.inputs]
        is_quantised = one.kind in ALSO or any(each is not None and each.is_quantised for each in (*own, *node.outputs))
        try:
            if sum(int(np.prod(write.shape)) for write in node.outputs) > LARGEST or not node.outputs:
                raise NotConvertedError("gives too many numbers, or none")
            is_known = all(each is None or isinstance(each, np.ndarray) for each in given)
            with jax.ensure_compile_time_eval() if is_known else jax.named_scope(one.kind):
                found = computed(node, *given) if is_quantised else OPERATORS[one.kind](node, *given)
        except NotConvertedError as problem:
            raise ModelError(f"{place} {problem}") from problem
        except FAILURES as error:
            line = str(error).strip().partition("\n")[0]
            raise ModelError(f"{place} does not go with its inputs: {line}") from error
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != len(one.outputs):
            raise ModelError(f"{place} has not as many outputs as it gives")
        return tuple(np.asarray(each) for each in found) if is_known else found
