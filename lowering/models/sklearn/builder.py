"""Fitted estimators as parts: the tables of those that are known, and what they have in common."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.assembled import Held, Part, Predictor, Run
from qtensor.lowering.models.text_features import TextFeatures, is_missing, kinds_of

Array: TypeAlias = jax.Array


class Step(NamedTuple):
    """A transformer of features, and how many it gives. kept: of those that it gives, which feature each is as it came, or filled
    in where it was missing; None: something else. () says so of all.
    """

    part: Part
    width: int
    kept: tuple[int | None, ...] = ()


@dataclass
class Builder:
    """What estimators are made parts with. path: the steps that were entered. problems: all that cannot be converted.
    others: what makes a predictor of an estimator of another library. sources: of the features that the next estimator is given,
    which of the model's each is, None: something else; only those of the model may be texts.
    """

    name: str
    held: Held = field(default_factory=Held)
    texts: TextFeatures = field(default_factory=TextFeatures)
    sources: tuple[int | None, ...] = ()
    path: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    others: Callable[[object], Callable[[Builder, Any, int], Predictor] | None] = lambda estimator: None

    def hold(self, array: Any) -> int:
        """Keep weights as float64, in which scikit-learn computes."""
        return self.held(array, np.float64)

    def place(self, estimator: object) -> str:
        kind = type(estimator).__name__
        return f'{kind} (step "{".".join(self.path)}")' if self.path else kind

    @contextmanager
    def entered(self, step: str) -> Iterator[None]:
        self.path.append(step)
        yield
        self.path.pop()

    @contextmanager
    def given(self, sources: Sequence[int | None]) -> Iterator[None]:
        before, self.sources = self.sources, tuple(sources)
        yield
        self.sources = before

    def after(self, step: Step) -> tuple[int | None, ...]:
        """The sources of what a step gives."""
        return tuple(None if position is None else self.sources[position] for position in step.kept) or (None,) * step.width

    def without_texts(self, step: Step) -> Step:
        """A step behind which no other comes: what it gives are numbers."""
        if any(source in self.texts.features for source in self.after(step)):
            self.problems.append(f"{self.path[-1] if self.path else 'it'} gives a column of texts, and only numbers can be given")
        return step

    def text_source(self, feature: int) -> int:
        """Which of the model's features a feature is that turns out to be a text."""
        source = self.sources[feature]
        if source is None:
            raise NotConvertedError("takes texts that an earlier step makes, which is not supported")
        self.texts.is_text(source)
        return source

    def numbers(self, feature: int, values: Sequence[Any]) -> NDArray[np.float64]:
        """The numbers by which a feature has `values`: categories, or what is filled in. What is missing is NaN."""
        kinds = kinds_of(values)
        if not kinds <= {"number"} and kinds != {"text"}:
            raise NotConvertedError(f"has a column of {' and '.join(sorted(kinds))}, and not of texts or of numbers alone")
        if kinds == {"text"}:
            self.text_source(feature)
        number: Callable[[Any], float] = self.texts.number if kinds == {"text"} else float
        return np.array([np.nan if is_missing(value) else number(value) for value in values], np.float64)

    def transformer(self, estimator: Any, width: int) -> Step:
        """A fitted transformer of `width` features."""
        make = TRANSFORMERS.get(kind_of(estimator))
        step = self.made(estimator, width, make, "transformer")
        return Step(identity, width) if step is None else step._replace(part=guarded(estimator, step.part))

    def predictor(self, estimator: Any, width: int) -> Predictor:
        """A fitted predictor of `width` features."""
        make = self.others(estimator) or PREDICTORS.get(kind_of(estimator))
        found = self.made(estimator, width, make, "predictor")
        if found is None:
            return Predictor(predicted=identity)
        parts = {
            key: guarded(estimator, part)
            for key in ("predicted", "scores", "raw", "number")
            if (part := getattr(found, key)) is not None
        }
        return Predictor(**parts, classes=found.classes, work=found.work)

    def made(self, estimator: Any, width: int, make: Callable[[Builder, Any, int], Any] | None, role: str) -> Any:
        """What `make` makes of an estimator; None, and a problem, where it cannot."""
        place = self.place(estimator)
        if make is None:
            self.problems.append(f"{place} is not supported as a {role}{elsewhere(estimator, role)}")
            return None
        if not is_fitted(estimator):
            self.problems.append(f"{place} is not fitted")
            return None
        try:
            taken = getattr(estimator, "n_features_in_", width)
            if taken != width:
                raise NotConvertedError(f"takes {taken} features and would get {width}")
            return make(self, estimator, width)
        except NotConvertedError as problem:
            self.problems.append(f"{place} {problem}")
            return None


class NotConvertedError(Exception):
    """What stands in the way of an estimator."""


