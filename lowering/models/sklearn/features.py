"""Transformers that make other features of a row's: selections, products, projections, codes of categories."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.assembled import Part, Run
from qtensor.lowering.models.sklearn.builder import (
    Array,
    Builder,
    NotConvertedError,
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


@transformer("OrdinalEncoder")
def ordinal_encoder(builder: Builder, estimator: Any, width: int) -> Step:
    refuse_rare(estimator)
    missing, unknown = estimator.encoded_missing_value, estimator.unknown_value
    is_error = estimator.handle_unknown == "error"
    parts = []
    for categories in estimator.categories_:
        code = np.arange(len(categories), dtype=np.float64)
        code[np.isnan(numbers_of(categories))] = missing
        parts.append((matches(builder, categories), builder.hold(code)))

    def part(run: Run, x: Array) -> Array:
        found = []
        for feature, (among, code) in enumerate(parts):
            hit = among(run, x[feature][None])
            known = hit.any(axis=0)
            if is_error:
                run.fail(~known)
            value = run[code].at[jnp.argmax(hit, axis=0)].get(mode="clip")
            found.append(value if is_error else jnp.where(known, value, float(unknown)))
        return jnp.stack(found)

    return Step(part, width)


@transformer("OneHotEncoder")
def one_hot_encoder(builder: Builder, estimator: Any, width: int) -> Step:
    refuse_rare(estimator)
    is_error = estimator.handle_unknown == "error"
    dropped = estimator.drop_idx_
    parts, total = [], 0
    for feature, categories in enumerate(estimator.categories_):
        drop = None if dropped is None or dropped[feature] is None else int(dropped[feature])
        kept = [number for number in range(len(categories)) if number != drop]
        parts.append((matches(builder, categories), np.asarray(kept, np.int32)))
        total += len(kept)

    def part(run: Run, x: Array) -> Array:
        found = []
        for feature, (among, kept) in enumerate(parts):
            hit = among(run, x[feature][None])
            if is_error:
                run.fail(~hit.any(axis=0))
            found.append(hit[kept].astype(x.dtype))
        return jnp.concatenate(found)

    return Step(part, total)


def refuse_rare(estimator: Any) -> None:
    if getattr(estimator, "min_frequency", None) is not None or getattr(estimator, "max_categories", None) is not None:
        raise NotConvertedError("puts rare categories together (min_frequency, max_categories), which is not supported")


def numbers_of(categories: Any) -> NDArray[np.float64]:
    known = np.asarray(categories)
    if known.dtype.kind not in "biuf":
        raise NotConvertedError("encodes categories of text, which are not supported yet: encode numbers, or use CASE in SQL")
    return known.astype(np.float64)


def matches(builder: Builder, categories: Any) -> Part:
    """Which category each row [1, n] is: bool[categories, n], none of an unknown one. NaN is one that may be among them."""
    known = builder.hold(numbers_of(categories))

    def part(run: Run, x: Array) -> Array:
        listed = run.column(known)
        return (x == listed) | (jnp.isnan(x) & jnp.isnan(listed))

    return part
