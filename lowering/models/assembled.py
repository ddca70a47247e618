"""Models put together of parts that are not traced from anywhere: trees, scikit-learn's estimators.

A part is a function of a `Run`, which hands it its weights, and of features [k, n], one row of the matrix a feature: columns are
that already. `assemble` makes a `Model` of the last of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.labels import labelled
from qtensor.lowering.models.model import TEXT, Model, ModelInput, Prediction, order_of
from qtensor.lowering.models.text_features import MISSING, MISSING_NUMBER, TextFeatures
from qtensor.lowering.program.row_major import stacked
from qtensor.lowering.program.work import shape_of, work_of
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, FLOAT, Array, SqlType

NOT_FINITE = "a value is infinite or too large"
NOT_A_NUMBER = "a value is NaN, infinite or too large"


class Held:
    """The weights of a model while its parts are made: `held(array)` keeps one and gives the number by which `Run` knows it."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []

    def __call__(self, array: Any, dtype: Any = None) -> int:
        self.arrays.append(np.ascontiguousarray(array, dtype))
        return len(self.arrays) - 1


@dataclass
class Run:
    """One tracing of a model: its weights, and for which rows it has no result, each a bool[n]. texts: of features that are texts
    their codes, int32[n], and the tables that were made of the texts, [texts, width].
    """

    weights: Sequence[jax.Array]
    failed: list[jax.Array] = field(default_factory=list)
    texts: dict[int, tuple[jax.Array, Sequence[jax.Array]]] = field(default_factory=dict)

    def __getitem__(self, number: int) -> jax.Array:
        return self.weights[number]

    def column(self, number: int) -> jax.Array:
        """A vector [k] of the weights beside features [k, n]."""
        return self.weights[number][:, None]

    def made_of_text(self, feature: int, table: int) -> jax.Array:
        """[width, n] of a table that the host made of a feature's texts."""
        codes, tables = self.texts[feature]
        return tables[table].at[codes].get(mode="clip").T

    def fail(self, rows: jax.Array) -> None:
        self.failed.append(rows)


Part: TypeAlias = Callable[[Run, jax.Array], jax.Array]


@dataclass(frozen=True)
class Taken:
    """What a caller of `create_function` said of a model's call."""

    name: str
    arguments: int | None = None
    output: str | None = None
    inputs: Sequence[str] | None = None
    dtype: Any = None


@dataclass(frozen=True, eq=False)
class Predictor:
    """What a model gives of features [k, n], in the words of its library.

    predicted: what it predicts, if that is no class. scores: the probabilities of classes, where it has them. raw: what these are
    made of. number: the number [1, n] of the class, which stands for one of `classes`. by_class: whether it predicts classes.
    work: multiply-adds a row, beyond those of matrix products; None where that is all.
    """

    predicted: Part | None = None
    scores: Part | None = None
    raw: Part | None = None
    number: Part | None = None
    classes: Any = None
    work: int | None = None

    @property
    def by_class(self) -> bool:
        return self.predicted is None


def model_of(
    taken: Taken,
    names: Sequence[str],
    dtype: Any,
    held: Held,
    predictor: Predictor,
    *,
    texts: TextFeatures | None = None,
    fails: str = NOT_A_NUMBER,
) -> Model:
    """The model that a predictor is, with the output that the caller wants. See `assemble`."""
    parts = {
        "scores": predictor.predicted or predictor.scores or predictor.raw,
        "raw": predictor.raw or predictor.predicted,
        "class": predictor.number,
    }
    wanted = choose(taken, [key for key, part in parts.items() if part], "class" if predictor.by_class else "scores")
    part = parts[wanted]
    assert part is not None
    classes = predictor.classes if wanted == "class" else None
    return assemble(taken, names, dtype, held, part, classes=classes, fails=fails, work=predictor.work, texts=texts)


def then(part: Part, link: Callable[[jax.Array], jax.Array]) -> Part:
    """A function of what a part gives."""

    def linked(run: Run, x: jax.Array) -> jax.Array:
        return link(part(run, x))

    return linked


def chained(first: Part, second: Part) -> Part:
    def both(run: Run, x: jax.Array) -> jax.Array:
        return second(run, first(run, x))

    return both


def after(first: Part, found: Predictor) -> Predictor:
    """A predictor of what `first` gives."""
    parts = {key: getattr(found, key) for key in ("predicted", "scores", "raw", "number")}
    return Predictor(
        **{key: part and chained(first, part) for key, part in parts.items()}, classes=found.classes, work=found.work
    )


def choose(taken: Taken, known: Sequence[str], default: str) -> str:
    """The output that the caller wants. "proba" is another name for "scores"."""
    wanted = default if taken.output is None else "scores" if taken.output == "proba" else taken.output
    if wanted not in known:
        listed = ", ".join(f'"{one}"' for one in known)
        hint = suggestion(wanted, known)
        raise ModelError(f'model "{taken.name}" has no output "{taken.output}"; its outputs: {listed}. {hint}'.rstrip())
    return wanted


