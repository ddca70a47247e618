"""TensorFlow Lite's arithmetic of quantised numbers: a number is scale * (q - zero) for a small integer q.

Products and sums of q are whole numbers of 32 bits, scaled by whole numbers too, as TensorFlow Lite's kernels do. Those of
FULLY_CONNECTED, convolutions, BATCH_MATMUL, ADD, SUB, MUL, pools and what only moves numbers are theirs to the last bit. What
they compute by tables (LOGISTIC, TANH, SOFTMAX and others) is computed of floats and rounded; that, and MEAN, may be one quantum
away. Weights of integers beside rows of floats ("dynamic range") are multiplied as integers, after the row was quantised.

Source: tensorflow/lite/kernels/internal/common.h, quantization_util.cc and reference/integer_ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.tflite.files import Tensor
from qtensor.lowering.models.tensorflow.tflite.operators import (
    OPERATORS,
    Array,
    Node,
    NotConvertedError,
    activated,
    convolved,
    integers,
    pooled,
    shaped_as,
)

# What is computed of the floats that are meant, and rounded: one quantum away at most.
TABLES = frozenset(
    ("LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "HARD_SWISH", "LEAKY_RELU", "PRELU", "ELU", "GELU", "RELU", "RELU6", "ABS",
     "NEG", "RELU_N1_TO_1", "MAXIMUM", "MINIMUM", "CONCATENATION", "PACK", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL",
     "EQUAL", "NOT_EQUAL", "SELECT", "SELECT_V2", "ADD", "SUB")
)  # fmt: skip
# What only moves numbers, or compares those of one scale.
MOVING = frozenset(
    ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER", "PACK", "UNPACK", "SPLIT", "SPLIT_V",
     "CONCATENATION", "TILE", "BROADCAST_TO", "MAX_POOL_2D", "MAXIMUM", "MINIMUM", "REDUCE_MAX", "REDUCE_MIN", "MIRROR_PAD",
     "FILL", "SHAPE", "ARG_MAX", "ARG_MIN")
)  # fmt: skip


def limits(tensor: Tensor) -> tuple[int, int]:
    info = np.iinfo(tensor.dtype)
    return int(info.min), int(info.max)


def only(tensor: Tensor) -> tuple[float, int]:
    """The scale and zero of a tensor that has one."""
    if len(tensor.scale) != 1:
        raise NotConvertedError("has a scale for each channel where one is supported")
    return float(tensor.scale[0]), int(tensor.zero[0])


def dequantised(tensor: Tensor, q: Array) -> Array:
    """float32 of numbers of `tensor`."""
    shape = [1] * np.ndim(q)
    if len(tensor.scale) > 1:
        shape[tensor.axis] = len(tensor.scale)
    scale, zero = tensor.scale.astype(np.float32), tensor.zero.astype(np.int32)
    if len(tensor.scale) == 1:
        scale, zero = scale[:1], zero[:1]
    return (jnp.asarray(q).astype(jnp.int32) - jnp.reshape(zero, shape)).astype(jnp.float32) * jnp.reshape(scale, shape)


def quantised(tensor: Tensor, x: Array) -> Array:
    """int32 numbers of `tensor`: halves are rounded away from zero; NaN is the zero."""
    (scale, zero), (low, high) = only(tensor), limits(tensor)
    # A divisor that XLA knows would become a factor, which rounds otherwise.
    divisor = lax.optimization_barrier(jnp.float32(scale))  # type: ignore[no-untyped-call]
    ratio = jnp.nan_to_num(x / divisor, nan=0.0, posinf=2.0**30, neginf=-(2.0**30))
    return jnp.clip(away(jnp.clip(ratio, -(2.0**30), 2.0**30)).astype(jnp.int32) + zero, low, high)


# --- whole numbers scaled by whole numbers ------------------------------------------------------------------------------------


def multiplier_of(factor: float) -> tuple[int, int]:
    """A factor as m * 2^(shift - 31)."""
    if factor == 0:
        return 0, 0
    part, shift = math.frexp(factor)
    whole = round_half_away(part * (1 << 31))
    if whole == 1 << 31:
        whole, shift = whole // 2, shift + 1
    return (0, 0) if shift < -31 else (whole, min(shift, 30))


def round_half_away(x: float) -> int:
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)


def scaled(x: Array, factors: Any) -> Array:
    """Numbers of 32 bits times factors, of all or of each channel along the last axis, rounded once, halves up."""
    pairs = [multiplier_of(float(factor)) for factor in np.ravel(factors)]
    shape = (1,) * (np.ndim(x) - 1) + (-1,)
    whole, shift = (jnp.reshape(jnp.asarray([pair[place] for pair in pairs], jnp.int64), shape) for place in range(2))
    places = 31 - shift
    half = jnp.int64(1) << (places - 1)
    return ((x.astype(jnp.int64) * whole + half) >> places).astype(jnp.int32)


def finished(node: Node, accumulated: Array, factors: Any) -> Array:
    """The output's numbers of sums, with its activation."""
    output = node.outputs[0]
    scale, zero = only(output)
    low, high = limits(output)
    match int(node.get("fusedActivationFunction")):
        case 0:
            pass
        case 1:
            low = max(low, zero)
        case 2:
            low, high = max(low, zero + round_half_away(-1 / scale)), min(high, zero + round_half_away(1 / scale))
        case 3:
            low, high = max(low, zero), min(high, zero + round_half_away(6 / scale))
        case _:
            raise NotConvertedError("has an activation that is not supported")
    return jnp.clip(scaled(accumulated, factors) + zero, low, high)


