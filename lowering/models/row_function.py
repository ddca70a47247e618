"""A function of one row as a model: traced once, its captured arrays turned into weights, then mapped over rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.mapped import LARGE_ROW, mapped, rows_together
from qtensor.lowering.models.model import Model, ModelInput, Prediction, SeveralOutputs
from qtensor.lowering.program.row_major import BY_ROWS, rows_of_columns
from qtensor.lowering.program.work import inner_jaxprs, primitives, shape_of, work_of
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, Array, Integer, SqlType

_SAME_NUMBER = frozenset(("convert_element_type", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "copy"))


@dataclass(frozen=True)
class RowInput:
    """What a function of a row is given as one argument: a number, or an array of `shape`, of as many SQL arguments."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        return math.prod(self.shape)


class NotTracedError(ModelError):
    """A function that JAX cannot trace with `inputs`, and why."""

    def __init__(self, name: str, inputs: Sequence[RowInput], why: str) -> None:
        self.inputs, self.why = inputs, why
        super().__init__(f'model "{name}" cannot be traced by JAX {self.at(False)}')

    def at(self, as_batch: bool) -> str:
        """With what it was tried. as_batch: the row was a batch."""
        dtype = self.inputs[0].dtype
        if not any(one.shape for one in self.inputs):
            given = f"{len(self.inputs)} {dtype} scalars"
        else:
            given = ", ".join(f"{one.dtype}{[1, *one.shape] if as_batch else list(one.shape)}" for one in self.inputs)
        hint = '; pass dtype="float32" if it is made for that' if "float32" in self.why and dtype == np.float64 else ""
        return f"with {given}: {self.why}{hint}"


def model_of_row(name: str, function: Callable[..., Any], inputs: Sequence[RowInput], output: str | None) -> Model:
    """The model of a function of one row, which takes `inputs` one after the other. See `import_jax_function` for `output`.

    Raises NotTracedError: the function raises; ModelError: what it gives is no result, or it calls back into Python.
    """
    shapes = [shape_of(one.shape, one.dtype) for one in inputs]
    dtypes = tuple(one.dtype for one in inputs for _ in range(one.columns))
    with jax.enable_x64(True):
        returned: list[Any] = []  # as the function orders a dictionary: JAX would sort it
        try:
            jax.eval_shape(lambda *values: returned.append(function(*values)), *shapes)
            chosen, output = chosen_result(name, returned[0], output)
            closed = jax.make_jaxpr(lambda *values: chosen(function(*values)))(*shapes)
        except ModelError:
            raise
        except Exception as error:  # of the user's code, or of the library that it is written with: any there is
            raise NotTracedError(name, inputs, first_line(error)) from error
        refuse_callbacks(name, closed.jaxpr)
        result = result_type(name, closed.out_avals)
        classes = classes_of(closed.jaxpr) if isinstance(result, Integer) else None
        if output == "class":
            if not isinstance(result, Array):
                raise ModelError(
                    f'model "{name}": output="class" needs two or more scores a row; the function gives one {result}'
                )
            classes, result = result.length, BIGINT
        weights = tuple(np.asarray(constant) for constant in closed.consts)
        apply = MappedFunction(closed.jaxpr, tuple(one.shape for one in inputs), output == "class")
        work = work_of(apply, weights, dtypes)
        if work.multiply_adds >= BY_ROWS or work.largest >= LARGE_ROW:
            apply = replace(apply, together=rows_together(work.largest))
        columns = [shape_of((8,), dtype) for dtype in dtypes]
        # The text of the lowered program, unlike that of a jaxpr, holds every digit of every constant.
        text = jax.jit(apply).lower([shape_of(w.shape, w.dtype) for w in weights], columns).as_text()
    return Model(
        name=name,
        digest=hashlib.sha256(f"{text}{apply.together}".encode()).hexdigest(),
        arguments=dtypes,
        result=result,
        weights=weights,
        apply=apply,
        inputs=tuple(ModelInput(one.name, one.columns) for one in inputs),
        classes=classes,
        work=work.multiply_adds,
    )


