"""TensorFlow operators of each element that are rarer than those of `elementwise`: trigonometry, special functions, bits,
quantised numbers, checks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special

from qtensor.lowering.models.tensorflow.elementwise import failing_where_zero, is_floating
from qtensor.lowering.models.tensorflow.registry import OPS, Operator, operator
from qtensor.lowering.models.tensorflow.values import Batched, Refusal, Value, marked, pointwise, wrapped


def zero_where_zero(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """x * function(y), which is 0 where x is, whatever y is."""

    def product(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(x == 0, jnp.zeros((), x.dtype), x * function(y))

    return product


def multiply_no_nan(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.where(y == 0, jnp.zeros((), x.dtype), x * y)


def divide_or_zero(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.where(x == 0, jnp.zeros((), x.dtype), x / y)


def shifted(shift: Callable[..., jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A shift by no less than 0 and less than all bits, as TensorFlow bounds it."""

    def function(x: jax.Array, y: jax.Array) -> jax.Array:
        bits = x.dtype.itemsize * 8
        return shift(x, jnp.clip(y, np.zeros((), y.dtype), np.asarray(bits - 1, y.dtype)))

    return function


def lgamma(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.isneginf(x), jnp.asarray(jnp.inf, x.dtype), lax.lgamma(x))


def broadcasting(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    return lambda *arrays: function(*jnp.broadcast_arrays(*arrays))


MORE_ELEMENTWISE: dict[str, Callable[..., jax.Array]] = {
    "Acos": jnp.arccos,
    "Acosh": jnp.arccosh,
    "Asin": jnp.arcsin,
    "Asinh": jnp.arcsinh,
    "Atan": jnp.arctan,
    "Atan2": broadcasting(lax.atan2),
    "Atanh": jnp.arctanh,
    "BesselI0": special.i0,
    "BesselI0e": special.i0e,
    "BesselI1": special.i1,
    "BesselI1e": special.i1e,
    "Betainc": broadcasting(lax.betainc),
    "BitwiseAnd": jnp.bitwise_and,
    "BitwiseOr": jnp.bitwise_or,
    "BitwiseXor": jnp.bitwise_xor,
    "Cosh": jnp.cosh,
    "Digamma": lax.digamma,
    "Erfinv": lax.erf_inv,
    "Igamma": broadcasting(lax.igamma),
    "Igammac": broadcasting(lax.igammac),
    "Inv": lambda x: jnp.ones((), x.dtype) / x,
    "Invert": jnp.bitwise_not,
    "LeftShift": shifted(jnp.left_shift),
    "Lgamma": lgamma,
    "MulNoNan": multiply_no_nan,
    "Ndtri": special.ndtri,
    "NextAfter": broadcasting(lax.nextafter),
    "Polygamma": broadcasting(lax.polygamma),
    "Zeta": broadcasting(lax.zeta),
    "RightShift": shifted(jnp.right_shift),
    "Sinh": jnp.sinh,
    "Tan": jnp.tan,
    "Xdivy": divide_or_zero,
    "Xlog1py": zero_where_zero(jnp.log1p),
    "Xlogy": zero_where_zero(jnp.log),
}
OPS.update({name: Operator(partial(pointwise, function)) for name, function in MORE_ELEMENTWISE.items()})


@operator("TruncateDiv")
def truncate_divide(x: Value, y: Value) -> Value:
    if is_floating(x):
        return pointwise(lambda a, b: jnp.trunc(a / b), x, y)
    return failing_where_zero(lambda a, b: lax.div(*jnp.broadcast_arrays(a, b)), x, y)


@operator("TruncateMod", "Mod")
def truncate_modulo(x: Value, y: Value) -> Value:
    """The rest of a division towards zero: it has the sign of what is divided."""
    if is_floating(x):
        return pointwise(lambda a, b: lax.rem(*jnp.broadcast_arrays(a, b)), x, y)
    return failing_where_zero(lambda a, b: lax.rem(*jnp.broadcast_arrays(a, b)), x, y)


@operator("ApproximateEqual", read=["tolerance"])
def nearly_equal(x: Value, y: Value, *, tolerance: float = 1e-5) -> Value:
    return pointwise(lambda a, b: jnp.abs(a - b) < a.dtype.type(tolerance), x, y)


@operator("CheckNumerics", "CheckNumericsV2", ignored=["message"])
def checked_numbers(x: Value) -> Value:
    """`x`; a row with NaN or an infinity in it, an error in TensorFlow, is marked as failed."""
    if not isinstance(x, Batched):
        raise Refusal("it checks what does not differ by row")
    return marked(wrapped(x.array, x), ~jnp.isfinite(x.array), x)


@operator("FakeQuantWithMinMaxArgs", read=["min", "max", "num_bits", "narrow_range"])
def quantised_by_settings(
    x: Value, *, min: float = -6.0, max: float = 6.0, num_bits: int = 8, narrow_range: bool = False
) -> Value:
    return pointwise(lambda a: quantised(a, jnp.float32(min), jnp.float32(max), num_bits, narrow_range), x)


@operator("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", read=["num_bits", "narrow_range"])
def quantised_by_weights(x: Value, low: Value, high: Value, *, num_bits: int = 8, narrow_range: bool = False) -> Value:
    """`x` as numbers of `num_bits` between bounds, one pair of them or one for each channel, would hold it."""
    if isinstance(low, Batched) or isinstance(high, Batched):
        raise Refusal("its bounds are computed from data")
    return pointwise(lambda a, least, most: quantised(a, least, most, num_bits, narrow_range), x, low, high)


def quantised(x: jax.Array, low: jax.Array, high: jax.Array, bits: int, narrow: bool) -> jax.Array:
    """Source: Jacob et al., Quantization and Training of Neural Networks, with bounds of TensorFlow in which 0 is exact."""
    least, most = np.float32(1 if narrow else 0), np.float32(2**bits - 1)
    scale = (high - low) / (most - least)
    zero = least - low / scale
    zero = jnp.where(zero < least, least, jnp.where(zero > most, most, jnp.floor(zero + np.float32(0.5))))
    lower, upper = (least - zero) * scale, (most - zero) * scale
    inverse = (most - least) / (high - low)
    clamped = jnp.minimum(jnp.maximum(x, lower), upper)
    steps = jnp.floor((clamped - lower) * inverse + np.float32(0.5))
    found = steps * scale + lower
    return jnp.where((low == 0) & (high == 0), jnp.zeros((), x.dtype), found)
