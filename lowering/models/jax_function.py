"""A plain JAX function as a model: what it takes of a row, numbers or vectors, and by which names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from qtensor.errors import ModelError
from qtensor.lowering.models.model import Model, input_dtype, order_of
from qtensor.lowering.models.row_function import NotTracedError, RowInput, model_of_row

Parameters: TypeAlias = tuple[inspect.Parameter, ...]

MOST_COLUMNS = 1 << 16


def import_jax_function(
    name: str,
    function: object,
    arguments: int | None = None,
    *,
    output: str | None = None,
    inputs: Sequence[str] | Mapping[str, int] | None = None,
    dtype: DTypeLike | None = None,
) -> Model:
    """A JAX function of scalars, one parameter an SQL argument, or of vectors, as a model.

    function: takes scalars and returns a scalar, a vector of k scores, or several of these in a dictionary or a tuple. It sees
    one row at a time (`jax.vmap` maps it over the rows), so it is row-wise whatever it does; jax.numpy code written for whole
    columns of independent rows works too. A function of one parameter for which `arguments` says more than one, such as
    `functools.partial(module.apply, parameters)`, takes them as a vector; if it cannot, as a batch of one row, [1, arguments].
    arguments: the number of arguments; needed where the parameters do not tell it (`*args`, vectors).
    output: of several results the name of one, a key or a number from 1 on; "class" for the first index of the greatest of k
    scores (BIGINT), "scores" for the scores as they are, the default.
    inputs: the names of all parameters in the order in which SQL gives them; of `*args` their names. A mapping says how many
    arguments each takes: those of more than one are vectors.
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
    known = input_dtype(name, dtype, np.float64)
    parameters = parameters_of(function)
    if isinstance(inputs, Mapping):
        return of_vectors(name, function, parameters, inputs, known, output)
    positional, is_open = positional_of(parameters)
    takes_one = len([one for one in positional if one.default is one.empty]) == 1
    if arguments is not None and not is_open and takes_one and arguments > len(positional):
        vector = RowInput(positional[0].name if inputs is None else only(name, inputs), known, (arguments,))
        return first_traced(name, function, ([vector], [vector]), output, batches=(False, True))
    names = parameter_names(name, parameters, arguments, inputs)
    order = tuple(range(len(names))) if inputs is None else order_of(name, names, inputs)

    def in_order(*values: Any) -> Any:
        return function(*(values[order.index(position)] for position in range(len(order))))

    scalars = [RowInput(names[position], known) for position in order]
    if is_open and inputs is None and len(names) > 1 and not any(names):
        vector = RowInput("", known, (len(names),))
        return first_traced(name, function, (scalars, [vector], [vector]), output, batches=(False, False, True))
    return model_of_row(name, in_order, scalars, output)


def only(name: str, inputs: Sequence[str]) -> str:
    """The name of the only input."""
    if isinstance(inputs, str) or len(inputs) != 1:
        raise ModelError(f'model "{name}": inputs= names the inputs of a function that takes one vector of all arguments')
    return inputs[0]


def of_vectors(
    name: str,
    function: Callable[..., Any],
    parameters: Parameters,
    inputs: Mapping[str, int],
    dtype: np.dtype[Any],
    output: str | None,
) -> Model:
    """The model of a function whose parameters take as many arguments as `inputs` says of each."""
    if not all(type(width) is int and 0 < width <= MOST_COLUMNS for width in inputs.values()):
        raise ModelError(f'model "{name}": inputs= says of each input how many arguments it takes, a number from 1 on')
    names = parameter_names(name, parameters, None, tuple(inputs))
    order = order_of(name, names, tuple(inputs))

    def in_order(*values: Any) -> Any:
        return function(*(values[order.index(position)] for position in range(len(order))))

    given = [RowInput(one, dtype, () if width == 1 else (width,)) for one, width in inputs.items()]
    return model_of_row(name, in_order, given, output)


def first_traced(
    name: str, function: Callable[..., Any], ways: Sequence[Sequence[RowInput]], output: str | None, batches: Sequence[bool]
) -> Model:
    """The model by the first of several ways to give it a row. Raises ModelError: why none of them goes."""
    problems = []
    for inputs, as_batch in zip(ways, batches, strict=True):
        try:
            return model_of_row(name, of_a_batch(function) if as_batch else function, inputs, output)
        except NotTracedError as error:
            problems.append(error.at(as_batch))
    raise ModelError(f'model "{name}" cannot be traced by JAX {", or ".join(problems)}')


def of_a_batch(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one row, by one of batches of rows."""

    def of_row(*values: Any) -> Any:
        found = function(*(value[None] for value in values))
        if any(jnp.ndim(part) == 0 or jnp.shape(part)[0] != 1 for part in jax.tree.leaves(found)):
            raise TypeError("the result has no row for each row of the batch")
        return jax.tree.map(lambda part: part[0], found)

    return of_row


def parameters_of(function: Callable[..., Any]) -> Parameters:
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have no signature
        return (inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL),)


def positional_of(parameters: Parameters) -> tuple[list[inspect.Parameter], bool]:
    """The parameters that can be given by position, and whether there may be any number of them."""
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return positional, any(one.kind is one.VAR_POSITIONAL for one in parameters)


def parameter_names(name: str, parameters: Parameters, arguments: int | None, inputs: Sequence[str] | None) -> tuple[str, ...]:
    """The parameters that a call of a function passes: those without a default, or the first `arguments`; "" has no name."""
    positional, is_open = positional_of(parameters)
    known = [one.name for one in positional if arguments is not None or one.default is one.empty][:arguments]
    if is_open:
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
