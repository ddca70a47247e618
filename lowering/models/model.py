"""A model as the compiler sees it: a row-wise JAX function of columns, with its weights as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from numpy.typing import DTypeLike, NDArray

from qtensor.errors import InternalError, ModelError, suggestion
from qtensor.lowering.models.text.program import TEXT_TYPE, TextOutput, TextProgram
from qtensor.types import SqlType


class Prediction(NamedTuple):
    """What a model gives for rows: its result, [n] or [k, n], of several outputs a tuple of these; and which rows have none,
    bool[n], or None if all have one.
    """

    result: jax.Array | tuple[jax.Array, ...]
    failed: jax.Array | None = None

    def value(self, number: int | None) -> jax.Array:
        """Value `number` of those that a row has, those of several outputs behind one another; None: the only one."""
        outputs = self.result if isinstance(self.result, tuple) else (self.result,)
        if number is None:
            return outputs[0]
        for output in outputs:
            values = 1 if output.ndim == 1 else output.shape[0]
            if number < values:
                return output if output.ndim == 1 else output[number]
            number -= values
        raise InternalError("a model has fewer values than its type says")


class SeveralOutputs(ModelError):  # noqa: N818  # what is raised when a choice is missing, and caught where all are taken
    """A model has several outputs, called `names`, and none of them was chosen."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        listed = ", ".join(f'"{known}"' for known in names)
        super().__init__(f'model "{name}" has {len(names)} outputs: {listed}; choose one with output=')
        self.names = tuple(names)


TEXT = np.dtype(TEXT_TYPE)  # of an argument that is a text: `apply` is given its code

WIDE = 8_192  # multiply-adds a row from which a model goes block by block, see `lowering/program/predict.py`

Apply: TypeAlias = Callable[[Sequence[jax.Array], Sequence[jax.Array]], Prediction]


@dataclass(frozen=True)
class ModelInput:
    """An input of a model, which takes `width` SQL arguments side by side. A call may name it, unless its name is ""."""

    name: str
    width: int = 1


@dataclass(frozen=True)
class ModelOutput:
    """One of several outputs of a model: the value number `first` of a row's, or, as an ARRAY, those from `first` on.

    classes: an integer lies in [0, classes). labels: what it means, if that is text.
    """

    name: str
    result: SqlType
    first: int
    classes: int | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """What `create_function` registers.

    `apply(weights, columns)` is traceable and row-wise: columns are arrays [n] of the dtypes `arguments`, one for each SQL
    argument; of a text, `TEXT`, codes int32[n]. The result is [n], or [k, n] when `result` is an ARRAY of k scores. `digest`
    names graph and weights' shapes, not the weights' values, which are arguments of the compiled program.
    texts: what the host makes of each text of a dictionary before a run; `apply` is given the `tables` of it behind the weights,
    each flat, [strings] or [strings * width].
    inputs: which arguments belong together. ordered: whether their order is known; otherwise a call must name them.
    fails: why a row may have no result, which is an error if the row is needed; None if every row has one.
    work: how many multiply-adds a row takes in matrix products.
    labels: what the result means, if that is text: it is VARCHAR then, and `apply` gives integers from 0 to classes - 1, of which
    i stands for labels[i]. Labels may be equal, and in any order. See `labelled`.
    outputs: the outputs that a call chooses from by their names, if there are several: `apply` gives a tuple. See `combined`.
    unread, unread_if_small: the positions of arguments that never matter, and of those that do not matter if they are numbers of
    magnitudes up to 2**64. See `with_unread`.
    nulls: what each argument is where it is NULL; None: then the result is NULL. See `with_defaults`.
    """

    name: str
    digest: str
    arguments: tuple[np.dtype, ...]
    result: SqlType
    weights: tuple[NDArray[np.generic], ...]
    apply: Apply
    inputs: tuple[ModelInput, ...] = ()
    ordered: bool = True
    fails: str | None = None
    classes: int | None = None  # the result lies in [0, classes): an argmax over that many scores
    work: int = 0
    labels: tuple[str, ...] | None = None
    nulls: tuple[int | float | str | None, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    texts: tuple[TextProgram, ...] = ()
    unread: frozenset[int] = frozenset()
    unread_if_small: frozenset[int] = frozenset()
    missing: str | None = None  # the text that stands for one that is missing, if the model knows such

    @property
    def tables(self) -> tuple[tuple[int, TextOutput], ...]:
        """The outputs of all programs in order, each with the argument that it is of."""
        return tuple((program.argument, output) for program in self.texts for output in program.outputs)


def argument_called(model: Model, position: int) -> str:
    """What errors call the argument at `position`: by its input's name where it has one."""
    first = 0
    for one in model.inputs:
        if one.name and first <= position < first + one.width:
            place = f"value {position - first + 1} of " if one.width > 1 else ""
            return f'{place}the input "{one.name}"'
        first += one.width
    return f"argument {position + 1}"


def input_dtype(name: str, dtype: DTypeLike | None, default: DTypeLike) -> np.dtype[np.generic]:
    """The type that create_function's dtype= means; `default` if it was left out."""
    try:
        known = np.dtype(default if dtype is None else dtype)
    except TypeError:
        known = np.dtype(object)
    if known.kind not in "biuf" or known.itemsize > 8 or known == np.float16:
        raise ModelError(f'model "{name}": dtype= is one of float32, float64, bool and the integers, not {dtype!r}')
    return known


def order_of(name: str, names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """The positions in `names` of the inputs in the order `wanted`.

    Raises ModelError: `wanted` is not all the names, each once.
    """
    if isinstance(wanted, str):
        raise ModelError(f'model "{name}": inputs= is a list of names, not the text {wanted!r}')
    listed = ", ".join(f'"{known}"' for known in names)
    for given in wanted:
        if given not in names:
            hint = suggestion(str(given), names)
            raise ModelError(f'model "{name}" has no input "{given}"; its inputs: {listed}. {hint}'.rstrip())
    if sorted(wanted) != sorted(names):
        raise ModelError(f'model "{name}": inputs= must name each input once; its inputs: {listed}')
    return tuple(names.index(given) for given in wanted)
