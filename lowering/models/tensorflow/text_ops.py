"""TensorFlow operators on texts, and on what is made of texts, as nodes of text programs.

An operator is given its inputs as `TextValue`s and `Static`s, and its attributes; where it computes with numbers only, it raises
`ByMachine`: the numbers are taken by row, and it is a part of the compiled program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qtensor.lowering.models.tensorflow.graph import AttributeValue, TableLeaf
from qtensor.lowering.models.tensorflow.text_values import NUMBER_TYPES, TEXT, Cell, Cells, Programs, TextValue, Wide
from qtensor.lowering.models.tensorflow.values import Refusal, Static
from qtensor.lowering.models.text.evaluate import whole
from qtensor.lowering.models.text.program import (
    CaseChange,
    Computed,
    Found,
    FullMatch,
    HashBucket,
    Joined,
    Parsed,
    Replace,
    Slice,
    Strip,
    TextConstant,
    TextLength,
    TextNode,
    Written,
)

INT64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)
_WORD = (1 << 64) - 1
Attributes: TypeAlias = Mapping[str, AttributeValue]
Input: TypeAlias = "TextValue | Static | TableLeaf | None"  # None: numbers of the compiled part
TextOperator: TypeAlias = "Callable[[Programs, Sequence[Any], Attributes], TextValue | Static | tuple[TextValue | Static, ...]]"


class ByMachine(Exception):  # noqa: N818 - not an error
    """An operator that is left to the compiled part of the model."""


TEXT_OPS: dict[str, TextOperator] = {}


def text_operator(*names: str) -> Callable[[TextOperator], TextOperator]:
    """Register the decorated function for the TensorFlow operators `names`."""

    def register(function: TextOperator) -> TextOperator:
        for name in names:
            TEXT_OPS[name] = function
        return function

    return register


# --- what operators are given ---------------------------------------------------------------------------------------------------


def text_of(value: object) -> str:
    """A text of TensorFlow's, which are bytes, where programs hold it."""
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise Refusal(f"the constant {value!r} is no UTF-8") from None


def constant_of(value: Input, what: str) -> Any:
    """The one value of a constant, texts as str."""
    if not isinstance(value, Static) or value.array.size != 1:
        raise Refusal(f"{what} must be one constant")
    item = value.array.reshape(-1)[0]
    return text_of(item) if value.array.dtype == TEXT else item.item()


def cells_of(programs: Programs, value: Input) -> Cells:
    match value:
        case Cells():
            return value
        case Wide() | None:
            raise ByMachine
        case _:
            raise Refusal("it takes what describes the lists of a ragged tensor for values")


def texts_of(programs: Programs, value: Input) -> Cells:
    cells = cells_of(programs, value)
    if cells.dtype != TEXT:
        raise Refusal("it takes a text, and is given numbers")
    return cells


def each(
    programs: Programs, cells: Cells, dtype: np.dtype[Any], node: Callable[[int], TextNode], fails: str | None = None
) -> Cells:
    """A function of each cell by itself."""
    found = np.empty(cells.cells.shape, object)
    for place in np.ndindex(found.shape):
        cell = cells.cells[place]
        assert isinstance(cell, Cell)
        found[place] = programs.add(cell.argument, node(cell.node), cell, fails=fails)
    return Cells(found, dtype, cells.of_list)


def together(programs: Programs, values: Sequence[Input]) -> tuple[list[Any], tuple[int, ...], Cell | None]:
    """Values that an operator computes with place by place: arrays of cells and of constants, of one shape, and their list."""
    arrays: list[Any] = []
    lists: list[Cell] = []
    is_row = False
    for value in values:
        if isinstance(value, Static):
            arrays.append(value.array)
            continue
        cells = cells_of(programs, value)
        arrays.append(cells.cells)
        if cells.of_list is not None:
            lists.append(cells.of_list)
        else:
            is_row = True
    if len(set(lists)) > 1 or (lists and is_row):
        raise Refusal("it computes with the values of two lists at once")
    most = max((array.ndim for array, value in zip(arrays, values, strict=True) if not isinstance(value, Static)), default=0)
    for number, (array, value) in enumerate(zip(arrays, values, strict=True)):
        if not isinstance(value, Static):
            continue
        if array.ndim > most + 1 or (array.ndim == most + 1 and array.shape[0] != 1):
            raise Refusal("a constant has several entries along the batch")
        arrays[number] = array[0] if array.ndim == most + 1 else array
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        raise Refusal("the shapes do not broadcast") from None
    return [np.broadcast_to(array, shape) for array in arrays], shape, lists[0] if lists else None


def constant_node(value: Any, dtype: np.dtype[Any]) -> TextConstant:
    if dtype == TEXT:
        return TextConstant(text_of(value), None)
    if dtype.name not in NUMBER_TYPES:
        raise ByMachine
    return TextConstant(value.item(), NUMBER_TYPES[dtype.name])


def dtype_of(value: Input) -> np.dtype[Any]:
    return value.array.dtype if isinstance(value, Static) else value.dtype  # type: ignore[union-attr]


