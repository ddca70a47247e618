"""Estimators that ask how far a row is: mixtures of normal distributions, what is unusual, centres; and quantiles."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from scipy.special import digamma
from scipy.stats import norm

from qtensor.lowering.models.assembled import Part, Predictor, Run, number_of_greatest, then
from qtensor.lowering.models.sklearn.builder import Array, Builder, NotConvertedError, Step, affine, predictor, transformer
from qtensor.lowering.models.sklearn.kernels import kept_rows, kernel_of, squared_distances
from qtensor.lowering.models.sklearn.linear import normalised

OUTLIER_OR_NOT = np.asarray([-1, 1])
BOUND = 1e-7  # scikit-learn's distance from 0 and 1 of what it takes for the ends of a normal distribution


@predictor("GaussianMixture", "BayesianGaussianMixture")
def mixture(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The class is the number of the component; scores are their probabilities."""
    means, roots = np.asarray(estimator.means_, np.float64), np.asarray(estimator.precisions_cholesky_, np.float64)
    count = len(means)
    match estimator.covariance_type:
        case "full":
            matrices = list(roots)
        case "tied":
            matrices = [roots] * count
        case "diag":
            matrices = [np.diag(one) for one in roots]
        case _:
            matrices = [np.eye(width) * one for one in roots]
    parts = [affine(builder, root.T, -mean @ root) for mean, root in zip(means, matrices, strict=True)]
    determinants = np.array([np.log(np.diag(one)).sum() for one in matrices])
    constants = builder.hold(determinants - 0.5 * width * np.log(2 * np.pi) + shift_of(estimator, width))

    def each(run: Run, x: Array) -> Array:
        squares = jnp.stack([jnp.square(part(run, x)).sum(axis=0) for part in parts])
        return run.column(constants) - 0.5 * squares

    return Predictor(scores=then(each, normalised), raw=each, number=then(each, number_of_greatest), classes=np.arange(count))


def shift_of(estimator: Any, width: int) -> Any:
    """The logarithms of the components' weights, of a Bayesian mixture those that are expected."""
    if type(estimator).__name__ == "GaussianMixture":
        return np.log(estimator.weights_)
    freedom = estimator.degrees_of_freedom_
    spread = width * np.log(2.0) + digamma(0.5 * (freedom - np.arange(width)[:, None])).sum(axis=0)
    normal = -0.5 * width * np.log(freedom) + 0.5 * (spread - width / estimator.mean_precision_)
    return estimator._estimate_log_weights() + normal


def unusual(decision: Part, *, strictly: bool = False) -> Predictor:
    """1, or -1 where the decision is below 0. strictly: or 0."""
    number = then(decision, lambda found: ((found > 0) if strictly else (found >= 0)).astype(jnp.int64))
    return Predictor(raw=decision, number=number, classes=OUTLIER_OR_NOT)


@predictor("EllipticEnvelope")
def elliptic(builder: Builder, estimator: Any, width: int) -> Predictor:
    precision, location = builder.hold(estimator.get_precision()), builder.hold(estimator.location_)
    offset = builder.hold([estimator.offset_])

    def decision(run: Run, x: Array) -> Array:
        apart = x - run.column(location)
        distance = (apart * jnp.matmul(run[precision], apart)).sum(axis=0, keepdims=True)
        return -distance - run.column(offset)

    return unusual(decision)


@predictor("OneClassSVM")
def support_of_one_class(builder: Builder, estimator: Any, width: int) -> Predictor:
    kernel = kernel_of(builder, estimator)
    weights, shift = builder.hold(estimator.dual_coef_), builder.hold(estimator.intercept_)
    return unusual(lambda run, x: jnp.matmul(run[weights], kernel(run, x)) + run.column(shift), strictly=True)


@predictor("SGDOneClassSVM")
def linear_of_one_class(builder: Builder, estimator: Any, width: int) -> Predictor:
    return unusual(affine(builder, estimator.coef_, -estimator.offset_))


