"""ONNX files and protocol buffers, looked at before they are used: sizes, external data, and tensors as arrays."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow.files import read_plain_file

LARGEST_FILE = (1 << 31) - 1  # bytes: protocol buffers have no more

# Of onnx.TensorProto.DataType; text and the small floats have no arrays here.
DTYPES: Mapping[int, str] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
TEXT = 8


class UnreadableError(Exception):
    """What is wrong with a tensor."""


def load_onnx(name: str) -> Any:
    """The module onnx."""
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ModelError(
            f'model "{name}": the package onnx is needed to read ONNX models, and cannot be imported: {error}. Install it '
            '(pip install "onnx>=1.17"); a query exported with the model runs without it'
        ) from error


def read_model(name: str, path: Path) -> Any:
    """The ModelProto of a file. Raises ModelError: no file, too large, damaged."""
    onnx = load_onnx(name)
    content = read_plain_file(name, path, LARGEST_FILE)
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (decode_error, RuntimeError, ValueError) as error:
        raise ModelError(f'model "{name}": "{path}" is no ONNX model, or is damaged') from error
    if not model.graph.node:
        raise ModelError(f'model "{name}": "{path}" is no ONNX model: it has no operators')
    return model


class Tensors:
    """Tensors of a model as arrays. folder: where the data may lie that a file keeps beside itself; None of a model in memory."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name = name
        self.folder = folder

    def array(self, tensor: Any) -> NDArray[Any]:
        """Raises UnreadableError: a type without arrays, sizes that do not fit, data in another folder."""
        shape = tuple(int(size) for size in tensor.dims)
        if any(size < 0 for size in shape):
            raise UnreadableError("it has a size below 0")
        if tensor.data_type == TEXT:
            texts = [one.decode("utf-8", "replace") for one in tensor.string_data]
            if len(texts) != math.prod(shape):
                raise UnreadableError("it has not as many texts as its shape says")
            return np.array(texts, object).reshape(shape)
        if tensor.data_type not in DTYPES:
            raise UnreadableError(f"its type has the number {tensor.data_type}, which is not supported")
        dtype = dtype_of(tensor.data_type)
        if tensor.data_location == 1:
            content = self.external(tensor)
        elif tensor.HasField("raw_data"):
            content = tensor.raw_data
        else:
            return listed(tensor, dtype, shape)
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise UnreadableError("it has not as many numbers as its shape says")
        return np.frombuffer(content, dtype).reshape(shape)

    def external(self, tensor: Any) -> bytes:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if self.folder is None:
            raise UnreadableError("its data is in another file; pass the path of the model")
        path = self.folder / where.get("location", "")
        if not path.resolve().is_relative_to(self.folder.resolve()) or not where.get("location"):
            raise UnreadableError(f"its data is outside of the model's folder: {where.get('location')!r}")
        content = read_plain_file(self.name, path, 4 * LARGEST_FILE)
        try:
            offset = int(where.get("offset", 0))
            length = int(where.get("length", len(content) - offset))
        except ValueError as error:
            raise UnreadableError("the place of its data is no number") from error
        if offset < 0 or length < 0 or offset + length > len(content):
            raise UnreadableError("its data ends behind its file")
        return content[offset : offset + length]


def dtype_of(number: int) -> np.dtype[Any]:
    if number == 16:
        half: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        return half
    if number not in DTYPES:
        raise UnreadableError(f"the type with the number {number} is not supported")
    return np.dtype(DTYPES[number])


def listed(tensor: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A tensor whose numbers the protocol buffer lists."""
    match str(dtype):
        case "float32":
            numbers: Any = tensor.float_data
        case "float64":
            numbers = tensor.double_data
        case "int64":
            numbers = tensor.int64_data
        case "uint32" | "uint64":
            numbers = tensor.uint64_data
        case _:
            numbers = tensor.int32_data
    if len(numbers) != math.prod(shape):
        raise UnreadableError("it has not as many numbers as its shape says")
    if dtype.itemsize == 2 and str(dtype).endswith("float16"):
        return np.array(numbers, np.uint16).view(dtype).reshape(shape)
    return np.array(numbers).astype(dtype).reshape(shape)
