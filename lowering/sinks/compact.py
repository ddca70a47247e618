"""Which rows are live, as a list: bitmap rank/select, whose work grows with the rows kept, not with the rows read."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

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


def live_rows(live: Array, capacity: int) -> tuple[Array, Array]:
    """The indices of the first `capacity` live rows, int32[capacity] (arbitrary past the last), and how many are live, int32.

    Source: the select of succinct bit vectors, Jacobson, "Space-efficient Static Trees and Graphs", FOCS 1989.
    """
    words = words_of_bits(live)
    counts = lax.population_count(words).astype(jnp.int32)
    ends = jnp.cumsum(counts)
    wanted = jnp.arange(capacity, dtype=jnp.int32)
    word = jnp.minimum(jnp.searchsorted(ends, wanted, side="right").astype(jnp.int32), words.shape[0] - 1)
    rank = wanted - (ends[word] - counts[word])
    rows = word * 64 + select_bit(words[word], jnp.maximum(rank, 0))
    return jnp.minimum(rows, live.shape[0] - 1), ends[-1]
