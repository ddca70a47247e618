"""ONNX operators that compute each element by itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.onnx.files import UnreadableError, dtype_of
from qtensor.lowering.models.onnx.registry import (
    OPERATORS,
    Array,
    Compute,
    Node,
    NotConvertedError,
    Text,
    is_floating,
    operator,
    same_rank,
)

UNARY = {
    "Abs": jnp.abs, "Neg": jnp.negative, "Exp": jnp.exp, "Log": jnp.log, "Sqrt": jnp.sqrt, "Floor": jnp.floor, "Ceil": jnp.ceil,
    "Round": jnp.round, "Sign": jnp.sign, "Sin": jnp.sin, "Cos": jnp.cos, "Tan": jnp.tan, "Asin": jnp.arcsin, "Acos": jnp.arccos,
    "Atan": jnp.arctan, "Sinh": jnp.sinh, "Cosh": jnp.cosh, "Asinh": jnp.arcsinh, "Acosh": jnp.arccosh, "Atanh": jnp.arctanh,
    "Tanh": jnp.tanh, "Erf": lax.erf, "Not": jnp.logical_not, "IsNaN": jnp.isnan, "Identity": lambda x: x,
    "Reciprocal": lambda x: 1 / x, "Sigmoid": jax.nn.sigmoid, "Relu": lambda x: jnp.maximum(x, 0),
    "Softplus": lambda x: jnp.logaddexp(x, jnp.zeros_like(x)), "Softsign": lambda x: x / (1 + jnp.abs(x)),
    "HardSwish": lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1), "Mish": lambda x: x * jnp.tanh(jnp.logaddexp(x, jnp.zeros_like(x))),
    "BitwiseNot": jnp.bitwise_not,
}  # fmt: skip
BINARY = {
    "Add": jnp.add, "Sub": jnp.subtract, "Mul": jnp.multiply, "And": jnp.logical_and, "Or": jnp.logical_or,
    "Xor": jnp.logical_xor, "Equal": jnp.equal, "Greater": jnp.greater, "Less": jnp.less, "GreaterOrEqual": jnp.greater_equal,
    "LessOrEqual": jnp.less_equal, "BitwiseAnd": jnp.bitwise_and, "BitwiseOr": jnp.bitwise_or, "BitwiseXor": jnp.bitwise_xor,
}  # fmt: skip


def unary(compute: Any) -> Compute:
    return lambda node, x: compute(x)


def binary(compute: Any) -> Compute:
    return lambda node, left, right: compute(*same_rank(left, right))


OPERATORS.update({("", kind): unary(compute) for kind, compute in UNARY.items()})
OPERATORS.update({("", kind): binary(compute) for kind, compute in BINARY.items()})


@operator("Div")
def div(node: Node, left: Array, right: Array) -> Array:
    """Integers are cut towards zero."""
    left, right = same_rank(left, right)
    return left / right if is_floating(left) else lax.div(*jnp.broadcast_arrays(left, right))


@operator("Mod")
def mod(node: Node, left: Array, right: Array) -> Array:
    left, right = same_rank(left, right)
    return jnp.fmod(left, right) if node.get("fmod", 0) else jnp.mod(left, right)


@operator("Pow")
def power(node: Node, base: Array, exponent: Array) -> Array:
    if isinstance(exponent, np.ndarray) and exponent.size == 1 and float(exponent.ravel()[0]) in (1, 2, 3):
        times = int(exponent.ravel()[0])
        result = base
        for _ in range(times - 1):
            result = result * base
        return jnp.broadcast_to(result, np.broadcast_shapes(np.shape(base), exponent.shape))
    base, raised = same_rank(base, exponent)
    return jnp.power(base, raised.astype(base.dtype))


@operator("Max", "Min", "Sum", "Mean")
def several(node: Node, *values: Array) -> Array:
    result, *others = same_rank(*values)
    for other in others:
        result = {"Max": jnp.maximum, "Min": jnp.minimum}.get(node.kind, jnp.add)(result, other)
    return result / len(values) if node.kind == "Mean" else result


@operator("Where")
def where(node: Node, condition: Array, yes: Array, no: Array) -> Array:
    return jnp.where(*same_rank(condition, yes, no))


@operator("IsInf")
def is_inf(node: Node, x: Array) -> Array:
    above, below = node.get("detect_positive", 1), node.get("detect_negative", 1)
    return jnp.isinf(x) & (((x > 0) & bool(above)) | ((x < 0) & bool(below)))


@operator("Clip")
def clip(node: Node, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    if node.opset < 11:
        low, high = (None if one is None else np.asarray(one, x.dtype) for one in (node.get("min"), node.get("max")))
    x = x if low is None else jnp.maximum(x, jnp.reshape(low, (1,) * np.ndim(x)))
    return x if high is None else jnp.minimum(x, jnp.reshape(high, (1,) * np.ndim(x)))


@operator("LeakyRelu", "ThresholdedRelu", "Elu", "Celu", "Selu", "HardSigmoid", "Shrink")
def rectified(node: Node, x: Array) -> Array:
    alpha = node.get("alpha", {"LeakyRelu": 0.01, "Selu": 1.67326319217681884765625, "HardSigmoid": 0.2}.get(node.kind, 1.0))
    match node.kind:
        case "LeakyRelu":
            return jnp.where(x < 0, x * alpha, x)
        case "ThresholdedRelu":
            return jnp.where(x > alpha, x, jnp.zeros_like(x))
        case "Elu":
            return jnp.where(x < 0, alpha * jnp.expm1(x), x)
        case "Celu":
            return jnp.maximum(x, 0) + jnp.minimum(alpha * jnp.expm1(x / alpha), 0)
        case "Selu":
            return node.get("gamma", 1.05070102214813232421875) * jnp.where(x <= 0, alpha * jnp.expm1(x), x)
        case "HardSigmoid":
            return jnp.clip(x * alpha + node.get("beta", 0.5), 0, 1)
        case _:
            bound, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
            return jnp.where(x < -bound, x + bias, jnp.where(x > bound, x - bias, jnp.zeros_like(x)))


@operator("PRelu")
def p_relu(node: Node, x: Array, slope: Array) -> Array:
    x, slope = same_rank(x, slope)
    return jnp.where(x < 0, x * slope, x)


@operator("Gelu")
def gelu(node: Node, x: Array) -> Array:
    return jax.nn.gelu(x, approximate=node.get("approximate", "none") == "tanh")


@operator("Dropout")
def dropout(node: Node, x: Array, *others: Array) -> Any:
    node.ignore("ratio", "seed", "is_test")
    return (x, jnp.ones_like(x, bool)) if len(node.outputs) > 1 else x


@operator("Cast")
def cast(node: Node, x: Any) -> Any:
    node.ignore("saturate", "round_mode")
    if isinstance(x, Text):
        if node.get("to") != 8:
            raise NotConvertedError("makes numbers of texts")
        return x
    return as_type(x, node.get("to"))


@operator("CastLike")
def cast_like(node: Node, x: Array, like: Array) -> Array:
    node.ignore("saturate")
    return x.astype(like.dtype)


def as_type(x: Array, number: int) -> Array:
    try:
        return x.astype(dtype_of(number))
    except UnreadableError as error:
        raise NotConvertedError(str(error)) from error


@operator("BitShift")
def bit_shift(node: Node, x: Array, by: Array) -> Array:
    return (jnp.left_shift if node.get("direction") == "LEFT" else jnp.right_shift)(*same_rank(x, by))


@operator("QuantizeLinear")
def quantize(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    node.ignore("saturate")
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    scale, zero = along(node, x, scale), None if zero is None else along(node, x, zero)
    rounded = jnp.round(x / scale) + (0 if zero is None else zero.astype(x.dtype))
    return jnp.clip(rounded, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@operator("DequantizeLinear")
def dequantize(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    shifted = x.astype(jnp.int32) - (0 if zero is None else along(node, x, zero).astype(jnp.int32))
    return shifted.astype(scale.dtype) * along(node, x, scale)


def along(node: Node, x: Array, value: Array) -> Array:
    """A number, or one for each place of an axis."""
    if node.get("block_size", 0):
        raise NotConvertedError("is quantised in blocks")
    axis = node.get("axis", 1)
    if value.size == 1:
        return jnp.reshape(value, (1,) * x.ndim)
    return jnp.reshape(value, tuple(-1 if position == axis % x.ndim else 1 for position in range(x.ndim)))
