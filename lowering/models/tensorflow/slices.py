"""TensorFlow operators that cut tensors apart, join them, and turn their axes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.tensorflow.carried import carry, for_each_row
from qtensor.lowering.models.tensorflow.gathers import entry_at
from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.shapes import INT32, refuse_shape
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Rows,
    Shape,
    Static,
    Value,
    array_of,
    feature_axis,
    integer,
    integers,
    moved,
    new_axis,
    shape_value,
    sizes_of,
    tensor_rank,
    tensor_shape,
    without,
    wrapped,
)

WHOLE = slice(None, None, 1)


@operator("ConcatV2", ignored=["N"])
def concatenate(*values: Value) -> Value:
    parts, along = values[:-1], integer(values[-1], "the axis")
    if any(isinstance(part, Shape) for part in parts):
        return shape_value([entry for part in parts for entry in sizes_of(part, "a size")], INT32)
    return joined(list(parts), along)


@operator("Concat", ignored=["N"])
def concatenate_first(*values: Value) -> Value:
    return concatenate(*values[1:], values[0])


def joined(parts: list[Value], along: int) -> Value:
    """Tensors of one rank along an axis; in a loop over rows also with some that are the same for each."""
    batched = [part for part in parts if isinstance(part, Batched)]
    if batched and len(batched) < len(parts):
        if batched[0].axis is not None:
            raise Refusal(f"{NOT_ROW_WISE} (a constant is joined to the batch)")
        parts = [for_each_row(carry(part), batched[0].count) for part in parts]
    if len({(tensor_rank(part), part.axis if isinstance(part, Batched) else None) for part in parts}) > 1:
        raise Refusal("the joined tensors differ in their axes")
    place = feature_axis(parts[0], along, "axis")
    arrays = [array_of(part) for part in parts]
    others = {(*array.shape[:place], *array.shape[place + 1 :]) for array in arrays}
    if len(others) > 1:
        raise Refusal("the joined tensors differ in more than one axis")
    return wrapped(jnp.concatenate(arrays, place), *parts)


@operator("Pack", read=["axis"], ignored=["N"])
def stack(*values: Value, axis: int = 0) -> Value:
    if any(isinstance(value, Shape) for value in values):
        if axis != 0 or any(tensor_rank(value) for value in values):
            raise Refusal("a shape is given a second axis")
        return shape_value([entry for value in values for entry in sizes_of(value, "a size")], INT32)
    expanded = []
    for value in values:
        place, batch = new_axis(value, axis, "axis")
        expanded.append(moved(jnp.expand_dims(array_of(value), place), batch, value))
    return joined(expanded, axis)


@operator("Unpack", read=["axis"], ignored=["num"])
def unstack(x: Value, *, axis: int = 0) -> tuple[Value, ...]:
    if isinstance(x, Shape):
        return tuple(shape_value([entry], INT32, scalar=True) for entry in x.sizes)
    place = feature_axis(x, axis, "axis")
    array, batch = array_of(x), without(x, [place])
    return tuple(moved(jax.lax.index_in_dim(array, i, place, keepdims=False), batch, x) for i in range(array.shape[place]))


@operator("Split", read=["num_split"])
def split(dimension: Value, x: Value, *, num_split: int) -> tuple[Value, ...]:
    place = feature_axis(x, integer(dimension, "the axis"), "axis")
    array = array_of(x)
    if array.shape[place] % num_split:
        raise Refusal(f"{array.shape[place]} features do not divide into {num_split} equal parts")
    return tuple(wrapped(part, x) for part in jnp.split(array, num_split, place))


@operator("SplitV", ignored=["num_split"])
def split_sizes(x: Value, lengths: Value, dimension: Value) -> tuple[Value, ...]:
    if isinstance(x, Shape):
        raise Refusal("a shape is split")
    place = feature_axis(x, integer(dimension, "the axis"), "axis")
    array = array_of(x)
    parts = list(integers(lengths, "the sizes"))
    if -1 in parts:
        parts[parts.index(-1)] = array.shape[place] - sum(parts) - 1
    if sum(parts) != array.shape[place]:
        raise Refusal(f"{array.shape[place]} features do not divide into parts of {parts}")
    return tuple(wrapped(part, x) for part in jnp.split(array, np.cumsum(parts)[:-1].tolist(), place))


@operator("Transpose")
def transpose(x: Value, permutation: Value) -> Value:
    order = integers(permutation, "the permutation")
    if isinstance(x, Shape):
        return x
    if sorted(order) != list(range(tensor_rank(x))):
        raise Refusal(f"{list(order)} is no order of {tensor_rank(x)} axes")
    if not isinstance(x, Batched):
        return wrapped(jnp.transpose(array_of(x), order), x)
    places = tuple(feature_axis(x, axis, "axis") for axis in order if axis != x.axis)
    return moved(jnp.transpose(x.array, (*places, x.array.ndim - 1)), None if x.axis is None else order.index(x.axis), x)


@operator("ReverseV2")
def reverse(x: Value, axes: Value) -> Value:
    if isinstance(x, Shape):
        raise Refusal("a shape is turned round")
    places = [feature_axis(x, axis, "axis") for axis in integers(axes, "the axis")]
    return wrapped(jnp.flip(array_of(x), places), x) if places else x


@operator("Roll")
def roll(x: Value, shift: Value, axis: Value) -> Value:
    places = [feature_axis(x, one, "axis") for one in integers(axis, "the axis")]
    return wrapped(jnp.roll(array_of(x), integers(shift, "the shift"), places), x)


@operator("Slice")
def slice_of(x: Value, begin: Value, sizes: Value) -> Value:
    """So many entries of each axis from a first one on; -1 for all that are left."""
    extents = tensor_shape(x)
    firsts, lengths = integers(begin, "a bound"), sizes_of(sizes, "a size")
    index: list[int | slice | None] = []
    for axis, (first, length, extent) in enumerate(zip(firsts, lengths, extents, strict=True)):
        if isinstance(extent, Rows) or isinstance(length, Rows):
            if first != 0 or length not in (-1, extent):
                raise Refusal(f"{NOT_ROW_WISE} (rows are picked by their position)")
            index.append(WHOLE)
        else:
            end = extent if length == -1 else first + length
            if not 0 <= first <= end <= extent:
                raise Refusal(f"the entries {first} to {end} lie outside the {extent} of axis {axis}")
            index.append(slice(first, end, 1))
    if isinstance(x, Shape):
        return sliced_shape(x, list(index))
    return indexed(x, index)


@operator(
    "StridedSlice",
    read=["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"],
)
def strided_slice(
    x: Value,
    begin: Value,
    end: Value,
    strides: Value,
    *,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Value:
    """NumPy's basic indexing, as TensorFlow writes it: one entry an axis, with a bit a mask for each special form."""
    entries: list[Any] = []
    steps = integers(strides, "a stride")
    for position, step in enumerate(steps):
        bit = 1 << position
        if ellipsis_mask & bit:
            entries.append(Ellipsis)
        elif new_axis_mask & bit:
            entries.append(None)
        elif shrink_axis_mask & bit:
            entries.append(bound(begin, position, may_differ=True))
        else:
            first = None if begin_mask & bit else bound(begin, position)
            last = None if end_mask & bit else bound(end, position)
            entries.append(slice(first, last, step))
    if isinstance(x, Shape):
        return sliced_shape(x, entries)
    return indexed(x, explicit(entries, tensor_rank(x)))


