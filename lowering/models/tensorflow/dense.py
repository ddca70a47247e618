"""TensorFlow operators in which weights meet the batch: dense layers, batch normalisation, embeddings."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Shape,
    Value,
    Weight,
    affordable,
    array_of,
    feature_axis,
    integer,
    integers,
    pointwise,
    shape_value,
    tensor_rank,
    wrapped,
)

# Measured by bench/dense_layers.py (2 cores, jaxlib 0.10.1, chunks of 65,536 rows; ms a million rows; a run spreads by a third).
# Broadcast products win to 32 weights (4-2: 0.7 against 1.1, 4-4: 1.2 against 1.7, 4-8: 2.6 against 2.6), lose from 256
# (4-16-16-4: 21 against 9), and win for one or two outputs, where XLA's matmul is a slow dot (64-1: 17 against 35 feature-major
# and 129 row-major; 256-1: 162 against 243). Larger models come row by row (`lowering/program/row_major.py`).
BROADCAST_LARGEST = 32
BROADCAST_OUTPUTS = 2
BROADCAST_INPUTS = 256


def dense(x: jax.Array, weight: jax.Array) -> jax.Array:
    """One dense layer in the form that is fastest for its size; x: [k, n], weight: [k, m] → [m, n].

    A batch of one row is what a large model is given, and what is then mapped over rows: that makes one product over rows of the
    form x.T @ weight.
    """
    inputs, outputs = weight.shape
    if x.shape[1] == 1:
        return row_major_product(x, weight)
    is_narrow = outputs <= BROADCAST_OUTPUTS and inputs <= BROADCAST_INPUTS
    if inputs and (is_narrow or inputs * outputs <= BROADCAST_LARGEST):
        return broadcast_products(x, weight)
    return feature_major_product(x, weight)


def broadcast_products(x: jax.Array, weight: jax.Array) -> jax.Array:
    """A sum of outer products, one an input: no matmul, so the layer fuses with what is around it."""
    total = weight[0][:, None] * x[0][None, :]
    for position in range(1, weight.shape[0]):
        total = total + weight[position][:, None] * x[position][None, :]
    return total


def feature_major_product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """weight.T @ x, columns in and columns out."""
    return jnp.matmul(weight.T, x, precision=lax.Precision.HIGHEST)


def row_major_product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Rows in and rows out: two transposes buy the matmul whose inner loop is over the outputs."""
    return jnp.matmul(x.T, weight, precision=lax.Precision.HIGHEST).T


@operator("MatMul", read=["transpose_a", "transpose_b"], ignored=["grad_a", "grad_b"])
def matrix_product(x: Value, y: Value, *, transpose_a: bool = False, transpose_b: bool = False) -> Value:
    right = array_of(y).T if transpose_b else array_of(y)
    if isinstance(y, Batched):
        raise Refusal(f"{NOT_ROW_WISE} (the batch is the right factor of a matrix product)")
    if not isinstance(x, Batched):
        left = array_of(x).T if transpose_a else array_of(x)
        affordable((left.shape[0], right.shape[-1]))
        return wrapped(jnp.matmul(left, right, precision=lax.Precision.HIGHEST), x, y)
    if transpose_a:
        raise Refusal(f"{NOT_ROW_WISE} (the batch is transposed)")
    if x.array.shape[0] != right.shape[0]:
        raise Refusal(f"{x.array.shape[0]} features meet a weight matrix for {right.shape[0]}")
    return Batched(dense(x.array, right))


@operator("BatchMatMulV2", "BatchMatMul", read=["adj_x", "adj_y"], ignored=["grad_x", "grad_y"])
def batch_matrix_product(x: Value, y: Value, *, adj_x: bool = False, adj_y: bool = False) -> Value:
    """A dense layer over the last axis; a product of two batches, or of stacks of matrices, is refused."""
    if isinstance(y, Batched) or tensor_rank(y) != 2:
        raise Refusal("only the product of a batch with one weight matrix is supported")
    weight = array_of(y).T if adj_y else array_of(y)
    if adj_x or not isinstance(x, Batched):
        raise Refusal("only the product of a batch with one weight matrix is supported")
    if x.array.shape[-2] != weight.shape[0]:
        raise Refusal(f"{x.array.shape[-2]} features meet a weight matrix for {weight.shape[0]}")
    if x.array.ndim == 2:
        return Batched(dense(x.array, weight))
    return Batched(jnp.einsum("...kn,km->...mn", x.array, weight, precision=lax.Precision.HIGHEST))