TRANSFORMERS: dict[str, Callable[[Builder, Any, int], Step]] = {}
PREDICTORS: dict[str, Callable[[Builder, Any, int], Predictor]] = {}
# Estimators that take anything, or leave it to others to look at what they take.
UNGUARDED = frozenset(
    ("BaggingClassifier", "BaggingRegressor", "CalibratedClassifierCV", "ColumnTransformer", "DummyClassifier",
     "DummyRegressor", "FeatureUnion", "FixedThresholdClassifier", "FrozenEstimator", "FunctionTransformer", "GridSearchCV",
     "HalvingGridSearchCV", "HalvingRandomSearchCV", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor",
     "MultiOutputRegressor", "OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier", "Pipeline",
     "RANSACRegressor", "RFE", "RFECV", "RandomizedSearchCV", "SelectFromModel", "SelfTrainingClassifier",
     "SequentialFeatureSelector", "StackingClassifier", "StackingRegressor", "TransformedTargetRegressor",
     "TunedThresholdClassifierCV", "VotingClassifier", "VotingRegressor")
)  # fmt: skip


def transformer(*kinds: str) -> Callable[[Callable[[Builder, Any, int], Step]], Callable[[Builder, Any, int], Step]]:
    """Register what makes a `Step` of estimators of these classes."""

    def register(make: Callable[[Builder, Any, int], Step]) -> Callable[[Builder, Any, int], Step]:
        TRANSFORMERS.update(dict.fromkeys(kinds, make))
        return make

    return register


def predictor(*kinds: str) -> Callable[[Callable[[Builder, Any, int], Predictor]], Callable[[Builder, Any, int], Predictor]]:
    """Register what makes a `Predictor` of estimators of these classes."""

    def register(make: Callable[[Builder, Any, int], Predictor]) -> Callable[[Builder, Any, int], Predictor]:
        PREDICTORS.update(dict.fromkeys(kinds, make))
        return make

    return register


def kind_of(estimator: object) -> str:
    """The name of a class of scikit-learn itself: one that is derived of it may compute something else."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def elsewhere(estimator: object, role: str) -> str:
    kind = kind_of(estimator)
    if kind and role == "predictor" and kind in TRANSFORMERS:
        return ": a model ends in one of scikit-learn's predictors or is a Pipeline of transformers"
    base = next((one for one in type(estimator).__mro__ if f"{one.__module__}.".startswith("sklearn.")), None)
    if not kind and base is not None:
        return f", since it is a class of its own: what it makes of {base.__name__} is unknown"
    return ""


def is_fitted(estimator: Any) -> bool:
    validation = importlib.import_module("sklearn.utils.validation")
    exceptions = importlib.import_module("sklearn.exceptions")
    try:
        validation.check_is_fitted(estimator)
    except exceptions.NotFittedError:
        return False
    return True


def guarded(estimator: Any, part: Part) -> Part:
    """A part that has no result where scikit-learn refuses a row: infinities, and NaN unless the estimator takes it."""
    if kind_of(estimator) in UNGUARDED or not kind_of(estimator):
        return part
    takes_nan = bool(estimator.__sklearn_tags__().input_tags.allow_nan)

    def checked(run: Run, x: Array) -> Array:
        wrong = jnp.isinf(x) if takes_nan else ~jnp.isfinite(x)
        run.fail(wrong.any(axis=0))
        return part(run, x)

    return checked


def identity(run: Run, x: Array) -> Array:
    return x


def selected(positions: Sequence[int] | Any) -> Part:
    """Some of the features."""
    wanted = [int(position) for position in positions]

    def part(run: Run, x: Array) -> Array:
        return x[np.asarray(wanted, np.int32)]

    return part if wanted else nothing


def nothing(run: Run, x: Array) -> Array:
    return x[:0]


def together(parts: Sequence[Part]) -> Part:
    """What several parts give of the same features, one below the other."""

    def part(run: Run, x: Array) -> Array:
        return jnp.concatenate([one(run, x) for one in parts])

    return parts[0] if len(parts) == 1 else part


def affine(builder: Builder, matrix: Any, shift: Any) -> Part:
    """matrix [m, k] of features, plus shift [m]."""
    weights = builder.hold(np.atleast_2d(matrix))
    constants = builder.hold(np.broadcast_to(np.asarray(shift, np.float64), (np.atleast_2d(matrix).shape[0],)))

    def part(run: Run, x: Array) -> Array:
        found: Array = jnp.matmul(run[weights], x) + run.column(constants)
        return found

    return part


def labels_of(estimator: Any) -> Any:
    classes = estimator.classes_
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise NotConvertedError("predicts several outputs, and SQL gets one")
    return np.asarray(classes)
