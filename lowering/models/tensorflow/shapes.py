"""TensorFlow operators that describe, reshape, repeat or fill: no arithmetic on the values."""

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
    RowNumbers,
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
    moved,
    new_axis,
    shape_value,
    sizes_of,
    tensor_rank,
    tensor_shape,
    without,
    wrapped,
)

INT32 = np.dtype(np.int32)


@operator("Identity", "StopGradient", "PreventGradient", "Snapshot", "PlaceholderWithDefault", ignored=["message", "shape", "T"])
def identity(x: Value) -> Value:
    return x


@operator("EnsureShape", ignored=["shape"])
def ensured(x: Value) -> Value:
    """The shape is checked when the model is traced."""
    return x


@operator("IdentityN")
def identities(*values: Value) -> tuple[Value, ...]:
    return values


@operator("Shape", read=["out_type"])
def shape(x: Value, *, out_type: Any = INT32) -> Value:
    return shape_value(tensor_shape(x), out_type)


@operator("ShapeN", read=["out_type"], ignored=["N"])
def shapes(*values: Value, out_type: Any = INT32) -> tuple[Value, ...]:
    return tuple(shape_value(tensor_shape(value), out_type) for value in values)


@operator("BroadcastArgs")
def broadcast_shape(x: Value, y: Value) -> Value:
    """The shape that two shapes broadcast to."""
    left, right = sizes_of(x, "a shape"), sizes_of(y, "a shape")
    rank = max(len(left), len(right))
    pairs = zip((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right, strict=True)
    found: list[Size] = []
    for one, other in pairs:
        if 1 not in (one, other) and one != other:
            raise Refusal(f"{described(left)} and {described(right)} do not broadcast")
        found.append(other if one == 1 else one)
    return shape_value(found, INT32)


@operator("Rank")
def rank(x: Value) -> Value:
    return Static(np.asarray(tensor_rank(x), INT32))


@operator("Size", read=["out_type"])
def size(x: Value, *, out_type: Any = INT32) -> Value:
    sizes = tensor_shape(x)
    known = count_of([part for part in sizes if isinstance(part, int)])
    rows = [part for part in sizes if isinstance(part, Rows)]
    return shape_value([Rows(rows[0].count, known * rows[0].times) if rows else known], out_type, scalar=True)


@operator("Reshape")
def reshape(x: Value, target: Value) -> Value:
    """A new shape, in which the batch is whole: an axis of its own, or merged with its neighbours into one."""
    sizes = sizes_of(target, "the shape")
    match x:
        case Shape():
            if sizes not in ((-1,), (len(x.sizes),), ()):
                raise Refusal("a shape is reshaped to more than one axis")
            return Shape(x.sizes, scalar=not sizes)
        case RowNumbers(count):
            places = [place for place, part in enumerate(sizes) if part == -1 or isinstance(part, Rows)]
            if len(places) != 1 or any(part not in (1, -1) and not isinstance(part, Rows) for part in sizes):
                raise Refusal(f"{NOT_ROW_WISE} (the numbers of rows are reshaped to {described(sizes)})")
            return RowNumbers(count, places[0], len(sizes))
        case Batched(axis=int(axis)):
            return reshaped_batch(x, axis, sizes)
        case Batched():
            return wrapped(array_of(x).reshape((*inferred(known_sizes(sizes), count_of(x.features)), x.array.shape[-1])), x)
        case _:
            return wrapped(array_of(x).reshape(known_sizes(sizes)), x)


def inferred(sizes: tuple[int, ...], total: int) -> tuple[int, ...]:
    """`sizes` with the -1 among them found from how many entries there are."""
    given = count_of([part for part in sizes if part != -1])
    if -1 in sizes and given and total % given == 0:
        return tuple(total // given if part == -1 else part for part in sizes)
    if given != total or -1 in sizes:
        raise Refusal(f"{total} values do not fit the shape {described(sizes)}")
    return sizes


def reshaped_batch(x: Batched, axis: int, sizes: tuple[Size, ...]) -> Value:
    """`x`, whose batch is at `axis`, with the shape `sizes`.

    The entries are in the order [outside, batch, inside]: what is outside and inside stays there, each in new axes or merged with
    the batch.
    """
    total = count_of(x.features) * x.times
    place, times, sizes = place_of_batch(x, sizes, total)
    others = known_sizes(tuple(part for position, part in enumerate(sizes) if position != place))
    outside, inside = count_of(x.features[:axis]) * x.before, count_of(x.features[axis:]) * x.after
    outside_now, inside_now = count_of(others[:place]), count_of(others[place:])
    before = outside // outside_now if outside_now else 0
    after = inside // inside_now if inside_now else 0
    if before * outside_now != outside or after * inside_now != inside or before * after != times:
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape of {total} features a row to {described(sizes)})")
    if axis == place == 0 and x.times == times == 1:
        return Batched(x.array.reshape((*others, x.count)))
    split = x.array.reshape((*x.features, x.before, x.count, x.after))
    end = len(x.features)
    ordered = jnp.transpose(split, (*range(axis), end, end + 1, end + 2, *range(axis, end)))
    apart = ordered.reshape((*others[:place], before, x.count, after, *others[place:]))
    last = range(place + 3, len(others) + 3)
    array = jnp.transpose(apart, (*range(place), *last, place, place + 1, place + 2))
    return Batched(array.reshape((*others, x.count * times)), place, before, after)


def place_of_batch(x: Batched, sizes: tuple[Size, ...], total: int) -> tuple[int, int, tuple[Size, ...]]:
    """Which of `sizes` holds the batch, how many entries for each row, and `sizes` with what -1 stands for."""
    batch = [place for place, part in enumerate(sizes) if isinstance(part, Rows)]
    unknown = [place for place, part in enumerate(sizes) if part == -1]
    given = count_of([part.times if isinstance(part, Rows) else part for part in sizes if part != -1])
    if len(batch) > 1 or not (batch or unknown):
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape to {described(sizes)} fixes the number of rows)")
    if given == 0 or total % given or (not unknown and given != total):
        raise Refusal(f"{NOT_ROW_WISE} (a Reshape of {total} features a row to {described(sizes)})")
    rest = total // given
    found = Rows(x.count, rest) if not batch else rest
    sizes = tuple(found if part == -1 else part for part in sizes)
    place = batch[0] if batch else unknown[0]
    part = sizes[place]
    assert isinstance(part, Rows)
    return place, part.times, sizes


