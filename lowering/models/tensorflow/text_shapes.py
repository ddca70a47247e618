"""TensorFlow operators that move the features of texts, and describe their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qtensor.lowering.models.tensorflow.slices import explicit
from qtensor.lowering.models.tensorflow.text_ops import (
    Attributes,
    ByMachine,
    Input,
    cells_of,
    text_operator,
)
from qtensor.lowering.models.tensorflow.text_values import (
    Batch,
    Cell,
    Cells,
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
