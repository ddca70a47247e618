"""TensorFlow operators that move, repeat, join or describe: no arithmetic on the values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Rows,
    Shape,
    Size,
    Static,
    Value,
    affordable,
    array_of,
    count_of,
    feature_axis,
    integer,
    integers,
    shape_value,
    sizes_of,
    tensor_rank,
    tensor_shape,
    wrapped,
)

INT32 = np.dtype(np.int32)


@operator("Identity", "StopGradient", "PreventGradient", ignored=["message"])
def identity(x: Value) -> Value:
    return x


@operator("IdentityN")
def identities(*values: Value) -> tuple[Value, ...]:
    return values


@operator("Shape", read=["out_type"])
def shape(x: Value, *, out_type: Any = INT32) -> Value:
    return shape_value(tensor_shape(x), out_type)


@operator("Rank")
def rank(x: Value) -> Value:
    return Static(np.asarray(tensor_rank(x), INT32))


@operator("Size", read=["out_type"])
def size(x: Value, *, out_type: Any = INT32) -> Value:
    sizes = tensor_shape(x)
    known = count_of([part for part in sizes if isinstance(part, int)])
    rows = [part for part in sizes if isinstance(part, Rows)]
    return shape_value([Rows(rows[0].count, known) if rows else known], out_type, scalar=True)


@operator("Reshape")
def reshape(x: Value, target: Value) -> Value:
    """A new shape for the features of a row; the batch must stay the first axis, whole."""
    sizes = sizes_of(target, "the shape")
    if isinstance(x, Shape):
        if sizes not in ((-1,), (len(x.sizes),), ()):
            raise Refusal("a shape is reshaped to more than one axis")
        return Shape(x.sizes, scalar=not sizes)
    if not isinstance(x, Batched):
        return wrapped(array_of(x).reshape(known_sizes(sizes)), x)
    features = count_of(x.array.shape[:-1])
    if not sizes or not (sizes[0] == -1 or isinstance(sizes[0], Rows)):
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape to {described(sizes)} fixes the number of rows)")
    rest = known_sizes(sizes[1:])
    inferred = -1 in rest
    given = count_of([part for part in rest if part != -1])
    whole = given != 0 and features % given == 0 if inferred else given == features
    if (isinstance(sizes[0], Rows) and sizes[0].times != 1) or not whole:
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape of {features} features a row to {described(sizes)})")
    rest = tuple(features // given if part == -1 else part for part in rest)
    return Batched(x.array.reshape((*rest, x.array.shape[-1])))


def known_sizes(sizes: tuple[Size, ...]) -> tuple[int, ...]:
    if any(isinstance(part, Rows) for part in sizes):
        raise Refusal(f"{NOT_ROW_WISE} (the number of rows is not the first size of {described(sizes)})")
    return tuple(part for part in sizes if isinstance(part, int))


def described(sizes: tuple[Size, ...]) -> str:
    """
    >>> described((Rows(5), 3)), described((Rows(5, 2),))
    ('[batch, 3]', '[2 * batch]')
    """
    names = []
    for part in sizes:
        match part:
            case Rows(_, times):
                names.append("batch" if times == 1 else f"{times} * batch")
            case int():
                names.append(str(part))
    return f"[{', '.join(names)}]"


@operator("ExpandDims")
def expand(x: Value, dimension: Value) -> Value:
    if isinstance(x, Shape):
        return Shape(x.sizes) if x.scalar else refuse_shape()
    return wrapped(jnp.expand_dims(array_of(x), feature_axis(x, integer(dimension, "the axis"), "axis", extra=1)), x)


def refuse_shape() -> Value:
    raise Refusal("a shape is given a second axis")


@operator("Squeeze", read=["squeeze_dims"])
def squeeze(x: Value, *, squeeze_dims: tuple[int, ...] = ()) -> Value:
    """Drop axes of size one; without a list of them all but the batch, so that a batch of one row stays a batch."""
    if isinstance(x, Shape):
        return Shape(x.sizes, scalar=True) if len(x.sizes) == 1 else x
    array = array_of(x)
    candidates = range(array.ndim - isinstance(x, Batched))
    places = tuple(feature_axis(x, axis, "axis") for axis in squeeze_dims) or tuple(a for a in candidates if array.shape[a] == 1)
    if any(array.shape[place] != 1 for place in places):
        raise Refusal("an axis that is squeezed away has not size one")
    return wrapped(jnp.squeeze(array, places), x)


@operator("ConcatV2", ignored=["N"])
def concatenate(*values: Value) -> Value:
    parts, along = values[:-1], integer(values[-1], "the axis")
    if any(isinstance(part, Shape) for part in parts):
        return shape_value([entry for part in parts for entry in sizes_of(part, "a size")], INT32)
    return joined(list(parts), along)


def joined(parts: list[Value], along: int) -> Value:
    if any(isinstance(part, Batched) for part in parts) and not all(isinstance(part, Batched) for part in parts):
        raise Refusal(f"{NOT_ROW_WISE} (a constant is joined to the batch)")
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
    place = feature_axis(values[0], axis, "axis", extra=1)
    return joined([wrapped(jnp.expand_dims(array_of(value), place), value) for value in values], axis)


@operator("Unpack", read=["axis"], ignored=["num"])
def unstack(x: Value, *, axis: int = 0) -> tuple[Value, ...]:
    place = feature_axis(x, axis, "axis")
    array = array_of(x)
    return tuple(wrapped(jax.lax.index_in_dim(array, i, place, keepdims=False), x) for i in range(array.shape[place]))


@operator("Split", read=["num_split"])
def split(dimension: Value, x: Value, *, num_split: int) -> tuple[Value, ...]:
    place = feature_axis(x, integer(dimension, "the axis"), "axis")
    array = array_of(x)
    if array.shape[place] % num_split:
        raise Refusal(f"{array.shape[place]} features do not divide into {num_split} equal parts")
    return tuple(wrapped(part, x) for part in jnp.split(array, num_split, place))


@operator("SplitV", ignored=["num_split"])
def split_sizes(x: Value, lengths: Value, dimension: Value) -> tuple[Value, ...]:
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
    if not isinstance(x, Batched):
        return wrapped(jnp.transpose(array_of(x), order), x)
    if order[0] != 0:
        raise Refusal(f"{NOT_ROW_WISE} (the batch is moved from the first axis by a Transpose)")
    return Batched(jnp.transpose(x.array, (*(axis - 1 for axis in order[1:]), x.array.ndim - 1)))


@operator("Tile")
def tile(x: Value, multiples: Value) -> Value:
    repeats = integers(multiples, "the number of repeats")
    if isinstance(x, Batched):
        if repeats[0] != 1:
            raise Refusal(f"{NOT_ROW_WISE} (the rows are repeated)")
        repeats = (*repeats[1:], 1)
    affordable((*repeats, *array_of(x).shape[: array_of(x).ndim - isinstance(x, Batched)]))
    return wrapped(jnp.tile(array_of(x), repeats), x)


@operator("Fill")
def fill(dimensions: Value, value: Value) -> Value:
    sizes = sizes_of(dimensions, "the shape")
    return spread(value, sizes)


@operator("BroadcastTo")
def broadcast_to(x: Value, dimensions: Value) -> Value:
    return spread(x, sizes_of(dimensions, "the shape"))


def spread(x: Value, sizes: tuple[Size, ...]) -> Value:
    """`x` repeated to the shape `sizes`, which has the batch first if anywhere."""
    array = array_of(x)
    affordable(tuple(size for size in sizes if isinstance(size, int)))
    if not sizes or isinstance(sizes[0], int):
        if isinstance(x, Batched):
            raise Refusal(f"{NOT_ROW_WISE} (the batch is broadcast to {described(sizes)})")
        return wrapped(jnp.broadcast_to(array, known_sizes(sizes)), x)
    if sizes[0].times != 1:
        raise Refusal(f"{NOT_ROW_WISE} (a tensor of {described(sizes)})")
    features = known_sizes(sizes[1:])
    if isinstance(x, Batched):
        if len(sizes) != array.ndim:
            raise Refusal(f"{NOT_ROW_WISE} (the batch is broadcast to {described(sizes)})")
    else:
        array = array.reshape((1,) * (len(sizes) - array.ndim) + array.shape)
        if array.shape[0] != 1:
            raise Refusal(f"{NOT_ROW_WISE} (a constant has {array.shape[0]} entries along the batch)")
        array = array.reshape((*array.shape[1:], 1))
    if any(found not in (1, wanted) for found, wanted in zip(array.shape[:-1], features, strict=True)):
        raise Refusal(f"{described(tensor_shape(x))} does not broadcast to {described(sizes)}")
    return Batched(jnp.broadcast_to(array, (*features, sizes[0].count)))


@operator("Range")
def number_range(start: Value, limit: Value, delta: Value) -> Value:
    if not (isinstance(start, Static) and isinstance(limit, Static) and isinstance(delta, Static)):
        raise Refusal("a Range of a length that is not constant")
    bounds = [part.array.item() for part in (start, limit, delta)]
    if bounds[2] == 0:
        raise Refusal("a Range of steps of 0")
    affordable((max(0, int((bounds[1] - bounds[0]) / bounds[2])),))
    return Static(np.asarray(np.arange(*bounds), start.array.dtype))


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
    entries: list[int | slice | Any | None] = []
    bounds = zip(integers(begin, "a bound"), integers(end, "a bound"), integers(strides, "a stride"), strict=True)
    for position, (first, last, step) in enumerate(bounds):
        bit = 1 << position
        if ellipsis_mask & bit:
            entries.append(Ellipsis)
        elif new_axis_mask & bit:
            entries.append(None)
        elif shrink_axis_mask & bit:
            entries.append(first)
        else:
            entries.append(slice(None if begin_mask & bit else first, None if end_mask & bit else last, step))
    if isinstance(x, Shape):
        return sliced_shape(x, entries)
    index = explicit(entries, tensor_rank(x))
    sizes = tensor_shape(x)
    axis = 0
    for entry in index:
        if isinstance(entry, int) and isinstance(extent := sizes[axis], int) and not -extent <= entry < extent:
            raise Refusal(f"the index {entry} lies outside the {extent} entries of axis {axis}")
        axis += entry is not None
    if not isinstance(x, Batched):
        return wrapped(array_of(x)[tuple(index)], x)
    if index[0] not in (slice(None, None, 1), slice(0, None, 1)):
        raise Refusal(f"{NOT_ROW_WISE} (rows are picked by their position)")
    return Batched(x.array[(*index[1:], slice(None))])


def explicit(entries: list[Any], axes: int) -> list[int | slice | None]:
    """`entries` with the ellipsis, or the missing rest, written as whole slices."""
    used = sum(entry is not None and entry is not Ellipsis for entry in entries)
    whole = [slice(None, None, 1)] * (axes - used)
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
    return shape_value(x.sizes[entry], INT32)