def known_sizes(sizes: tuple[Size, ...]) -> tuple[int, ...]:
    if any(isinstance(part, Rows) for part in sizes):
        raise Refusal(f"{NOT_ROW_WISE} (the number of rows is among the sizes {described(sizes)} of what has no rows)")
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
    axis = integer(dimension, "the axis")
    match x:
        case Shape():
            return Shape(x.sizes) if x.scalar else refuse_shape()
        case RowNumbers(count, int(batch), rank):
            axis = axis % (rank + 1)
            return RowNumbers(count, batch + (axis <= batch), rank + 1)
        case RowNumbers():
            raise Refusal(f"{NOT_ROW_WISE} (it computes with a row's number)")
        case _:
            place, batch_now = new_axis(x, axis, "axis")
            return moved(jnp.expand_dims(array_of(x), place), batch_now, x)


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
    return moved(jnp.squeeze(array, places), without(x, places), x)


@operator("Tile")
def tile(x: Value, multiples: Value) -> Value:
    repeats = sizes_of(multiples, "the number of repeats")
    if any(isinstance(part, Rows) for part in repeats):
        return tiled_over_rows(x, repeats)
    known = known_sizes(repeats)
    array = array_of(x)
    if isinstance(x, Batched):
        if x.axis is not None and known[x.axis] != 1:
            raise Refusal(f"{NOT_ROW_WISE} (the rows are repeated)")
        known = (*(part for axis, part in enumerate(known) if axis != x.axis), 1)
    affordable((*known, *array.shape[: array.ndim - isinstance(x, Batched)]))
    return wrapped(jnp.tile(array, known), x)


def tiled_over_rows(x: Value, repeats: tuple[Size, ...]) -> Value:
    """A constant that is repeated for each row."""
    if isinstance(x, Batched):
        raise Refusal(f"{NOT_ROW_WISE} (the rows are repeated)")
    own = tensor_shape(x)
    sizes = [one if part == 1 else part for one, part in zip(own, repeats, strict=True)]
    if any(1 not in (one, part) for one, part in zip(own, repeats, strict=True)):
        raise Refusal(f"{NOT_ROW_WISE} (a constant of {described(own)} is repeated {described(repeats)} times)")
    return spread(x, tuple(sizes))


@operator("Fill")
def fill(dimensions: Value, value: Value) -> Value:
    sizes = sizes_of(dimensions, "the shape")
    return spread(value, sizes)


@operator("BroadcastTo")
def broadcast_to(x: Value, dimensions: Value) -> Value:
    return spread(x, sizes_of(dimensions, "the shape"))


@operator("Empty", read=["dtype"], ignored=["init"])
def empty(dimensions: Value, *, dtype: Any) -> Value:
    """Memory without values in TensorFlow, of which nothing may be read: zeros."""
    return spread(Static(np.zeros((), dtype)), sizes_of(dimensions, "the shape"))


