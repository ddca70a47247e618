"""What a tensor of the graph is while the model is traced, and how such values broadcast.

A batched tensor is held feature-major: TensorFlow's axis of the batch, wherever it is, is the last axis of the array, so that
each feature is one contiguous column; a tensor [batch, k] is an array [k, n], and so is a tensor [k, batch].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

LARGEST_CONSTANT = 1 << 28  # values of what is computed when a model is imported; weights have no limit


class Refusal(Exception):  # noqa: N818 - not an error: the model has one, and says so
    """An operator that cannot be done with these values; the walk adds which node it was."""


class Reported(Refusal):
    """A refusal of something within an operator's function, which was reported there."""


@dataclass(frozen=True, eq=False)
class Static:
    """A value known when the model is imported; it may serve as axis, shape or index."""

    array: NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter, or what is computed of parameters alone, or the counter of a loop; it has no batch axis.

    failed: bool[], whether TensorFlow raises an error computing it, whatever the row.
    """

    array: jax.Array
    failed: jax.Array | None = None


@dataclass(frozen=True, eq=False)
class Batched:
    """A tensor that differs by row: array [*features, m].

    axis: where the batch is among the axes of the tensor, with the others in the order of the array's; None where the tensor is
        one row's, as in a loop over the rows.
    before, after: what a Reshape merged with the batch into one axis, in the order of TensorFlow: m = before * n * after.
        Operators that treat each row for itself need not know.
    failed: bool[n], the rows for which TensorFlow raises an error (an index outside its table); None when there are none. An
        operator that marks rows is in `evaluate.FAILURES`, and what `array` holds there is as good as any other value.
    softmax_of: the logits [k, n], when `array` is their softmax: an argmax may take them instead.
    classes: when `array` is an argmax over that many scores, so that it lies in [0, classes).
    """

    array: jax.Array
    axis: int | None = 0
    before: int = 1
    after: int = 1
    failed: jax.Array | None = None
    softmax_of: jax.Array | None = None
    classes: int | None = None

    @property
    def times(self) -> int:
        """How many entries the axis of the batch has for each row."""
        return self.before * self.after

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.array.shape[-1] // self.times

    @property
    def features(self) -> tuple[int, ...]:
        """The sizes of the tensor's axes but for the batch."""
        return self.array.shape[:-1]


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


@dataclass(frozen=True)
class RowNumbers:
    """0, 1, ... to the last row: what tf.range(tf.shape(x)[0]) gives, or, `axis` None, the number of the row in a loop over them.

    axis: where the batch is among the axes of the tensor, of which the others have size one and are `rank` - 1.
    """

    count: int
    axis: int | None = 0
    rank: int = 1


@dataclass(frozen=True)
class Tensors:
    """A TensorList: `length` tensors of one shape.

    stack: them as one tensor, which has the list's axis first; None where nothing is known of them yet, so that all are zeros.
    element: their shape as far as the list was told it (None: nothing, or one of its sizes). length: Rows where there is one
        tensor for each row: the axis of the batch is the list's axis then.
    """

    length: int | Rows
    dtype: np.dtype[np.generic]
    element: tuple[int | None, ...] | None = None
    stack: Static | Weight | Batched | None = None


# The arrays in values, for JAX's control flow; the rest must not change there.
jax.tree_util.register_dataclass(Weight, ["array", "failed"], [])
jax.tree_util.register_dataclass(Batched, ["array", "failed", "softmax_of"], ["axis", "before", "after", "classes"])
jax.tree_util.register_dataclass(Labels, ["array", "failed"], ["labels"])
jax.tree_util.register_dataclass(Tensors, ["stack"], ["length", "dtype", "element"])

Value: TypeAlias = Static | Weight | Batched | Shape | RowNumbers | Tensors | Labels
Numbers: TypeAlias = Static | Weight | Batched

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
        case Shape() | RowNumbers():
            raise Refusal(f"{NOT_ROW_WISE} ({what})")
        case Weight() | Batched() | Labels():
            raise Refusal(f"{what} is computed from data; it must be a constant")
        case Tensors():
            raise Refusal(f"{what} is a list of tensors")


