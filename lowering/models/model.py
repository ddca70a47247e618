"""A model as the compiler sees it: a row-wise JAX function of columns, with its weights as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from numpy.typing import DTypeLike, NDArray

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.text.program import TEXT_TYPE, TextOutput, TextProgram
from qtensor.types import VARCHAR, Integer, SqlType


class Prediction(NamedTuple):
    """What a model gives for rows: its result, [n] or [k, n], and for which rows it has none: bool[n], None if never."""

    result: jax.Array
    failed: jax.Array | None = None


TEXT = np.dtype(TEXT_TYPE)  # of an argument that is a text: `apply` is given its code

Apply: TypeAlias = Callable[[Sequence[jax.Array], Sequence[jax.Array]], Prediction]


@dataclass(frozen=True)
class ModelInput:
    """An input of a model, which takes `width` SQL arguments side by side. A call may name it, unless its name is ""."""

    name: str
    width: int = 1


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
    texts: tuple[TextProgram, ...] = ()

    @property
    def tables(self) -> tuple[tuple[int, TextOutput], ...]:
        """The outputs of all programs in order, each with the argument that it is of."""
        return tuple((program.argument, output) for program in self.texts for output in program.outputs)


def labelled(model: Model, labels: Sequence[str]) -> Model:
    """The model whose classes, the integers from 0 on, are named `labels`: its result is VARCHAR.

    Raises ModelError: its result is no class, there are not as many labels as classes, or a label is no text that SQL can hold.
    """
    if isinstance(labels, str) or not all(is_unicode(label) for label in labels):
        raise ModelError(f'model "{model.name}": the labels of its classes must be texts, one for each class')
    if not isinstance(model.result, Integer) or model.classes is None:
        raise ModelError(f'model "{model.name}" gives {model.result} and no class, which a label could be the name of')
    if len(labels) != model.classes:
        raise ModelError(f'model "{model.name}" has {model.classes:,} classes, and {len(labels):,} labels for them')
    return replace(model, result=VARCHAR, labels=tuple(labels))


def is_unicode(label: object) -> bool:
    """Whether a label is a text that can be written as UTF-8: one without lone surrogates."""
    try:
        return isinstance(label, str) and label.encode() is not None
    except UnicodeEncodeError:
        return False


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
