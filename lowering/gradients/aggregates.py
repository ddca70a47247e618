"""Aggregates of free values, and of rows that have weights: sums over groups, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import UnsupportedError
from qtensor.expressions import AggregateCall
from qtensor.lowering.gradients.expressions import Expressions, Truth
from qtensor.lowering.gradients.rows import Array, Mask, Number, Places

COUNTS = ("count_star", "count", "regr_count")
OF_TWO_ROWS = ("var_samp", "stddev_samp", "covar_samp", "sem")


@dataclass(frozen=True)
class Groups:
    """The group of each row, [rows], of `count` groups."""

    numbers: Places
    count: int

    def sums(self, values: Array) -> Array:
        if self.count == 1:
            return values.sum(keepdims=True)
        return jax.ops.segment_sum(values, self.numbers, self.count)

    def having(self, rows: Mask, least: int = 1) -> Mask:
        """The groups with at least so many of some rows."""
        return np.bincount(self.numbers[rows], minlength=self.count) >= least

    def products(self, values: Array) -> Array:
        """The product of each group's values; XLA's own product by groups has no derivative."""
        order = np.argsort(self.numbers, kind="stable")
        sizes = np.bincount(self.numbers, minlength=self.count)
        starts = np.cumsum(sizes) - sizes
        places = starts[:, None] + np.arange(max(1, sizes.max()))[None, :]
        there = np.arange(places.shape[1])[None, :] < sizes[:, None]
        gathered = jnp.take(values, order[np.minimum(places, len(order) - 1)], mode="clip")
        return jnp.where(there, gathered, 1.0).prod(axis=1)

    def folded(self, values: Array, greatest: bool) -> Array:
        fold = jax.ops.segment_max if greatest else jax.ops.segment_min
        return fold(values, self.numbers, self.count)


def aggregated(call: AggregateCall, rows: Expressions, groups: Groups) -> Number:
    """An aggregate for each group; integers and decimals are their real values.

    Raises UnsupportedError: it has no derivative, at its place.
    """

    def refused(what: str) -> UnsupportedError:
        return UnsupportedError(f"not differentiable: {what}", "", [call.span] if call.span else [])

    if call.distinct:
        raise refused(f"{call.function} of DISTINCT values that are differentiated or weighted")
    columns = [rows.number(argument) for argument in call.arguments]
    kept: Truth = np.ones(rows.rows.count, np.bool_) if call.filter is None else rows.truth(call.filter)
    there = np.ones(rows.rows.count, np.bool_)
    share = None if rows.rows.weight is None else rows.rows.weight
    if isinstance(kept, np.ndarray):
        there = kept
    else:
        share = kept if share is None else share * kept
    for column in columns:
        if column.valid is not None:
            there = there & column.valid
        if column.present is not None:
            share = column.present if share is None else share * column.present
    weight = jnp.asarray(there, np.float64) if share is None else jnp.where(there, share.astype(np.float64), 0.0)
    if call.function in COUNTS:
        return Number(groups.sums(weight))
    values = [jnp.where(there, jnp.broadcast_to(column.data.astype(np.float64), there.shape), 0.0) for column in columns]
    valid = groups.having(there)
    if call.function in ("min", "max", "product"):
        if share is not None:
            raise refused(f"{call.function} of rows that a softened condition weights")
        return extreme(call.function, values[0], there, valid, groups)
    total = groups.sums(weight)
    if call.function not in FINISHED:
        raise refused(f"the aggregate {call.function}")
    if call.function in OF_TWO_ROWS:
        valid = groups.having(there, 2)
    safe = jnp.where(valid, total, 2.0)
    moments = Moments(groups, weight, safe, values)
    return Number(FINISHED[call.function](moments), None if valid.all() else valid)


def extreme(function: str, values: Array, there: Mask, valid: Mask, groups: Groups) -> Number:
    known = None if valid.all() else valid
    if function == "product":
        return Number(groups.products(jnp.where(there, values, 1.0)), known)
    greatest = function == "max"
    end = -jnp.inf if greatest else jnp.inf
    found = groups.folded(jnp.where(there, values, end), greatest)
    return Number(jnp.where(valid, found, 0.0), known)


@dataclass(frozen=True)
class Moments:
    """Sums over groups by weights: `total` is that of the weights, and not 0."""

    groups: Groups
    weight: Array
    total: Array
    values: Sequence[Array]

    def sum(self, number: int = 0) -> Array:
        return self.groups.sums(self.weight * self.values[number])

    def mean(self, number: int = 0) -> Array:
        return self.sum(number) / self.total

    def products(self, left: int = 0, right: int = 0) -> Array:
        """The sum of the products of two values' distances from their means."""
        distances = [self.values[number] - self.mean(number)[self.groups.numbers] for number in (left, right)]
        return self.groups.sums(self.weight * distances[0] * distances[1])

    def root(self, values: Array) -> Array:
        """The square root; where the values are all equal it has no derivative, and 0 is taken for that."""
        positive = values > 0
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1.0)), 0.0)


FINISHED: dict[str, Callable[[Moments], Array]] = {
    "sum": lambda m: m.sum(),
    "avg": lambda m: m.mean(),
    "var_pop": lambda m: m.products() / m.total,
    "var_samp": lambda m: m.products() / (m.total - 1),
    "stddev_pop": lambda m: m.root(m.products() / m.total),
    "stddev_samp": lambda m: m.root(m.products() / (m.total - 1)),
    "covar_pop": lambda m: m.products(0, 1) / m.total,
    "covar_samp": lambda m: m.products(0, 1) / (m.total - 1),
    "corr": lambda m: m.products(0, 1) / m.root(m.products() * m.products(1, 1)),
    "regr_avgx": lambda m: m.mean(1),
    "regr_avgy": lambda m: m.mean(),
    "regr_sxx": lambda m: m.products(1, 1),
    "regr_syy": lambda m: m.products(),
    "regr_sxy": lambda m: m.products(0, 1),
    "regr_slope": lambda m: m.products(0, 1) / m.products(1, 1),
    "regr_intercept": lambda m: m.mean() - m.products(0, 1) / m.products(1, 1) * m.mean(1),
}