def integer(value: Value, what: str) -> int:
    """The one integer of a value that must be known at import."""
    (number,) = integers(value, what)
    return number


def numbers(value: Value) -> Numbers:
    """The value as what can be computed with."""
    match value:
        case Static() | Weight() | Batched():
            return value
        case Shape() | RowNumbers():
            raise Refusal(f"{NOT_ROW_WISE} (it computes with the number of rows, or with a row's number)")
        case Tensors():
            raise Refusal("it computes with a list of tensors")
        case Labels():
            raise Refusal(COMPUTES_WITH_LABELS)


def tensor_rank(value: Value) -> int:
    """TensorFlow's rank of the value, the batch axis included."""
    match value:
        case Shape():
            return 0 if value.scalar else 1
        case RowNumbers():
            return value.rank
        case Batched(array, axis):
            return array.ndim - (axis is None)
        case Static() | Weight():
            return value.array.ndim
        case Tensors():
            return 0
        case Labels():
            raise Refusal(COMPUTES_WITH_LABELS)


def tensor_shape(value: Value) -> tuple[Size, ...]:
    """TensorFlow's shape of the value."""
    match value:
        case Batched(array, axis):
            if axis is None:
                return value.features
            return (*array.shape[:axis], Rows(value.count, value.times), *array.shape[axis:-1])
        case Static() | Weight():
            return tuple(value.array.shape)
        case Shape(sizes, scalar):
            return () if scalar else (len(sizes),)
        case RowNumbers(count, axis, rank):
            return tuple(Rows(count) if position == axis else 1 for position in range(rank))
        case Tensors():
            return ()
        case Labels():
            raise Refusal(COMPUTES_WITH_LABELS)


def array_of(value: Value) -> jax.Array:
    """The value as a JAX array in the layout of this file."""
    known = numbers(value)
    return jnp.asarray(known.array) if isinstance(known, Static) else known.array


def wrapped(array: jax.Array, *inputs: Value) -> Value:
    """A result computed from `inputs`: batched, at the place where they are, if one of them is; static if all are."""
    batched = [value for value in inputs if isinstance(value, Batched)]
    return moved(array, batched[0].axis if batched else None, *inputs)


def moved(array: jax.Array, axis: int | None, *inputs: Value) -> Value:
    """A result computed from `inputs`, with the batch, if they have one, at `axis` of its tensor."""
    batched = [value for value in inputs if isinstance(value, Batched)]
    if batched:
        same_rows(batched)
        return Batched(array, axis, batched[0].before, batched[0].after)
    if all(isinstance(value, Static) for value in inputs):
        affordable(array.shape)  # or a chain of them doubles its size with each
        return Static(np.asarray(array))
    return Weight(array)


def same_rows(batched: Sequence[Batched]) -> None:
    """Raise Refusal where the entries of two axes with the batch are not the same rows."""
    if len({(value.before, value.after, value.axis is None) for value in batched}) > 1:
        raise Refusal(f"{NOT_ROW_WISE} (the rows of one tensor meet others of another)")


def affordable(shape: Sequence[int]) -> None:
    """Raise Refusal for a constant of too many values, before it is computed: it would be held in memory, and compiled."""
    if (values := math.prod(shape)) > LARGEST_CONSTANT:
        raise Refusal(f"a constant of {values:,} values is too large; at most {LARGEST_CONSTANT:,} are computed at import")


def feature_axis(value: Value, axis: int, what: str) -> int:
    """The array axis of the tensor axis `axis` (negative: from the end).

    Raises Refusal for the batch axis and for an axis that does not exist.
    """
    rank = tensor_rank(value)
    if not -rank <= axis < rank:
        raise Refusal(f"{what} {axis} is outside a tensor of {rank} axes")
    axis %= rank
    batch = value.axis if isinstance(value, Batched) else None
    if batch is None:
        return axis
    if axis == batch:
        raise Refusal(f"{NOT_ROW_WISE} ({what} {axis} is the batch)")
    return axis - (axis > batch)


