"""Quantiles and modes, of rows that lie sorted by group and value."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.ir.physical import QuantileAccumulator
from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.groups import RunGroups
from qtensor.lowering.program.sinks.prefix import running_sum

ROW_BITS = 32  # a row's number fits
LAST = (1 << ROW_BITS) - 1


def mode_score(count: Array, row: Array) -> Array:
    """int64, of which the greatest tells the mode: how often a value came, above how early that in `row` did."""
    return (count.astype(jnp.int64) << ROW_BITS) + (LAST - row.astype(jnp.int64))


def of_score(score: Array) -> tuple[Array, Array]:
    """A row that has the mode, int32, and how many have it, int64; 0 of no rows, which have the score 0."""
    return (LAST - (score & LAST)).astype(jnp.int32), score >> ROW_BITS


@dataclass(frozen=True)
class Ranks:
    """Which values make a quantile, by their ranks in ascending order (int64): one, or of a continuous quantile two.

    parts: of that one more result column: how far it is from the first value to the second.
    """

    ranks: tuple[Array, ...]
    parts: tuple[Array, ...] = ()


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
    wanted = quantile_ranks(accumulator, count)
    values = [column.at[packed.at[start + rank].get(mode="clip")].get(mode="clip") for rank in wanted.ranks]
    return count, *values, *wanted.parts


def quantile_ranks(accumulator: QuantileAccumulator, count: Array) -> Ranks:
    """Which of `count` (int64) values each quantile is made of."""

    def from_its_end(rank: Array) -> Array:
        """Counted from 0 at the end where the fraction counts from."""
        return count - 1 - rank if accumulator.fraction < 0 else rank

    if not accumulator.continuous:
        return Ranks((from_its_end(discrete_rank(accumulator, count)),))
    exact = (count - 1).astype(jnp.float64) * abs(accumulator.fraction)
    below, above = jnp.floor(exact), jnp.ceil(exact)
    return Ranks((from_its_end(below.astype(jnp.int64)), from_its_end(above.astype(jnp.int64))), (exact - below,))


def discrete_rank(accumulator: QuantileAccumulator, count: Array) -> Array:
    """The least rank at which as much as the fraction lies at or below."""
    if accumulator.ratio is not None:
        share, unit = abs(accumulator.ratio[0]), accumulator.ratio[1]
        above = (unit * count - share * count) // unit
    else:
        rows = count.astype(jnp.float64)
        above = jnp.floor(rows - abs(accumulator.fraction) * rows).astype(jnp.int64)
    return jnp.maximum(count - above, 1) - 1


def most_frequent(
    column: Array, rows: Array, live: Array, starts: Array, groups: RunGroups, sequence: Array | None
) -> tuple[Array, ...]:
    """The value of the longest run of each group, and how many rows it has; of several that with the first row in `sequence`
    (int32[n]: all rows in another order than theirs).
    """
    run = jnp.maximum(running_sum(starts.astype(jnp.int32)) - 1, 0)
    runs = RunGroups(run, rows.shape[0])
    length = runs.of_rows(runs.total(live.astype(jnp.int64)))
    place = rows
    if sequence is not None:
        place = jnp.zeros_like(rows).at[sequence].set(jnp.arange(rows.shape[0], dtype=jnp.int32), unique_indices=True)[rows]
        place = runs.of_rows(runs.least(jnp.where(live, place, rows.shape[0])))
    best = groups.greatest(jnp.where(starts, mode_score(length, place), 0))
    row, count = of_score(jnp.maximum(best, 0))
    if sequence is not None:
        row = sequence.at[row].get(mode="clip")
    return column.at[row].get(mode="clip"), count
