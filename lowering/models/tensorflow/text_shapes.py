"""TensorFlow operators that move features of texts, and those that make, describe and end lists: ragged tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qtensor.lowering.models.tensorflow.shapes import explicit
from qtensor.lowering.models.tensorflow.text_ops import (
    INT64,
    TEXT_OPS,
    Attributes,
    ByMachine,
    Input,
    cells_of,
    constant_of,
    text_operator,
    texts_of,
)
from qtensor.lowering.models.tensorflow.text_values import (
    NUMBER_TYPES,
    TEXT,
    Batch,
    Cell,
    Cells,
    Ones,
    Programs,
    RowEnds,
    RowIds,
    RowSplits,
    Size,
    Sizes,
    SparseShape,
    SplitIndices,
    Total,
    Wide,
)
from qtensor.lowering.models.tensorflow.values import NOT_ROW_WISE, Refusal, Static, integer, integers
from qtensor.lowering.models.text.program import Character, CodePoints, Count, FirstOf, Grams, Histogram, Split, TextAt, bounds

MOST_TEXTS = 64  # of a list as features, each a node of its own

# --- features -------------------------------------------------------------------------------------------------------------------


def axis_of(cells: Cells, axis: int, extra: int = 0) -> int:
    """The axis of the cells that is `axis` of the tensor."""
    rank = cells.cells.ndim + 1 + extra
    if not -rank <= axis < rank:
        raise Refusal(f"the axis {axis} is outside a tensor of {rank} axes")
    if axis % rank == 0:
        raise Refusal(f"{NOT_ROW_WISE} (the axis 0 is the batch)")
    return axis % rank - 1


def is_number(value: Cells | Wide) -> bool:
    """Whether a value is numbers by row, which the machine moves about."""
    return isinstance(value, Wide) or value.is_number


def of_rows(programs: Programs, value: Input) -> Cells:
    """Cells of texts by row; numbers are the machine's."""
    cells = cells_of(programs, value)
    if cells.is_number:
        raise ByMachine
    if cells.of_list is not None:
        raise Refusal("it moves the values of a ragged tensor")
    return cells


