"""TensorFlow operators that pick entries by their numbers, or put them there: embeddings, gathers, scatters, segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    RowNumbers,
    Rows,
    Shape,
    Static,
    Value,
    Weight,
    affordable,
    array_of,
    by_row,
    feature_axis,
    integer,
    integers,
    marked,
    moved,
    new_axis,
    numbers,
    same_rows,
    shape_value,
    sizes_of,
    tensor_rank,
    without,
    wrapped,
)


@operator("OneHot", read=["axis"])
def one_hot(indices: Value, depth: Value, on: Value, off: Value, *, axis: int = -1) -> Value:
    """An index outside 0..depth-1 gives a row of `off`."""
    array = array_of(indices)
    place, batch = new_axis(indices, axis, "axis")
    count = integer(depth, "the depth")
    affordable((count, *array.shape[: array.ndim - isinstance(indices, Batched)]))
    classes = jnp.arange(count, dtype=array.dtype)
    classes = classes.reshape((1,) * place + (-1,) + (1,) * (array.ndim - place))
    hit = jnp.expand_dims(array, place) == classes
    if any(isinstance(value, Batched) for value in (on, off)):
        raise Refusal("the values on and off are computed from data")
    return moved(jnp.where(hit, array_of(on), array_of(off)), batch, indices, on, off)


@operator("Gather", ignored=["validate_indices"])
def gather_first(table: Value, indices: Value) -> Value:
    return gather(table, indices, Static(np.asarray(0, np.int32)))


@operator("GatherV2", read=["batch_dims"])
def gather(table: Value, indices: Value, axis: Value, *, batch_dims: int = 0) -> Value:
    """Entries of `table` picked by `indices`; the first `batch_dims` axes of both go together.

    An index outside the table is an error in TensorFlow; a row with such an index is marked as failed.
    """
    along = integer(axis, "the axis")
    if isinstance(table, Shape):
        sizes = [table.sizes[position] for position in integers(indices, "the index")]
        return shape_value(sizes, np.dtype(np.int32), scalar=tensor_rank(indices) == 0)
    along %= max(1, tensor_rank(table))
    batch_dims %= max(1, tensor_rank(indices) + 1)
    if isinstance(indices, RowNumbers):
        return rows_of(table, indices, along)
    if isinstance(indices, Static):
        return gather_constant(table, indices, along, batch_dims)
    own = table.axis if isinstance(table, Batched) else None
    other = indices.axis if isinstance(indices, Batched) else None
    together = own is not None and own == other and own < batch_dims
    if own is not None and other is not None and not together:
        raise Refusal(f"{NOT_ROW_WISE} (the batch picks from the batch)")
    if not together and any(place is not None and place < batch_dims for place in (own, other)):
        raise Refusal(f"{NOT_ROW_WISE} (the batch goes together with what has none)")
    place, depth = feature_axis(table, along, "axis"), batch_dims - together
    size = array_of(table).shape[place]
    indices = numbers(indices)
    assert isinstance(indices, Weight | Batched), "the others were handled"
    picks = indices.array
    outside = (picks < 0) | (picks >= size)
    safe = jnp.where(outside, jnp.zeros((), picks.dtype), picks)
    if isinstance(indices, Batched) and not isinstance(table, Batched) and not depth:
        # All rows at once: XLA's gather of rows of a table.
        chosen = jnp.take(array_of(table), safe, axis=place, mode="clip")
        array = jnp.moveaxis(chosen, place + picks.ndim - 1, -1)
        return marked(moved(array, None if other is None else along + other, indices), outside, indices)
    batch = batch_after_gather(table, indices, along, batch_dims)
    taken = by_row(partial(take, axis=place, depth=depth), table, replace(indices, array=safe))
    result = replace(taken, axis=batch) if isinstance(taken, Batched) else taken
    return marked(result, outside, indices)


def batch_after_gather(table: Value, indices: Value, along: int, batch_dims: int) -> int | None:
    """Where the batch is in table[:along] + indices[batch_dims:] + table[along + 1:]."""
    if isinstance(table, Batched) and table.axis is not None:
        return table.axis if table.axis < along else table.axis + tensor_rank(indices) - batch_dims - 1
    if isinstance(indices, Batched) and indices.axis is not None:
        return along + indices.axis - batch_dims
    return None


def take(table: jax.Array, picks: jax.Array, *, axis: int, depth: int) -> jax.Array:
    """table[..., picks, ...] at `axis`, for each entry of the first `depth` axes of both."""
    function: Callable[..., jax.Array] = partial(jnp.take, axis=axis - depth, mode="clip")
    for _ in range(depth):
        function = jax.vmap(function)
    return function(table, picks)


def gather_constant(table: Value, indices: Static, along: int, batch_dims: int) -> Value:
    """Entries whose numbers are known."""
    place = feature_axis(table, along, "axis")
    array, size = array_of(table), array_of(table).shape[place]
    picks = indices.array.astype(np.int64)
    if np.any((picks < 0) | (picks >= size)):
        raise Refusal(f"an index lies outside the {size} entries")
    batch = batch_after_gather(table, indices, along, batch_dims)
    depth = batch_dims
    if isinstance(table, Batched) and table.axis is not None and table.axis < batch_dims:
        if indices.array.shape[table.axis] != 1:
            raise Refusal(f"{NOT_ROW_WISE} (the batch goes together with what has none)")
        indices, depth = Static(np.squeeze(indices.array, table.axis)), depth - 1
    affordable((indices.array.size, *array.shape[:place], *array.shape[place + 1 : array.ndim - isinstance(table, Batched)]))
    return moved(take(array, jnp.asarray(indices.array), axis=place, depth=depth), batch, table, indices)


def rows_of(table: Value, indices: RowNumbers, along: int) -> Value:
    """The entries of the batch by their own numbers: they themselves."""
    if isinstance(table, Batched) and table.axis == along and table.times == 1 and indices.rank <= 1:
        return table if indices.axis == 0 else replace(table, axis=None, softmax_of=None)
    raise Refusal(f"{NOT_ROW_WISE} (rows are picked by their position)")


def entry_at(x: Value, index: Value, axis: int, *, from_end: bool = True) -> Value:
    """The entry number `index` of `x` along the axis `axis` of its tensor; a negative one counts `from_end`, or fails."""
    if isinstance(index, RowNumbers):
        return rows_of(x, RowNumbers(index.count, index.axis, 0), axis)
    place = feature_axis(x, axis, "axis")
    array = array_of(x)
    size = array.shape[place]
    least = -size if from_end else 0
    if isinstance(index, Static):
        position = integer(index, "the index")
        if not least <= position < size:
            raise Refusal(f"the index {position} lies outside the {size} entries")
        return moved(lax.index_in_dim(array, position, place, keepdims=False), without(x, [place]), x)
    number = array_of(index).astype(np.int64)
    outside = (number < least) | (number >= size)
    number = jnp.where(outside, 0, jnp.where(number < 0, number + size, number))
    if not isinstance(index, Batched):
        found = lax.dynamic_index_in_dim(array, number, place, keepdims=False)
        return marked(moved(found, without(x, [place]), x, index), outside, index)
    if isinstance(x, Batched):
        same_rows([x, index])
    taken = by_row(
        lambda table, one: lax.dynamic_index_in_dim(table, one, place, keepdims=False), x, replace(index, array=number)
    )
    assert isinstance(taken, Batched)
    return marked(replace(taken, axis=None), outside, index)


@operator("GatherNd", ignored=["bad_indices_policy"])
def gather_places(table: Value, indices: Value) -> Value:
    """Entries of `table` at places, of which the last axis of `indices` holds the first coordinates."""
    depth = places_depth(table, indices)
    array, places = array_of(table), array_of(indices)
    last = places.ndim - 1 - isinstance(indices, Batched)
    outside = places_outside(indices, last, array.shape[:depth])
    safe = indices
    if not isinstance(indices, Static):
        safe = wrapped(jnp.where(jnp.expand_dims(outside, last), jnp.zeros((), places.dtype), places), indices)
    taken = by_row(lambda one, where: one[tuple(jnp.moveaxis(where, -1, 0))], table, safe)
    if isinstance(taken, Batched):
        if isinstance(indices, Batched):
            taken = replace(taken, axis=indices.axis)
        elif isinstance(table, Batched) and table.axis is not None:
            taken = replace(taken, axis=tensor_rank(indices) - 1 + table.axis - depth)
    return taken if isinstance(indices, Static) else marked(taken, outside, indices)


def places_depth(table: Value, indices: Value) -> int:
    """How many coordinates `indices` holds, of axes of `table` that are not the batch."""
    feature_axis(indices, -1, "axis")
    depth = int(array_of(indices).shape[array_of(indices).ndim - 1 - isinstance(indices, Batched)])
    own = table.axis if isinstance(table, Batched) else None
    if own is not None and (own < depth or isinstance(indices, Batched)):
        raise Refusal(f"{NOT_ROW_WISE} (rows are picked by their position)")
    return depth


def places_outside(indices: Value, axis: int, sizes: tuple[int, ...]) -> jax.Array:
    """Which places, whose coordinates are along `axis`, lie outside the first axes of a tensor; there are none if all are known.

    Raises Refusal: one of those does.
    """
    places: Any = indices.array if isinstance(indices, Static) else array_of(indices)
    shape = [1] * places.ndim
    shape[axis] = len(sizes)
    most = np.asarray(sizes, places.dtype).reshape(shape)
    if isinstance(places, np.ndarray):
        if np.any((places < 0) | (places >= most)):
            raise Refusal("an index lies outside the tensor")
        return jnp.zeros(np.delete(places.shape, axis), bool)
    return jnp.any((places < 0) | (places >= most), axis=axis)


SCATTERS: dict[str, Callable[[Any, jax.Array], jax.Array]] = {
    "TensorScatterUpdate": lambda at, updates: at.set(updates, mode="drop"),
    "TensorScatterAdd": lambda at, updates: at.add(updates, mode="drop"),
    "TensorScatterSub": lambda at, updates: at.subtract(updates, mode="drop"),
    "TensorScatterMax": lambda at, updates: at.max(updates, mode="drop"),
    "TensorScatterMin": lambda at, updates: at.min(updates, mode="drop"),
}


def scatter(put: Callable[[Any, jax.Array], jax.Array], x: Value, indices: Value, updates: Value) -> Value:
    """`x` with `updates` put where the last axis of `indices` says; a place outside `x` is an error in TensorFlow."""
    depth = places_depth(x, indices)
    places = array_of(indices)
    last = places.ndim - 1 - isinstance(indices, Batched)
    own = x.axis if isinstance(x, Batched) else None
    other = updates.axis if isinstance(updates, Batched) else None
    expected = None if own is None else tensor_rank(indices) - 1 + own - depth
    if (own is not None and other not in (None, expected)) or (isinstance(indices, Batched) and indices.axis is not None):
        raise Refusal(f"{NOT_ROW_WISE} (rows are put where other rows say)")
    if own is not None and other is None and isinstance(updates, Batched):
        raise Refusal(f"{NOT_ROW_WISE} (one row's values are put into a tensor of all)")
    if own is None and other is not None:
        raise Refusal(f"{NOT_ROW_WISE} (rows are put into a constant)")
    outside = places_outside(indices, last, array_of(x).shape[:depth])
    if own is not None and not isinstance(updates, Batched):  # the same for all rows: one entry along the batch
        updates = wrapped(jnp.squeeze(array_of(updates), expected), updates)

    def scattered(target: jax.Array, where: jax.Array, values: jax.Array) -> jax.Array:
        found = jnp.where(where < 0, np.iinfo(where.dtype).max, where)
        return put(target.at[tuple(jnp.moveaxis(found, -1, 0))], values)

    result = by_row(scattered, x, indices, updates)
    result = replace(result, axis=own) if isinstance(result, Batched) else result
    return result if isinstance(indices, Static) else marked(result, outside, indices)


for _name, _put in SCATTERS.items():
    operator(_name, ignored=["bad_indices_policy"])(partial(scatter, _put))


@operator("ScatterNd", ignored=["bad_indices_policy"])
def scatter_places(indices: Value, updates: Value, shape: Value) -> Value:
    """Zeros, to which `updates` are added where `indices` say."""
    sizes = sizes_of(shape, "the shape")
    places = [place for place, part in enumerate(sizes) if isinstance(part, Rows)]
    features = tuple(part for part in sizes if isinstance(part, int))
    affordable(features)
    dtype = array_of(updates).dtype
    zeros: Value = Static(np.zeros(features, dtype))
    if places and isinstance(updates, Batched):
        zeros = Batched(jnp.zeros((*features, updates.array.shape[-1]), dtype), places[0], updates.before, updates.after)
    return scatter(SCATTERS["TensorScatterAdd"], zeros, indices, updates)


@operator("LowerBound", read=["out_type"])
def lower_bound(ascending: Value, wanted: Value, *, out_type: Any = np.int32) -> Value:
    return bound_of(ascending, wanted, out_type, jnp.less)


@operator("UpperBound", read=["out_type"])
def upper_bound(ascending: Value, wanted: Value, *, out_type: Any = np.int32) -> Value:
    return bound_of(ascending, wanted, out_type, jnp.less_equal)


def bound_of(ascending: Value, wanted: Value, dtype: Any, is_before: Callable[..., jax.Array]) -> Value:
    """How many entries of each row [rows, k] of `ascending` come before each of the same row of `wanted`."""

    def count(entries: jax.Array, values: jax.Array) -> jax.Array:
        return jnp.sum(is_before(entries[..., None, :], values[..., :, None]), axis=-1, dtype=dtype)

    for value in (ascending, wanted):
        if isinstance(value, Batched) and value.axis not in (None, 0):
            raise Refusal(f"{NOT_ROW_WISE} (the batch is searched)")
    batched = [isinstance(value, Batched) and value.axis == 0 for value in (ascending, wanted)]
    values = [
        value if is_batched or not any(batched) else wrapped(one_row(array_of(value)), value)
        for value, is_batched in zip((ascending, wanted), batched, strict=True)
    ]
    return by_row(count, *values)


def one_row(array: jax.Array) -> jax.Array:
    if array.shape[0] != 1:
        raise Refusal(f"{NOT_ROW_WISE} (a constant has {array.shape[0]} entries along the batch)")
    return array[0]


SEGMENTS: dict[str, tuple[Callable[[Any, jax.Array], jax.Array], Callable[[Any], Any]]] = {
    "Sum": (lambda at, x: at.add(x), lambda dtype: 0),
    "Prod": (lambda at, x: at.multiply(x), lambda dtype: 1),
    "Max": (lambda at, x: at.max(x), lambda dtype: limits(dtype)[0]),
    "Min": (lambda at, x: at.min(x), lambda dtype: limits(dtype)[1]),
}


def limits(dtype: Any) -> tuple[Any, Any]:
    known: Any = jnp.finfo(dtype) if jnp.issubdtype(dtype, jnp.floating) else np.iinfo(dtype)  # type: ignore[no-untyped-call]
    return known.min, known.max


def segments(kind: str, x: Value, ids: Value, number: int, empty: Any) -> Value:
    """The entries of the first axis of `x`, which is not the batch, put together by their numbers, negative ones left out."""
    names = np.asarray(integers(ids, "the number of a segment"))
    if tensor_rank(ids) != 1 or (isinstance(x, Batched) and x.axis == 0):
        raise Refusal(f"{NOT_ROW_WISE} (rows are put together)")
    array = array_of(x)
    if np.any(names >= number) or len(names) != array.shape[0]:
        raise Refusal(f"the numbers of segments do not fit {array.shape[0]} entries and {number} segments")
    kept = names >= 0
    put, start = SEGMENTS[kind]
    base = jnp.full((number, *array.shape[1:]), start(array.dtype) if empty is None else empty, array.dtype)
    full = put(jnp.full_like(base, start(array.dtype)).at[names[kept]], array[kept])
    found = np.isin(np.arange(number), names).reshape(-1, *(1,) * (array.ndim - 1))
    return wrapped(jnp.where(jnp.asarray(found), full, base), x)


def sorted_segments(kind: str, x: Value, ids: Value) -> Value:
    names = integers(ids, "the number of a segment")
    return segments(kind, x, ids, max(names, default=-1) + 1, 1 if kind == "Prod" else 0)


def unsorted_segments(kind: str, x: Value, ids: Value, number: Value) -> Value:
    return segments(kind, x, ids, integer(number, "the number of segments"), None)


for _kind in SEGMENTS:
    operator(f"Segment{_kind}")(partial(sorted_segments, _kind))
    operator(f"UnsortedSegment{_kind}")(partial(unsorted_segments, _kind))


@operator("SegmentMean")
def segment_means(x: Value, ids: Value) -> Value:
    names = integers(ids, "the number of a segment")
    sums = sorted_segments("Sum", x, ids)
    counts = np.maximum(1, np.bincount(names, minlength=max(names, default=-1) + 1))
    array = array_of(sums)
    return wrapped(array / jnp.asarray(counts, array.dtype).reshape(-1, *(1,) * (array.ndim - 1)), sums)