@operator("BiasAdd", required={"data_format": ("NHWC",)})
def add_bias(x: Value, bias: Value) -> Value:
    return pointwise(jnp.add, x, bias)


@operator(
    "FusedBatchNormV3",
    read=["epsilon"],
    required={"is_training": (False,), "data_format": ("NHWC",)},
    ignored=["exponential_avg_factor"],
)
def normalise_batch(x: Value, scale: Value, offset: Value, mean: Value, variance: Value, *, epsilon: float = 1e-4) -> Value:
    """Batch normalisation with the statistics of training; only the first of its six outputs exists."""

    def normalised(a: jax.Array, s: jax.Array, o: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return (a - m) * (lax.rsqrt(v + v.dtype.type(epsilon)) * s) + o

    return pointwise(normalised, x, scale, offset, mean, variance)


@operator("OneHot", read=["axis"])
def one_hot(indices: Value, depth: Value, on: Value, off: Value, *, axis: int = -1) -> Value:
    """An index outside 0..depth-1 gives a row of `off`."""
    if axis not in (-1, tensor_rank(indices)):
        raise Refusal(f"axis = {axis} is not supported, only the last axis")
    array = array_of(indices)
    place = feature_axis(indices, -1, "axis", extra=1)
    affordable((integer(depth, "the depth"), *array.shape[: array.ndim - isinstance(indices, Batched)]))
    classes = jnp.arange(integer(depth, "the depth"), dtype=array.dtype)
    classes = classes.reshape((1,) * place + (-1,) + (1,) * (array.ndim - place))
    hit = jnp.expand_dims(array, place) == classes
    return wrapped(jnp.where(hit, array_of(on), array_of(off)), indices, on, off)


@operator("GatherV2", required={"batch_dims": (0,)})
def gather(table: Value, indices: Value, axis: Value) -> Value:
    """Entries of `table` picked by `indices`.

    An index outside the table is an error in TensorFlow; a row with such an index is marked as failed.
    """
    along = integer(axis, "the axis")
    if isinstance(table, Shape):
        sizes = [table.sizes[position] for position in integers(indices, "the index")]
        return shape_value(sizes, np.dtype(np.int32), scalar=tensor_rank(indices) == 0)
    place = feature_axis(table, along, "axis")
    array, picks = array_of(table), array_of(indices)
    size = array.shape[place]
    if isinstance(indices, Batched):
        if isinstance(table, Batched):
            raise Refusal("the batch picks from the batch; only a constant table is supported")
        return gather_rows(array, picks, place)
    if isinstance(indices, Weight):
        raise Refusal(f"the index has more than {picks.size} entries, too many for a constant")
    positions = np.asarray(integers(indices, "the index"))
    if np.any((positions < 0) | (positions >= size)):
        raise Refusal(f"an index lies outside the {size} entries")
    affordable((picks.size, *array.shape[:place], *array.shape[place + 1 : array.ndim - isinstance(table, Batched)]))
    return wrapped(jnp.take(array, positions.reshape(picks.shape), axis=place), table, indices)


def gather_rows(table: jax.Array, picks: jax.Array, place: int) -> Value:
    """An embedding: table [size, *rest], picks [*features, n] → [*features, *rest, n]."""
    if place != 0:
        raise Refusal(f"{NOT_ROW_WISE} (it picks along axis {place} of a constant)")
    size = table.shape[0]
    outside = (picks < 0) | (picks >= size)
    chosen = jnp.take(table, jnp.where(outside, jnp.zeros((), picks.dtype), picks), axis=0)
    failed = jnp.any(outside.reshape(-1, outside.shape[-1]), axis=0)
    return Batched(jnp.moveaxis(chosen, picks.ndim - 1, -1), failed=failed)
