"""Questions about the values in a range of positions, answered for all ranges at once, bit by bit from the highest.

In a wavelet matrix the values are sorted stably by one bit, then that order by the next, and so on; a range of positions stays a
range for those of its values that have the same bits so far. Each level is made, asked and forgotten in one turn of a loop, so
that memory does not grow with the number of levels.

Source: Claude, Navarro and Ordóñez, "The wavelet matrix: An efficient wavelet tree for large alphabets", Information Systems 47,
2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.scans import prefix_sums

Range: TypeAlias = tuple[Array, Array]  # where each range starts and ends: int32[m], the end is not part of it


def smallest(values: Array, ranges: Sequence[Range], ranks: Sequence[Array]) -> list[Array]:
    """The value that has each rank, counted from 0, among the values of its range; anything if the range has too few.

    values: int32[n], in [0, n); ranks: int32[m] for each of `ranges`.
    """
    rows = values.shape[0]
    bits = max(1, (rows - 1).bit_length())

    def step(
        turn: Array, state: tuple[Array, list[Range], list[Array], list[Array]]
    ) -> tuple[Array, list[Range], list[Array], list[Array]]:
        values, ranges, ranks, found = state
        bit = bits - 1 - turn
        level = Level.of(values, bit)
        next_ranges, next_ranks, next_found = [], [], []
        for place, rank, value in zip(ranges, ranks, found, strict=True):
            zeros = level.zeros(place)
            many = zeros[1] - zeros[0]
            one = rank >= many
            next_ranges.append(level.descended(place, one))
            next_ranks.append(jnp.where(one, rank - many, rank))
            next_found.append(value | (one.astype(jnp.int32) << bit))
        return level.sorted(values), next_ranges, next_ranks, next_found

    nothing = [jnp.zeros_like(rank) for rank in ranks]
    *_, found = lax.fori_loop(jnp.int32(0), jnp.int32(bits), step, (values, list(ranges), list(ranks), nothing))
    return list(found)


def sums_below(values: Array, weights: Sequence[Array], place: Range, limit: Array) -> list[Array]:
    """int64[m] for each of `weights`: the sum of those in each range whose value is less than `limit`.

    values: int32[n], in [0, n]; weights: integers [n]; limit: int32[m], in [0, n].
    """
    bits = max(1, values.shape[0].bit_length())

    def step(turn: Array, state: tuple[Array, list[Array], Range, list[Array]]) -> tuple[Array, list[Array], Range, list[Array]]:
        values, weights, place, totals = state
        bit = bits - 1 - turn
        level = Level.of(values, bit)
        one = (limit >> bit) & 1 == 1
        sums = prefix_sums([jnp.where(level.ones, 0, weight) for weight in weights])
        added = [jnp.where(one, below[place[1]] - below[place[0]], 0) for below in sums]
        moved = [level.sorted(weight) for weight in weights]
        return level.sorted(values), moved, level.descended(place, one), [a + b for a, b in zip(totals, added, strict=True)]

    nothing = [jnp.zeros(limit.shape, jnp.int64) for _ in weights]
    start = (values, [weight.astype(jnp.int64) for weight in weights], place, nothing)
    *_, totals = lax.fori_loop(jnp.int32(0), jnp.int32(bits), step, start)
    return list(totals)


@dataclass(frozen=True)
class Level:
    """Which values have a bit, how many of the first 0, 1, ... n do not, and where each goes when sorted by it."""

    ones: Array
    without: Array
    place: Array

    @staticmethod
    def of(values: Array, bit: Array) -> Level:
        ones = (values >> bit) & 1 == 1
        (sums,) = prefix_sums([~ones])
        without = sums.astype(jnp.int32)
        row = jnp.arange(values.shape[0], dtype=jnp.int32)
        return Level(ones, without, jnp.where(ones, without[-1] + row - without[:-1], without[:-1]))

    def sorted(self, values: Array) -> Array:
        return jnp.zeros_like(values).at[self.place].set(values, unique_indices=True)

    def zeros(self, place: Range) -> Range:
        """Where the values of a range that do not have the bit are afterwards."""
        return self.without[place[0]], self.without[place[1]]

    def descended(self, place: Range, one: Array) -> Range:
        """Where those that have it are, for ranges of `one`, and elsewhere those that do not."""
        start, end = self.zeros(place)
        many = self.without[-1]
        return jnp.where(one, many + place[0] - start, start), jnp.where(one, many + place[1] - end, end)