def without(value: Value, axes: Sequence[int]) -> int | None:
    """Where the batch of `value` is when the axes `axes` of its array are gone."""
    batch = value.axis if isinstance(value, Batched) else None
    return None if batch is None else batch - sum(place < batch for place in axes)


def new_axis(value: Value, axis: int, what: str) -> tuple[int, int | None]:
    """Where the array of `value` gets an axis that its tensor gets at `axis`, and where the batch is then."""
    rank = tensor_rank(value) + 1
    if not -rank <= axis < rank:
        raise Refusal(f"{what} {axis} is outside a tensor of {rank} axes")
    axis %= rank
    batch = value.axis if isinstance(value, Batched) else None
    if batch is None:
        return axis, None
    return (axis, batch + 1) if axis <= batch else (axis - 1, batch)


def aligned(values: Sequence[Value]) -> list[jax.Array]:
    """The arrays of `values`, of one rank, that broadcast against each other as the tensors do.

    Raises Refusal where TensorFlow would broadcast along the batch axis.
    """
    batched = [value for value in values if isinstance(value, Batched)]
    same_rows(batched)
    places = {tensor_rank(value) - value.axis for value in batched if value.axis is not None}
    if len(places) > 1:
        raise Refusal(f"{NOT_ROW_WISE} (it broadcasts the rows of one tensor along the features of another)")
    rank = max((tensor_rank(value) for value in values), default=0)
    batch = rank - places.pop() if places else None
    arrays = []
    for value in values:
        array = array_of(value)
        array = array.reshape((1,) * (rank - tensor_rank(value)) + array.shape)
        if batched and not isinstance(value, Batched):
            if batch is not None:
                if array.shape[batch] != 1:
                    raise Refusal(f"{NOT_ROW_WISE} (a constant has {array.shape[batch]} entries along the batch)")
                array = array.reshape((*array.shape[:batch], *array.shape[batch + 1 :]))
            array = array[..., None]
        arrays.append(array)
    try:
        # Rows are left out: a batch of one row would hide a mismatch.
        shape = np.broadcast_shapes(*(array.shape[:-1] if batched else array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise Refusal(f"the shapes {shapes} do not broadcast") from None
    affordable(shape)
    return arrays


def batch_after_broadcast(values: Sequence[Value]) -> int | None:
    """Where the batch is in what `values` broadcast to."""
    rank = max((tensor_rank(value) for value in values), default=0)
    places = [rank - tensor_rank(value) + value.axis for value in values if isinstance(value, Batched) and value.axis is not None]
    return places[0] if places else None


def pointwise(function: Callable[..., jax.Array], *values: Value) -> Value:
    """`function` applied to the elements of `values`, broadcast as TensorFlow broadcasts them."""
    return moved(function(*aligned(values)), batch_after_broadcast(values), *values)


def by_row(function: Callable[..., jax.Array], *values: Value, axis: int | None = None) -> Value:
    """`function` of each row's part of the values, without their batch, and of the others as they are; `axis` is where the batch
    is in the tensor of its result, or as in the first batched one.
    """
    batched = [value for value in values if isinstance(value, Batched)]
    if not batched:
        return wrapped(function(*map(array_of, values)), *values)
    same_rows(batched)
    in_axes = [-1 if isinstance(value, Batched) else None for value in values]
    array = jax.vmap(function, in_axes, -1)(*map(array_of, values))
    return moved(array, batched[0].axis if axis is None else axis, *values)


def marked(value: Value, failed: jax.Array, source: Value) -> Value:
    """`value` with failures of entries in the layout of `source`, bool[..., m] if that is batched, as those of rows."""
    if isinstance(source, Batched):
        assert isinstance(value, Batched)
        flat = failed.reshape(-1, source.before, source.count, source.after)
        return replace(value, failed=jnp.any(flat, axis=(0, 1, 3)))
    anywhere = jnp.any(failed)
    match value:
        case Batched():
            return replace(value, failed=jnp.broadcast_to(anywhere, (value.count,)))
        case Weight():
            return replace(value, failed=anywhere)
        case _:
            raise Refusal("it fails for whatever it is given")


def count_of(sizes: Sequence[int]) -> int:
    """The number of elements of a tensor of these sizes."""
    return math.prod(sizes)
