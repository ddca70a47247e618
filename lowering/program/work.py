"""How much a model computes for a row, which decides how it is called for many (`lowering/program/predict.py`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from numpy.typing import NDArray

from qtensor.lowering.models.model import Apply

ROWS_COUNTED = 1_009  # for which a model is traced: a prime, so that arrays of rows are told from weights by their sizes


SHIFTED = ("shifted_products", "summed_products")  # functions whose products stand for a convolution's


class Work(NamedTuple):
    """What a model does for a row: multiply-adds in matrix products and convolutions, and the bytes of its largest array."""

    multiply_adds: int
    largest: int


def work_of(apply: Apply, weights: Sequence[NDArray[np.generic]], arguments: Sequence[np.dtype[np.generic]]) -> Work:
    """What `apply` does for a row. Call it with 64-bit types enabled."""
    shapes = [shape_of(weight.shape, weight.dtype) for weight in weights]
    columns = [shape_of((ROWS_COUNTED,), dtype) for dtype in arguments]
    jaxpr = jax.make_jaxpr(apply)(shapes, columns).jaxpr
    return Work(multiply_adds(jaxpr) // ROWS_COUNTED, largest_array(jaxpr) // ROWS_COUNTED)


def multiply_adds(jaxpr: Any) -> int:
    """Those of the matrix products and convolutions of a jaxpr and of those within it, each as often as a scan runs it."""
    return sum(map(multiply_adds_of, jaxpr.eqns))


def multiply_adds_of(equation: Any) -> int:
    """Those of one operation."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return int(equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted))
    if equation.primitive.name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval, equation.params["dimension_numbers"]
        return int(equation.outvars[0].aval.size * kernel.size // kernel.shape[numbers.rhs_spec[0]])
    if equation.params.get("name") in SHIFTED:
        operations = [one for inner in inner_jaxprs(equation.params.values()) for one in inner.eqns]
        return sum(int(one.outvars[0].aval.size) for one in operations if one.primitive.name == "mul")
    within = sum(multiply_adds(inner) for inner in inner_jaxprs(equation.params.values()))
    return within * int(equation.params.get("length", 1)) if equation.primitive.name == "scan" else within


def largest_array(jaxpr: Any) -> int:
    """The bytes of the largest array of rows that is computed in a jaxpr or in those within it."""
    arrays = [out.aval for equation in jaxpr.eqns for out in equation.outvars]
    sizes = [array.size * array.dtype.itemsize for array in arrays if any(size % ROWS_COUNTED == 0 for size in array.shape)]
    within = [largest_array(inner) for equation in jaxpr.eqns for inner in inner_jaxprs(equation.params.values())]
    return max((*sizes, *within), default=0)


def primitives(jaxpr: Any) -> set[str]:
    """The names of all operations of a jaxpr and of those within it."""
    found: set[str] = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for inner in inner_jaxprs(equation.params.values()):
            found |= primitives(inner)
    return found


def inner_jaxprs(parameters: Any) -> list[Any]:
    """The jaxprs among an equation's parameters."""
    found: list[Any] = []
    for parameter in parameters:
        for one in parameter if isinstance(parameter, list | tuple) else (parameter,):
            if isinstance(one, ClosedJaxpr):
                found.append(one.jaxpr)
            elif isinstance(one, Jaxpr):
                found.append(one)
    return found


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """What JAX traces an array of this shape and type by."""
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]
