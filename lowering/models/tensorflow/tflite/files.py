"""`.tflite` files as plain data: a FlatBuffer, read by TensorFlow's own classes of its schema, which look at one field at a time.

The files are strangers'. Everything that is counted in them is bounded before it is read, and what is read is checked: Python
raises where a place lies outside of the file.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow.files import read_plain_file

LARGEST_FILE = 1 << 30
MOST = 20_000  # tensors, operators, inputs of one
MOST_AXES = 8
LARGEST_TENSOR = 1 << 28
DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
    15: "uint32",
}

# What the schema's classes and NumPy raise over bytes that are no such file.
DAMAGE = (struct.error, IndexError, TypeError, ValueError, OverflowError, AttributeError, KeyError, MemoryError, RecursionError)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the file. shape: for one row. data: of what is known. scale, zero: float64 and int64, of one element or, along
    `axis`, of several; empty of what is not quantised. rows: whether its first axis is said to be of any size.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    data: NDArray[Any] | None
    scale: NDArray[np.float64]
    zero: NDArray[np.int64]
    axis: int

    @property
    def is_quantised(self) -> bool:
        return self.dtype.kind in "iu" and self.dtype.itemsize < 8 and len(self.scale) > 0


@dataclass(frozen=True)
class Operator:
    """An operator, the numbers of its tensors (-1: none), and its settings by their names in the schema."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class File:
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


def read_tflite(name: str, path: Path) -> File:
    """Raises ModelError: no such file, damaged, or larger than is read."""
    content = read_plain_file(name, path, LARGEST_FILE)
    schema = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    try:
        if content[4:8] != b"TFL3":
            raise ValueError("it does not say that it is one")
        return Reader(schema, schema.Model.GetRootAs(content, 0)).file()
    except DAMAGE as error:
        line = str(error).strip().partition("\n")[0]
        raise ModelError(f'model "{name}": "{path}" is no TensorFlow Lite model, or is damaged: {line}') from error


def counted(count: int, what: str) -> range:
    if not 0 <= count <= MOST:
        raise ValueError(f"it has {count:,} {what}; at most {MOST:,} are read")
    return range(count)


