"""Linear models, discriminants, naive Bayes and networks: matrix products and what is made of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from qtensor.lowering.models.assembled import Part, Predictor, Run, number_of_greatest, then
from qtensor.lowering.models.sklearn.builder import (
    Array,
    Builder,
    NotConvertedError,
    Step,
    affine,
    labels_of,
    predictor,
    transformer,
)


def logistic(x: Array) -> Array:
    return jax.nn.sigmoid(x)


def softmax(x: Array) -> Array:
    powers = jnp.exp(x - x.max(axis=0, keepdims=True))
    return powers / powers.sum(axis=0, keepdims=True)


def two(second: Array) -> Array:
    """The probabilities of two classes."""
    return jnp.concatenate([1.0 - second, second])


def one_against_rest(decisions: Array) -> Array:
    """Probabilities of classes that were each told from the rest."""
    each = logistic(decisions)
    if each.shape[0] == 1:
        return two(each)
    return each / each.sum(axis=0, keepdims=True)


def positive(decisions: Array) -> Array:
    """The class by decisions: of two the second where the one decision is above 0, else the greatest."""
    return (decisions > 0).astype(jnp.int64) if decisions.shape[0] == 1 else number_of_greatest(decisions)


def decided(decisions: Part, classes: Any, scores: Any = None) -> Predictor:
    """A classifier by decisions. scores: the probabilities, as a function of those."""
    return Predictor(
        scores=then(decisions, scores) if scores else None, raw=decisions, number=then(decisions, positive), classes=classes
    )


@predictor(
    "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "ElasticNet",
    "ElasticNetCV", "Lars", "LarsCV", "BayesianRidge", "ARDRegression", "HuberRegressor", "SGDRegressor", "LinearSVR",
    "TheilSenRegressor", "PassiveAggressiveRegressor", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV",
    "QuantileRegressor", "MultiTaskLasso", "MultiTaskElasticNet", "MultiTaskLassoCV", "MultiTaskElasticNetCV",
)  # fmt: skip
def linear_regression(builder: Builder, estimator: Any, width: int) -> Predictor:
    return Predictor(predicted=affine(builder, estimator.coef_, estimator.intercept_))


@predictor("PoissonRegressor", "GammaRegressor", "TweedieRegressor")
def generalised(builder: Builder, estimator: Any, width: int) -> Predictor:
    linear = affine(builder, estimator.coef_, estimator.intercept_)
    link = getattr(estimator, "link", "log")
    if link == "auto":
        link = "identity" if estimator.power <= 0 else "log"
    return Predictor(predicted=then(linear, jnp.exp) if link == "log" else linear, raw=linear)


@predictor("LogisticRegression", "LogisticRegressionCV")
def logistic_regression(builder: Builder, estimator: Any, width: int) -> Predictor:
    decisions = affine(builder, estimator.coef_, estimator.intercept_)
    classes = labels_of(estimator)
    kind = getattr(estimator, "multi_class", "deprecated")
    if kind == "ovr" or (estimator.solver == "liblinear" and kind != "multinomial"):
        return decided(decisions, classes, one_against_rest)
    if len(classes) > 2:
        return decided(decisions, classes, softmax)
    twice = kind == "multinomial"  # then the classes had the decision and its opposite
    return decided(decisions, classes, lambda x: two(logistic(x * 2.0 if twice else x)))


@predictor("SGDClassifier")
def sgd_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    decisions = affine(builder, estimator.coef_, estimator.intercept_)
    scores = {"log_loss": one_against_rest, "modified_huber": modified_huber}.get(estimator.loss)
    return decided(decisions, labels_of(estimator), scores)


def modified_huber(decisions: Array) -> Array:
    each = (jnp.clip(decisions, -1.0, 1.0) + 1.0) / 2.0
    if each.shape[0] == 1:
        return two(each)
    total = each.sum(axis=0, keepdims=True)
    return jnp.where(total == 0, 1.0 / each.shape[0], each / jnp.where(total == 0, 1.0, total))


@predictor("LinearSVC", "RidgeClassifier", "RidgeClassifierCV", "Perceptron", "PassiveAggressiveClassifier")
def linear_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    return decided(affine(builder, estimator.coef_, estimator.intercept_), labels_of(estimator))


@predictor("LinearDiscriminantAnalysis")
def linear_discriminant(builder: Builder, estimator: Any, width: int) -> Predictor:
    decisions = affine(builder, estimator.coef_, estimator.intercept_)
    classes = labels_of(estimator)
    return decided(decisions, classes, (lambda x: two(logistic(x))) if len(classes) == 2 else softmax)


@transformer("LinearDiscriminantAnalysis")
def linear_discriminant_components(builder: Builder, estimator: Any, width: int) -> Step:
    if estimator.solver == "lsqr":
        raise NotConvertedError('has no components with solver="lsqr"')
    count = estimator._max_components
    matrix = np.asarray(estimator.scalings_, np.float64)[:, :count].T
    shift = -matrix @ np.asarray(estimator.xbar_) if estimator.solver == "svd" else 0.0
    return Step(affine(builder, matrix, shift), len(matrix))


@predictor("QuadraticDiscriminantAnalysis")
def quadratic_discriminant(builder: Builder, estimator: Any, width: int) -> Predictor:
    classes = labels_of(estimator)
    parts = [
        affine(builder, matrix, -matrix @ mean)
        for rotation, scaling, mean in zip(estimator.rotations_, estimator.scalings_, estimator.means_, strict=True)
        if (matrix := (rotation * scaling**-0.5).T) is not None
    ]
    determinants = [float(np.sum(np.log(scaling))) for scaling in estimator.scalings_]
    constants = builder.hold(np.log(estimator.priors_) - 0.5 * np.asarray(determinants))

    def each(run: Run, x: Array) -> Array:
        distances = jnp.stack([jnp.square(part(run, x)).sum(axis=0) for part in parts])
        return -0.5 * distances + run.column(constants)

    return by_likelihood(each, classes, softmax)


def by_likelihood(each: Part, classes: Any, scores: Any) -> Predictor:
    return Predictor(scores=then(each, scores), raw=each, number=then(each, number_of_greatest), classes=classes)


@predictor("GaussianNB")
def gaussian_bayes(builder: Builder, estimator: Any, width: int) -> Predictor:
    mean, variance = builder.hold(estimator.theta_), builder.hold(estimator.var_)
    constants = builder.hold(np.log(estimator.class_prior_) - 0.5 * np.sum(np.log(2.0 * np.pi * estimator.var_), axis=1))

    def each(run: Run, x: Array) -> Array:
        squares = jnp.square(x[None] - run[mean][:, :, None]) / run[variance][:, :, None]
        return run.column(constants) - 0.5 * squares.sum(axis=1)

    return by_likelihood(each, labels_of(estimator), normalised)


def normalised(logarithms: Array) -> Array:
    return jnp.exp(logarithms - logsumexp(logarithms, axis=0, keepdims=True))


@predictor("MultinomialNB", "ComplementNB")
def multinomial_bayes(builder: Builder, estimator: Any, width: int) -> Predictor:
    is_complement = type(estimator).__name__ == "ComplementNB" and len(estimator.classes_) > 1
    each = affine(builder, estimator.feature_log_prob_, 0.0 if is_complement else estimator.class_log_prior_)
    return by_likelihood(each, labels_of(estimator), normalised)


@predictor("BernoulliNB")
def bernoulli_bayes(builder: Builder, estimator: Any, width: int) -> Predictor:
    absent = np.log(1.0 - np.exp(estimator.feature_log_prob_))
    linear = affine(builder, estimator.feature_log_prob_ - absent, estimator.class_log_prior_ + absent.sum(axis=1))
    bound = estimator.binarize

    def each(run: Run, x: Array) -> Array:
        return linear(run, x if bound is None else (x > float(bound)).astype(x.dtype))

    return by_likelihood(each, labels_of(estimator), normalised)


ACTIVATIONS = {
    "identity": lambda x: x,
    "logistic": logistic,
    "tanh": jnp.tanh,
    "relu": lambda x: jnp.maximum(x, 0.0),
    "softmax": softmax,
}


def network(builder: Builder, estimator: Any) -> Part:
    layers = [affine(builder, matrix.T, bias) for matrix, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True)]
    hidden = ACTIVATIONS[estimator.activation]

    def part(run: Run, x: Array) -> Array:
        for layer in layers[:-1]:
            x = hidden(layer(run, x))
        return layers[-1](run, x)

    return part


@predictor("MLPRegressor")
def mlp_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    if getattr(estimator, "out_activation_", "identity") != "identity":
        return Predictor(predicted=then(network(builder, estimator), jnp.exp))
    return Predictor(predicted=network(builder, estimator))


@predictor("MLPClassifier")
def mlp_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    last = network(builder, estimator)
    classes = labels_of(estimator)
    if estimator.out_activation_ == "softmax":
        return decided(last, classes, softmax)
    if len(classes) != 2:
        raise NotConvertedError("predicts several labels for a row, and SQL gets one")
    return decided(last, classes, lambda x: two(logistic(x)))
