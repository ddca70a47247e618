"""Models that compare a row with rows they keep: support vectors, neighbours, centres."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.assembled import Part, Predictor, Run, number_of_greatest, then
from qtensor.lowering.models.sklearn.builder import (
    Array,
    Builder,
    NotConvertedError,
    Step,
    labels_of,
    predictor,
    transformer,
)
from qtensor.lowering.models.sklearn.linear import decided

MOST_KEPT = 1 << 24  # numbers of the rows that are kept


def kept_rows(builder: Builder, rows: Any) -> int:
    rows = np.asarray(rows, np.float64)
    if rows.size > MOST_KEPT:
        raise NotConvertedError(f"keeps {rows.shape[0]:,} rows of {rows.shape[1]:,} features; at most {MOST_KEPT:,} numbers go")
    return builder.hold(rows)


def squared_distances(run: Run, rows: Array, x: Array) -> Array:
    """[m, n] of rows [m, k] and x [k, n], feature by feature, so that near ones are near to the last digit."""

    def add(feature: Array, total: Array) -> Array:
        own = lax.dynamic_index_in_dim(rows, feature, 1)
        difference = own - lax.dynamic_index_in_dim(x, feature, 0)
        added: Array = total + difference * difference
        return added

    found: Array = lax.fori_loop(0, x.shape[0], add, jnp.zeros((rows.shape[0], x.shape[1]), x.dtype))
    return found


def kernel_of(builder: Builder, estimator: Any) -> Part:
    """The kernel of each support vector with each row, [vectors, n]."""
    if not isinstance(estimator.kernel, str) or estimator.kernel == "precomputed" or not hasattr(estimator, "_gamma"):
        raise NotConvertedError(f"has the kernel {estimator.kernel!r}; linear, poly, rbf and sigmoid are supported")
    vectors = kept_rows(builder, estimator.support_vectors_)
    gamma, shift = builder.hold([estimator._gamma]), builder.hold([estimator.coef0])
    degree = int(estimator.degree)

    def part(run: Run, x: Array) -> Array:
        if estimator.kernel == "rbf":
            return jnp.exp(-run.column(gamma) * squared_distances(run, run[vectors], x))
        products = jnp.matmul(run[vectors], x)
        match estimator.kernel:
            case "poly":
                return (run.column(gamma) * products + run.column(shift)) ** degree
            case "sigmoid":
                return jnp.tanh(run.column(gamma) * products + run.column(shift))
            case _:
                return products

    return part


@predictor("SVR", "NuSVR")
def support_regression(builder: Builder, estimator: Any, width: int) -> Predictor:
    kernel = kernel_of(builder, estimator)
    weights, shift = builder.hold(estimator.dual_coef_), builder.hold(estimator.intercept_)
    return Predictor(predicted=lambda run, x: jnp.matmul(run[weights], kernel(run, x)) + run.column(shift))


@predictor("SVC", "NuSVC")
def support_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    """Of more than two classes each pair votes; `raw` is scikit-learn's decision_function."""
    classes, kernel = labels_of(estimator), kernel_of(builder, estimator)
    count = len(classes)
    shift = builder.hold(estimator.intercept_)
    if count == 2:
        weights = builder.hold(estimator.dual_coef_)
        return decided(lambda run, x: jnp.matmul(run[weights], kernel(run, x)) + run.column(shift), classes)
    pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
    weights = builder.hold(pair_weights(estimator, pairs))

    def decisions(run: Run, x: Array) -> Array:
        return jnp.matmul(run[weights], kernel(run, x)) + run.column(shift)

    def number(run: Run, x: Array) -> Array:
        return number_of_greatest(jnp.stack(votes_of(decisions(run, x), pairs, count)))

    def confidences(run: Run, x: Array) -> Array:
        found = decisions(run, x)
        votes = jnp.stack(votes_of(found, pairs, count))
        sums = [jnp.zeros_like(found[0])] * count
        for position, (one, other) in enumerate(pairs):
            sums[one], sums[other] = sums[one] + found[position], sums[other] - found[position]
        together = jnp.stack(sums)
        return votes + together / (3.0 * (jnp.abs(together) + 1.0))

    if estimator.decision_function_shape == "ovo":
        return Predictor(raw=decisions, number=number, classes=classes)
    if estimator.break_ties:
        return Predictor(raw=confidences, number=then(confidences, number_of_greatest), classes=classes)
    return Predictor(raw=confidences, number=number, classes=classes)


def votes_of(decisions: Array, pairs: list[tuple[int, int]], count: int) -> list[Array]:
    votes = [jnp.zeros_like(decisions[0])] * count
    for position, (one, other) in enumerate(pairs):
        wins = (decisions[position] > 0).astype(decisions.dtype)
        votes[one], votes[other] = votes[one] + wins, votes[other] + (1.0 - wins)
    return votes


