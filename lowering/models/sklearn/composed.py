"""Estimators made of others: pipelines, tables of columns, votes, stacks, searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.assembled import Part, Predictor, Run, after, chained, number_of_greatest, then
from qtensor.lowering.models.sklearn.builder import (
    Array,
    Builder,
    NotConvertedError,
    Step,
    identity,
    labels_of,
    predictor,
    selected,
    together,
    transformer,
)
from qtensor.lowering.models.sklearn.scaling import known_function


def is_passed(estimator: Any) -> bool:
    return estimator is None or (isinstance(estimator, str) and estimator == "passthrough")


def leading(builder: Builder, steps: Sequence[tuple[str, Any]], width: int) -> Step:
    """The transformers of a pipeline, one after the other; the builder's sources are those of what they give then."""
    part: Part = identity
    kept: tuple[int | None, ...] = tuple(range(width))
    for name, estimator in steps:
        if not is_passed(estimator):
            with builder.entered(name):
                step = builder.transformer(estimator, width)
            builder.sources = builder.after(step)
            kept = tuple(None if position is None else kept[position] for position in step.kept or (None,) * step.width)
            part, width = chained(part, step.part), step.width
    return Step(part, width, kept)


@transformer("Pipeline")
def pipeline_of_transformers(builder: Builder, estimator: Any, width: int) -> Step:
    with builder.given(builder.sources):
        return leading(builder, estimator.steps, width)


@predictor("Pipeline")
def pipeline(builder: Builder, estimator: Any, width: int) -> Predictor:
    last = estimator.steps[-1][1]
    if is_passed(last) or not (hasattr(last, "predict") or hasattr(last, "fit_predict")):
        return Predictor(predicted=builder.without_texts(pipeline_of_transformers(builder, estimator, width)).part)
    with builder.given(builder.sources):
        first = leading(builder, estimator.steps[:-1], width)
        with builder.entered(estimator.steps[-1][0]):
            return after(first.part, builder.predictor(last, first.width))


@transformer("FeatureUnion")
def feature_union(builder: Builder, estimator: Any, width: int) -> Step:
    weights = estimator.transformer_weights or {}
    steps = []
    for name, one in estimator.transformer_list:
        if one != "drop":
            with builder.entered(name):
                step = passed(width) if is_passed(one) else builder.transformer(one, width)
            factor = float(weights.get(name, 1.0))
            steps.append(step._replace(part=weighted(step.part, factor)))
    return beside(steps)


def passed(width: int) -> Step:
    return Step(identity, width, tuple(range(width)))


def beside(steps: Sequence[Step]) -> Step:
    """What several steps give of the same features."""
    kept = tuple(position for step in steps for position in step.kept or (None,) * step.width)
    return Step(together([step.part for step in steps]), sum(step.width for step in steps), kept)


def weighted(part: Part, factor: float) -> Part:
    return part if factor == 1 else then(part, lambda x: x * factor)


@transformer("ColumnTransformer")
def column_transformer(builder: Builder, estimator: Any, width: int) -> Step:
    """Its transformers side by side, each of the columns that it was fitted to."""
    names = list(getattr(estimator, "feature_names_in_", ()))
    steps = []
    for name, one, columns in estimator.transformers_:
        positions = positions_of(columns, names, width)
        if (isinstance(one, str) and one == "drop") or not positions:
            continue
        with builder.entered(name), builder.given([builder.sources[position] for position in positions]):
            step = passed(len(positions)) if is_passed(one) else builder.transformer(one, len(positions))
        kept = tuple(None if place is None else positions[place] for place in step.kept)
        steps.append(Step(chained(selected(positions), step.part), step.width, kept))
    if not steps:
        raise NotConvertedError("leaves no columns")
    return beside(steps)


