"""Which rows are live, as a list: bitmap rank/select, whose work grows with the rows kept, not with the rows read."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.program.sinks.prefix import positions, running_sum

Array = jax.Array


def words_of_bits(live: Array) -> Array:
    """bool[n] (n a multiple of 64) as uint64[n / 64], row i in bit i % 64."""
    bits = live.reshape(-1, 8, 8).astype(jnp.uint8) << jnp.arange(8, dtype=jnp.uint8)[None, None, :]
    return lax.bitcast_convert_type(bits.sum(-1, dtype=jnp.uint8), jnp.uint64)


def select_bit(word: Array, rank: Array) -> Array:
    """int32: the position of the set bit of uint64 `word` that has `rank` set bits below it, by six halvings."""
    position = jnp.zeros(rank.shape, jnp.int32)
    for step in (32, 16, 8, 4, 2, 1):
        lower = (word >> position.astype(jnp.uint64)) & jnp.uint64((1 << step) - 1)
        below = lax.population_count(lower).astype(jnp.int32)
        above = rank >= below
        rank = jnp.where(above, rank - below, rank)
        position = jnp.where(above, position + step, position)
    return position


@dataclass(frozen=True)
class LiveRows:
    """Which rows are live, ready to be listed from any of them on.

    Source: the select of succinct bit vectors, Jacobson, "Space-efficient Static Trees and Graphs", FOCS 1989.
    """

    words: Array
    counts: Array
    ends: Array

    @staticmethod
    def of(live: Array) -> LiveRows:
        """live: bool[n], n a multiple of 64."""
        words = words_of_bits(live)
        counts = lax.population_count(words).astype(jnp.int32)
        return LiveRows(words, counts, running_sum(counts))

    @property
    def total(self) -> Array:
        """How many there are, int32."""
        return self.ends[-1]

    def listed(self, capacity: int, first: Array | int = 0) -> Array:
        """The numbers of `capacity` live rows from the `first` of them on, int32[capacity]; arbitrary past the last."""
        wanted = jnp.arange(capacity, dtype=jnp.int32) + first
        word = jnp.minimum(positions(self.ends, wanted, after_equals=True), self.words.shape[0] - 1)
        rank = wanted - (self.ends[word] - self.counts[word])
        rows = word * 64 + select_bit(self.words[word], jnp.maximum(rank, 0))
        return jnp.minimum(rows, self.words.shape[0] * 64 - 1)


def live_rows(live: Array, capacity: int) -> tuple[Array, Array]:
    """The indices of the first `capacity` live rows, int32[capacity] (arbitrary past the last), and how many are live, int32."""
    found = LiveRows.of(live)
    return found.listed(capacity), found.total
