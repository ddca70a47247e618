"""Models as people read them: what a call takes and gives, what it costs a row, and its layers one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import jax
import numpy as np

from qtensor.lowering.models.model import TEXT, WIDE, Model
from qtensor.lowering.models.text.program import type_called
from qtensor.lowering.program.predict import BLOCK, picks_rows
from qtensor.lowering.program.work import ROWS_COUNTED, inner_jaxprs, multiply_adds_of, shape_of

_LAYERS = {
    "dot_general": "matrix product",
    "conv_general_dilated": "convolution",
    "reduce_max": "maximum",
    "reduce_min": "minimum",
    "reduce_sum": "sum",
    "reduce_prod": "product",
    "reduce_window_max": "maxima of windows",
    "reduce_window_sum": "sums of windows",
    "argmax": "argmax",
    "argmin": "argmin",
    "gather": "gather",
    "dynamic_slice": "gather",
    "scatter": "scatter",
    "scatter-add": "scatter",
    "sort": "sort",
    "top_k": "top k",
    "cumsum": "running sum",
    "while": "loop",
    "scan": "loop",
    "cond": "branch",
}
_SHAPES = frozenset(
    [
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "expand_dims",
        "reshape",
        "slice",
        "squeeze",
        "stack",
        "stop_gradient",
        "transpose",
    ]
)
_MOST_NAMED = 8


@dataclass(frozen=True)
class Step:
    """An operation of a model: its layer, or "" of one that computes each element by itself; what it reads and gives."""

    layer: str
    name: str
    reads: tuple[str, ...]
    gives: str
    multiply_adds: int


def models_text(models: Sequence[Model], rows: Mapping[str, float]) -> str:
    """All models of a query, with how many rows they are called for by name, about."""
    return "\n\n".join(model_text(one, rows.get(one.name, 0.0)) for one in models) if models else "the query calls no model"


def model_text(model: Model, rows: float) -> str:
    """One model."""
    with jax.enable_x64(True):
        weights = [shape_of(weight.shape, weight.dtype) for weight in model.weights]
        tables = [shape_of((output.width or 1,), output.dtype) for _, output in model.tables]
        columns = [shape_of((ROWS_COUNTED,), np.int32 if dtype == TEXT else dtype) for dtype in model.arguments]
        jaxpr = jax.make_jaxpr(model.apply)([*weights, *tables], columns).jaxpr
    named = {variable: f"weight {number}" for number, variable in enumerate(jaxpr.invars[: len(weights)])}
    named |= dict.fromkeys(jaxpr.invars[len(weights) : len(weights) + len(tables)], "table of texts")
    layers = [line for steps in grouped(steps_of(jaxpr, named)) for line in layer_lines(steps)]
    numbers = [f"  {number:>3}  {line}" for number, line in enumerate(layers, 1)]
    return "\n".join([f"model {signature_text(model)}", *costs(model, rows), *numbers])


def signature_text(model: Model) -> str:
    """How SQL calls a model, with the types that it takes and gives."""
    return f"{model.name}({arguments_text(model)}) gives {result_text(model)}"


def arguments_text(model: Model) -> str:
    """The inputs, each with how many values it takes and their type."""
    shown, first = [], 0
    for one in model.inputs:
        several = f"[{one.width}]" if one.width > 1 else ""
        shown.append(f"{one.name}{' ' if one.name else ''}{type_called(model.arguments[first])}{several}")
        first += one.width
    return ", ".join(shown[:_MOST_NAMED] + (["..."] if len(shown) > _MOST_NAMED else []))


def result_text(model: Model) -> str:
    if model.outputs:
        return ", ".join(f"{output.name} {output.result}" for output in model.outputs)
    if model.labels is not None:
        return f"{model.result}, one of {len(model.labels):,} names"
    return f"{model.result}, a class below {model.classes:,}" if model.classes is not None else str(model.result)


def costs(model: Model, rows: float) -> list[str]:
    """What a row costs, and for which rows it is computed."""
    size = sum(weight.nbytes for weight in model.weights)
    taken = sum(4 if dtype == TEXT else dtype.itemsize for dtype in model.arguments)
    if model.work < WIDE:
        where = "within the loop over its table's rows"
    elif picks_rows(model):
        where = f"for the rows that filters leave, up to {BLOCK:,} at a time"
    else:
        where = f"in blocks of {BLOCK:,} rows"
    cost = f"{2 * model.work:,} floating-point operations in products and {taken:,} bytes of arguments a row"
    return [f"  {cost}; {size:,} bytes of weights", f"  computed for about {rounded(rows):,} rows, {where}"]


def rounded(rows: float) -> int:
    """An estimate to two digits.

    >>> rounded(147_311), rounded(7.9)
    (150000, 8)
    """
    whole = round(rows)
    return round(whole, 2 - len(str(whole)))


def steps_of(jaxpr: Any, named: dict[Any, str]) -> Iterator[Step]:
    """The operations of a jaxpr in order, those of functions that it calls among them."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = inner_jaxprs(equation.params.values())
        if len(inner) == 1 and name not in _LAYERS:
            taken = zip(inner[0].invars, equation.invars[-len(inner[0].invars) :], strict=False)
            yield from steps_of(inner[0], {own: named[given] for own, given in taken if is_named(given, named)})
            continue
        reads = tuple(named[one] if is_named(one, named) else shape_text(one) for one in equation.invars)
        if name in _SHAPES and len(equation.outvars) == 1 and any(is_named(one, named) for one in equation.invars[:1]):
            named = {**named, equation.outvars[0]: named[equation.invars[0]]}
        largest = max(equation.outvars, key=lambda out: out.aval.size)
        yield Step(_LAYERS.get(name, ""), name, reads, shape_text(largest), multiply_adds_of(equation))


def is_named(variable: Any, named: dict[Any, str]) -> bool:
    """Whether a variable is a weight; literals are not even keys."""
    return not hasattr(variable, "val") and variable in named


def shape_text(variable: Any) -> str:
    sizes = ["n" if size == ROWS_COUNTED else str(size) for size in variable.aval.shape]
    return f"[{', '.join(sizes)}]"


def grouped(steps: Iterator[Step]) -> Iterator[list[Step]]:
    """Each layer by itself; between them what works element by element, together."""
    for alone, run in groupby((step for step in steps if step.name not in _SHAPES), lambda step: bool(step.layer)):
        if alone:
            yield from ([step] for step in run)
        else:
            yield list(run)


def layer_lines(steps: Sequence[Step]) -> list[str]:
    first, last = steps[0], steps[-1]
    if not first.layer:
        names = list(dict.fromkeys(step.name for step in steps))
        return [
            f"{'elementwise':<18} {last.gives}: {', '.join(names[:_MOST_NAMED])}{', ...' if len(names) > _MOST_NAMED else ''}"
        ]
    reads = ", ".join(dict.fromkeys(read for read in first.reads if read != "[]"))
    work = f", {first.multiply_adds // ROWS_COUNTED:,} multiply-adds a row" if first.multiply_adds else ""
    return [f"{first.layer:<18} {reads} -> {first.gives}{work}"]
