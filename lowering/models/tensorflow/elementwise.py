"""TensorFlow operators that compute each element from the elements at the same place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.registry import OPS, Operator, operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Rows,
    Shape,
    Static,
    Value,
    Weight,
    aligned,
    array_of,
    batch_after_broadcast,
    marked,
    moved,
    pointwise,
    shape_value,
    sizes_of,
    tensor_rank,
)


def selu(x: jax.Array) -> jax.Array:
    """Klambauer et al., Self-Normalizing Neural Networks (2017); the constants are TensorFlow's."""
    scale, scaled_alpha = x.dtype.type(1.0507009873554805), x.dtype.type(1.7580993408473768)
    return jnp.where(x < 0, scaled_alpha * jnp.expm1(jnp.minimum(x, 0)), scale * x)


def elu(x: jax.Array) -> jax.Array:
    return jnp.where(x < 0, jnp.expm1(jnp.minimum(x, 0)), x)


def softplus(x: jax.Array) -> jax.Array:
    """log(1 + e^x), written so that neither end overflows or loses its digits."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def float_floor_modulo(x: jax.Array, y: jax.Array) -> jax.Array:
    remainder = lax.rem(x, y)
    return jnp.where((remainder != 0) & ((y < 0) != (remainder < 0)), remainder + y, remainder)


def divide_no_nan(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.where(y == 0, jnp.zeros((), x.dtype), x / jnp.where(y == 0, jnp.ones((), y.dtype), y))


def clip(x: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    return jnp.minimum(jnp.maximum(x, low), high)


ELEMENTWISE: dict[str, Callable[..., jax.Array]] = {
    "Abs": jnp.abs,
    "Add": jnp.add,
    "AddV2": jnp.add,
    "Ceil": jnp.ceil,
    "ClipByValue": clip,
    "Cos": jnp.cos,
    "DivNoNan": divide_no_nan,
    "Elu": elu,
    "Erf": lax.erf,
    "Erfc": lax.erfc,
    "Exp": jnp.exp,
    "Expm1": jnp.expm1,
    "Floor": jnp.floor,
    "Greater": jnp.greater,
    "GreaterEqual": jnp.greater_equal,
    "IsFinite": jnp.isfinite,
    "IsInf": jnp.isinf,
    "IsNan": jnp.isnan,
    "Less": jnp.less,
    "LessEqual": jnp.less_equal,
    "Log": jnp.log,
    "Log1p": jnp.log1p,
    "LogicalAnd": jnp.logical_and,
    "LogicalNot": jnp.logical_not,
    "LogicalOr": jnp.logical_or,
    "Maximum": jnp.maximum,
    "Minimum": jnp.minimum,
    "Neg": jnp.negative,
    "OnesLike": jnp.ones_like,
    "Reciprocal": lambda x: jnp.ones((), x.dtype) / x,
    "Relu": lambda x: jnp.maximum(x, jnp.zeros((), x.dtype)),
    "Relu6": lambda x: jnp.clip(x, x.dtype.type(0), x.dtype.type(6)),
    "Rint": jnp.round,
    "Round": jnp.round,  # both round half to even, as TensorFlow
    "Rsqrt": lambda x: lax.rsqrt(x),
    "SelectV2": jnp.where,
    "Selu": selu,
    "Sigmoid": lax.logistic,
    "Sign": jnp.sign,
    "Sin": jnp.sin,
    "Softplus": softplus,
    "Softsign": lambda x: x / (1 + jnp.abs(x)),
    "Sqrt": jnp.sqrt,
    "Square": lambda x: x * x,
    "SquaredDifference": lambda x, y: (x - y) * (x - y),
    "Sub": jnp.subtract,
    "Tanh": jnp.tanh,
    "ZerosLike": jnp.zeros_like,
}
OPS.update({name: Operator(partial(pointwise, function)) for name, function in ELEMENTWISE.items()})

for _name, _function in {"Equal": jnp.equal, "NotEqual": jnp.not_equal}.items():
    # Where False is given, as by Python's ==, shapes that do not fit are unequal; here they are refused all the same.
    operator(_name, required={"incompatible_shape_error": (True, False)})(partial(pointwise, _function))


@operator("LeakyRelu", read=["alpha"])
def leaky_relu(x: Value, *, alpha: float = 0.2) -> Value:
    return pointwise(lambda a: jnp.where(a > 0, a, a * a.dtype.type(alpha)), x)


@operator("Mul")
def multiply(x: Value, y: Value) -> Value:
    """A product; of the number of rows too, with which a Reshape may repeat a shape."""
    if not isinstance(x, Shape) and not isinstance(y, Shape):
        return pointwise(jnp.multiply, x, y)
    left, right = sizes_of(x, "a factor"), sizes_of(y, "a factor")
    if len(left) != 1 or len(right) != 1:
        raise Refusal("a product of shapes is not supported")
    match left[0], right[0]:
        case (Rows(count, times), int(factor)) | (int(factor), Rows(count, times)):
            scalar = tensor_rank(x) == tensor_rank(y) == 0
            return shape_value([Rows(count, times * factor)], np.dtype(np.int32), scalar)
    raise Refusal("the number of rows is multiplied by itself")


@operator("AddN", ignored=["N"])
def add_all(*values: Value) -> Value:
    total = values[0]
    for value in values[1:]:
        total = pointwise(jnp.add, total, value)
    return total


def failing_where_zero(function: Callable[..., jax.Array], x: Value, y: Value) -> Value:
    """An integer division; rows that divide by zero, an error in TensorFlow, are marked as failed."""
    dividend, divisor = aligned([x, y])
    zero = divisor == 0
    result = function(dividend, jnp.where(zero, jnp.ones((), divisor.dtype), divisor))
    if isinstance(y, Static) and bool(np.any(y.array == 0)):
        raise Refusal("it divides integers by zero")
    value = moved(result, batch_after_broadcast([x, y]), x, y)
    if isinstance(y, Batched):
        return marked(value, zero, y)
    if isinstance(y, Weight) and isinstance(value, Weight):
        return Weight(result, failed=jnp.any(zero))
    if isinstance(y, Weight):
        raise Refusal("it divides integers by weights, which may be zero")
    return value


def is_floating(value: Value) -> bool:
    return bool(jnp.issubdtype(array_of(value).dtype, jnp.floating))


@operator("RealDiv", "Div")
def divide(x: Value, y: Value) -> Value:
    if not is_floating(x):
        raise Refusal("division of integers that is neither FloorDiv nor FloorMod is not supported")
    return pointwise(jnp.divide, x, y)


@operator("FloorDiv")
def floor_divide(x: Value, y: Value) -> Value:
    """A quotient; of a multiple of the number of rows too, where it comes out even."""
    if isinstance(x, Shape):
        divisors = sizes_of(y, "a divisor")
        match x.sizes, divisors:
            case (Rows(count, times),), (int(divisor),) if divisor > 0 and times % divisor == 0:
                return shape_value([Rows(count, times // divisor)], np.dtype(np.int32), x.scalar)
            case (Rows(count, times),), (Rows(count_below, times_below),) if count == count_below and times % times_below == 0:
                return Static(np.asarray(times // times_below, np.int32).reshape(() if x.scalar else (1,)))
        raise Refusal(f"{NOT_ROW_WISE} (it divides the number of rows)")
    if is_floating(x):
        return pointwise(lambda a, b: jnp.floor(a / b), x, y)
    return failing_where_zero(jnp.floor_divide, x, y)


@operator("FloorMod")
def floor_modulo(x: Value, y: Value) -> Value:
    if is_floating(x):
        return pointwise(float_floor_modulo, x, y)
    return failing_where_zero(jnp.mod, x, y)


@operator("Pow")
def power(x: Value, y: Value) -> Value:
    if not is_floating(x) and not (isinstance(y, Static) and bool(np.all(np.asarray(y.array, np.int64) >= 0))):
        raise Refusal("an integer power needs a constant exponent that is not negative")
    return pointwise(lambda a, b: jnp.power(*jnp.broadcast_arrays(a, b)), x, y)


@operator("Select")
def select(condition: Value, x: Value, y: Value) -> Value:
    """TensorFlow 1's where: a condition of one axis picks whole rows."""
    if tensor_rank(condition) == 1 and tensor_rank(x) > 1:
        rows = array_of(condition)
        if not isinstance(condition, Batched):
            raise Refusal("a constant condition would pick rows by their position")
        if condition.axis is None:
            return pointwise(
                jnp.where, replace(condition, array=rows.reshape(-1, *(1,) * (tensor_rank(x) - 1), rows.shape[-1])), x, y
            )
        return pointwise(jnp.where, replace(condition, array=rows.reshape((1,) * (tensor_rank(x) - 1) + (-1,))), x, y)
    return pointwise(jnp.where, condition, x, y)


