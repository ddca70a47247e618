"""A window that slides over frames, row by row: what goes in and out next. For aggregates that no sums or trees of rows give."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.program.sinks.base import Array


class Move(NamedTuple):
    """`row` goes into the window, or out of it, or nothing is left to do; then it reaches from row `low` up to `high`."""

    row: Array
    adds: Array
    removes: Array
    low: Array
    high: Array

    @property
    def change(self) -> Array:
        """int32: 1, -1 or 0."""
        return self.adds.astype(jnp.int32) - self.removes.astype(jnp.int32)


def next_move(low: Array, high: Array, start: Array, end: Array, may: Array | bool = True) -> Move:
    """From a window of rows [low, high) towards the frame [start, end), unless that is empty; `may` says whether at all.

    Rows go in before others go out, so that low <= high.
    """
    wanted = (start < end) & may
    adds = wanted & ((high < end) | (low > start))
    removes = wanted & ~adds & ((high > end) | (low < start))
    at_high = jnp.where(adds, high < end, high > end)
    row = jnp.where(at_high, high, low) - ((adds & ~at_high) | (removes & at_high)).astype(jnp.int32)
    change = adds.astype(jnp.int32) - removes.astype(jnp.int32)
    return Move(row, adds, removes, low - jnp.where(at_high, 0, change), high + jnp.where(at_high, change, 0))


def at(array: Array, place: Array) -> Array:
    """One value; nothing is copied, here and in `put`, where an indexed update would be.

    In the turn of a loop all that is read of an array must be read after all that is written: XLA would copy it otherwise.
    """
    value: Array = lax.dynamic_index_in_dim(array, place, keepdims=False)
    return value


def put(array: Array, place: Array, value: Array) -> Array:
    changed: Array = lax.dynamic_update_index_in_dim(array, value, place, 0)
    return changed
