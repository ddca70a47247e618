"""Classifiers made of other estimators by way of their decisions: boosted, calibrated, one against others, with a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.assembled import Part, Predictor, Run, after, chained, number_of_greatest, then
from qtensor.lowering.models.sklearn.builder import (
    Array,
    Builder,
    NotConvertedError,
    Step,
    kind_of,
    labels_of,
    predictor,
    selected,
    transformer,
)
from qtensor.lowering.models.sklearn.composed import work_of_all
from qtensor.lowering.models.sklearn.forests import first_value, sums_of, tree_of
from qtensor.lowering.models.sklearn.linear import logistic, softmax, two

TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor")


def response(builder: Builder, estimator: Any, width: int, *, of_probability: bool = False) -> Predictor:
    """A member, as scikit-learn asks it how sure it is: `raw` by its decision_function, or else the probabilities of its classes,
    of two the second one's. of_probability: by these in any case.
    """
    found = builder.predictor(estimator, width)
    if found.raw is not None and hasattr(estimator, "decision_function") and not of_probability:
        return found
    if found.scores is None:
        raise NotConvertedError("has an estimator that says neither a decision nor probabilities")
    return Predictor(
        scores=found.scores,
        raw=then(found.scores, lambda scores: scores[1:] if scores.shape[0] == 2 else scores),
        number=found.number,
        classes=found.classes,
        work=found.work,
    )


def raw_of(found: Predictor) -> Part:
    assert found.raw is not None, "a response has one"
    return found.raw


def is_probability(estimator: Any) -> bool:
    return not hasattr(estimator, "decision_function")


# --- boosted ------------------------------------------------------------------------------------------------------------------


@predictor("AdaBoostClassifier")
def boosted_classes(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The votes of weighted members. Trees are one forest whose leaves are votes."""
    classes, weights = labels_of(estimator), np.asarray(estimator.estimator_weights_, np.float64)
    count = len(classes)
    if count < 2:
        raise NotConvertedError("knows one class only")

    def votes_of(number: Any, own: Any, weight: float) -> Any:
        """[classes, ...] for the number of a class among `own`."""
        wins = classes[:, None] == np.asarray(own)[None]
        return np.where(wins, weight, -1 / (count - 1) * weight)[:, number]

    members = list(zip(estimator.estimators_, weights, strict=False))
    if all(kind_of(one) in TREES for one, _ in members):

        def leaves_of(own: Any, weight: float) -> Any:
            return lambda tree: votes_of(np.argmax(first_value(tree), 1), own, weight).T

        trees = [tree_of(one, leaves_of(one.classes_, weight)) for one, weight in members]
        votes, work = sums_of(builder, [trees], np.zeros(count), width, np.float32)
    else:
        found = [builder.predictor(one, width) for one, _ in members]
        if any(one.number is None for one in found):
            raise NotConvertedError("has an estimator that predicts no class")
        tables = [
            builder.hold(votes_of(slice(None), one.classes, weight)) for one, (_, weight) in zip(found, members, strict=True)
        ]
        work = work_of_all(found) or 0

        def votes(run: Run, x: Array) -> Array:
            total = jnp.zeros((count, x.shape[1]), x.dtype)
            for one, table in zip(found, tables, strict=True):
                assert one.number is not None
                total = total + run[table].at[:, one.number(run, x)[0]].get(mode="clip")
            return total

    total = float(weights.sum())

    def decision(run: Run, x: Array) -> Array:
        each = votes(run, x) / total
        return each[1:] - each[:1] if count == 2 else each

    if count == 2:
        scores = then(decision, lambda found: softmax(jnp.concatenate([-found, found]) / 2.0))
        number = then(decision, lambda found: (found > 0).astype(jnp.int64))
    else:
        scores = then(decision, lambda found: softmax(found / float(count - 1)))
        number = then(decision, number_of_greatest)
    return Predictor(scores=scores, raw=decision, number=number, classes=classes, work=work)