def chosen_result(name: str, results: Any, output: str | None) -> tuple[Callable[[Any], Any], str | None]:
    """What picks the result that output= names, of those that a function returns, and what is to be made of it.

    Results in a dictionary have its keys as names, those in a tuple the numbers from 1 on. Raises SeveralOutputs: no choice.
    """
    known = {}
    if isinstance(results, Mapping):
        known = {str(key): key for key in results}
    elif isinstance(results, tuple | list):
        fields = getattr(results, "_fields", ())
        known = {str(key): place for place, key in enumerate(fields or range(1, len(results) + 1))}
    if output is not None and output in known:
        return lambda found: found[known[output]], None
    if output not in (None, "class", "scores"):
        names = [*known, "class", "scores"]
        hint = suggestion(output, names)
        listed = f"one of {', '.join(map(repr, known))}" if known else '"class" or "scores"'
        raise ModelError(f'model "{name}": output= of this JAX function is {listed}, not "{output}". {hint}'.rstrip())
    if len(known) > 1:
        raise SeveralOutputs(name, list(known))
    only = next(iter(known.values()), None)
    return (lambda found: found) if only is None else (lambda found: found[only]), output


def classes_of(jaxpr: Any) -> int | None:
    """In how many classes the only result of a function lies: that of an argmax over so many scores; None if it is no class."""
    (wanted,) = jaxpr.outvars
    dtypes = []
    for equation in reversed(jaxpr.eqns):
        if wanted not in equation.outvars:
            continue
        dtypes.append(np.dtype(wanted.aval.dtype))
        if any(dtype.kind not in "iu" for dtype in dtypes):
            return None
        name, inner = equation.primitive.name, inner_jaxprs(equation.params.values())
        found = None
        if name in ("argmax", "argmin"):
            found = math.prod(equation.invars[0].aval.shape[axis] for axis in equation.params["axes"])
        elif len(inner) == 1 and len(equation.outvars) == 1:
            found = classes_of(inner[0])
        if found is not None:
            return found if all(found <= np.iinfo(dtype).max for dtype in dtypes) else None
        if name not in _SAME_NUMBER:
            return None
        (wanted,) = equation.invars
    return None


def refuse_callbacks(name: str, jaxpr: Any) -> None:
    """Raise ModelError for what would call back into Python while a query runs: no program of ours does."""
    found = sorted({primitive for primitive in primitives(jaxpr) if "callback" in primitive or primitive == "debug_print"})
    if found:
        raise ModelError(
            f'model "{name}" calls back into Python ({", ".join(found)}): leave out jax.debug.print and the like, and do in '
            "jax.numpy what a callback does"
        )


@dataclass(frozen=True, eq=False)
class MappedFunction:
    """`Model.apply` of a traced function of arrays of the given shapes. Trace it inside `jax.enable_x64(True)`.

    as_class: its result are scores, of which the first greatest is wanted (NaN is greater than all, as in NumPy). together: for
    how many rows it is computed at once.
    """

    jaxpr: Any
    shapes: tuple[tuple[int, ...], ...]
    as_class: bool = False
    together: int = 1 << 30

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        function = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, list(weights)))
        rows, first = [], 0
        for shape in self.shapes:
            own = columns[first : first + math.prod(shape)]
            rows.append(rows_of_columns(own).reshape((-1, *shape)) if shape else own[0])
            first += len(own)
        (by_row,) = mapped(lambda *row: tuple(function(*row)), tuple(rows), self.together)
        result = jnp.moveaxis(by_row, 0, -1)
        if result.ndim == 2 and result.shape[0] == 1:
            result = result[0]
        if jnp.issubdtype(result.dtype, jnp.floating) and result.dtype.itemsize == 2:
            result = result.astype(np.float32)
        return Prediction(jnp.argmax(result, axis=0) if self.as_class else jnp.asarray(result))


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


def first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError) or not line else line