@predictor("MeanShift", "AffinityPropagation", "Birch")
def nearest_of_centres(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The class of the nearest centre; of Birch centres of parts have the class of the whole."""
    parts = getattr(estimator, "subcluster_centers_", None)
    centres = kept_rows(builder, estimator.cluster_centers_ if parts is None else parts)
    labels = np.arange(len(estimator.cluster_centers_)) if parts is None else np.asarray(estimator.subcluster_labels_)
    held = builder.held(labels, np.int64)

    def number(run: Run, x: Array) -> Array:
        return run[held][number_of_greatest(-squared_distances(run, run[centres], x))]

    return Predictor(number=number, classes=np.arange(int(labels.max()) + 1))


@transformer("QuantileTransformer")
def quantiles(builder: Builder, estimator: Any, width: int) -> Step:
    """Where a value lies among quantiles: the mean of two ways to look between equal ones."""
    is_normal = estimator.output_distribution == "normal"
    known, places = builder.hold(np.asarray(estimator.quantiles_).T), builder.hold(estimator.references_)
    ends = norm.ppf(BOUND - np.spacing(1)), norm.ppf(1 - (BOUND - np.spacing(1)))

    def one(run: Run, x: Array, marks: Array) -> Array:
        up = jnp.interp(x, marks, run[places])
        down = jnp.interp(-x, -marks[::-1], -run[places][::-1])
        found = 0.5 * (up - down)
        is_low = (x - BOUND < marks[0]) if is_normal else x == marks[0]
        is_high = (x + BOUND > marks[-1]) if is_normal else x == marks[-1]
        found = jnp.where(is_low, 0.0, jnp.where(is_high, 1.0, found))
        found = jnp.clip(ndtri(found), *ends) if is_normal else found
        return jnp.where(jnp.isnan(x), x, found)

    def part(run: Run, x: Array) -> Array:
        return jnp.stack([one(run, x[feature], run[known][feature]) for feature in range(width)])

    return Step(part, width)


@predictor("CategoricalNB")
def categorical_bayes(builder: Builder, estimator: Any, width: int) -> Predictor:
    """Features are numbers of categories; others than were seen fail."""
    tables = [builder.hold(one) for one in estimator.feature_log_prob_]
    counts = np.asarray([one.shape[1] for one in estimator.feature_log_prob_], np.float64)
    prior = builder.hold(estimator.class_log_prior_)

    def each(run: Run, x: Array) -> Array:
        number = jnp.trunc(x)
        run.fail(((number < 0) | (number >= counts[:, None])).any(axis=0))
        place = number.astype(jnp.int32)
        total = jnp.zeros((run[prior].shape[0], x.shape[1]), x.dtype)
        for feature, table in enumerate(tables):
            total = total + run[table].at[:, place[feature]].get(mode="clip")
        return total + run.column(prior)

    classes = np.asarray(estimator.classes_)
    return Predictor(scores=then(each, normalised), raw=each, number=then(each, number_of_greatest), classes=classes)


@transformer("FactorAnalysis")
def factors(builder: Builder, estimator: Any, width: int) -> Step:
    loadings = np.asarray(estimator.components_, np.float64)
    scaled = loadings / estimator.noise_variance_
    matrix = np.linalg.inv(np.eye(len(loadings)) + scaled @ loadings.T) @ scaled
    return Step(affine(builder, matrix, -matrix @ estimator.mean_), len(matrix))


@transformer("FastICA")
def independent(builder: Builder, estimator: Any, width: int) -> Step:
    matrix = np.asarray(estimator.components_, np.float64)
    shift = -matrix @ estimator.mean_ if estimator.whiten else 0.0
    return Step(affine(builder, matrix, shift), len(matrix))


@transformer("GaussianRandomProjection", "SparseRandomProjection", "NeighborhoodComponentsAnalysis")
def projection(builder: Builder, estimator: Any, width: int) -> Step:
    matrix = estimator.components_
    matrix = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)
    return Step(affine(builder, matrix, 0.0), len(matrix))


@transformer("RBFSampler")
def waves(builder: Builder, estimator: Any, width: int) -> Step:
    matrix = np.asarray(estimator.random_weights_, np.float64).T
    part = affine(builder, matrix, estimator.random_offset_)
    return Step(then(part, lambda x: jnp.cos(x) * np.sqrt(2.0 / len(matrix))), len(matrix))


@transformer("FeatureAgglomeration")
def agglomerated(builder: Builder, estimator: Any, width: int) -> Step:
    if estimator.pooling_func is not np.mean:
        raise NotConvertedError("pools features by another function than numpy.mean")
    labels = np.asarray(estimator.labels_)
    each = (labels[None] == np.arange(labels.max() + 1)[:, None]).astype(np.float64)
    return Step(affine(builder, each / each.sum(axis=1, keepdims=True), 0.0), len(each))


@predictor("PLSRegression", "PLSCanonical", "CCA")
def partial_least_squares(builder: Builder, estimator: Any, width: int) -> Predictor:
    matrix = np.atleast_2d(np.asarray(estimator.coef_, np.float64))
    return Predictor(predicted=affine(builder, matrix, np.ravel(estimator.intercept_) - matrix @ estimator._x_mean))