def positions_of(columns: Any, names: Sequence[str], width: int) -> list[int]:
    """The positions of columns that are given by names, positions, slices or a mask."""
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = names.index(columns.start) if columns.start is not None else 0
            stop = names.index(columns.stop) + 1 if columns.stop is not None else width
            return list(range(start, stop, columns.step or 1))
        return list(range(width))[columns]
    listed = np.atleast_1d(np.asarray(columns, object if not len(np.atleast_1d(np.asarray(columns))) else None))
    if listed.dtype.kind == "b":
        return [int(position) for position in np.flatnonzero(listed)]
    return [names.index(str(one)) if isinstance(one, str) else range(width)[int(one)] for one in listed.tolist()]


@predictor("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
def search(builder: Builder, estimator: Any, width: int) -> Predictor:
    if not hasattr(estimator, "best_estimator_"):
        raise NotConvertedError("was fitted with refit=False, and has no model")
    return builder.predictor(estimator.best_estimator_, width)


@predictor("RFE", "RFECV")
def eliminated(builder: Builder, estimator: Any, width: int) -> Predictor:
    """What the estimator says that was fitted to the features that are left."""
    kept = estimator.get_support(indices=True)
    with builder.entered("estimator_"), builder.given([builder.sources[position] for position in kept]):
        return after(selected(kept), builder.predictor(estimator.estimator_, len(kept)))


def members(builder: Builder, estimator: Any, width: int) -> list[Predictor]:
    found = []
    listed = [(name, one) for name, one in estimator.estimators if not (isinstance(one, str) and one == "drop")]
    for (name, _), one in zip(listed, estimator.estimators_, strict=True):
        with builder.entered(name):
            found.append(builder.predictor(one, width))
    return found


def work_of_all(found: Sequence[Predictor]) -> int | None:
    known = [one.work for one in found if one.work is not None]
    return sum(known) if known else None


@predictor("VotingRegressor")
def voting_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    found = members(builder, estimator, width)
    weights = weights_of(estimator, len(found))

    def part(run: Run, x: Array) -> Array:
        parts = [
            one.predicted(run, x).astype(x.dtype) * weight for one, weight in zip(found, weights, strict=True) if one.predicted
        ]
        return jnp.stack(parts).sum(axis=0) / float(weights.sum())

    return Predictor(predicted=part, work=work_of_all(found))


def weights_of(estimator: Any, count: int) -> Any:
    if estimator.weights is None:
        return np.ones(count)
    given = list(zip(estimator.estimators, estimator.weights, strict=True))
    return np.asarray([weight for (_, one), weight in given if not (isinstance(one, str) and one == "drop")], np.float64)


@predictor("VotingClassifier")
def voting_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    found, classes = members(builder, estimator, width), labels_of(estimator)
    weights = weights_of(estimator, len(found))
    if estimator.voting == "soft":
        parts = [one.scores for one in found if one.scores]
        if len(parts) != len(found):
            raise NotConvertedError("votes by probabilities, which not all of its estimators have")

        def soft(run: Run, x: Array) -> Array:
            all_scores = [part(run, x).astype(x.dtype) * weight for part, weight in zip(parts, weights, strict=True)]
            return jnp.stack(all_scores).sum(axis=0) / float(weights.sum())

        return Predictor(scores=soft, number=then(soft, number_of_greatest), classes=classes, work=work_of_all(found))

    def votes(run: Run, x: Array) -> Array:
        numbers = [own_number(one)(run, x) for one in found]
        all_classes = jnp.arange(len(classes), dtype=jnp.int64)[:, None]
        each = [(number == all_classes).astype(x.dtype) * weight for number, weight in zip(numbers, weights, strict=True)]
        return jnp.stack(each).sum(axis=0)

    return Predictor(number=then(votes, number_of_greatest), raw=votes, classes=classes, work=work_of_all(found))


def own_number(found: Predictor) -> Part:
    """The class of a member that was fitted to numbers of classes, as such a number."""
    if found.number is None:
        raise NotConvertedError("has an estimator that predicts no class")
    numbers = np.asarray(found.classes, np.int64)
    return then(found.number, lambda number: jnp.asarray(numbers)[number.astype(jnp.int32)])


@predictor("StackingRegressor", "StackingClassifier")
def stacking(builder: Builder, estimator: Any, width: int) -> Predictor:
    if estimator.cv == "prefit" and kind_is_classifier(estimator):
        raise NotConvertedError('with cv="prefit" is not supported')
    parts, total = [], 0
    found = members(builder, estimator, width)
    for one, method in zip(found, estimator.stack_method_, strict=True):
        part = {"predict_proba": one.scores, "decision_function": one.raw}.get(method, one.predicted)
        if part is None:
            raise NotConvertedError(f"stacks the {method} of an estimator that has none here")
        is_two = method == "predict_proba" and len(one.classes) == 2
        parts.append(then(part, (lambda x: x[1:]) if is_two else (lambda x: x)))
        total += 1 if one.classes is None or len(one.classes) == 2 else len(one.classes)
    if estimator.passthrough:
        parts.append(identity)
        total += width

    def stacked(run: Run, x: Array) -> Array:
        return jnp.concatenate([part(run, x).astype(x.dtype) for part in parts])

    with builder.entered("final_estimator"), builder.given((None,) * total):
        final = after(stacked, builder.predictor(estimator.final_estimator_, total))
    if kind_is_classifier(estimator):
        return Predictor(
            scores=final.scores, raw=final.raw, number=own_number(final), classes=labels_of(estimator), work=final.work
        )
    return final


def kind_is_classifier(estimator: Any) -> bool:
    return hasattr(estimator, "classes_")


@predictor("BaggingRegressor", "BaggingClassifier")
def bagging(builder: Builder, estimator: Any, width: int) -> Predictor:
    found = []
    for number, (one, features) in enumerate(zip(estimator.estimators_, estimator.estimators_features_, strict=True)):
        of_these = builder.given([builder.sources[position] for position in features])
        with builder.entered(f"estimators_[{number}]"), of_these:
            found.append(after(selected(features), builder.predictor(one, len(features))))
    is_classifier = kind_is_classifier(estimator)
    parts = [part for one in found if (part := one.scores if is_classifier else one.predicted)]
    if len(parts) != len(found) or any(one.classes is not None and len(one.classes) != len(estimator.classes_) for one in found):
        raise NotConvertedError("has estimators without probabilities, or that know fewer classes")

    def mean(run: Run, x: Array) -> Array:
        return jnp.stack([part(run, x).astype(x.dtype) for part in parts]).sum(axis=0) / float(len(parts))

    if not is_classifier:
        return Predictor(predicted=mean, work=work_of_all(found))
    return Predictor(scores=mean, number=then(mean, number_of_greatest), classes=labels_of(estimator), work=work_of_all(found))


@predictor("TransformedTargetRegressor")
def transformed_target(builder: Builder, estimator: Any, width: int) -> Predictor:
    with builder.entered("regressor"):
        found = builder.predictor(estimator.regressor_, width)
    if found.predicted is None:
        raise NotConvertedError("has a regressor that predicts no number")
    target = estimator.transformer_
    match type(target).__name__:
        case "FunctionTransformer":
            if target.inverse_func is None:
                return found
            inverse = known_function(target.inverse_func)
        case "StandardScaler" | "RobustScaler" | "MaxAbsScaler" | "MinMaxScaler":
            scale, shift = scale_and_shift(target)
            inverse = lambda x: x * scale + shift  # noqa: E731
        case kind:
            raise NotConvertedError(f"transforms its target by {kind}, which is not supported")
    return Predictor(predicted=then(found.predicted, inverse), work=found.work)


def scale_and_shift(target: Any) -> tuple[float, float]:
    """How a scaler of one column is undone."""
    if type(target).__name__ == "MinMaxScaler":
        return 1.0 / float(target.scale_[0]), -float(target.min_[0]) / float(target.scale_[0])
    scale = getattr(target, "scale_", None)
    shift = getattr(target, "mean_", getattr(target, "center_", None))
    return 1.0 if scale is None else float(scale[0]), 0.0 if shift is None else float(shift[0])


@predictor("DummyRegressor")
def dummy_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    value = builder.hold(np.ravel(estimator.constant_))
    return Predictor(predicted=lambda run, x: jnp.broadcast_to(run.column(value), (run[value].shape[0], x.shape[1])))