@text_operator("Squeeze")
def squeeze(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    cells = of_rows(programs, inputs[0])
    given = attributes.get("squeeze_dims") or ()
    assert isinstance(given, tuple)
    axes = tuple(axis_of(cells, int(axis)) for axis in given)  # type: ignore[arg-type]
    axes = axes or tuple(axis for axis, size in enumerate(cells.cells.shape) if size == 1)
    if any(cells.cells.shape[axis] != 1 for axis in axes):
        raise Refusal("an axis that is squeezed away has not size one")
    return Cells(np.squeeze(cells.cells, axes), cells.dtype)


@text_operator("ExpandDims")
def expand(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Any:
    axis = integer(inputs[1], "the axis") if isinstance(inputs[1], Static) else None
    if isinstance(inputs[0], Sizes) and axis in (0, -1) and inputs[0].scalar:
        return Sizes(inputs[0].sizes)
    if axis is None:
        raise Refusal("the axis must be a constant")
    if isinstance(inputs[0], Cells) and inputs[0].of_list is not None and not inputs[0].cells.ndim and axis in (1, -1):
        return Cells(inputs[0].cells.reshape(1), inputs[0].dtype, inputs[0].of_list)
    cells = of_rows(programs, inputs[0])
    return Cells(np.expand_dims(cells.cells, axis_of(cells, axis, extra=1)), cells.dtype)


@text_operator("Reshape")
def reshape(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Any:
    x, target = inputs
    if x is None or (isinstance(x, Cells | Wide) and is_number(x)):
        raise ByMachine
    sizes = sizes_of(target)
    match x:
        case RowIds() | Sizes() if len(sizes) <= 1:
            return Sizes(x.sizes, scalar=not sizes) if isinstance(x, Sizes) else x
        case Cells(of_list=Cell() as of_list) if sizes in ((-1,), (Total(of_list),)) and x.cells.size == 1:
            return Cells(x.cells.reshape(()), x.dtype, of_list)
        case _:
            pass
    cells = of_rows(programs, x)
    if not sizes or not (sizes[0] == -1 or isinstance(sizes[0], Batch)):
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape fixes the number of rows)")
    rest = [size for size in sizes[1:] if isinstance(size, int)]
    if len(rest) < len(sizes) - 1:
        raise Refusal(f"{NOT_ROW_WISE} (the number of rows is not the first size)")
    known = int(np.prod([size for size in rest if size != -1], dtype=np.int64))
    if cells.cells.size % max(1, known) if -1 in rest else cells.cells.size != known:
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape of {cells.cells.size} texts a row)")
    return Cells(cells.cells.reshape(rest), cells.dtype)


def sizes_of(value: Input) -> tuple[Size, ...]:
    if isinstance(value, Sizes):
        return value.sizes
    if not isinstance(value, Static):
        raise Refusal("a shape is computed from data")
    return integers(value, "the shape")


@text_operator("ConcatV2")
def concatenate(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Any:
    parts, axis = (inputs[:-1], integer(inputs[-1], "the axis")) if isinstance(inputs[-1], Static) else (inputs, 0)
    match parts:
        case (Static(array), RowEnds(of)) if axis == 0 and array.tolist() == [0]:
            return RowSplits(of)
        case _ if axis == 0 and all(isinstance(part, Static | Sizes) for part in parts):
            return Sizes(tuple(size for part in parts for size in sizes_of(part)))
    arrays = [of_rows(programs, part) for part in parts]
    place = axis_of(arrays[0], axis)
    return Cells(np.concatenate([cells.cells for cells in arrays], place), arrays[0].dtype)


@text_operator("Pack")
def pack(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Any:
    axis = attributes.get("axis") or 0
    assert isinstance(axis, int)
    if axis == 0 and all(isinstance(part, Static | Sizes) for part in inputs):
        return Sizes(tuple(size for part in inputs for size in sizes_of(part)))
    arrays = [of_rows(programs, part) for part in inputs]
    return Cells(np.stack([cells.cells for cells in arrays], axis_of(arrays[0], axis, extra=1)), arrays[0].dtype)


@text_operator("Unpack")
def unpack(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Cells, ...]:
    cells, axis = of_rows(programs, inputs[0]), attributes.get("axis") or 0
    assert isinstance(axis, int)
    place = axis_of(cells, axis)
    return tuple(Cells(np.take(cells.cells, number, place), cells.dtype) for number in range(cells.cells.shape[place]))


@text_operator("Shape")
def shape(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Sizes:
    match inputs[0]:
        case Cells(of_list=None) as cells:
            if cells.is_number:
                raise ByMachine
            return Sizes((Batch(), *cells.cells.shape))
        case Cells(of_list=Cell() as of_list) as cells:
            return Sizes((Total(of_list), *cells.cells.shape))
        case RowIds(of):
            return Sizes((Total(of),))
        case _:
            raise ByMachine


@text_operator("StridedSlice")
def strided_slice(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    entries = slice_entries(inputs, attributes)
    x = inputs[0]
    match x, entries:
        case Sizes(), [int(place)]:
            return Sizes((x.sizes[place],), scalar=True)
        case Sizes(), [slice() as span]:
            return Sizes(x.sizes[span])
        case SplitIndices(of), [slice(start=None | 0, stop=None), 0]:
            return RowIds(of)
        case SparseShape(), [0]:
            return Sizes((Batch(),), scalar=True)
        case RowSplits(of, starts=False), [slice(start=1, stop=None, step=1)]:
            return RowEnds(of)
        case RowSplits(of, starts=False), [slice(start=None | 0, stop=-1, step=1)]:
            return RowSplits(of, starts=True)
        case _:
            pass
    cells = of_rows(programs, x)
    index = explicit(list(entries), cells.cells.ndim + 1)
    if index[0] not in (slice(None, None, 1), slice(0, None, 1)):
        raise Refusal(f"{NOT_ROW_WISE} (rows are picked by their position)")
    try:
        taken = cells.cells[tuple(index[1:])]
    except IndexError as error:
        raise Refusal(f"a slice outside the features of a text: {error}") from error
    return Cells.one(taken, cells.dtype) if isinstance(taken, Cell) else Cells(taken, cells.dtype)


def slice_entries(inputs: Sequence[Any], attributes: Attributes) -> list[Any]:
    """The indices of a StridedSlice, as NumPy writes them."""
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    begins, ends, ellipsis, new, shrink = (int(attributes.get(name) or 0) for name in names)  # type: ignore[arg-type]
    if not all(isinstance(part, Static) for part in inputs[1:]):
        raise Refusal("a bound of a slice is computed from data")
    entries: list[Any] = []
    bounds = zip(*(integers(part, "a bound") for part in inputs[1:]), strict=True)
    for position, (first, last, step) in enumerate(bounds):
        bit = 1 << position
        if ellipsis & bit:
            entries.append(Ellipsis)
        elif new & bit:
            entries.append(None)
        elif shrink & bit:
            entries.append(first)
        else:
            entries.append(slice(None if begins & bit else first, None if ends & bit else last, step))
    return entries


# --- lists ----------------------------------------------------------------------------------------------------------------------


def one_text(programs: Programs, value: Input) -> Cell:
    """The only text of a row, [batch]."""
    cells = texts_of(programs, value)
    if cells.of_list is not None or cells.cells.ndim:
        raise Refusal("it makes lists of more than one text a row")
    return cells.flat[0]


def list_of(programs: Programs, cell: Cell, node: Any, dtype: np.dtype[Any], fails: str | None = None) -> tuple[Cell, Cells]:
    """A list, and its values."""
    made = programs.add(cell.argument, node, cell, fails=fails)
    return made, Cells.one(made, dtype, made)


@text_operator("StringSplitV2")
def split(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Any, ...]:
    most = attributes.get("maxsplit", -1)
    assert isinstance(most, int)
    text = one_text(programs, inputs[0])
    made, values = list_of(programs, text, Split(text.node, constant_of(inputs[1], "the separator"), most), TEXT)
    return SplitIndices(made), values, SparseShape(made)


@text_operator("UnicodeDecode")
def decode(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Any, ...]:
    if str(attributes.get("input_encoding")).lower() not in ("utf-8", "utf8") or attributes.get("replace_control_characters"):
        raise Refusal("only UTF-8 whose control characters stay is supported")
    errors, replacement = attributes.get("errors", "replace"), attributes.get("replacement_char", 65533)
    if errors not in ("replace", "ignore") or not isinstance(replacement, int):
        raise Refusal(f"errors = {errors!r} is not supported")
    text = one_text(programs, inputs[0])
    node = CodePoints(text.node, replacement if errors == "replace" else None)
    made, values = list_of(programs, text, node, np.dtype(np.int32))
    return RowSplits(made), values


@text_operator("UnicodeEncode")
def encode(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    """Characters, each a text of its own."""
    match inputs:
        case (Cells(of_list=Cell() as of_list) as cells, Ones(of)) if of == of_list and cells.cells.size == 1:
            cell = cells.flat[0]
            is_utf_8 = str(attributes.get("output_encoding")).lower() in ("utf-8", "utf8")
            if not is_utf_8 or attributes.get("errors") != "replace" or attributes.get("replacement_char") not in (65533, None):
                raise Refusal("only UTF-8 is supported")
            return Cells.one(programs.add(cell.argument, Character(cell.node), cell), TEXT, of_list)
        case _:
            raise Refusal("it joins characters")


@text_operator("StringNGrams")
def ngrams(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Any, ...]:
    widths, separator = attributes["ngram_widths"], attributes.get("separator", "")
    if attributes.get("pad_width") not in (0, None) or attributes.get("preserve_short_sequences"):
        raise Refusal("padding and short sequences are not supported")
    assert isinstance(widths, tuple)
    match inputs:
        case (Cells(of_list=Cell() as of_list) as values, RowSplits(of, starts=False)) if of == of_list:
            cell = values.flat[0]
            node = Grams(cell.node, tuple(int(width) for width in widths), str(separator))  # type: ignore[arg-type]
            made, found = list_of(programs, cell, node, TEXT)
            return found, RowSplits(made)
        case _:
            raise Refusal("it takes no list of texts")


@text_operator("DenseBincount", "Bincount")
def count_values(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    """Row ids, counted: how many values each list has."""
    match inputs:
        case (RowIds(of), Sizes(sizes=(Batch(),)), Static(weights)) if not weights.size and not attributes.get("binary_output"):
            return lengths(programs, of)
        case (Cells() as cells, *_) if cells.is_number:
            raise ByMachine
        case _:
            raise Refusal("it counts what is no list")


def lengths(programs: Programs, of: Cell) -> Cells:
    return Cells.one(programs.add(of.argument, Count(of.node), of), INT64)


@text_operator("Cumsum")
def cumulative(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> RowEnds:
    """Of the lengths of lists, over the rows: where they end."""
    lengths, axis = inputs
    if attributes.get("exclusive") or attributes.get("reverse") or not isinstance(axis, Static) or integer(axis, "the axis"):
        raise ByMachine
    if isinstance(lengths, Cells) and lengths.is_number and not lengths.cells.ndim:
        (cell,) = lengths.flat
        counted = list(programs.nodes[cell.argument])[cell.node]
        if isinstance(counted, Count):
            return RowEnds(Cell(cell.argument, counted.items))
    raise ByMachine


def keeping(name: str, *kinds: type) -> None:
    """Casts and identities of what describes lists."""
    plain = TEXT_OPS[name]

    def operator(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
        return inputs[0] if isinstance(inputs[0], kinds) else plain(programs, inputs, attributes)

    TEXT_OPS[name] = operator


keeping("Cast", RowIds, RowEnds, RowSplits, Sizes, SparseShape, SplitIndices, Ones)


def with_sizes(name: str, function: Callable[..., Any]) -> None:
    """Arithmetic of sizes beside that of values; `function` gives None for others."""
    plain = TEXT_OPS.get(name)

    def operator(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
        found = function(programs, inputs, attributes)
        if found is not None:
            return found
        if plain is None:
            raise ByMachine
        return plain(programs, inputs, attributes)

    TEXT_OPS[name] = operator


def multiplied(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    for one, other in (inputs, reversed(inputs)):
        match one, other:
            case (Sizes() | Ones(), Static(array)) if array.size == 1 and array.reshape(-1)[0] == 1:
                return one
            case (Sizes(sizes=(size,), scalar=scalar), Sizes(sizes=(1,))):
                return Sizes((size,), scalar)
    return None


def added(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    for one, other in (inputs, reversed(inputs)):
        match one, other:
            case (Sizes(sizes=(Total(of, more),), scalar=scalar), Static(array)) if array.size == 1:
                return Sizes((Total(of, more + int(array.reshape(-1)[0])),), scalar)
    return None


def subtracted(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    match inputs:
        case (RowEnds(of), RowSplits(other, starts=True)) if of == other:
            return lengths(programs, of)
    return None


with_sizes("Mul", multiplied)
with_sizes("AddV2", added)
with_sizes("Sub", subtracted)


@text_operator("Range")
def number_range(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Ones:
    match inputs:
        case (Static(start), Sizes(sizes=(Total(of, 1),)), Static(delta)) if start.item() == 0 and delta.item() == 1:
            return Ones(of)
        case _:
            raise Refusal("it computes with the number of rows")


@text_operator("RaggedTensorToTensor")
def to_tensor(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Wide | Cells:
    target, values, padding, *partitions = inputs
    types = attributes["row_partition_types"]
    match types, partitions:
        case (("FIRST_DIM_SIZE", "VALUE_ROWIDS"), [_, RowIds(of)]) | (("ROW_SPLITS",), [RowSplits(of, starts=False)]):
            pass
        case _:
            raise Refusal("a ragged tensor of more than one list a row is not supported")
    if not isinstance(values, Cells) or values.of_list != of or values.cells.ndim:
        raise Refusal("its values are no list")
    sizes = sizes_of(target)
    width = sizes[-1]
    if len(sizes) != 2 or not (sizes[0] == -1 or isinstance(sizes[0], Batch)) or not isinstance(width, int) or width < 0:
        raise Refusal(
            f"{NOT_ROW_WISE} (it is as wide as the longest list of all rows: give it a width, as output_sequence_length= or "
            "to_tensor(shape=[None, k]))"
        )
    cell = values.flat[0]
    if values.dtype == TEXT:
        if width > MOST_TEXTS:
            raise Refusal(f"a tensor of {width} texts a row is not supported: look them up first")
        texts = np.empty(width, object)
        for place in range(width):
            node = TextAt(cell.node, place, str(constant_of(padding, "the default value")))
            texts[place] = programs.add(cell.argument, node, cell)
        return Cells(texts, TEXT)
    first = FirstOf(cell.node, width, constant_of(padding, "the default value"))
    return Wide(programs.add(cell.argument, first, cell), width, values.dtype)


@text_operator("RaggedBincount")
def ragged_bincount(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Wide:
    splits, values, size, weights = inputs
    if not isinstance(splits, RowSplits) or not isinstance(values, Cells) or splits.of != values.of_list:
        raise Refusal("its values are no list")
    if not isinstance(weights, Static) or weights.array.size:
        raise Refusal("weights are not supported")
    cell = values.flat[0]
    binary, width = bool(attributes.get("binary_output")), int(constant_of(size, "the number of bins"))
    stored = NUMBER_TYPES["bool" if binary else "int32"]
    known = bounds(list(programs.nodes[cell.argument]), cell.node)
    fails = None if known is not None and known[0] >= 0 else "a negative number (RaggedBincount)"
    made = programs.add(cell.argument, Histogram(cell.node, width, binary, stored), cell, fails=fails)
    return Wide(made, width, weights.array.dtype)


@text_operator("Size")
def size(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Any:
    raise ByMachine