KERNELS: dict[str, Callable[..., Any]] = {}


def kernel(*kinds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(compute: Callable[..., Any]) -> Callable[..., Any]:
        KERNELS.update(dict.fromkeys(kinds, compute))
        return compute

    return register


def tensors(node: Node) -> tuple[Tensor, ...]:
    return tuple(one for one in node.inputs if one is not None)


def shifted(tensor: Tensor, q: Array) -> Array:
    """q - zero, int32."""
    if len(set(tensor.zero.tolist())) != 1:
        raise NotConvertedError("has a zero for each channel, which is not supported")
    found = np.asarray(q).astype(np.int32) if isinstance(q, np.ndarray) else q.astype(jnp.int32)
    return found - np.int32(tensor.zero[0])


@kernel("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
def products(node: Node, x: Array, weights: Array, bias: Array = None) -> Array:
    own, its = tensors(node)[:2]
    factors = only(own)[0] * its.scale / only(node.outputs[0])[0]
    sums = summed(node, shifted(own, x), shifted(its, weights))
    if bias is not None:
        sums = sums + jnp.reshape(jnp.asarray(bias).astype(jnp.int32), (1,) * (sums.ndim - 1) + (-1,))
    found = finished(node, sums, factors)
    return shaped_as(node, x, found) if node.kind == "FULLY_CONNECTED" else found


def summed(node: Node, x: Array, weights: Array) -> Array:
    if node.kind == "FULLY_CONNECTED":
        return jnp.matmul(jnp.reshape(x, (-1, weights.shape[1])), jnp.transpose(weights))
    return convolved(node, x, weights)


@kernel("ADD", "SUB")
def added(node: Node, x: Array, y: Array) -> Array:
    """Both are brought to a common scale, 2^20 times finer; of 16 bits, whose kernels differ, only floats are added."""
    if node.outputs[0].dtype.itemsize != 1:
        return of_floats(node, x, y)
    first, second = tensors(node)
    scales = only(first)[0], only(second)[0]
    common = 2 * max(scales)
    parts = [
        scaled(shifted(tensor, q) << 20, scale / common) for tensor, q, scale in zip((first, second), (x, y), scales, strict=True)
    ]
    total = parts[0] + parts[1] if node.kind == "ADD" else parts[0] - parts[1]
    return finished(node, total, common / ((1 << 20) * only(node.outputs[0])[0]))


@kernel("MUL")
def multiplied(node: Node, x: Array, y: Array) -> Array:
    first, second = tensors(node)
    factor = only(first)[0] * only(second)[0] / only(node.outputs[0])[0]
    return finished(node, shifted(first, x) * shifted(second, y), factor)


@kernel("BATCH_MATMUL")
def batch_matmul(node: Node, x: Array, y: Array) -> Array:
    first, second = tensors(node)
    factor = only(first)[0] * only(second)[0] / only(node.outputs[0])[0]
    return finished(node, OPERATORS["BATCH_MATMUL"](node, shifted(first, x), shifted(second, y)), factor)


@kernel("MEAN", "SUM")
def reduced(node: Node, x: Array, axes: Array) -> Array:
    """Of whole numbers, whose sum is scaled once; a mean by the number of its numbers, too."""
    own = tensors(node)[0]
    along = tuple(axis % max(1, np.ndim(x)) for axis in integers(axes, "list of axes"))
    total = jnp.sum(shifted(own, x), along, keepdims=bool(node.get("keepDims")), dtype=jnp.int32)
    count = max(1, int(np.prod(np.shape(x))) // max(1, int(np.prod(total.shape)))) if node.kind == "MEAN" else 1
    return finished(node, total, only(own)[0] / (only(node.outputs[0])[0] * count))


@kernel("AVERAGE_POOL_2D")
def average_pool(node: Node, x: Array) -> Array:
    total = pooled(node, x, 0, lax.add)
    count = pooled(node, jnp.ones_like(x), 0, lax.add)
    rounded = jnp.where(total > 0, total + count // 2, total - count // 2)
    return jnp.clip(lax.div(rounded, count), *limits(node.outputs[0]))


@kernel("PAD", "PADV2")
def pad(node: Node, x: Array, sizes: Array, value: Array = None) -> Array:
    filled = np.int32(only(node.outputs[0])[1]) if value is None else jnp.asarray(value).astype(jnp.int32)
    return OPERATORS["PADV2"](node, x, sizes, filled)


@kernel("QUANTIZE")
def quantize(node: Node, x: Array) -> Array:
    """Of floats, or of numbers of another scale."""
    (own,) = tensors(node)
    if not own.is_quantised:
        return quantised(node.outputs[0], x)
    return finished(node, shifted(own, x), only(own)[0] / only(node.outputs[0])[0])


def of_floats(node: Node, *values: Array) -> Any:
    """What an operator gives of the numbers that are meant, rounded to numbers again."""
    meant = [
        dequantised(tensor, value) if tensor is not None and tensor.is_quantised else value
        for tensor, value in zip(node.inputs, values, strict=False)
    ]
    found = OPERATORS[node.kind](node, *meant)
    if not node.outputs[0].is_quantised:
        return found
    found = found if isinstance(found, tuple) else (found,)
    return tuple(quantised(tensor, one) for tensor, one in zip(node.outputs, found, strict=True))


def computed(node: Node, *values: Array) -> Any:
    """An operator some of whose tensors are quantised."""
    used = [tensor for tensor in node.inputs if tensor is not None and tensor.is_quantised]
    output = node.outputs[0]
    if node.kind == "DEQUANTIZE":
        return dequantised(used[0], values[0]) if used else jnp.asarray(values[0]).astype(jnp.float32)
    if not output.is_quantised and node.kind in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
        return of_a_dynamic_range(node, *values)
    if output.is_quantised and node.kind in KERNELS:
        return KERNELS[node.kind](node, *values)
    same = all(
        np.array_equal(one.scale, used[0].scale) and np.array_equal(one.zero, used[0].zero)
        for one in (*used, *node.outputs)
        if one.is_quantised
    )
    if used and same and node.kind in MOVING:
        return OPERATORS[node.kind](node, *values)
    if node.kind not in TABLES:
        raise NotConvertedError("of quantised numbers is not supported")
    return of_floats(node, *values)


# --- rows of floats with weights of integers ----------------------------------------------------------------------------------


def of_a_dynamic_range(node: Node, x: Array, weights: Array, bias: Array = None) -> Array:
    """Each row, or image, is quantised by its own range first."""
    its = tensors(node)[1]
    of_rows = node.kind == "FULLY_CONNECTED"
    if (its.zero != 0).any() or (of_rows and len(its.scale) > 1 and its.axis != 0):
        raise NotConvertedError("has weights whose zero is none, which is not supported beside floats")
    rows = jnp.reshape(x, (-1, weights.shape[1])) if of_rows else x
    along = (1,) if of_rows else (1, 2, 3)
    is_asymmetric = bool(node.get("asymmetricQuantizeInputs")) or not of_rows
    q, scale, zero = (asymmetric if is_asymmetric else symmetric)(rows, along)
    exact = jnp.asarray(weights).astype(jnp.int32)
    sums = summed(node, q - zero, exact)
    found = sums.astype(jnp.float32) * scale * jnp.reshape(its.scale.astype(np.float32), (1,) * (sums.ndim - 1) + (-1,))
    if bias is not None:
        found = found + jnp.reshape(bias, (1,) * (found.ndim - 1) + (-1,))
    found = activated(node, found)
    return shaped_as(node, x, found) if of_rows else found


def symmetric(x: Array, along: tuple[int, ...]) -> tuple[Array, Array, Array]:
    largest = jnp.abs(x).max(along, keepdims=True)
    is_zero = largest == 0
    inverse = jnp.where(is_zero, jnp.float32(1), jnp.float32(127) / jnp.where(is_zero, jnp.float32(1), largest))
    q = jnp.clip(away(x * inverse), -127, 127).astype(jnp.int32)
    return q, jnp.where(is_zero, jnp.float32(1), largest / jnp.float32(127)), jnp.int32(0)


def asymmetric(x: Array, along: tuple[int, ...]) -> tuple[Array, Array, Array]:
    low = jnp.minimum(x.min(along, keepdims=True), jnp.float32(0)).astype(jnp.float64)
    high = jnp.maximum(x.max(along, keepdims=True), jnp.float32(0)).astype(jnp.float64)
    is_zero = low == high
    scale = jnp.where(is_zero, 1.0, (high - low) / 255.0)
    by_low, by_high = -128.0 - low / scale, 127.0 - high / scale
    nearer = 128.0 + jnp.abs(low / scale) < 127.0 + jnp.abs(high / scale)
    zero = jnp.where(is_zero, 0.0, jnp.clip(away(jnp.where(nearer, by_low, by_high)), -128.0, 127.0))
    inverse = (1.0 / scale).astype(jnp.float32)
    q = jnp.clip(away(zero.astype(jnp.float32) + x * inverse), -128, 127)
    q = jnp.where(is_zero, jnp.float32(0), q).astype(jnp.int32)
    return q, scale.astype(jnp.float32), zero.astype(jnp.int32)


def away(x: Array) -> Array:
    """Rounded to whole numbers, halves away from zero."""
    return jnp.trunc(x + jnp.copysign(jnp.asarray(0.5, x.dtype), x))
