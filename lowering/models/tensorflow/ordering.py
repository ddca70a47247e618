"""TensorFlow operators that sort or run along an axis: the greatest k, sums and products so far."""

from __future__ import annotations

from collections.abc import Callable
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
    Value,
    array_of,
    by_row,
    feature_axis,
    integer,
    moved,
    without,
    wrapped,
)


@operator("TopKV2", read=["index_type"], ignored=["sorted"])
def greatest(x: Value, number: Value, *, index_type: Any = np.int32) -> tuple[Value, ...]:
    """The greatest k entries of the last axis in falling order, and their places; of equal ones the first comes first."""
    return top_of(x, integer(number, "the number"), index_type)


def top_of(x: Value, number: int, index_type: Any) -> tuple[Value, ...]:
    axis = feature_axis(x, -1, "axis")
    array = array_of(x)
    if not 0 <= number <= array.shape[axis]:
        raise Refusal(f"the greatest {number} of {array.shape[axis]}")
    order = lax.broadcasted_iota(np.int32, array.shape, axis)
    keys = falling_key(array)
    _, values, places = lax.sort((keys, array, order), dimension=axis, is_stable=True, num_keys=1)
    taken = [lax.slice_in_dim(part, 0, number, axis=axis) for part in (values, places)]
    return wrapped(taken[0], x), wrapped(taken[1].astype(index_type), x)


def falling_key(x: jax.Array) -> jax.Array:
    """What sorts the other way round: zeros of both signs are equal."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.where(x == 0, jnp.zeros((), x.dtype), -x)
    return ~x  # the order of the bits turned over is the falling one, of signed and unsigned numbers


RUNNING: dict[str, tuple[Callable[..., jax.Array], float]] = {
    "Cumsum": (lax.cumsum, 0),
    "Cumprod": (lax.cumprod, 1),
    "CumulativeLogsumexp": (lax.cumlogsumexp, -np.inf),
}


def running(
    function: Callable[..., jax.Array],
    start: float,
    x: Value,
    dimension: Value,
    *,
    exclusive: bool = False,
    reverse: bool = False,
) -> Value:
    axis = feature_axis(x, integer(dimension, "the axis"), "axis")
    array = jnp.flip(array_of(x), axis) if reverse else array_of(x)
    if exclusive:
        first = jnp.full_like(lax.slice_in_dim(array, 0, 1, axis=axis), start)
        array = jnp.concatenate([first, lax.slice_in_dim(array, 0, array.shape[axis] - 1, axis=axis)], axis)
    sums = function(array, axis=axis)
    return wrapped(jnp.flip(sums, axis) if reverse else sums, x)


for _name, (_function, _start) in RUNNING.items():
    operator(_name, read=["exclusive", "reverse"])(partial(running, _function, _start))


@operator("ReverseSequence", read=["seq_dim", "batch_dim"])
def reverse_sequence(x: Value, lengths: Value, *, seq_dim: int, batch_dim: int = 0) -> Value:
    """The first entries of each row along `seq_dim`, as many as `lengths` says, in reverse; the others stay."""
    axis = feature_axis(x, seq_dim, "axis")
    if not isinstance(x, Batched) or x.axis != batch_dim or not isinstance(lengths, Batched) or lengths.axis != 0:
        raise Refusal(f"{NOT_ROW_WISE} (its sequences are not those of the rows)")

    def turned(row: jax.Array, length: jax.Array) -> jax.Array:
        place = jnp.arange(row.shape[axis], dtype=length.dtype)
        return jnp.take(row, jnp.where(place < length, length - 1 - place, place), axis=axis, mode="clip")

    return by_row(turned, x, lengths)


@operator("NthElement", read=["reverse"])
def nth(x: Value, number: Value, *, reverse: bool = False) -> Value:
    """The entry of the last axis that has so many below it (`reverse`: above it)."""
    axis = feature_axis(x, -1, "axis")
    array = array_of(x)
    place = integer(number, "the number")
    if not 0 <= place < array.shape[axis]:
        raise Refusal(f"entry {place} of {array.shape[axis]}")
    ordered = jnp.sort(array, axis=axis)
    place = array.shape[axis] - 1 - place if reverse else place
    return moved(lax.index_in_dim(ordered, place, axis, keepdims=False), without(x, [axis]), x)