@predictor("AdaBoostRegressor")
def boosted_median(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The median of what the members predict, each as heavy as its weight."""
    members = estimator.estimators_
    weights = builder.hold(estimator.estimator_weights_[: len(members)])
    if all(kind_of(one) in TREES for one in members):
        groups = [[tree_of(one, first_value)] for one in members]
        each, work = sums_of(builder, groups, np.zeros(len(members)), width, np.float32)
    else:
        found = [builder.predictor(one, width) for one in members]
        parts = [one.predicted for one in found if one.predicted]
        if len(parts) != len(found):
            raise NotConvertedError("has an estimator that predicts no number")
        work = work_of_all(found) or 0

        def each(run: Run, x: Array) -> Array:
            return jnp.concatenate([part(run, x).astype(x.dtype) for part in parts])

    def median(run: Run, x: Array) -> Array:
        values = each(run, x)
        order = jnp.argsort(values, axis=0)
        heavy = jnp.cumsum(run[weights][order], axis=0)
        place = jnp.argmax(heavy >= 0.5 * heavy[-1:], axis=0)[None]
        return jnp.take_along_axis(values, jnp.take_along_axis(order, place, 0), 0)

    return Predictor(predicted=median, work=work)


# --- calibrated ---------------------------------------------------------------------------------------------------------------


@predictor("CalibratedClassifierCV")
def calibrated(builder: Builder, estimator: Any, width: int) -> Predictor:
    classes = labels_of(estimator)
    members = estimator.calibrated_classifiers_
    parts, found = [], []
    for number, one in enumerate(members):
        with builder.entered(f"calibrated_classifiers_[{number}]"):
            found.append(response(builder, one.estimator, width))
            parts.append(calibration(builder, one, found[-1], classes))

    def mean(run: Run, x: Array) -> Array:
        total = parts[0](run, x)
        for part in parts[1:]:
            total = total + part(run, x)
        return total / float(len(parts))

    return Predictor(scores=mean, number=then(mean, number_of_greatest), classes=classes, work=work_of_all(found))


def calibration(builder: Builder, member: Any, found: Predictor, classes: Any) -> Part:
    """The probabilities of all classes by a calibrator of each class that the member knows."""
    if member.method not in ("sigmoid", "isotonic"):
        raise NotConvertedError(f"is calibrated by {member.method}, which is not supported")
    curves = [curve(builder, calibrator) for calibrator in member.calibrators]
    if len(classes) == 2:
        return then(chained(raw_of(found), curves[0]), two)
    known = np.searchsorted(classes, found.classes)

    def part(run: Run, x: Array) -> Array:
        raw = raw_of(found)(run, x)
        each = jnp.zeros((len(classes), x.shape[1]), x.dtype)
        for own, (place, one) in enumerate(zip(known.tolist(), curves, strict=True)):
            each = each.at[place].set(one(run, raw[own : own + 1])[0])
        total = each.sum(axis=0, keepdims=True)
        return jnp.where(total == 0, 1.0 / len(classes), each / jnp.where(total == 0, 1.0, total))

    return part


def curve(builder: Builder, calibrator: Any) -> Part:
    """What a calibrator makes of decisions [1, n]."""
    match type(calibrator).__name__:
        case "_SigmoidCalibration":
            slope, shift = builder.hold([calibrator.a_]), builder.hold([calibrator.b_])
            return lambda run, x: logistic(-(run.column(slope) * x + run.column(shift)))
        case "IsotonicRegression":
            return isotonic(builder, calibrator, 1).part
        case kind:
            raise NotConvertedError(f"is calibrated by {kind}, which is not supported")


@transformer("IsotonicRegression")
def isotonic(builder: Builder, estimator: Any, width: int) -> Step:
    """Straight lines between thresholds; what lies beyond them is that of the nearest, missing, or an error."""
    xs, ys = builder.hold(estimator.X_thresholds_), builder.hold(estimator.y_thresholds_)
    beyond = estimator.out_of_bounds

    def part(run: Run, x: Array) -> Array:
        outside = (x < run[xs][0]) | (x > run[xs][-1])
        if beyond == "raise":
            run.fail(outside[0])
        found = jnp.interp(x, run[xs], run[ys])
        return jnp.where(outside, jnp.nan, found) if beyond == "nan" else found

    return Step(part, 1)


@predictor("IsotonicRegression")
def isotonic_regression(builder: Builder, estimator: Any, width: int) -> Predictor:
    return Predictor(predicted=isotonic(builder, estimator, width).part)


# --- one against others -------------------------------------------------------------------------------------------------------


def binaries(builder: Builder, members: Sequence[Any], width: int, features: Any = None) -> list[Predictor]:
    found = []
    for number, one in enumerate(members):
        taken = range(width) if features is None else features[number]
        of_these = builder.given([builder.sources[position] for position in taken])
        with builder.entered(f"estimators_[{number}]"), of_these:
            found.append(after(selected(taken), response(builder, one, len(taken))))
    return found


@predictor("_ConstantPredictor")
def always_the_same(builder: Builder, estimator: Any, width: int) -> Predictor:
    """What stands among the members where all rows, or none, were of a class."""
    held = builder.hold(np.ravel(estimator.y_))

    def raw(run: Run, x: Array) -> Array:
        return jnp.broadcast_to(run[held][:, None], (1, x.shape[1]))

    return Predictor(scores=then(raw, two), raw=raw, number=then(raw, lambda x: x.astype(jnp.int64)), classes=np.arange(2))


@predictor("OneVsRestClassifier")
def one_versus_rest(builder: Builder, estimator: Any, width: int) -> Predictor:
    classes = labels_of(estimator)
    if estimator.multilabel_:
        raise NotConvertedError("gives several labels at once, and SQL gets one")
    found = binaries(builder, estimator.estimators_, width)
    decisions = beside([raw_of(one) for one in found])
    known = [then(one.scores, lambda scores: scores[1:]) for one in found if one.scores]
    scores = then(beside(known), shares) if len(known) == len(found) else None
    bound = 0.5 if is_probability(estimator.estimators_[0]) else 0.0
    if len(found) == 1:
        number = then(decisions, lambda each: (each > bound).astype(jnp.int64))
    else:
        number = then(decisions, number_of_greatest)
    return Predictor(scores=scores, raw=decisions, number=number, classes=classes, work=work_of_all(found))


def beside(parts: Sequence[Part]) -> Part:
    def part(run: Run, x: Array) -> Array:
        return jnp.concatenate([one(run, x).astype(x.dtype) for one in parts])

    return part


def shares(each: Array) -> Array:
    """The probabilities of classes, which add up to 1, unless all are 0."""
    if each.shape[0] == 1:
        return two(each)
    total = each.sum(axis=0, keepdims=True)
    return each / jnp.where(total == 0, 1.0, total)


@predictor("OneVsOneClassifier")
def one_versus_one(builder: Builder, estimator: Any, width: int) -> Predictor:
    """Votes of each two classes, and how sure they are where votes are equal."""
    classes = labels_of(estimator)
    count = len(classes)
    pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
    found = binaries(builder, estimator.estimators_, width, estimator.pairwise_indices_)
    if any(one.number is None for one in found):
        raise NotConvertedError("has an estimator that predicts no class")

    def decisions(run: Run, x: Array) -> Array:
        votes, sums = ([jnp.zeros(x.shape[1], x.dtype)] * count for _ in range(2))
        for member, (one, other) in zip(found, pairs, strict=True):
            assert member.number is not None
            wins, sure = member.number(run, x)[0].astype(x.dtype), raw_of(member)(run, x)[0].astype(x.dtype)
            votes[one], votes[other] = votes[one] + (1.0 - wins), votes[other] + wins
            sums[one], sums[other] = sums[one] - sure, sums[other] + sure
        together = jnp.stack(sums)
        each: Array = jnp.stack(votes) + together / (3.0 * (jnp.abs(together) + 1.0))
        return each[1:] if count == 2 else each

    bound = 0.5 if is_probability(estimator.estimators_[0]) else 0.0
    chosen = (lambda each: (each > bound).astype(jnp.int64)) if count == 2 else number_of_greatest
    return Predictor(raw=decisions, number=then(decisions, chosen), classes=classes, work=work_of_all(found))


@predictor("OutputCodeClassifier")
def output_code(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The class whose code is nearest."""
    found = binaries(builder, estimator.estimators_, width)
    decisions, book = beside([raw_of(one) for one in found]), builder.hold(estimator.code_book_)

    def number(run: Run, x: Array) -> Array:
        each = decisions(run, x)
        return number_of_greatest(-jnp.square(run[book][:, :, None] - each[None]).sum(axis=1))

    return Predictor(number=number, classes=labels_of(estimator), work=work_of_all(found))


# --- others -------------------------------------------------------------------------------------------------------------------


@predictor("FixedThresholdClassifier", "TunedThresholdClassifierCV")
def with_threshold(builder: Builder, estimator: Any, width: int) -> Predictor:
    """Its class is that of the threshold, its probabilities are those of the estimator within."""
    classes, method = labels_of(estimator), estimator.response_method
    with builder.entered("estimator_"):
        by_probability = method == "predict_proba" or (method == "auto" and hasattr(estimator.estimator_, "predict_proba"))
        found = response(builder, estimator.estimator_, width, of_probability=by_probability)
    given = getattr(estimator, "best_threshold_", getattr(estimator, "threshold", "auto"))
    bound = (0.5 if by_probability else 0.0) if given == "auto" else float(given)
    label = getattr(estimator, "pos_label", None)
    is_first = label is not None and label == classes[0]
    sure = raw_of(found)
    if is_first:
        sure = then(sure, (lambda second: 1.0 - second) if by_probability else (lambda second: -second))
    number = then(sure, lambda each: ((each >= bound) != is_first).astype(jnp.int64))
    raw = found.raw if hasattr(estimator.estimator_, "decision_function") and not by_probability else None
    return Predictor(scores=found.scores, raw=raw, number=number, classes=classes, work=found.work)


@predictor("FrozenEstimator")
def frozen(builder: Builder, estimator: Any, width: int) -> Predictor:
    return builder.predictor(estimator.estimator, width)


@predictor("SelfTrainingClassifier", "RANSACRegressor")
def estimator_within(builder: Builder, estimator: Any, width: int) -> Predictor:
    with builder.entered("estimator_"):
        return builder.predictor(estimator.estimator_, width)


@predictor("MultiOutputRegressor")
def several_outputs(builder: Builder, estimator: Any, width: int) -> Predictor:
    found = [builder.predictor(one, width) for one in estimator.estimators_]
    parts = [one.predicted for one in found if one.predicted]
    if len(parts) != len(found):
        raise NotConvertedError("has an estimator that predicts no number")
    return Predictor(predicted=beside(parts), work=work_of_all(found))


@predictor("DummyClassifier")
def dummy_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The class that is most frequent, or the one that was said."""
    classes = labels_of(estimator)
    if estimator.strategy not in ("most_frequent", "prior", "constant"):
        raise NotConvertedError(f"guesses ({estimator.strategy}), which no query does")
    if estimator.strategy == "constant":
        chosen = np.asarray(classes == np.ravel(estimator.constant)[0], np.float64)
    else:
        chosen = np.eye(len(classes))[int(np.argmax(estimator.class_prior_))]
    held = builder.hold(estimator.class_prior_ if estimator.strategy == "prior" else chosen)

    def scores(run: Run, x: Array) -> Array:
        return lax.broadcast_in_dim(run[held], (len(classes), x.shape[1]), (0,))

    return Predictor(scores=scores, number=then(scores, number_of_greatest), classes=classes)
