"""Transformers that work on each feature by itself, or on a row's norm: scalers, imputers, powers, bins."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.assembled import Part, Run
from qtensor.lowering.models.sklearn.builder import Array, Builder, NotConvertedError, Step, identity, together, transformer
from qtensor.lowering.models.text_features import is_missing

# Functions of NumPy that FunctionTransformer and TransformedTargetRegressor are mostly made with.
FUNCTIONS = {
    name: getattr(jnp, name)
    for name in ("log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "square", "abs", "absolute", "sin", "cos", "tanh",
                 "arctan", "sign", "negative", "cbrt", "nan_to_num")
}  # fmt: skip


def shifted(builder: Builder, shift: Any, scale: Any, width: int) -> Part:
    """(x - shift) / scale, of each that is there."""
    minus = None if shift is None else builder.hold(np.broadcast_to(shift, (width,)))
    by = None if scale is None else builder.hold(np.broadcast_to(scale, (width,)))

    def part(run: Run, x: Array) -> Array:
        x = x if minus is None else x - run.column(minus)
        return x if by is None else x / run.column(by)

    return part


@transformer("StandardScaler")
def standard_scaler(builder: Builder, estimator: Any, width: int) -> Step:
    shift = estimator.mean_ if estimator.with_mean else None
    return Step(shifted(builder, shift, estimator.scale_ if estimator.with_std else None, width), width)


@transformer("RobustScaler")
def robust_scaler(builder: Builder, estimator: Any, width: int) -> Step:
    shift = estimator.center_ if estimator.with_centering else None
    return Step(shifted(builder, shift, estimator.scale_ if estimator.with_scaling else None, width), width)


@transformer("MaxAbsScaler")
def max_abs_scaler(builder: Builder, estimator: Any, width: int) -> Step:
    part = shifted(builder, None, estimator.scale_, width)
    return Step(clipped(part, -1.0, 1.0) if getattr(estimator, "clip", False) else part, width)


@transformer("MinMaxScaler")
def min_max_scaler(builder: Builder, estimator: Any, width: int) -> Step:
    scale, shift = builder.hold(estimator.scale_), builder.hold(estimator.min_)

    def part(run: Run, x: Array) -> Array:
        return x * run.column(scale) + run.column(shift)

    return Step(clipped(part, *estimator.feature_range) if estimator.clip else part, width)


def clipped(part: Part, low: float, high: float) -> Part:
    def bounded(run: Run, x: Array) -> Array:
        return jnp.clip(part(run, x), float(low), float(high))

    return bounded


@transformer("Normalizer")
def normalizer(builder: Builder, estimator: Any, width: int) -> Step:
    def part(run: Run, x: Array) -> Array:
        size = jnp.abs(x)
        norm = {
            "l1": lambda: size.sum(axis=0, keepdims=True),
            "l2": lambda: jnp.sqrt((x * x).sum(axis=0, keepdims=True)),
            "max": lambda: size.max(axis=0, keepdims=True),
        }[estimator.norm]()
        return x / jnp.where(norm == 0, 1.0, norm)

    return Step(part, width)


@transformer("Binarizer")
def binarizer(builder: Builder, estimator: Any, width: int) -> Step:
    bound = builder.hold([estimator.threshold])
    return Step(lambda run, x: (x > run.column(bound)).astype(x.dtype), width)


@transformer("FunctionTransformer")
def function_transformer(builder: Builder, estimator: Any, width: int) -> Step:
    checks = getattr(estimator.func, "func", None)  # of a partial: histogram boosting looks at its numbers by one
    if estimator.func is None or (getattr(checks, "__name__", "") == "check_array" and checks.__module__.startswith("sklearn.")):
        return Step(identity, width)
    function = known_function(estimator.func, estimator.kw_args)
    return Step(lambda run, x: function(x), width)


def known_function(function: Any, options: Any = None) -> Any:
    """The function of jax.numpy for one of NumPy's."""
    name = getattr(function, "__name__", "")
    if options or FUNCTIONS.get(name) is None or getattr(np, name, None) is not function:
        listed = ", ".join(sorted(FUNCTIONS))
        raise NotConvertedError(f"calls {name or function!r}; of NumPy's functions these are known: {listed}")
    return FUNCTIONS[name]


