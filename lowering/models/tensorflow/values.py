"""What a tensor of the graph is while the model is traced, and how such values broadcast.

A batched tensor is held feature-major: TensorFlow's axis 0, the batch, is the last axis of the array, so that each feature
is one contiguous column; a tensor [batch, k] is an array [k, n], and axis a ≥ 1 of the tensor is axis a - 1 of the array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

LARGEST_CONSTANT = 1 << 28  # values of what is computed when a model is imported; weights have no limit


class Refusal(Exception):  # noqa: N818 - not an error: the model has one, and says so
    """An operator that cannot be done with these values; the walk adds which node it was."""


@dataclass(frozen=True, eq=False)
class Static:
    """A value known when the model is imported; it may serve as axis, shape or index."""

    array: NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter, or what is computed of parameters alone; it has no batch axis."""

    array: jax.Array


@dataclass(frozen=True, eq=False)
class Batched:
    """A tensor with one slice a row: array [*features, n] for the tensor [batch, *features].

    failed: bool[n], the rows for which TensorFlow raises an error (an index outside its table); None when there are none. An
        operator that marks rows is in `evaluate.FAILURES`, and what `array` holds there is as good as any other value.
    softmax_of: the logits [k, n], when `array` is their softmax: an argmax may take them instead.
    classes: when `array` is an argmax over that many scores, so that it lies in [0, classes).
    """

    array: jax.Array
    failed: jax.Array | None = None
    softmax_of: jax.Array | None = None
    classes: int | None = None


@dataclass(frozen=True, eq=False)
class Labels:
    """Texts by row: array [*features, n] of numbers, of which i stands for labels[i]. Nothing is computed with them."""

    array: jax.Array
    labels: tuple[str, ...]
    failed: jax.Array | None = None


@dataclass(frozen=True)
class Rows:
    """`times` times the number of rows of the batch, which is `count` in this trace."""

    count: int
    times: int = 1


Size: TypeAlias = int | Rows


@dataclass(frozen=True)
class Shape:
    """An integer vector (or, `scalar`, a single integer) that depends on the number of rows: what tf.shape(x) gives."""

    sizes: tuple[Size, ...]
    scalar: bool = False


Value: TypeAlias = Static | Weight | Batched | Shape | Labels

COMPUTES_WITH_LABELS = "it computes with a text that the model gives"
NOT_ROW_WISE = "is not row-wise: a row's result would depend on the other rows, or on how many there are"


def shape_value(sizes: Sequence[Size], dtype: np.dtype[np.generic], scalar: bool = False) -> Value:
    """The value of a shape: `Static` when no size in it depends on the rows."""
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        array = np.asarray(known, dtype)
        return Static(array.reshape(()) if scalar else array)
    return Shape(tuple(sizes), scalar)


def sizes_of(value: Value, what: str) -> tuple[Size, ...]:
    """The integers of a shape-like value, which must not depend on data or weights."""
    if isinstance(value, Shape):
        return value.sizes
    return integers(value, what)


def integers(value: Value, what: str) -> tuple[int, ...]:
    """The integers of a value that must be known at import, flattened."""
    match value:
        case Static(array):
            return tuple(int(item) for item in array.reshape(-1))
        case Shape():
            raise Refusal(f"{NOT_ROW_WISE} ({what})")
        case Weight() | Batched() | Labels():
            raise Refusal(f"{what} is computed from data; it must be a constant")


def integer(value: Value, what: str) -> int:
    """The one integer of a value that must be known at import."""
    (number,) = integers(value, what)
    return number


def tensor_rank(value: Value) -> int:
    """TensorFlow's rank of the value, the batch axis included."""
    if isinstance(value, Shape):
        return 0 if value.scalar else 1
    return value.array.ndim


def tensor_shape(value: Value) -> tuple[Size, ...]:
    """TensorFlow's shape of the value: the batch axis first."""
    match value:
        case Batched(array):
            return (Rows(array.shape[-1]), *array.shape[:-1])
        case Static() | Weight():
            return tuple(value.array.shape)
        case Shape(sizes, scalar):
            return () if scalar else (len(sizes),)
        case Labels():
            raise Refusal(COMPUTES_WITH_LABELS)


def array_of(value: Value) -> jax.Array:
    """The value as a JAX array in the layout of this file."""
    match value:
        case Static(array):
            return jnp.asarray(array)
        case Weight(array) | Batched(array):
            return array
        case Shape():
            raise Refusal(f"{NOT_ROW_WISE} (it computes with the number of rows)")
        case Labels():
            raise Refusal(COMPUTES_WITH_LABELS)


def wrapped(array: jax.Array, *inputs: Value) -> Value:
    """A result computed from `inputs`: batched if one of them is, static if all are."""
    if any(isinstance(value, Batched) for value in inputs):
        return Batched(array)
    if all(isinstance(value, Static) for value in inputs):
        affordable(array.shape)  # or a chain of them doubles its size with each
        return Static(np.asarray(array))
    return Weight(array)


def affordable(shape: Sequence[int]) -> None:
    """Raise Refusal for a constant of too many values, before it is computed: it would be held in memory, and compiled."""
    if (values := math.prod(shape)) > LARGEST_CONSTANT:
        raise Refusal(f"a constant of {values:,} values is too large; at most {LARGEST_CONSTANT:,} are computed at import")


def feature_axis(value: Value, axis: int, what: str, extra: int = 0) -> int:
    """The array axis of the tensor axis `axis` (negative: from the end) of a tensor with `extra` more axes than `value`.

    Raises Refusal for the batch axis and for an axis that does not exist.
    """
    rank = tensor_rank(value) + extra
    if not -rank <= axis < rank:
        raise Refusal(f"{what} {axis} is outside a tensor of {rank} axes")
    axis %= rank
    if not isinstance(value, Batched):
        return axis
    if axis == 0:
        raise Refusal(f"{NOT_ROW_WISE} ({what} 0 is the batch)")
    return axis - 1


def aligned(values: Sequence[Value]) -> list[jax.Array]:
    """The arrays of `values`, of one rank, that broadcast against each other as the tensors do.

    Raises Refusal where TensorFlow would broadcast along the batch axis.
    """
    ranks = {tensor_rank(value) for value in values if isinstance(value, Batched)}
    if len(ranks) > 1:
        raise Refusal(f"{NOT_ROW_WISE} (it broadcasts the rows of one tensor along the features of another)")
    rank = max((tensor_rank(value) for value in values), default=0)
    if ranks and rank > max(ranks):
        raise Refusal(f"{NOT_ROW_WISE} (a constant of {rank} axes meets a batch of {max(ranks)})")
    arrays = []
    for value in values:
        array = array_of(value)
        if not isinstance(value, Batched):
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            if ranks:
                if array.shape[0] != 1:
                    raise Refusal(f"{NOT_ROW_WISE} (a constant has {array.shape[0]} entries along the batch)")
                array = array.reshape((*array.shape[1:], 1))
        arrays.append(array)
    try:
        # Rows are left out: a batch of one row would hide a mismatch.
        shape = np.broadcast_shapes(*(array.shape[:-1] if ranks else array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(str(value.array.shape) for value in values if not isinstance(value, Shape))
        raise Refusal(f"the shapes {shapes} do not broadcast") from None
    affordable(shape)
    return arrays


def pointwise(function: Callable[..., jax.Array], *values: Value) -> Value:
    """`function` applied to the elements of `values`, broadcast as TensorFlow broadcasts them."""
    return wrapped(function(*aligned(values)), *values)


def count_of(sizes: Sequence[int]) -> int:
    """The number of elements of a tensor of these sizes."""
    return math.prod(sizes)
