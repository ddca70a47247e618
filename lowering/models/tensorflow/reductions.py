"""TensorFlow operators that combine the features of a row: sums, extremes, softmax, argmax."""

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
    Batched,
    Refusal,
    Rows,
    Shape,
    Value,
    array_of,
    feature_axis,
    integer,
    integers,
    moved,
    shape_value,
    without,
    wrapped,
)


def reduced(function: Callable[..., jax.Array], x: Value, axes: Value, *, keep_dims: bool = False) -> Value:
    array = array_of(x)
    places = tuple(feature_axis(x, axis, "axis") for axis in integers(axes, "the axis"))
    return moved(function(array, axis=places, keepdims=keep_dims), without(x, () if keep_dims else places), x)


def total(x: jax.Array, **places: Any) -> jax.Array:
    return jnp.sum(x, dtype=x.dtype, **places)


def product(x: jax.Array, **places: Any) -> jax.Array:
    return jnp.prod(x, dtype=x.dtype, **places)


def mean(x: jax.Array, **places: Any) -> jax.Array:
    """Of halves with a sum in float32, as TensorFlow has it; of integers cut off towards zero."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.mean(x, **places)
    sums = total(x, **places)
    number = x.size // max(1, sums.size)
    if number == 0:
        raise Refusal("the mean of no integers")
    return lax.div(sums, jnp.full_like(sums, number))


def euclidean_norm(x: jax.Array, **places: Any) -> jax.Array:
    return jnp.sqrt(total(x * x, **places))


REDUCTIONS: dict[str, Callable[..., jax.Array]] = {
    "All": jnp.all,
    "Any": jnp.any,
    "EuclideanNorm": euclidean_norm,
    "Max": jnp.max,
    "Mean": mean,
    "Min": jnp.min,
    "Sum": total,
}
for _name, _function in REDUCTIONS.items():
    operator(_name, read=["keep_dims"])(partial(reduced, _function))


@operator("Prod", read=["keep_dims"])
def reduce_product(x: Value, axes: Value, *, keep_dims: bool = False) -> Value:
    """A product; of a shape too: its number of elements."""
    if not isinstance(x, Shape) or x.scalar:
        return reduced(product, x, axes, keep_dims=keep_dims)
    factors = [size for size in x.sizes if isinstance(size, int)]
    rows = [size for size in x.sizes if isinstance(size, Rows)]
    if len(rows) != 1:
        raise Refusal("the number of rows is multiplied by itself")
    times = rows[0].times
    for factor in factors:
        times *= factor
    return shape_value([Rows(rows[0].count, times)], np.dtype(np.int32), scalar=not keep_dims)


def softmax_parts(x: Value) -> tuple[jax.Array, jax.Array, int]:
    """The logits less their greatest, their exponentials, and the array axis of the classes."""
    axis = feature_axis(x, -1, "axis")  # an array without the batch has the last axis of a tensor last, too
    array = array_of(x)
    shifted = array - jnp.max(array, axis=axis, keepdims=True)
    return shifted, jnp.exp(shifted), axis


@operator("Softmax")
def softmax(x: Value) -> Value:
    """A row with a NaN, with +inf, or of -inf alone is all NaN, as in TensorFlow without oneDNN (with it, it is partly 0)."""
    _, exponentials, axis = softmax_parts(x)
    result = exponentials / jnp.sum(exponentials, axis=axis, keepdims=True)
    value = wrapped(result, x)
    return replace(value, softmax_of=array_of(x)) if isinstance(value, Batched) else value


@operator("LogSoftmax")
def log_softmax(x: Value) -> Value:
    shifted, exponentials, axis = softmax_parts(x)
    return wrapped(shifted - jnp.log(jnp.sum(exponentials, axis=axis, keepdims=True)), x)


@operator("ArgMax", read=["output_type"])
def arg_max(x: Value, dimension: Value, *, output_type: Any = np.int64) -> Value:
    """The first index of the greatest value.

    After a softmax the logits are compared instead, and the softmax is never computed. See `arg_max_of_logits` for why
    that is sound.
    """
    axis = feature_axis(x, integer(dimension, "the axis"), "axis")
    array = array_of(x)
    if isinstance(x, Batched) and x.softmax_of is not None and axis == array.ndim - 2:
        found = arg_max_of_logits(x.softmax_of, axis)
    else:
        found = first_greatest(array, axis)
    result = moved(found.astype(output_type), without(x, [axis]), x)
    return replace(result, classes=array.shape[axis]) if isinstance(result, Batched) else result


@operator("ArgMin", read=["output_type"])
def arg_min(x: Value, dimension: Value, *, output_type: Any = np.int64) -> Value:
    """The first index of the least value."""
    axis = feature_axis(x, integer(dimension, "the axis"), "axis")
    array = array_of(x)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return moved(first_greatest(-array, axis).astype(output_type), without(x, [axis]), x)
    return moved(lax.argmin(array, axis, np.int32).astype(output_type), without(x, [axis]), x)


def first_greatest(x: jax.Array, axis: int) -> jax.Array:
    """int32: the first index of the greatest value along `axis`, as TensorFlow finds it.

    TensorFlow's search starts at index 0 with the least finite value and moves on only to a greater one, so NaN is never
    chosen, and 0 is the answer where nothing is greater than that (all NaN or -inf).
    """
    if x.dtype == np.bool_:
        raise Refusal("an argmax of booleans is not supported")
    if jnp.issubdtype(x.dtype, jnp.floating):
        lowest = jnp.finfo(x.dtype).min  # type: ignore[no-untyped-call]
        x = jnp.where(x > lowest, x, lowest)
    # XLA's own reduction of (value, index) pairs: 1.0 ms for a million rows of 4 classes; written out as comparisons, 4.0 ms.
    return lax.argmax(x, axis, np.int32)


def arg_max_of_logits(logits: jax.Array, axis: int) -> jax.Array:
    """int32: the argmax of softmax(logits) along `axis`, without computing the softmax.

    Sound because e^x grows with x. Where a logit is NaN or +inf, or all are -inf, every score is NaN, and TensorFlow's argmax of
    that is 0; so is this one. What remains is rounding: the softmax of two logits less than 2^-25 (3e-8) apart may round to
    one same score, and TensorFlow then takes the first. Here the greater logit wins, which is the exact answer. Measured
    against TensorFlow over 20 M rows of normal logits, with 4 classes: no class differs at a standard deviation of 1 or 5, 4
    differ at 0.1, 35 at 0.01. Logits that close differ by as much between two orders of adding up a layer's products.
    A sigmoid is never dropped: it reaches 1.0 at 17, so many different logits tie.
    """
    infinite = jnp.asarray(jnp.inf, logits.dtype)
    greatest, index = greatest_and_index(jnp.where(jnp.isnan(logits), infinite, logits), axis)
    return jnp.where(greatest < infinite, index, 0)


def greatest_and_index(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The greatest value along `axis` and, int32, its first index, from one reduction; `x` holds no NaN.

    Asking for the value separately would make XLA compute the logits once more for it: 2.9 against 1.8 ns a row.
    """

    def better(left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        is_right = (right[0] > left[0]) | ((right[0] == left[0]) & (right[1] < left[1]))
        return jnp.where(is_right, right[0], left[0]), jnp.where(is_right, right[1], left[1])

    indices = lax.broadcasted_iota(np.int32, x.shape, axis)
    start = (jnp.asarray(-jnp.inf, x.dtype), jnp.asarray(0, np.int32))
    greatest, index = lax.reduce((x, indices), start, better, (axis,))
    return greatest, index
