"""Dense layers in the form that is fastest for their size, biases and batch normalisation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import Value, array_of, pointwise, tensor_rank, wrapped

# Measured by bench/dense_layers.py (2 cores, jaxlib 0.10.1, chunks of 65,536 rows; ms a million rows; a run spreads by a third).
# Broadcast products win to 32 weights (4-2: 0.7 against 1.1, 4-4: 1.2 against 1.7, 4-8: 2.6 against 2.6), lose from 256
# (4-16-16-4: 21 against 9), and win for one or two outputs, where XLA's matmul is a slow dot (64-1: 17 against 35 feature-major
# and 129 row-major; 256-1: 162 against 243). Larger models come row by row (`lowering/program/row_major.py`).
BROADCAST_LARGEST = 32
BROADCAST_OUTPUTS = 2
BROADCAST_INPUTS = 256


def dense(x: jax.Array, weight: jax.Array, *, one_row: bool) -> jax.Array:
    """One dense layer in the form that is fastest for its size; x: [k, n], weight: [k, m] → [m, n].

    A batch of `one_row`, which may have several entries, is what a large model is given, and what is then mapped over rows: that
    makes one product over rows of the form x.T @ weight.
    """
    inputs, outputs = weight.shape
    if one_row:
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


@operator("BiasAdd", "BiasAddV1", read=["data_format"])
def add_bias(x: Value, bias: Value, *, data_format: str = "NHWC") -> Value:
    """A bias for each channel, the last axis, or (NCHW) the second one."""
    if data_format == "NCHW" and tensor_rank(x) > 2:
        bias = wrapped(array_of(bias).reshape(-1, *(1,) * (tensor_rank(x) - 2)), bias)
    return pointwise(jnp.add, x, bias)


@operator(
    "FusedBatchNorm",
    "FusedBatchNormV2",
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
