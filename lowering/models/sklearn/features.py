"""Transformers that make other features of a row's: selections, products, projections."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.assembled import Run
from qtensor.lowering.models.sklearn.builder import (
    Array,
    Builder,
    Step,
    affine,
    nothing,
    selected,
    transformer,
)


@transformer(
    "SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect", "VarianceThreshold",
    "RFE", "RFECV", "SelectFromModel", "SequentialFeatureSelector",
)  # fmt: skip
def selector(builder: Builder, estimator: Any, width: int) -> Step:
    kept = estimator.get_support(indices=True)
    return Step(selected(kept), len(kept))


@transformer("PolynomialFeatures")
def polynomial(builder: Builder, estimator: Any, width: int) -> Step:
    """Each product as its factors: the features' numbers, `width` for 1."""
    powers = np.asarray(estimator.powers_)
    degree = max(int(powers.sum(axis=1).max(initial=0)), 1)
    factors = np.full((len(powers), degree), width, np.int32)
    for number, of_product in enumerate(powers):
        listed = np.repeat(np.arange(width), of_product)
        factors[number, : len(listed)] = listed

    def part(run: Run, x: Array) -> Array:
        known = jnp.concatenate([x, jnp.ones((1, x.shape[1]), x.dtype)])
        product = known[factors[:, 0]]
        for position in range(1, degree):
            product = product * known[factors[:, position]]
        return product

    return Step(part if len(powers) else nothing, len(powers))


@transformer("PCA", "IncrementalPCA")
def pca(builder: Builder, estimator: Any, width: int) -> Step:
    components = np.asarray(estimator.components_, np.float64)
    part = affine(builder, components, -components @ np.asarray(estimator.mean_, np.float64))
    if not estimator.whiten:
        return Step(part, len(components))
    deviation = np.sqrt(estimator.explained_variance_)
    scale = builder.hold(np.maximum(deviation, np.finfo(np.float64).eps))
    return Step(lambda run, x: part(run, x) / run.column(scale), len(components))


@transformer("TruncatedSVD")
def truncated_svd(builder: Builder, estimator: Any, width: int) -> Step:
    return Step(affine(builder, estimator.components_, 0.0), len(estimator.components_))