@transformer("PowerTransformer")
def power_transformer(builder: Builder, estimator: Any, width: int) -> Step:
    powers, is_box_cox = builder.hold(estimator.lambdas_), estimator.method == "box-cox"

    def part(run: Run, x: Array) -> Array:
        power = run.column(powers)
        if is_box_cox:
            run.fail((x <= 0).any(axis=0))
            return jnp.where(power == 0, jnp.log(x), (jnp.exp(power * jnp.log(x)) - 1.0) / jnp.where(power == 0, 1.0, power))
        up, down = jnp.abs(power) < 2.0**-52, jnp.abs(power - 2.0) < 2.0**-52
        log = jnp.log1p(jnp.abs(x))
        above = jnp.where(up, log, (jnp.exp(power * log) - 1.0) / jnp.where(up, 1.0, power))
        below = jnp.where(down, -log, -(jnp.exp((2.0 - power) * log) - 1.0) / jnp.where(down, 1.0, 2.0 - power))
        return jnp.where(x >= 0, above, jnp.where(jnp.isnan(x), x, below))

    if not estimator.standardize:
        return Step(part, width)
    scaled = builder.transformer(estimator._scaler, width).part
    return Step(lambda run, x: scaled(run, part(run, x)), width)


@transformer("SimpleImputer")
def simple_imputer(builder: Builder, estimator: Any, width: int) -> Step:
    """Features that were never seen are left out, unless they are kept; which were missing comes behind, if it is wanted."""
    filled = [builder.numbers(feature, [value])[0] for feature, value in enumerate(estimator.statistics_)]
    statistics = np.asarray(filled, np.float64)
    kept = np.flatnonzero(~np.isnan(statistics)) if not estimator.keep_empty_features else np.arange(width)
    if estimator.strategy == "constant":
        kept = np.arange(width)
    fill, is_missing = builder.hold(statistics[kept]), missing_test(builder, estimator.missing_values)

    def part(run: Run, x: Array) -> Array:
        x = x[np.asarray(kept, np.int32)]
        return jnp.where(is_missing(x), run.column(fill), x)

    step = Step(part, len(kept), tuple(map(int, kept)))
    if not estimator.add_indicator:
        return step
    indicator = missing_indicator(builder, estimator.indicator_, width)
    return Step(together([part, indicator.part]), step.width + indicator.width, step.kept + (None,) * indicator.width)


@transformer("MissingIndicator")
def missing_indicator(builder: Builder, estimator: Any, width: int) -> Step:
    features = np.asarray(estimator.features_, np.int32)
    test = missing_test(builder, estimator.missing_values)
    return Step(lambda run, x: test(x[features]).astype(x.dtype), len(features))


def missing_test(builder: Builder, value: Any) -> Any:
    """A test of features for what an estimator takes for missing: NaN, a number, or a text."""
    if is_missing(value):
        return jnp.isnan
    if not isinstance(value, str | int | float | np.number):
        raise NotConvertedError(f"takes {value!r} for missing, which is no number and no text")
    number = float(builder.texts.number(value) if isinstance(value, str) else value)
    return lambda x: x == number


@transformer("KBinsDiscretizer")
def k_bins(builder: Builder, estimator: Any, width: int) -> Step:
    bins = [int(count) for count in estimator.n_bins_]
    inner = max(max(bins) - 1, 1)
    edges = np.full((width, inner), np.inf)
    for feature, known in enumerate(estimator.bin_edges_):
        edges[feature, : len(known) - 2] = known[1:-1]
    bounds = builder.hold(edges)

    def part(run: Run, x: Array) -> Array:
        return (x[:, None, :] >= run[bounds][:, :, None]).sum(axis=1).astype(x.dtype)

    if estimator.encode == "ordinal":
        return Step(part, width)

    def one_hot(run: Run, x: Array) -> Array:
        number = part(run, x)
        return jnp.concatenate(
            [
                (number[feature][None] == jnp.arange(count, dtype=x.dtype)[:, None]).astype(x.dtype)
                for feature, count in enumerate(bins)
            ]
        )

    return Step(one_hot, sum(bins))