def assemble(
    taken: Taken,
    names: Sequence[str],
    dtype: Any,
    held: Held,
    part: Part,
    *,
    classes: Any = None,
    fails: str = NOT_A_NUMBER,
    work: int | None = None,
    texts: TextFeatures | None = None,
) -> Model:
    """The model that `part` computes of features [k, n] of the type `dtype`.

    names: of the features. classes: what the numbers that it gives stand for, if it gives the number of a class. fails: why a row
    may have no result. work: multiply-adds a row; counted if not given. texts: the features that are texts; `null="nan"` makes
    them NaN, too.

    Raises ModelError: arguments=, inputs= or dtype= are not as the model is.
    """
    order = tuple(range(len(names))) if taken.inputs is None else order_of(taken.name, names, taken.inputs)
    if taken.arguments is not None and taken.arguments != len(names):
        raise ModelError(f'model "{taken.name}" takes {len(names)} columns, not the {taken.arguments} of arguments=')
    if taken.dtype is not None:
        raise ModelError(f'model "{taken.name}" says itself of which types its inputs are: leave out dtype=')
    numbers = None if classes is None else class_numbers(classes)
    label = None if numbers is None or np.array_equal(numbers, np.arange(len(numbers))) else held(numbers)
    texts = TextFeatures() if texts is None else texts
    place_of = tuple(order.index(position) for position in range(len(order)))
    programs = tuple(texts.program(feature, place_of[feature]) for feature in sorted(texts.features))
    widths = tuple(tuple(output.width or 1 for output in program.outputs) for program in programs)
    apply = Assembled(part, place_of, label, np.dtype(dtype), tuple(zip(sorted(texts.features), widths, strict=True)))
    dtypes = tuple(TEXT if position in texts.features else np.dtype(dtype) for position in order)
    with jax.enable_x64(True):
        machine_types = [np.dtype(np.int32) if one == TEXT else one for one in dtypes]
        tables = [np.zeros(8 * width, np.int32) for of_text in widths for width in of_text]
        shapes = [shape_of(weight.shape, weight.dtype) for weight in (*held.arrays, *tables)]
        lowered = jax.jit(apply).lower(shapes, [shape_of((8,), one) for one in machine_types])
        prediction = lowered.out_info
        result = result_type(prediction.result, classes is not None)
        if work is None:
            work = work_of(apply, [*held.arrays, *tables], machine_types).multiply_adds
    model = Model(
        name=taken.name,
        digest=hashlib.sha256(f"{lowered.as_text()}{dtypes}{result}".encode()).hexdigest(),
        arguments=dtypes,
        result=result,
        weights=tuple(held.arrays),
        apply=apply,
        inputs=tuple(ModelInput(names[position]) for position in order),
        classes=len(classes) if classes is not None and label is None else None,
        fails=None if prediction.failed is None else fails,
        work=work,
        texts=programs,
        missing=MISSING if programs else None,
    )
    if classes is not None and numbers is None:
        model = labelled(model, [str(one) for one in classes])
    return replace(model, result=BOOLEAN) if is_boolean(classes) else model


def class_numbers(classes: Sequence[Any]) -> NDArray[Any] | None:
    """The classes of a model, if SQL gets them as numbers: int64 or float64; None if they are texts."""
    array = np.asarray(classes)
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    return array.astype(np.float64) if array.dtype.kind == "f" else None


def is_boolean(classes: Any) -> bool:
    return classes is not None and np.asarray(classes).dtype.kind == "b"


def result_type(result: Any, is_class: bool) -> SqlType:
    if is_class:
        return BIGINT if result.dtype.kind == "i" else DOUBLE
    element = DOUBLE if result.dtype == np.float64 else FLOAT
    return element if result.ndim == 1 else Array(element, result.shape[0])


@dataclass(frozen=True, eq=False)
class Assembled:
    """`Model.apply` of parts. order: the column that is each feature. label: the weight that says what a class's number means.
    dtype: of features. texts: of each feature that is a text the widths of its tables, which come behind the weights.
    """

    part: Part
    order: tuple[int, ...]
    label: int | None
    dtype: np.dtype[Any]
    texts: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        features = [columns[position] for position in self.order]
        tables = iter(weights[len(weights) - sum(len(widths) for _, widths in self.texts) :])
        run = Run(weights)
        for feature, widths in self.texts:
            run.texts[feature] = features[feature], [next(tables).reshape(-1, width) for width in widths]
            (number,) = run.made_of_text(feature, 0)
            features[feature] = jnp.where(number == MISSING_NUMBER, jnp.nan, number.astype(self.dtype))
        result = self.part(run, stacked(features))
        if result.shape[0] == 1:
            result = result[0]
        if self.label is not None:
            result = run[self.label].at[result.astype(jnp.int32)].get(mode="clip")
        failed = None
        for rows in run.failed:
            failed = rows if failed is None else failed | rows
        return Prediction(result, failed)


def constant(value: float, like: jax.Array) -> jax.Array:
    return jnp.asarray(value, like.dtype)


def number_of_greatest(scores: jax.Array) -> jax.Array:
    """[1, n] int64: the first greatest of scores [k, n]."""
    return jnp.argmax(scores, axis=0)[None].astype(jnp.int64)