def bound(bounds: Value, position: int, *, may_differ: bool = False) -> Any:
    """Entry number `position` of the bounds of a slice: an integer, Rows, or, if it `may_differ`, a value."""
    if isinstance(bounds, Shape):
        return bounds.sizes[position]
    if may_differ and not isinstance(bounds, Static):
        array = array_of(bounds)[position]
        return moved(array, None, bounds)
    return integers(bounds, "a bound")[position]


def indexed(x: Value, index: list[Any]) -> Value:
    """`x` at `index`: for each of its axes a slice or an entry, which may be a value, and None for a new axis."""
    sizes = tensor_shape(x)
    picks: list[tuple[int, Value]] = []  # axes of the result so far whose entry is a value
    static: list[Any] = []
    batch: int | None = None
    axis = kept = 0
    for entry in index:
        if entry is None:
            static.append(None)
            kept += 1
            continue
        extent = sizes[axis]
        if isinstance(extent, Rows):
            if not is_whole(entry, extent):
                raise Refusal(f"{NOT_ROW_WISE} (rows are picked by their position)")
            batch = kept
        elif isinstance(entry, int):
            if not -extent <= entry < extent:
                raise Refusal(f"the index {entry} lies outside the {extent} entries of axis {axis}")
            static.append(entry)
            kept -= 1
        elif isinstance(entry, slice):
            if isinstance(entry.start, Rows) or isinstance(entry.stop, Rows) or entry.step == 0:
                raise Refusal(f"{NOT_ROW_WISE} (a slice to the number of rows)")
            static.append(entry)
        else:
            picks.append((kept, entry))
            static.append(WHOLE)
        axis += 1
        kept += 1
    array = array_of(x)
    result = moved(array[(*static, *([slice(None)] if isinstance(x, Batched) else []))], batch, x)
    for place, entry in reversed(picks):
        result = entry_at(result, entry, place)
    return result


def is_whole(entry: Any, extent: Rows) -> bool:
    """Whether an entry of a slice takes all rows."""
    return isinstance(entry, slice) and entry.start in (None, 0) and entry.stop in (None, extent) and entry.step == 1


def explicit(entries: list[Any], axes: int) -> list[Any]:
    """`entries` with the ellipsis, or the missing rest, written as whole slices."""
    used = sum(entry is not None and entry is not Ellipsis for entry in entries)
    whole = [WHOLE] * (axes - used)
    if used > axes:
        raise Refusal(f"a slice of {used} axes of a tensor that has {axes}")
    for position, entry in enumerate(entries):
        if entry is Ellipsis:
            return [*entries[:position], *whole, *entries[position + 1 :]]
    return [*entries, *whole]


def sliced_shape(x: Shape, entries: list[Any]) -> Value:
    (entry,) = explicit(entries, 1)
    if entry is None:
        return refuse_shape()
    if isinstance(entry, int):
        if not -len(x.sizes) <= entry < len(x.sizes):
            raise Refusal(f"the index {entry} lies outside a shape of {len(x.sizes)}")
        return shape_value([x.sizes[entry]], INT32, scalar=True)
    if not isinstance(entry, slice):
        raise Refusal("an entry of a shape is picked by what is computed")
    return shape_value(x.sizes[entry], INT32)