def spread(x: Value, sizes: tuple[Size, ...]) -> Value:
    """`x` repeated to the shape `sizes`, in which the batch is once if anywhere."""
    array = array_of(x)
    affordable(tuple(size for size in sizes if isinstance(size, int)))
    places = [place for place, part in enumerate(sizes) if isinstance(part, Rows)]
    own = x.axis if isinstance(x, Batched) else None
    lacking = len(sizes) - tensor_rank(x)
    if lacking < 0 or len(places) > 1 or (own is not None and places != [own + lacking]):
        raise Refusal(f"{NOT_ROW_WISE} ({described(tensor_shape(x))} is broadcast to {described(sizes)})")
    features = tuple(part for part in sizes if isinstance(part, int))
    array = array.reshape((1,) * lacking + array.shape)
    if not places and not isinstance(x, Batched):
        fits(x, array.shape, features, sizes)
        return wrapped(jnp.broadcast_to(array, features), x)
    if isinstance(x, Batched):
        fits(x, array.shape[:-1], features, sizes)
        if own is None and places:
            raise Refusal(f"{NOT_ROW_WISE} (a row's value is broadcast to {described(sizes)})")
        return moved(jnp.broadcast_to(array, (*features, array.shape[-1])), None if own is None else own + lacking, x)
    (place,) = places
    rows = sizes[place]
    assert isinstance(rows, Rows)
    if array.shape[place] != 1:
        raise Refusal(f"{NOT_ROW_WISE} (a constant has {array.shape[place]} entries along the batch)")
    array = array.reshape((*array.shape[:place], *array.shape[place + 1 :], 1))
    fits(x, array.shape[:-1], features, sizes)
    return Batched(jnp.broadcast_to(array, (*features, rows.count * rows.times)), place, after=rows.times)


def fits(x: Value, found: tuple[int, ...], wanted: tuple[int, ...], sizes: tuple[Size, ...]) -> None:
    if any(one not in (1, other) for one, other in zip(found, wanted, strict=True)):
        raise Refusal(f"{described(tensor_shape(x))} does not broadcast to {described(sizes)}")


@operator("Range")
def number_range(start: Value, limit: Value, delta: Value) -> Value:
    match start, limit, delta:
        case Static(first), Shape((Rows(count, 1),)), Static(step) if first == 0 and step == 1:
            return RowNumbers(count)
        case Static(), Static(), Static():
            pass
        case _:
            raise Refusal("a Range of a length that is not constant")
    bounds = [part.array.item() for part in (start, limit, delta)]
    if bounds[2] == 0:
        raise Refusal("a Range of steps of 0")
    affordable((max(0, int((bounds[1] - bounds[0]) / bounds[2])),))
    return Static(np.asarray(np.arange(*bounds), start.array.dtype))


@operator("LinSpace")
def linear_space(start: Value, stop: Value, number: Value) -> Value:
    if not (isinstance(start, Static) and isinstance(stop, Static)):
        raise Refusal("a LinSpace between bounds that are not constant")
    count = integer(number, "the number")
    affordable((count,))
    return Static(np.linspace(start.array.item(), stop.array.item(), count, dtype=start.array.dtype))


@operator("DiagPart", "MatrixDiagPart")
def diagonal(x: Value) -> Value:
    array = array_of(x)
    if tensor_rank(x) < 2 or (isinstance(x, Batched) and x.axis is not None and x.axis >= tensor_rank(x) - 2):
        raise Refusal(f"{NOT_ROW_WISE} (the diagonal of {described(tensor_shape(x))})")
    last = array.ndim - isinstance(x, Batched)
    result = jnp.diagonal(array, axis1=last - 2, axis2=last - 1)
    return wrapped(jnp.moveaxis(result, -1, last - 2), x)


@operator("MatrixBandPart")
def band(x: Value, lower: Value, upper: Value) -> Value:
    """The matrices [..., rows, columns] with zeros where they are further than so many places from the diagonal."""
    first, second = feature_axis(x, -2, "axis"), feature_axis(x, -1, "axis")
    array = array_of(x)
    below, above = integer(lower, "the number of subdiagonals"), integer(upper, "the number of superdiagonals")
    distance = jax.lax.broadcasted_iota(np.int32, array.shape, first) - jax.lax.broadcasted_iota(np.int32, array.shape, second)
    inside = ((below < 0) | (distance <= below)) & ((above < 0) | (-distance <= above))
    return wrapped(jnp.where(inside, array, jnp.zeros((), array.dtype)), x)


@operator("Cross")
def cross_product(x: Value, y: Value) -> Value:
    """The cross products of vectors of three numbers along the last axis."""
    axis, other = feature_axis(x, -1, "axis"), feature_axis(y, -1, "axis")
    first, second = array_of(x), array_of(y)
    if first.shape != second.shape or axis != other or first.shape[axis] != 3:
        raise Refusal("the vectors of a cross product have not three numbers each")
    batched = x if isinstance(x, Batched) else y
    if isinstance(x, Batched) and isinstance(y, Batched) and x.axis != y.axis:
        raise Refusal(f"{NOT_ROW_WISE} (the batches of a cross product are along different axes)")
    return moved(jnp.cross(first, second, axis=axis), batched.axis if isinstance(batched, Batched) else None, x, y)


@operator("InvertPermutation")
def inverse_permutation(x: Value) -> Value:
    order = np.asarray(integers(x, "the permutation"))
    if sorted(order.tolist()) != list(range(len(order))):
        raise Refusal("it is no permutation")
    return Static(np.argsort(order).astype(np.int32))