class Reader:
    def __init__(self, schema: Any, model: Any) -> None:
        self.schema, self.model = schema, model
        self.kinds = {value: key for key, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self.option_kinds = {value: key for key, value in vars(schema.BuiltinOptions).items() if isinstance(value, int)}

    def file(self) -> File:
        if self.model.SubgraphsLength() < 1:
            raise ValueError("it has no graph")
        graph = self.model.Subgraphs(0)
        tensors = tuple(self.tensor(graph.Tensors(place)) for place in counted(graph.TensorsLength(), "tensors"))
        codes = [self.model.OperatorCodes(place) for place in counted(self.model.OperatorCodesLength(), "kinds of operators")]
        operators = tuple(
            self.operator(graph.Operators(place), codes, len(tensors)) for place in counted(graph.OperatorsLength(), "operators")
        )
        inputs = self.places(graph.InputsLength(), graph.Inputs, len(tensors))
        outputs = self.places(graph.OutputsLength(), graph.Outputs, len(tensors))
        signatures = list(self.signatures())
        input_names = [tensors[place].name for place in inputs]
        output_names = [tensors[place].name for place in outputs]
        if signatures:
            named_in, named_out = signatures[0]
            input_names = [named_in.get(place, own) for place, own in zip(inputs, input_names, strict=True)]
            output_names = [named_out.get(place, own) for place, own in zip(outputs, output_names, strict=True)]
        return File(tensors, operators, inputs, outputs, tuple(input_names), tuple(output_names))

    def signatures(self) -> Iterator[tuple[dict[int, str], dict[int, str]]]:
        """What the inputs and outputs are called by the signatures of the first graph."""
        for place in counted(self.model.SignatureDefsLength(), "signatures"):
            one = self.model.SignatureDefs(place)
            if one.SubgraphIndex() == 0:
                maps = ((one.Inputs, one.InputsLength()), (one.Outputs, one.OutputsLength()))
                found = [
                    {each(number).TensorIndex(): text(each(number).Name()) for number in counted(count, "names")}
                    for each, count in maps
                ]
                yield found[0], found[1]

    def places(self, count: int, get: Any, most: int, *, optional: bool = False) -> tuple[int, ...]:
        found = tuple(int(get(place)) for place in counted(count, "tensors of an operator"))
        if any(not (-1 if optional else 0) <= place < most for place in found):
            raise ValueError("a tensor is not there")
        return found

    def tensor(self, one: Any) -> Tensor:
        kind = one.Type()
        if kind not in DTYPES:
            raise ValueError(f"it has tensors of the type with the number {kind}, which is not supported")
        if one.Sparsity() is not None or one.IsVariable():
            raise ValueError("it has sparse tensors or variables, which are not supported")
        dtype = np.dtype(DTYPES[kind])
        if one.ShapeLength() > MOST_AXES:
            raise ValueError(f"a tensor has {one.ShapeLength()} axes")
        shape = tuple(int(one.Shape(place)) for place in range(one.ShapeLength()))
        size = 1
        for part in shape:
            size *= part
            if part < 0 or size > LARGEST_TENSOR:
                raise ValueError(f"a tensor has the shape {list(shape)}; at most {LARGEST_TENSOR:,} numbers go")
        scale, zero, axis = self.quantisation(one.Quantization(), dtype)
        return Tensor(text(one.Name()), dtype, shape, self.data(one.Buffer(), dtype, shape, size), scale, zero, axis)

    def data(self, number: int, dtype: np.dtype[Any], shape: tuple[int, ...], size: int) -> NDArray[Any] | None:
        if number == 0:
            return None
        if not 0 <= number < self.model.BuffersLength():
            raise ValueError("a tensor's data is not there")
        buffer = self.model.Buffers(number)
        if buffer.Offset() > 1:
            raise ValueError("it keeps data behind its end, which is not supported")
        if not buffer.DataLength():
            return None
        content = np.asarray(buffer.DataAsNumpy(), np.uint8)
        if content.nbytes != size * dtype.itemsize:
            raise ValueError("a tensor has not as many numbers as its shape says")
        return np.frombuffer(content.tobytes(), dtype).reshape(shape)

    def quantisation(self, one: Any, dtype: np.dtype[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
        if one is None or not one.ScaleLength():
            return np.zeros(0), np.zeros(0, np.int64), 0
        if one.DetailsType() != 0:
            raise ValueError("it is quantised in a way of its own")
        scale = np.atleast_1d(np.asarray(one.ScaleAsNumpy(), np.float64))
        zero = (
            np.atleast_1d(np.asarray(one.ZeroPointAsNumpy(), np.int64))
            if one.ZeroPointLength()
            else np.zeros(len(scale), np.int64)
        )
        if len(zero) != len(scale) or not np.isfinite(scale).all() or (scale <= 0).any():
            raise ValueError("a tensor's scales are none")
        if dtype.kind in "iu" and dtype.itemsize < 4 and ((zero < np.iinfo(dtype).min) | (zero > np.iinfo(dtype).max)).any():
            raise ValueError("a tensor's zero is out of range")
        return scale, zero, int(one.QuantizedDimension())

    def operator(self, one: Any, codes: list[Any], tensors: int) -> Operator:
        if not 0 <= one.OpcodeIndex() < len(codes):
            raise ValueError("an operator is of no kind")
        code = codes[one.OpcodeIndex()]
        kind = self.kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "an unknown operator")
        if kind == "CUSTOM":
            kind = f"custom operator {text(code.CustomCode())!r}"
        inputs = self.places(one.InputsLength(), one.Inputs, tensors, optional=True)
        outputs = self.places(one.OutputsLength(), one.Outputs, tensors)
        return Operator(kind, inputs, outputs, self.options(one))

    def options(self, one: Any) -> dict[str, Any]:
        kind = self.option_kinds.get(one.BuiltinOptionsType())
        table = one.BuiltinOptions()
        if kind in (None, "NONE") or table is None:
            return {}
        typed = getattr(self.schema, kind)()
        typed.Init(table.Bytes, table.Pos)
        return dict(vars(getattr(self.schema, f"{kind}T").InitFromObj(typed)))


def text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
