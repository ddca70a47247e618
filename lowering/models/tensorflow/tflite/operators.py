"""TensorFlow Lite's operators of floats and of integers that are no quantised numbers, for one row as a batch of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from qtensor.lowering.models.tensorflow.tflite.files import Tensor

Array: TypeAlias = Any  # np.ndarray of what is known, jax.Array of what depends on the row


class NotConvertedError(Exception):
    """What stands in the way of an operator."""


@dataclass
class Node:
    """An operator with what it knows of its tensors. seen: the options that were read."""

    kind: str
    options: dict[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    def get(self, name: str, default: Any = 0) -> Any:
        found = self.options.get(name)
        return default if found is None else found


Compute: TypeAlias = Callable[..., Any]  # of a node and its inputs: its output, or a tuple of them
OPERATORS: dict[str, Compute] = {}


def operator(*kinds: str) -> Callable[[Compute], Compute]:
    def register(compute: Compute) -> Compute:
        OPERATORS.update(dict.fromkeys(kinds, compute))
        return compute

    return register


def known(value: Array, what: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise NotConvertedError(f"has a {what} that depends on the row")
    return value


def integers(value: Array, what: str) -> list[int]:
    return [int(one) for one in np.ravel(known(value, what))]


ACTIVATIONS: dict[int, Callable[[Array], Array]] = {
    0: lambda x: x,
    1: lambda x: jnp.maximum(x, jnp.zeros((), x.dtype)),
    2: lambda x: jnp.clip(x, -1, 1),
    3: lambda x: jnp.clip(x, 0, 6),
    4: jnp.tanh,
}


def activated(node: Node, x: Array) -> Array:
    kind = int(node.get("fusedActivationFunction"))
    if kind not in ACTIVATIONS:
        raise NotConvertedError("has an activation that is not supported")
    return ACTIVATIONS[kind](x)


UNARY: dict[str, Compute] = {
    "ABS": jnp.abs, "EXP": jnp.exp, "LOG": jnp.log, "SQRT": jnp.sqrt, "RSQRT": lax.rsqrt, "SQUARE": jnp.square, "SIN": jnp.sin,
    "COS": jnp.cos, "NEG": jnp.negative, "FLOOR": jnp.floor, "CEIL": jnp.ceil, "ROUND": jnp.round, "SIGN": jnp.sign,
    "RELU": ACTIVATIONS[1], "RELU_N1_TO_1": ACTIVATIONS[2], "RELU6": ACTIVATIONS[3], "TANH": jnp.tanh, "LOGISTIC": jax.nn.sigmoid,
    "ELU": jax.nn.elu, "HARD_SWISH": lambda x: x * jnp.clip(x + 3, 0, 6) / 6, "LOG_SOFTMAX": jax.nn.log_softmax,
    "LOGICAL_NOT": jnp.logical_not,
}  # fmt: skip
BINARY: dict[str, Compute] = {
    "ADD": jnp.add, "SUB": jnp.subtract, "MUL": jnp.multiply, "DIV": jnp.divide, "MAXIMUM": jnp.maximum, "MINIMUM": jnp.minimum,
    "POW": jnp.power, "SQUARED_DIFFERENCE": lambda x, y: jnp.square(x - y), "FLOOR_DIV": jnp.floor_divide, "FLOOR_MOD": jnp.mod,
    "GREATER": jnp.greater, "GREATER_EQUAL": jnp.greater_equal, "LESS": jnp.less, "LESS_EQUAL": jnp.less_equal,
    "EQUAL": jnp.equal, "NOT_EQUAL": jnp.not_equal, "LOGICAL_AND": jnp.logical_and, "LOGICAL_OR": jnp.logical_or,
}  # fmt: skip
REDUCTIONS: dict[str, Compute] = {
    "MEAN": jnp.mean, "SUM": jnp.sum, "REDUCE_MAX": jnp.max, "REDUCE_MIN": jnp.min, "REDUCE_PROD": jnp.prod,
    "REDUCE_ANY": jnp.any, "REDUCE_ALL": jnp.all,
}  # fmt: skip


@operator(*UNARY)
def unary(node: Node, x: Array) -> Array:
    return UNARY[node.kind](x)


@operator(*BINARY)
def binary(node: Node, x: Array, y: Array) -> Array:
    rank = max(np.ndim(x), np.ndim(y))
    x, y = (jnp.reshape(one, (1,) * (rank - np.ndim(one)) + np.shape(one)) for one in (x, y))
    return activated(node, BINARY[node.kind](x, y))


@operator("GELU")
def gelu(node: Node, x: Array) -> Array:
    return jax.nn.gelu(x, approximate=bool(node.get("approximate")))


@operator("LEAKY_RELU")
def leaky(node: Node, x: Array) -> Array:
    return jnp.where(x > 0, x, x * jnp.asarray(node.get("alpha"), x.dtype))


@operator("PRELU")
def prelu(node: Node, x: Array, alpha: Array) -> Array:
    alpha = jnp.reshape(alpha, (1,) * (np.ndim(x) - np.ndim(alpha)) + np.shape(alpha))
    return jnp.where(x >= 0, x, x * alpha)


@operator("SOFTMAX")
def softmax(node: Node, x: Array) -> Array:
    return jax.nn.softmax(x * jnp.asarray(node.get("beta", 1.0), x.dtype), axis=-1)


@operator("L2_NORMALIZATION")
def l2(node: Node, x: Array) -> Array:
    return activated(node, x / jnp.maximum(jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)), jnp.asarray(1e-6, x.dtype)))


@operator("SELECT", "SELECT_V2")
def select(node: Node, condition: Array, x: Array, y: Array) -> Array:
    rank = max(np.ndim(one) for one in (condition, x, y))
    return jnp.where(*(jnp.reshape(one, (1,) * (rank - np.ndim(one)) + np.shape(one)) for one in (condition, x, y)))


@operator("CAST")
def cast(node: Node, x: Array) -> Array:
    to = node.outputs[0].dtype
    return jnp.trunc(x).astype(to) if x.dtype.kind == "f" and to.kind in "iu" else jnp.asarray(x).astype(to)


# --- products -----------------------------------------------------------------------------------------------------------------


@operator("FULLY_CONNECTED")
def fully_connected(node: Node, x: Array, weights: Array, bias: Array = None) -> Array:
    if node.get("weightsFormat"):
        raise NotConvertedError("has weights in a shuffled order")
    found = jnp.matmul(jnp.reshape(x, (-1, weights.shape[1])), jnp.transpose(weights))
    return activated(node, shaped_as(node, x, with_bias(found, bias)))


def shaped_as(node: Node, x: Array, found: Array) -> Array:
    return jnp.reshape(found, (*x.shape[:-1], found.shape[-1])) if node.get("keepNumDims") else found


def with_bias(x: Array, bias: Array) -> Array:
    return x if bias is None else x + jnp.reshape(bias, (1,) * (x.ndim - 1) + (-1,))


def windows(node: Node) -> dict[str, Any]:
    dilation = int(node.get("dilationHFactor", 1)), int(node.get("dilationWFactor", 1))
    return {
        "window_strides": (int(node.get("strideH", 1)), int(node.get("strideW", 1))),
        "padding": "VALID" if node.get("padding") else "SAME",
        "rhs_dilation": dilation,
    }


def convolved(node: Node, x: Array, weights: Array) -> Array:
    """The sums of a convolution of rows [1, height, width, channels], ordinary or by channel."""
    if node.kind == "CONV_2D":
        groups, turned = x.shape[-1] // weights.shape[-1], jnp.transpose(weights, (1, 2, 3, 0))
    else:
        groups = x.shape[-1]
        turned = jnp.reshape(jnp.transpose(weights, (1, 2, 0, 3)), (*weights.shape[1:3], 1, weights.shape[-1]))
    return lax.conv_general_dilated(
        x, turned, **windows(node), dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


@operator("CONV_2D", "DEPTHWISE_CONV_2D")
def convolution(node: Node, x: Array, weights: Array, bias: Array = None) -> Array:
    return activated(node, with_bias(convolved(node, x, weights), bias))


@operator("BATCH_MATMUL")
def batch_matmul(node: Node, x: Array, y: Array) -> Array:
    x = jnp.swapaxes(x, -1, -2) if node.get("adjX") else x
    return jnp.matmul(x, jnp.swapaxes(y, -1, -2) if node.get("adjY") else y)


def pooled(node: Node, x: Array, start: Any, put: Callable[[Array, Array], Array]) -> Array:
    size = (1, int(node.get("filterHeight")), int(node.get("filterWidth")), 1)
    stride = (1, int(node.get("strideH", 1)), int(node.get("strideW", 1)), 1)
    return lax.reduce_window(x, jnp.asarray(start, x.dtype), put, size, stride, "VALID" if node.get("padding") else "SAME")


@operator("AVERAGE_POOL_2D")
def average_pool(node: Node, x: Array) -> Array:
    return activated(node, pooled(node, x, 0, lax.add) / pooled(node, jnp.ones_like(x), 0, lax.add))


@operator("MAX_POOL_2D")
def max_pool(node: Node, x: Array) -> Array:
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return activated(node, pooled(node, x, low, lax.max))


@operator(*REDUCTIONS)
def reduction(node: Node, x: Array, axes: Array) -> Array:
    along = tuple(axis % max(1, np.ndim(x)) for axis in integers(axes, "list of axes"))
    return REDUCTIONS[node.kind](x, along, keepdims=bool(node.get("keepDims"))).astype(x.dtype)


@operator("ARG_MAX", "ARG_MIN")
def arg_max(node: Node, x: Array, axis: Array) -> Array:
    find = jnp.argmax if node.kind == "ARG_MAX" else jnp.argmin
    return find(x, integers(axis, "axis")[0]).astype(node.outputs[0].dtype)


@operator("CUMSUM")
def cumulative(node: Node, x: Array, axis: Array) -> Array:
    along = integers(axis, "axis")[0]
    x = jnp.flip(x, along) if node.get("reverse") else x
    found = jnp.cumsum(x, along, dtype=x.dtype)
    found = found - x if node.get("exclusive") else found
    return jnp.flip(found, along) if node.get("reverse") else found


# --- places -------------------------------------------------------------------------------------------------------------------


@operator("RESHAPE")
def reshape(node: Node, x: Array, shape: Array = None) -> Array:
    return jnp.reshape(x, integers(np.asarray(node.get("newShape")) if shape is None else shape, "shape"))


@operator("SHAPE")
def shape_of(node: Node, x: Array) -> Array:
    return np.asarray(np.shape(x), node.outputs[0].dtype)


@operator("FILL")
def fill(node: Node, shape: Array, value: Array) -> Array:
    return jnp.broadcast_to(jnp.reshape(value, ()), integers(shape, "shape"))


@operator("SQUEEZE")
def squeeze(node: Node, x: Array) -> Array:
    axes = [int(one) for one in np.ravel(node.get("squeezeDims", []))]
    return jnp.squeeze(x, tuple(axes) or None)


@operator("EXPAND_DIMS")
def expand(node: Node, x: Array, axis: Array) -> Array:
    return jnp.expand_dims(x, integers(axis, "axis")[0])


@operator("TRANSPOSE")
def transpose(node: Node, x: Array, order: Array) -> Array:
    return jnp.transpose(x, integers(order, "order of axes"))


@operator("CONCATENATION")
def concatenation(node: Node, *parts: Array) -> Array:
    return activated(node, jnp.concatenate([jnp.asarray(part) for part in parts], int(node.get("axis"))))


@operator("PACK")
def pack(node: Node, *parts: Array) -> Array:
    axis = int(node.get("axis"))
    return np.stack(parts, axis) if all(isinstance(part, np.ndarray) for part in parts) else jnp.stack(parts, axis)


@operator("UNPACK")
def unpack(node: Node, x: Array) -> tuple[Array, ...]:
    axis = int(node.get("axis"))
    return tuple(jnp.squeeze(part, axis) for part in jnp.split(x, x.shape[axis], axis))


@operator("SPLIT")
def split(node: Node, axis: Array, x: Array) -> tuple[Array, ...]:
    return tuple(jnp.split(x, len(node.outputs), integers(axis, "axis")[0]))


@operator("SPLIT_V")
def split_by(node: Node, x: Array, sizes: Array, axis: Array) -> tuple[Array, ...]:
    ends = np.cumsum(integers(sizes, "list of sizes"))[:-1].tolist()
    return tuple(jnp.split(x, ends, integers(axis, "axis")[0]))


@operator("SLICE")
def sliced(node: Node, x: Array, begin: Array, size: Array) -> Array:
    spans = zip(integers(begin, "begin"), integers(size, "size"), strict=True)
    return x[tuple(slice(first, None if count < 0 else first + count) for first, count in spans)]


@operator("STRIDED_SLICE")
def strided(node: Node, x: Array, begin: Array, end: Array, strides: Array) -> Array:
    if node.get("ellipsisMask") or node.get("newAxisMask") or node.get("offset"):
        raise NotConvertedError("has masks that are not supported")
    first, last, steps = (integers(one, "place") for one in (begin, end, strides))
    masks = [int(node.get(key)) for key in ("beginMask", "endMask", "shrinkAxisMask")]
    wanted: list[Any] = []
    for place, (low, high, step) in enumerate(zip(first, last, steps, strict=True)):
        at_begin, at_end, shrinks = (bool(mask >> place & 1) for mask in masks)
        wanted.append(low if shrinks else slice(None if at_begin else low, None if at_end else high, step))
    return x[tuple(wanted)]


def paddings(value: Array) -> Sequence[tuple[int, int]]:
    return [(int(low), int(high)) for low, high in known(value, "padding")]


@operator("PAD", "PADV2", "MIRROR_PAD")
def pad(node: Node, x: Array, sizes: Array, value: Array = None) -> Array:
    if node.kind == "MIRROR_PAD":
        return jnp.pad(x, paddings(sizes), mode="symmetric" if node.get("mode") else "reflect")
    filled = jnp.zeros((), x.dtype) if value is None else jnp.reshape(jnp.asarray(value), ())
    return jnp.pad(x, paddings(sizes), constant_values=filled)


@operator("GATHER")
def gather(node: Node, x: Array, places: Array) -> Array:
    if node.get("batchDims"):
        raise NotConvertedError("has batch_dims")
    return jnp.take(jnp.asarray(x), jnp.asarray(places), axis=int(node.get("axis")), mode="clip")


@operator("TILE")
def tile(node: Node, x: Array, times: Array) -> Array:
    return jnp.tile(x, integers(times, "number of times"))


@operator("BROADCAST_TO")
def broadcast(node: Node, x: Array, shape: Array) -> Array:
    return jnp.broadcast_to(x, integers(shape, "shape"))
