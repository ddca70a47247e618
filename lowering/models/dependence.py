"""Which of its arguments a model's result does not depend on: what trees never ask, what no product or gather picks, and what a
first layer multiplies by zero.

A model is traced for one row, and each array of it annotated, element by element, with the arguments that it is made of. What
only moves elements is run over their numbers instead; an operation that is not known depends on all that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal as Constant
from numpy.typing import NDArray

from qtensor.errors import InternalError
from qtensor.lowering.models.model import TEXT, Model
from qtensor.lowering.program.work import inner_jaxprs, shape_of

BOUND, LARGEST = float(1 << 64), 1e30  # of integers and DECIMALs that fit 64 bits; of what surely stays finite
MOST_MARKS = 1 << 22  # elements of an array times arguments; models beyond that are taken to need all of these

_MOVES = frozenset(
    [
        "broadcast_in_dim",
        "concatenate",
        "copy",
        "dynamic_slice",
        "expand_dims",
        "gather",
        "pad",
        "reshape",
        "rev",
        "slice",
        "squeeze",
        "tile",
        "transpose",
    ]
)
_ELEMENTWISE = frozenset(  # computed of the elements at the same place
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bitcast_convert_type cbrt ceil clamp convert_element_type
    cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow is_finite le lgamma log log1p
    logistic lt max min mul ne neg nextafter not or population_count pow real reduce_precision rem round rsqrt select_n
    sign sin sinh sqrt square stop_gradient sub tan tanh xor
    """.split()  # noqa: SIM905
)
_COMPARISONS = frozenset(["eq", "ge", "gt", "le", "lt", "ne"])
_NO_LARGER = _MOVES | {"abs", "convert_element_type", "max", "min", "neg", "stack", "stop_gradient"}
_CALLS = frozenset(["closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "jit", "pjit", "remat"])


def no_value() -> Any:
    raise InternalError("what arguments go into has no value yet")


@dataclass(frozen=True, eq=False)
class Marked:
    """An array of a row: of which arguments each element is made, bool[*shape, arguments]; None if of none, but of weights.

    value: of what no argument goes into, computed when it is asked for. bound: what no element's magnitude exceeds, if arguments
    hold to theirs. whole: whether each element is made of all arguments.
    """

    shape: tuple[int, ...]
    marks: NDArray[np.bool_] | None = None
    value: Callable[[], Any] = no_value
    known_bound: float | None = None

    @cached_property
    def bound(self) -> float:
        if self.known_bound is not None or self.marks is not None:
            return math.inf if self.known_bound is None else self.known_bound
        value = self.value()
        return float(np.abs(value).max(initial=0)) if value.dtype.kind in "biuf" else math.inf

    @cached_property
    def whole(self) -> bool:
        return self.marks is not None and bool(self.marks.all())


@dataclass
class Walk:
    """A walk over a jaxpr. finite: whether no argument exceeds `BOUND`, so that zero times one is zero."""

    arguments: int
    finite: bool
    known: dict[Any, Marked] = field(default_factory=dict)

    def read(self, variable: Any) -> Marked:
        if isinstance(variable, Constant):
            return Marked(np.shape(variable.val), value=lambda: np.asarray(variable.val))
        return self.known[variable]

    def over(self, jaxpr: Any, inputs: Sequence[Marked]) -> list[Marked]:
        """What the outputs are made of."""
        self.known.update(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            operands = [self.read(variable) for variable in equation.invars]
            self.known.update(zip(equation.outvars, self.results(equation, operands), strict=True))
        return [self.read(variable) for variable in jaxpr.outvars]

    def results(self, equation: Any, operands: Sequence[Marked]) -> list[Marked]:
        """What the results of an operation are made of."""
        name, shapes = equation.primitive.name, [variable.aval.shape for variable in equation.outvars]
        if all(operand.marks is None for operand in operands):
            values = cache(lambda: computed(equation, [operand.value() for operand in operands]))
            return [Marked(shape, value=partial(item_of, values, at)) for at, shape in enumerate(shapes)]
        inner = inner_jaxprs(equation.params.values())
        if name in _CALLS and len(inner) == 1 and len(inner[0].invars) == len(operands) and not inner[0].constvars:
            return self.over(inner[0], operands)
        if max(map(size_of, shapes), default=0) * self.arguments > MOST_MARKS:
            raise TooLarge
        marks = None if any(operand.whole for operand in operands) else self.marks_of(equation, operands)
        if marks is None:
            together = self.all_of(operands)
            return [Marked(shape, np.broadcast_to(together, (*shape, self.arguments))) for shape in shapes]
        return [Marked(shapes[0], marks, known_bound=bound_of(equation, operands) if self.finite else None)]

    def marks_of(self, equation: Any, operands: Sequence[Marked]) -> NDArray[np.bool_] | None:
        """Those of the only result; None if each element may be made of all."""
        name = equation.primitive.name
        if len(equation.outvars) != 1:
            return None
        shape = equation.outvars[0].aval.shape
        if name == "stack":
            return np.stack([self.of(operand) for operand in operands], equation.params["axis"])
        if name in _MOVES:
            return self.moved(equation, operands)
        if self.finite and is_decided(equation, operands):
            return np.zeros((*shape, self.arguments), bool)
        if name == "dot_general" and any(operand.marks is None for operand in operands):
            return self.product(equation, operands)
        if name.startswith("reduce_") and "axes" in equation.params and operands[0].marks is not None:
            return np.asarray(operands[0].marks.any(axis=tuple(equation.params["axes"])))
        if not inner_jaxprs(equation.params.values()) and is_elementwise(name, shape, operands):
            parts = [np.broadcast_to(self.of(operand), (*shape, self.arguments)) for operand in operands]
            return np.asarray(np.logical_or.reduce(parts))
        return None

    def moved(self, equation: Any, operands: Sequence[Marked]) -> NDArray[np.bool_] | None:
        """Those of elements that come from elsewhere: the operation does to their numbers what it does to them."""
        data = operands if equation.primitive.name in ("concatenate", "pad") else operands[:1]
        if any(operand.marks is not None for operand in operands[len(data) :]):
            return None
        ends = np.cumsum([0, *(size_of(operand.shape) for operand in data)])
        numbers: list[Any] = [
            np.arange(end + 1, end + 1 + size_of(operand.shape), dtype=np.int32).reshape(operand.shape)
            for end, operand in zip(ends[:-1], data, strict=True)
        ]
        (places,) = computed(equation, [*numbers, *(operand.value() for operand in operands[len(data) :])], as_numbers=True)
        every = [np.zeros((1, self.arguments), bool), *(self.of(operand).reshape(-1, self.arguments) for operand in data)]
        return np.asarray(np.concatenate(every)[np.clip(places, 0, ends[-1])])

    def product(self, equation: Any, operands: Sequence[Marked]) -> NDArray[np.bool_]:
        """Those of a matrix product with weights, on either side."""
        (row,) = (operand for operand in operands if operand.marks is not None)
        exact = self.finite and row.bound < LARGEST
        factors = [jnp.asarray(self.of(one) if one is row else used_weights(one.value(), exact), jnp.float32) for one in operands]
        numbers = equation.params["dimension_numbers"]
        axes = tuple(-1 if one is row else None for one in operands)
        counted: Callable[..., Any] = jax.vmap(
            lambda left, right: lax.dot_general(left, right, numbers), in_axes=axes, out_axes=-1
        )
        return np.asarray(np.asarray(counted(*factors)) > 0)

    def of(self, operand: Marked) -> NDArray[np.bool_]:
        return np.zeros((*operand.shape, self.arguments), bool) if operand.marks is None else operand.marks

    def all_of(self, operands: Sequence[Marked]) -> NDArray[np.bool_]:
        """The arguments that any of several arrays is made of."""
        parts = [operand.marks.reshape(-1, self.arguments).any(axis=0) for operand in operands if operand.marks is not None]
        return np.asarray(np.logical_or.reduce([np.zeros(self.arguments, bool), *parts]))


class TooLarge(Exception):  # noqa: N818  # never seen outside this file
    """Marks of an array would take too much memory."""


def with_unread(model: Model) -> Model:
    """The model, and which of its arguments do not matter."""
    tables = [((output.width or 1,), output.dtype) for _, output in model.tables]
    shapes = [*((weight.shape, weight.dtype) for weight in model.weights), *tables]
    columns = [shape_of((1,), np.int32 if dtype == TEXT else dtype) for dtype in model.arguments]
    with jax.enable_x64(True):
        traced = jax.make_jaxpr(model.apply)([shape_of(*shape) for shape in shapes], columns)
        if_small = unread(model, traced, tables, finite=True)
        always = unread(model, traced, tables, finite=False) if if_small else if_small
    return replace(model, unread=always, unread_if_small=if_small)


def unread(model: Model, traced: Any, tables: Sequence[tuple[tuple[int, ...], Any]], *, finite: bool) -> frozenset[int]:
    """The positions of arguments that do not matter, if none exceeds `BOUND` or whatever they are."""
    count, weights = len(model.arguments), model.weights
    walk = Walk(count, finite)
    values = [Marked(np.shape(one), value=partial(np.asarray, one)) for one in (*weights, *traced.consts)]
    walk.known.update(zip(traced.jaxpr.constvars, values[len(weights) :], strict=True))
    of_texts = [Marked(shape, np.zeros((*shape, count), bool)) for shape, _ in tables]
    own = [Marked((1,), np.eye(count, dtype=bool)[at][None], known_bound=BOUND) for at in range(count)]
    try:
        outputs = walk.over(traced.jaxpr, [*values[: len(weights)], *of_texts, *own])
    except TooLarge:
        return frozenset()
    return frozenset(int(at) for at in np.flatnonzero(~walk.all_of(outputs)))


def computed(equation: Any, values: Sequence[Any], *, as_numbers: bool = False) -> list[Any]:
    """An operation done for values at hand. as_numbers: of int32s in the place of its data."""
    parameters = dict(equation.params)
    if as_numbers and equation.primitive.name == "pad":
        values = [values[0], np.zeros((), np.int32)]
    if as_numbers and parameters.get("fill_value") is not None:
        parameters["fill_value"] = 0
    results = equation.primitive.bind(*map(jnp.asarray, values), **parameters)
    listed = results if equation.primitive.multiple_results else [results]
    return [np.asarray(result) for result in listed]


def bound_of(equation: Any, operands: Sequence[Marked]) -> float:
    """What no element of a result exceeds in magnitude: infinity where its type might not hold it."""
    dtype, bound = equation.outvars[0].aval.dtype, bound_of_values(equation.primitive.name, operands)
    if jnp.issubdtype(dtype, jnp.floating) and not bound < float(jnp.finfo(dtype).max):  # type: ignore[no-untyped-call]
        return math.inf
    return bound


def bound_of_values(name: str, operands: Sequence[Marked]) -> float:
    """The same of numbers that any type holds."""
    bounds = [operand.bound for operand in operands]
    match name:
        case "add" | "add_any" | "sub":
            return sum(bounds)
        case "mul":
            return math.prod(bounds)
        case "div" if operands[1].marks is None:
            least = np.abs(operands[1].value()).min(initial=1)
            return bounds[0] / float(least) if least else math.inf
        case _ if name in _NO_LARGER:
            return max(bounds)
        case _:
            return math.inf


def is_decided(equation: Any, operands: Sequence[Marked]) -> bool:
    """Whether a test for NaN, infinities or numbers that are too large has one answer for all arguments within their bounds."""
    name, least = equation.primitive.name, min(operand.bound for operand in operands)
    if name == "is_finite" or (name == "ne" and equation.invars[0] is equation.invars[-1]):
        return least < LARGEST
    constant = next((operand.value() for operand in operands if operand.marks is None), None)
    return name in _COMPARISONS and constant is not None and bool((np.abs(constant) > least).all()) and least < LARGEST


def used_weights(weights: NDArray[Any], exact: bool) -> NDArray[np.bool_]:
    """Which weights of a product make a difference. exact: whether what they are multiplied with is finite."""
    return weights != 0 if exact and np.isfinite(weights).all() else np.ones(weights.shape, bool)


def item_of(values: Callable[[], list[Any]], at: int) -> Any:
    return values()[at]


def is_elementwise(name: str, shape: tuple[int, ...], operands: Sequence[Marked]) -> bool:
    """Whether an operation computes each element of its result of those at the same place."""
    return name in _ELEMENTWISE and all(operand.shape in (shape, ()) for operand in operands)


def size_of(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
