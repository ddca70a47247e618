"""Quantiles and modes, of rows that lie sorted by group and value."""

from __future__ import annotations

import jax.numpy as jnp

from qtensor.lowering.physical import QuantileAccumulator
from qtensor.lowering.sinks.base import Array
from qtensor.lowering.sinks.groups import RunGroups
from qtensor.lowering.sinks.prefix import running_sum

ROW_BITS = 32  # a row's number fits


def quantile(
    accumulator: QuantileAccumulator, column: Array, rows: Array, counted: Array, groups: RunGroups
) -> tuple[Array, ...]:
    """The result columns [groups]; `counted` says which of the sorted `rows` are there, of equal values perhaps only one."""
    length = rows.shape[0]
    place = running_sum(counted.astype(jnp.int32)) - 1
    packed = jnp.zeros(length, jnp.int32).at[jnp.where(counted, place, length)].set(rows, mode="drop")
    count = groups.total(counted.astype(jnp.int64))
    # Groups may come in another order than that of their numbers.
    start = groups.least(jnp.where(counted, place, jnp.int32(length))).astype(jnp.int64)
    descending = accumulator.fraction < 0

    def value_at(rank: Array) -> Array:
        """Of the row of that rank, counted from 0 at the end where the fraction counts from."""
        position = start + (count - 1 - rank if descending else rank)
        return column.at[packed.at[position].get(mode="clip")].get(mode="clip")

    if not accumulator.continuous:
        return count, value_at(discrete_rank(accumulator, count))
    exact = (count - 1).astype(jnp.float64) * abs(accumulator.fraction)
    below, above = jnp.floor(exact), jnp.ceil(exact)
    return count, value_at(below.astype(jnp.int64)), value_at(above.astype(jnp.int64)), exact - below


def discrete_rank(accumulator: QuantileAccumulator, count: Array) -> Array:
    """The least rank at which as much as the fraction lies at or below."""
    if accumulator.ratio is not None:
        share, unit = abs(accumulator.ratio[0]), accumulator.ratio[1]
        above = (unit * count - share * count) // unit
    else:
        rows = count.astype(jnp.float64)
        above = jnp.floor(rows - abs(accumulator.fraction) * rows).astype(jnp.int64)
    return jnp.maximum(count - above, 1) - 1


def most_frequent(column: Array, rows: Array, live: Array, starts: Array, groups: RunGroups) -> tuple[Array, ...]:
    """The value of the longest run of each group, of several that with the first row; and how many rows it has."""
    run = jnp.maximum(running_sum(starts.astype(jnp.int32)) - 1, 0)
    runs = RunGroups(run, rows.shape[0])
    length = runs.of_rows(runs.total(live.astype(jnp.int64)))
    last = (1 << ROW_BITS) - 1
    score = jnp.where(starts, (length << ROW_BITS) + (last - rows.astype(jnp.int64)), 0)
    best = groups.greatest(score)
    row = last - (best & last)
    return column.at[row].get(mode="clip"), jnp.maximum(best, 0) >> ROW_BITS
