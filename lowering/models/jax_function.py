"""A plain JAX function as a model: traced once for one row, its captured arrays turned into weights, then mapped over rows."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from numpy.typing import DTypeLike

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.model import Model, ModelInput, Prediction, SeveralOutputs, input_dtype, order_of
from qtensor.lowering.program.work import inner_jaxprs, primitives, shape_of, work_of
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, Array, Integer, SqlType

TRACING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)

_SAME_NUMBER = frozenset(("convert_element_type", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "copy"))


def import_jax_function(
    name: str,
    function: object,
    arguments: int | None = None,
    *,
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
) -> Model:
    """A JAX function of scalars, one parameter an SQL argument, as a model.

    function: takes scalars and returns a scalar, a vector of k scores, or several of these in a dictionary or a tuple. It sees
    one row at a time (`jax.vmap` maps it over the rows), so it is row-wise whatever it does; jax.numpy code written for whole
    columns of independent rows works too.
    arguments: the number of arguments; needed where the parameters do not tell it (`*args`).
    output: of several results the name of one, a key or a number from 1 on; "class" for the first index of the greatest of k
    scores (BIGINT), "scores" for the scores as they are, the default.
    inputs: the names of all parameters in the order in which SQL gives them; of `*args` their names.
    dtype: the type of all arguments: float64, so that numbers keep their digits. float32 is faster, and may be what the arrays
    that the function captures are made for. 64-bit types are enabled inside the function; Python numbers take the type of the
    arrays they meet.

    Arrays that the function captures become weights: arguments of the compiled program. The result is BOOLEAN, an integer of the
    result's width, FLOAT (also of half precision), DOUBLE, or an ARRAY of scores.
    Raises ModelError: not callable, a count of arguments that is unknown, a function that cannot be traced, a result that is
    neither a scalar nor a vector of floating-point scores.
    """
    if not callable(function):
        raise ModelError(f'model "{name}": expected a function, not {type(function).__module__}.{type(function).__qualname__}')
    names = parameter_names(name, function, arguments, inputs)
    order = tuple(range(len(names))) if inputs is None else order_of(name, names, inputs)
    known = input_dtype(name, dtype, np.float64)
    scalars = [shape_of((), known)] * len(names)

    def in_order(*values: Any) -> Any:
        return function(*(values[order.index(position)] for position in range(len(order))))

    with jax.enable_x64(True):
        try:
            returned: list[Any] = []  # as the function orders a dictionary: JAX would sort it
            jax.eval_shape(lambda *values: returned.append(in_order(*values)), *scalars)
            chosen, output = chosen_result(name, returned[0], output)
            closed = jax.make_jaxpr(lambda *values: chosen(in_order(*values)))(*scalars)
        except TRACING_ERRORS as error:
            line = first_line(error)
            hint = '; pass dtype="float32" if it is made for that' if "float32" in line and known == np.float64 else ""
            raise ModelError(f'model "{name}" cannot be traced by JAX with {len(names)} {known} scalars: {line}{hint}') from error
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
        apply = MappedFunction(closed.jaxpr, output == "class")
        columns = [shape_of((8,), known)] * len(names)
        # The text of the lowered program, unlike that of a jaxpr, holds every digit of every constant.
        text = jax.jit(apply).lower([shape_of(w.shape, w.dtype) for w in weights], columns).as_text()
        work = work_of(apply, weights, [known] * len(names)).multiply_adds
    return Model(
        name=name,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        arguments=(known,) * len(names),
        result=result,
        weights=weights,
        apply=apply,
        inputs=tuple(ModelInput(names[position]) for position in order),
        classes=classes,
        work=work,
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
    """`Model.apply` of a traced function of scalars. Trace it inside `jax.enable_x64(True)`.

    as_class: its result are scores, of which the first greatest is wanted (NaN is greater than all, as in NumPy).
    """

    jaxpr: Any
    as_class: bool = False

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        row = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, list(weights)))
        (result,) = jax.vmap(row, out_axes=-1)(*columns)
        if result.ndim == 2 and result.shape[0] == 1:
            result = result[0]
        if jnp.issubdtype(result.dtype, jnp.floating) and result.dtype.itemsize == 2:
            result = result.astype(np.float32)
        return Prediction(jnp.argmax(result, axis=0) if self.as_class else jnp.asarray(result))


def parameter_names(
    name: str, function: Callable[..., Any], arguments: int | None, inputs: Sequence[str] | None
) -> tuple[str, ...]:
    """The parameters that a call of `function` passes: those without a default, or the first `arguments`; "" has no name."""
    try:
        parameters = tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have no signature
        parameters = (inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL),)
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    known = [one.name for one in positional if arguments is not None or one.default is one.empty][:arguments]
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        if inputs is not None and not isinstance(inputs, str):
            known += [given for given in inputs if given not in known]
        elif arguments is None:
            raise ModelError(f'model "{name}": the number of its arguments is unknown; pass arguments=')
    if arguments is not None and len(known) != arguments:
        if inputs is not None:
            raise ModelError(f'model "{name}": inputs= names {len(inputs)} inputs, and arguments= says {arguments}')
        known += [""] * (arguments - len(known))
    if not known:
        raise ModelError(f'model "{name}" takes no arguments; a model is a function of columns')
    return tuple(known)


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