def combined(
    programs: Programs,
    values: Sequence[Input],
    dtype: np.dtype[Any],
    node: Callable[[tuple[int, ...]], TextNode],
) -> Cells:
    """A function of several values, place by place."""
    arrays, shape, of_list = together(programs, values)
    types = [dtype_of(value) for value in values]
    found = np.empty(shape, object)
    for place in np.ndindex(shape):
        parts = [array[place] for array in arrays]
        arguments = {part.argument for part in parts if isinstance(part, Cell)}
        if len(arguments) != 1:
            if all(isinstance(value, Static) or value.dtype != TEXT for value in values):  # type: ignore[union-attr]
                raise ByMachine
            raise Refusal("it computes with the texts of two arguments at once")
        (argument,) = arguments
        cells = [
            part if isinstance(part, Cell) else programs.add(argument, constant_node(part, known))
            for part, known in zip(parts, types, strict=True)
        ]
        found[place] = programs.add(argument, node(tuple(cell.node for cell in cells)), *cells)
    return Cells(found, dtype, of_list)


# --- texts ----------------------------------------------------------------------------------------------------------------------


def encoding_of(attributes: Attributes) -> bool:
    """Whether an operator is of Unicode."""
    encoding = str(attributes.get("encoding") or "").lower()
    if encoding not in ("", "utf-8"):
        raise Refusal(f"encoding = {encoding!r} is not supported")
    return encoding == "utf-8"


def unit_of(attributes: Attributes) -> Any:
    unit = attributes.get("unit", "BYTE")
    if unit not in ("BYTE", "UTF8_CHAR"):
        raise Refusal(f"unit = {unit!r} is not supported")
    return unit


