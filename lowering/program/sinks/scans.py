"""Prefixes over all rows at once, for windows.

Rows are cut into lanes that are scanned side by side: one small loop to compile, however many rows there are, where
lax.associative_scan unrolls a program that grows with their logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.program.sinks.base import Array, State
from qtensor.lowering.program.sinks.prefix import running_sums

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
        return (jnp.pad(array, (0, missing)) if missing else array).reshape(lanes, -1).T

    def step(carry: tuple[Array, State], row: tuple[Array, State]) -> tuple[tuple[Array, State], tuple[Array, State]]:
        fresh, value = row
        state = (carry[0] | fresh, chosen(fresh, value, combine(carry[1], value)))
        return state, state

    def next_lane(before: State, lane: tuple[Array, State]) -> tuple[State, State]:
        seen, total = lane
        return chosen(seen, total, combine(before, total)), before

    neutral = tuple(jnp.asarray(item, value.dtype) for item, value in zip(identity, values, strict=True))
    nothing = tuple(jnp.broadcast_to(item, (lanes,)) for item in neutral)
    cut_rows = (cut(starts), tuple(cut(value) for value in values))
    (seen, totals), (known, local) = lax.scan(step, (jnp.zeros(lanes, jnp.bool_), nothing), cut_rows)
    _, before = lax.scan(next_lane, neutral, (seen, totals))
    whole = chosen(known, local, combine(tuple(value[None] for value in before), local))
    return tuple(value.T.reshape(-1)[:rows] for value in whole)


def chosen(fresh: Array, alone: State, joined: State) -> State:
    return tuple(jnp.where(fresh, a, b) for a, b in zip(alone, joined, strict=True))


def prefix_sums(values: Sequence[Array]) -> list[Array]:
    """The sums of the first 0, 1, ... n values of integer arrays, int64[n + 1]; wrapped differences are right all the same."""
    return [jnp.pad(sums, (1, 0)) for sums in running_sums([value.astype(jnp.int64) for value in values])] if values else []
