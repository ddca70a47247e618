"""A plain JAX function as a model: traced once for one row, its captured arrays turned into weights, then mapped over rows."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from numpy.typing import DTypeLike

from qtensor.errors import ModelError
from qtensor.lowering.model import Model
from qtensor.types import BOOLEAN, DOUBLE, FLOAT, Array, Integer, SqlType

TRACING_ERRORS = (
    TypeError,
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
    ZeroDivisionError,
    NotImplementedError,
    RuntimeError,
)


def import_jax_function(name: str, function: object, arguments: int | None = None, *, dtype: DTypeLike = np.float32) -> Model:
    """A JAX function of scalars, one parameter an SQL argument, as a model.

    function: takes scalars and returns a scalar, or a vector of k scores. It sees one row at a time (`jax.vmap` maps it over
    the rows), so it is row-wise whatever it does; jax.numpy code written for whole columns of independent rows works too.
    arguments: the number of arguments; needed where the parameters do not tell it (`*args`).
    dtype: the type of all arguments. float32 is JAX's own default; pass float64 where DOUBLE columns must keep their digits.
    64-bit types are enabled inside the function; Python numbers take the type of the arrays they meet.

    Arrays that the function captures become weights: arguments of the compiled program. The result is BOOLEAN, an integer of the
    result's width, FLOAT (also of half precision), DOUBLE, or an ARRAY of scores.
    Raises ModelError: not callable, a count of arguments that is unknown, a function that cannot be traced, a result that is
    neither a scalar nor a vector of floating-point scores.
    """
    if not callable(function):
        raise ModelError(f'model "{name}": expected a function, not {type(function).__module__}.{type(function).__qualname__}')
    count = arguments if arguments is not None else parameter_count(name, function)
    if count < 1:
        raise ModelError(f'model "{name}" takes no arguments; a model is a function of columns')
    dtype = np.dtype(dtype)
    scalars = [struct((), dtype)] * count
    with jax.enable_x64(True):
        try:
            closed = jax.make_jaxpr(function)(*scalars)
        except TRACING_ERRORS as error:
            raise ModelError(
                f'model "{name}" cannot be traced by JAX with {count} {dtype} scalars: {first_line(error)}'
            ) from error
        result = result_type(name, closed.out_avals)
        weights = tuple(np.asarray(constant) for constant in closed.consts)
        apply = MappedFunction(closed.jaxpr)
        columns = [struct((8,), dtype)] * count
        # The text of the lowered program, unlike that of a jaxpr, holds every digit of every constant.
        text = jax.jit(apply).lower([struct(w.shape, w.dtype) for w in weights], columns).as_text()
    return Model(
        name=name,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        arguments=(dtype,) * count,
        result=result,
        weights=weights,
        apply=apply,
    )


@dataclass(frozen=True, eq=False)
class MappedFunction:
    """`Model.apply` of a traced function of scalars. Trace it inside `jax.enable_x64(True)`."""

    jaxpr: Any

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> jax.Array:
        row = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, list(weights)))
        (result,) = jax.vmap(row, out_axes=-1)(*columns)
        if result.ndim == 2 and result.shape[0] == 1:
            result = result[0]
        if jnp.issubdtype(result.dtype, jnp.floating) and result.dtype.itemsize == 2:
            result = result.astype(np.float32)
        return jnp.asarray(result)


def parameter_count(name: str, function: Callable[..., Any]) -> int:
    """How many arguments a call of `function` passes: its parameters without a default."""
    unknown = f'model "{name}": the number of its arguments is unknown; pass arguments='
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        raise ModelError(unknown) from None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        raise ModelError(unknown)
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) and parameter.default is parameter.empty
        for parameter in parameters
    )


def result_type(name: str, results: Sequence[Any]) -> SqlType:
    """The SQL type of the function's result for one row."""
    if len(results) != 1:
        raise ModelError(f'model "{name}" returns {len(results)} values; it must return one')
    shape, dtype = results[0].shape, results[0].dtype
    width = shape[0] if len(shape) == 1 else 1
    if jnp.issubdtype(dtype, jnp.floating) and len(shape) <= 1 and width:
        element = DOUBLE if dtype == np.float64 else FLOAT
        return element if width == 1 else Array(element, width)
    if shape in ((), (1,)):
        if dtype == np.bool_:
            return BOOLEAN
        if jnp.issubdtype(dtype, jnp.integer):
            return Integer(8 * dtype.itemsize, bool(jnp.issubdtype(dtype, jnp.signedinteger)))
    raise ModelError(
        f'model "{name}" returns {dtype}{list(shape)} for a row; only a scalar or a vector of floating-point scores is supported'
    )


def struct(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """What JAX traces an array of this shape and type by."""
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
