"""Prefixes over all rows at once, for windows: rows are cut into lanes that are scanned side by side.

jnp.cumsum and lax.associative_scan take any n log n shape XLA is given and are slow to compile; a loop over the rows of a
matrix is one small loop, and works for any associative function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.sinks.base import Array

State: TypeAlias = tuple[Array, ...]
Combine: TypeAlias = Callable[[State, State], State]

MOST_LANES = 1024


def segmented_scan(combine: Combine, identity: State, starts: Array, values: State) -> State:
    """For each row `combine` over `values` from the last row of `starts` (bool[n]) up to itself, [n] each.

    combine: associative; `identity`: scalars, which it leaves unchanged.
    """
    rows = starts.shape[0]
    lanes = max(1, min(MOST_LANES, 1 << (rows.bit_length() // 2)))
    missing = -rows % lanes

    def cut(array: Array) -> Array:
        return jnp.pad(array, (0, missing)).reshape(lanes, -1).T

    def chosen(fresh: Array, alone: State, joined: State) -> State:
        return tuple(jnp.where(fresh, a, b) for a, b in zip(alone, joined, strict=True))

    def step(carry: tuple[Array, State], row: tuple[Array, State]) -> tuple[tuple[Array, State], tuple[Array, State]]:
        fresh, value = row
        state = (carry[0] | fresh, chosen(fresh, value, combine(carry[1], value)))
        return state, state

    nothing = tuple(jnp.full(lanes, item, value.dtype) for item, value in zip(identity, values, strict=True))
    cut_rows = (cut(starts), tuple(cut(value) for value in values))
    (seen, totals), (known, local) = lax.scan(step, (jnp.zeros(lanes, jnp.bool_), nothing), cut_rows)
    before = lanes_before(combine, nothing, seen, totals)
    whole = chosen(known, local, combine(before, local))
    return tuple(value.T.reshape(-1)[:rows] for value in whole)


def lanes_before(combine: Combine, nothing: State, seen: Array, totals: State) -> State:
    """What the lanes before each lane leave to it: [lanes] each, by doubling distances."""
    lanes = seen.shape[0]
    number = jnp.arange(lanes, dtype=jnp.int32)

    def shifted(array: Array, distance: Array, empty: Array) -> Array:
        return jnp.where(number >= distance, jnp.roll(array, distance), empty)

    def double(step: Array, state: tuple[Array, State]) -> tuple[Array, State]:
        distance = jnp.int32(1) << step
        flag, value = state
        earlier = tuple(shifted(part, distance, empty) for part, empty in zip(value, nothing, strict=True))
        joined = combine(earlier, value)
        new = tuple(jnp.where(flag, alone, both) for alone, both in zip(value, joined, strict=True))
        return flag | shifted(flag, distance, jnp.zeros_like(flag)), new

    _, inclusive = lax.fori_loop(jnp.int32(0), jnp.int32(lanes.bit_length() - 1), double, (seen, totals))
    one = jnp.int32(1)
    return tuple(shifted(part, one, empty) for part, empty in zip(inclusive, nothing, strict=True))


def prefix_sums(values: Sequence[Array]) -> list[Array]:
    """The sums of the first 0, 1, ... n values of integer arrays, int64[n + 1]; wrapped differences are right all the same."""
    wide = tuple(value.astype(jnp.int64) for value in values)
    nowhere = jnp.zeros(wide[0].shape[0], jnp.bool_)

    def add(left: State, right: State) -> State:
        return tuple(a + b for a, b in zip(left, right, strict=True))

    sums = segmented_scan(add, tuple(jnp.int64(0) for _ in wide), nowhere, wide)
    return [jnp.pad(total, (1, 0)) for total in sums]
