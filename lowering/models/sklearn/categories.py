"""Encoders of categories, which are numbers or texts: texts are numbers here, too (`text_features`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.assembled import Part, Run
from qtensor.lowering.models.sklearn.builder import Array, Builder, NotConvertedError, Step, transformer


@transformer("OrdinalEncoder")
def ordinal_encoder(builder: Builder, estimator: Any, width: int) -> Step:
    missing = estimator.encoded_missing_value
    is_error = estimator.handle_unknown == "error"
    parts = []
    for feature, categories in enumerate(estimator.categories_):
        numbers = builder.numbers(feature, categories)
        code = grouped(estimator, feature, len(numbers)).astype(np.float64)
        code[np.isnan(numbers)] = missing
        parts.append(looked_up(builder, numbers, code[None], None if is_error else [float(estimator.unknown_value)]))
    return Step(each_feature(parts), width)


@transformer("OneHotEncoder")
def one_hot_encoder(builder: Builder, estimator: Any, width: int) -> Step:
    """Unknown categories are none of the columns, or that of the rare ones, if there is one."""
    is_error, to_rare = estimator.handle_unknown == "error", estimator.handle_unknown in ("infrequent_if_exist", "warn")
    dropped = estimator.drop_idx_
    parts, total = [], 0
    for feature, categories in enumerate(estimator.categories_):
        number_of = grouped(estimator, feature, len(categories))
        drop = None if dropped is None else estimator._drop_idx_after_grouping[feature]
        kept = np.array([number for number in range(int(number_of.max(initial=-1)) + 1) if number != drop], np.int64)
        rare = rare_number(estimator, feature)
        columns = (number_of[None, :] == kept[:, None]).astype(np.float64)
        unknown = None if is_error else [float(to_rare and number == rare) for number in kept]
        parts.append(one_hot(builder, builder.numbers(feature, categories), columns, unknown))
        total += len(kept)
    return Step(each_feature(parts), total)


@transformer("TargetEncoder")
def target_encoder(builder: Builder, estimator: Any, width: int) -> Step:
    """Of several classes a number for each; what is unknown has the mean of all."""
    each = len(estimator.classes_) if estimator.target_type_ == "multiclass" else 1
    means = np.broadcast_to(np.ravel(estimator.target_mean_), (each,)).astype(np.float64)
    parts = [
        looked_up(
            builder,
            builder.numbers(feature, categories),
            np.stack(estimator.encodings_[feature * each : (feature + 1) * each]),
            means,
        )
        for feature, categories in enumerate(estimator.categories_)
    ]
    return Step(each_feature(parts), width * each)


def grouped(estimator: Any, feature: int, count: int) -> NDArray[np.int64]:
    """The number of each category: rare ones may have one together."""
    mappings = getattr(estimator, "_default_to_infrequent_mappings", None)
    if not getattr(estimator, "_infrequent_enabled", False) or mappings is None or mappings[feature] is None:
        return np.arange(count)
    return np.asarray(mappings[feature], np.int64)


def rare_number(estimator: Any, feature: int) -> int | None:
    """The number that rare categories have together; None where there are none."""
    number_of = grouped(estimator, feature, 0)
    return int(number_of.max()) if len(number_of) else None


def each_feature(parts: Sequence[Part]) -> Part:
    """What parts give of one feature each, one below the other."""

    def part(run: Run, x: Array) -> Array:
        return jnp.concatenate([one(run, x[feature][None]) for feature, one in enumerate(parts)])

    return part


def looked_up(builder: Builder, numbers: NDArray[np.float64], values: Any, unknown: Sequence[float] | Any | None) -> Part:
    """The column of `values` [m, categories] for the category that a row [1, n] is. unknown: [m] for others, None: they fail.

    Categories in order are searched. NaN may be one of them, and is greater than all.
    """
    if not len(numbers):
        raise NotConvertedError("has a column without categories")
    order = np.argsort(numbers, kind="stable")
    known, found = builder.hold(numbers[order]), builder.hold(np.asarray(values, np.float64)[:, order])
    otherwise = None if unknown is None else builder.hold(unknown)

    def part(run: Run, x: Array) -> Array:
        place = jnp.searchsorted(run[known], x[0], method="scan_unrolled")
        place = jnp.minimum(place, len(numbers) - 1)
        among = run[known][place]
        is_known = (among == x[0]) | (jnp.isnan(among) & jnp.isnan(x[0]))
        value = run[found][:, place]
        if otherwise is None:
            run.fail(~is_known)
            return value
        return jnp.where(is_known, value, run.column(otherwise))

    return part


def one_hot(
    builder: Builder, numbers: NDArray[np.float64], columns: NDArray[np.float64], unknown: Sequence[float] | None
) -> Part:
    """Which of the columns a row [1, n] is in. columns: [m, categories]: the categories of each."""
    if np.array_equal(columns.sum(axis=1), np.ones(len(columns))) and (unknown is None or not any(unknown)):
        return compared(builder, numbers, numbers[np.argmax(columns, axis=1)], fails=unknown is None)
    return looked_up(builder, numbers, columns, unknown)


def compared(builder: Builder, numbers: NDArray[np.float64], kept: NDArray[np.float64], *, fails: bool) -> Part:
    """The columns of one category each, which are `kept`; those of `numbers` that have no column are known, too."""
    known, wanted = builder.hold(numbers), builder.hold(kept)

    def among(run: Run, x: Array, number: int) -> Array:
        listed = run.column(number)
        return (x == listed) | (jnp.isnan(x) & jnp.isnan(listed))

    def part(run: Run, x: Array) -> Array:
        if fails:
            run.fail(~among(run, x, known).any(axis=0))
        return among(run, x, wanted).astype(x.dtype)

    return part