def pair_weights(estimator: Any, pairs: list[tuple[int, int]]) -> Any:
    """What each support vector weighs in the decision between each two classes, [pairs, vectors]."""
    ends = np.cumsum(estimator.n_support_)
    spans = [slice(end - size, end) for end, size in zip(ends, estimator.n_support_, strict=True)]
    found = np.zeros((len(pairs), len(estimator.support_vectors_)))
    for position, (one, other) in enumerate(pairs):
        found[position, spans[one]] = estimator.dual_coef_[other - 1, spans[one]]
        found[position, spans[other]] = estimator.dual_coef_[one, spans[other]]
    return found


def neighbours(builder: Builder, estimator: Any) -> Any:
    """A function of rows [k, n]: the numbers [n, count] of the nearest kept rows, and how much each counts."""
    metric, power = estimator.effective_metric_, estimator.effective_metric_params_.get("p", 2)
    if metric not in ("euclidean", "manhattan") and not (metric == "minkowski" and power == 2):
        raise NotConvertedError(f"has the metric {metric!r}; euclidean and manhattan are supported")
    if estimator.weights not in ("uniform", "distance", None):
        raise NotConvertedError("weighs neighbours by a function of its own")
    rows, count = kept_rows(builder, estimator._fit_X), int(estimator.n_neighbors)

    def nearest(run: Run, x: Array) -> tuple[Array, Array]:
        if metric == "manhattan":
            each = [jnp.abs(run[rows][:, feature, None] - x[feature][None]) for feature in range(x.shape[0])]
            distance = jnp.stack(each).sum(axis=0)
        else:
            distance = jnp.sqrt(squared_distances(run, run[rows], x))
        closest, numbers = lax.top_k(-distance.T, count)
        if estimator.weights != "distance":
            return numbers, jnp.ones_like(closest)
        at_once = (closest == 0).any(axis=1, keepdims=True)
        weights = jnp.where(at_once, (closest == 0).astype(x.dtype), 1.0 / jnp.where(closest == 0, 1.0, -closest))
        return numbers, weights

    return nearest


@predictor("KNeighborsClassifier")
def neighbours_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    classes, nearest = labels_of(estimator), neighbours(builder, estimator)
    codes = builder.held(estimator._y, np.int32)
    count = len(classes)

    def scores(run: Run, x: Array) -> Array:
        numbers, weights = nearest(run, x)
        code = run[codes].at[numbers].get(mode="clip")
        votes = jnp.stack([jnp.where(code == number, weights, 0.0).sum(axis=1) for number in range(count)])
        return votes / votes.sum(axis=0, keepdims=True)

    return Predictor(scores=scores, number=then(scores, number_of_greatest), classes=classes)


@predictor("KNeighborsRegressor")
def neighbours_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    nearest = neighbours(builder, estimator)
    targets = builder.hold(np.asarray(estimator._y, np.float64).reshape(len(estimator._y), -1).T)

    def part(run: Run, x: Array) -> Array:
        numbers, weights = nearest(run, x)
        found = run[targets].at[:, numbers].get(mode="clip") * weights[None]
        mean: Array = found.sum(axis=2) / weights.sum(axis=1)[None]
        return mean

    return Predictor(predicted=part)


@transformer("KMeans", "MiniBatchKMeans")
def distances_to_centres(builder: Builder, estimator: Any, width: int) -> Step:
    centres = kept_rows(builder, estimator.cluster_centers_)
    return Step(lambda run, x: jnp.sqrt(squared_distances(run, run[centres], x)), len(estimator.cluster_centers_))


@predictor("KMeans", "MiniBatchKMeans")
def nearest_centre(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The class is the number of the nearest centre, the scores are the distances."""
    distances = distances_to_centres(builder, estimator, width)
    number = then(distances.part, lambda found: number_of_greatest(-found))
    return Predictor(scores=distances.part, number=number, classes=np.arange(distances.width))


@predictor("NearestCentroid")
def nearest_centroid(builder: Builder, estimator: Any, width: int) -> Predictor:
    """Only its class: the probabilities are of a discriminant analysis beside it."""
    if estimator.metric != "euclidean" or not isinstance(estimator.priors, str) or estimator.priors != "uniform":
        raise NotConvertedError("has a metric or priors that are not supported")
    centres = kept_rows(builder, estimator.centroids_)

    def number(run: Run, x: Array) -> Array:
        return number_of_greatest(-squared_distances(run, run[centres], x))

    return Predictor(number=number, classes=labels_of(estimator))