def changing_case(upper: bool) -> TextOperator:
    def change(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
        unicode = encoding_of(attributes)
        return each(programs, texts_of(programs, inputs[0]), TEXT, lambda text: CaseChange(text, upper, unicode))

    return change


TEXT_OPS.update({"StringLower": changing_case(False), "StringUpper": changing_case(True)})


@text_operator("StringStrip")
def strip(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    return each(programs, texts_of(programs, inputs[0]), TEXT, Strip)


def checked_pattern(pattern: object) -> str:
    """A regular expression that RE2 takes."""
    text = str(pattern)
    try:
        pc.match_substring_regex(pa.array([""], pa.large_string()), text)
        pc.match_substring_regex(pa.array([""], pa.large_string()), whole(text))
    except pa.ArrowInvalid as error:
        raise Refusal(f"the regular expression {text!r} is wrong: {error}") from error
    return text


@text_operator("StaticRegexReplace", "RegexReplace")
def replace(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    pattern = attributes["pattern"] if len(inputs) == 1 else constant_of(inputs[1], "the pattern")
    rewrite = attributes["rewrite"] if len(inputs) == 1 else constant_of(inputs[2], "the rewrite")
    known, everywhere = checked_pattern(pattern), bool(attributes.get("replace_global", True))
    try:
        pc.replace_substring_regex(pa.array([""], pa.large_string()), pattern=known, replacement=str(rewrite))
    except pa.ArrowInvalid as error:
        raise Refusal(f"the rewrite {rewrite!r} is wrong: {error}") from error
    return each(programs, texts_of(programs, inputs[0]), TEXT, lambda text: Replace(text, known, str(rewrite), everywhere))


@text_operator("StaticRegexFullMatch", "RegexFullMatch")
def full_match(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    pattern = checked_pattern(attributes["pattern"] if len(inputs) == 1 else constant_of(inputs[1], "the pattern"))
    return each(programs, texts_of(programs, inputs[0]), BOOL, lambda text: FullMatch(text, pattern))


@text_operator("StringLength")
def length(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    unit = unit_of(attributes)
    return each(programs, texts_of(programs, inputs[0]), np.dtype(np.int32), lambda text: TextLength(text, unit))


@text_operator("Substr")
def substring(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    unit = unit_of(attributes)
    texts_of(programs, inputs[0])
    found = combined(programs, inputs, TEXT, lambda parts: Slice(parts[0], parts[1], parts[2], unit))
    for cell in found.flat:
        programs.fails.setdefault(cell, "a slice that begins outside its text (Substr)")
    return found


@text_operator("StringJoin")
def join(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    separator = str(attributes.get("separator") or "")
    return combined(programs, inputs, TEXT, lambda parts: Joined(parts, separator))


@text_operator("StringToNumber")
def parse(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    dtype = attributes.get("out_type") or np.dtype(np.float32)
    if not isinstance(dtype, np.dtype) or dtype.name not in ("int32", "int64", "float32", "float64"):
        raise Refusal(f"out_type = {dtype} is not supported")
    kind: Any = dtype.name
    cells = texts_of(programs, inputs[0])
    return each(programs, cells, dtype, lambda text: Parsed(text, kind), fails="a text that is no number (StringToNumber)")


def is_plain(attributes: Attributes) -> bool:
    """Whether AsString writes integers, without a format."""
    plain = (("precision", (-1, None)), ("scientific", (False, None)), ("shortest", (False, None)), ("width", (-1, None)))
    dtype = attributes.get("T")
    if not isinstance(dtype, np.dtype) or dtype.kind != "i" or attributes.get("fill"):
        return False
    return all(attributes.get(name) in usual for name, usual in plain)


@text_operator("AsString")
def write(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    cells = cells_of(programs, inputs[0])
    if not is_plain(attributes):
        raise Refusal("it writes what is no integer, or in a format")
    return each(programs, cells, TEXT, Written)


@text_operator("StringToHashBucketFast", "StringToHashBucketStrong")
def hash_bucket(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    buckets, key = attributes["num_buckets"], attributes.get("key")
    assert isinstance(buckets, int)
    known = None
    match key:
        case (int(first), int(second)):
            known = (first & _WORD, second & _WORD)
    return each(programs, texts_of(programs, inputs[0]), INT64, lambda text: HashBucket(text, buckets, known))


@text_operator("LookupTableFindV2")
def find(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Cells:
    table, items, default = inputs
    if not isinstance(table, TableLeaf):
        raise Refusal("the table that it reads is not known")
    cells = cells_of(programs, items)
    if (table.keys.dtype == TEXT) != (cells.dtype == TEXT):
        raise Refusal("it looks numbers up in a table of texts, or the other way")
    keys: Any = tuple(map(text_of, table.keys)) if cells.dtype == TEXT else tuple(table.keys.tolist())
    is_text = table.values.dtype == TEXT
    if table.values.ndim != 1 or not (is_text or table.values.dtype.name in NUMBER_TYPES):
        raise Refusal("a table of vectors is not supported")
    values: Any = tuple(map(text_of, table.values)) if is_text else tuple(table.values.tolist())
    otherwise = constant_of(default, "the default of a table")
    dtype = None if is_text else NUMBER_TYPES[table.values.dtype.name]
    return each(programs, cells, table.values.dtype, lambda item: Found(item, keys, values, otherwise, dtype))


# --- values ---------------------------------------------------------------------------------------------------------------------

_COMPARISONS = {
    "Equal": "equal",
    "NotEqual": "not_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "LogicalAnd": "and",
    "LogicalOr": "or",
    "LogicalNot": "not",
}
_ARITHMETIC = {
    "Add": "add",
    "AddV2": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "SelectV2": "select",
    "FloorMod": "floor_modulo",
}
_OF_TEXTS = ("equal", "not_equal", "select")


def computing(function: str, of_bool: bool) -> TextOperator:
    def compute(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
        if any(value is None for value in inputs):
            raise ByMachine
        types = [dtype_of(value) if isinstance(value, Static) else cells_of(programs, value).dtype for value in inputs]
        if TEXT in types and function == "add":
            return combined(programs, inputs, TEXT, lambda parts: Joined(parts, ""))
        if TEXT in types and function not in _OF_TEXTS:
            raise Refusal("it compares texts by their order")
        if not all(known == TEXT or known.name in NUMBER_TYPES for known in types):
            raise ByMachine
        # Floats are computed by the machine, which rounds as it does everywhere; so is whatever divides.
        if any(known.kind == "f" for known in types) and function not in ("select", *_COMPARISONS.values()):
            raise ByMachine
        if function == "floor_modulo" and not (isinstance(inputs[1], Static) and bool(np.all(inputs[1].array != 0))):
            raise ByMachine
        dtype = BOOL if of_bool else types[-1]
        return combined(
            programs, inputs, dtype, lambda parts: Computed(function, parts, None if dtype == TEXT else NUMBER_TYPES[dtype.name])
        )

    return compute


TEXT_OPS.update({name: computing(function, True) for name, function in _COMPARISONS.items()})
TEXT_OPS.update({name: computing(function, False) for name, function in _ARITHMETIC.items()})


@text_operator("Cast")
def cast(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    cells, dtype = cells_of(programs, inputs[0]), attributes["DstT"]
    if not isinstance(dtype, np.dtype) or dtype.name not in NUMBER_TYPES or cells.dtype.kind == "f" or dtype == BOOL:
        raise ByMachine
    kind = NUMBER_TYPES[dtype.name]
    return each(programs, cells, dtype, lambda number: Computed("cast", (number,), kind))


def filling(value: int) -> TextOperator:
    """As many of a number as there are values: 0 or 1 times each of them, so that a list stays one."""

    def fill(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
        cells = cells_of(programs, inputs[0])
        if cells.dtype.kind not in "bi" or cells.dtype.name not in NUMBER_TYPES:
            raise Refusal("it makes numbers of texts") if cells.dtype == TEXT else ByMachine
        kind = NUMBER_TYPES[cells.dtype.name]
        constant = Static(np.asarray(0, cells.dtype))
        zeros = combined(programs, [cells, constant], cells.dtype, lambda parts: Computed("multiply", parts, kind))
        if not value:
            return zeros
        one = Static(np.asarray(1, cells.dtype))
        return combined(programs, [zeros, one], cells.dtype, lambda parts: Computed("add", parts, kind))

    return fill


TEXT_OPS.update({"ZerosLike": filling(0), "OnesLike": filling(1)})


@text_operator("Identity", "StopGradient", "PreventGradient")
def identity(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    if inputs[0] is None:
        raise ByMachine
    return inputs[0]