@operator("Cast", read=["DstT"], required={"Truncate": (False,)})
def cast(x: Value, *, DstT: Any) -> Value:  # noqa: N803 - TensorFlow's name
    if isinstance(x, Shape):
        if not np.issubdtype(DstT, np.integer):
            raise Refusal(f"{NOT_ROW_WISE} (it turns the number of rows into a value)")
        return x
    result = pointwise(lambda a: convert(a, np.dtype(DstT)), x)
    if isinstance(x, Batched) and isinstance(result, Batched) and x.classes and np.iinfo(np.int8).max >= x.classes:
        return replace(result, classes=x.classes)  # any number type holds so few
    return result


def convert(x: jax.Array, target: np.dtype[Any]) -> jax.Array:
    """`x` as `target`; a float outside an integer's range, or NaN, becomes what x86 makes of it: its least value.

    8- and 16-bit integers are cut from a 32-bit one, as TensorFlow's C++ casts are. XLA alone would clamp, and make NaN 0.
    """
    if not (jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(target, jnp.integer)):
        return x.astype(target)
    bits = 64 if target.itemsize == 8 or target == np.uint32 else 32
    wide = np.dtype(f"int{bits}")
    limit = 2.0 ** (bits - 1)
    exact = x if x.dtype == np.float64 else x.astype(np.float32)
    fits = (exact >= -limit) & (exact < limit)
    whole = jnp.where(fits, exact, jnp.zeros((), exact.dtype)).astype(wide)
    return jnp.where(fits, whole, jnp.full((), -(2 ** (bits - 1)), wide)).astype(target)


FEW_BOUNDARIES = 32  # so many are compared with one by one


@operator("Bucketize", read=["boundaries"])
def bucketize(x: Value, *, boundaries: tuple[float, ...]) -> Value:
    """The number of boundaries that `x` is not below: NaN is in the last bucket."""

    def count(a: jax.Array) -> jax.Array:
        if len(boundaries) > FEW_BOUNDARIES:
            ascending = np.asarray(boundaries, np.float32).astype(a.dtype)
            return jnp.searchsorted(jnp.asarray(ascending), a, side="right").astype(np.int32)
        total = jnp.zeros(a.shape, np.int32)
        for boundary in boundaries:
            total = total + (~(a < np.float32(boundary).astype(a.dtype))).astype(np.int32)
        return total

    return pointwise(count, x)
