"""ORDER BY ... LIMIT: the state is the best rows so far; a chunk costs a comparison unless it holds a better one."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.physical import TopKSink
from qtensor.lowering.sinks.base import Batch, Extent, Result, State
from qtensor.lowering.sinks.sorting import LAST

Array = jax.Array

BLOCK = 64


@dataclass(frozen=True)
class TopK:
    """State: the words of the best `count` rows in ascending order (LAST where there are fewer), and their columns."""

    sink: TopKSink

    def init(self, extent: Extent) -> State:
        count = self.sink.count
        columns = (jnp.zeros(count, extent.dtypes[ref]) for ref in self.sink.columns)
        return (jnp.full(count, LAST, jnp.int64), *columns)

    def step(self, state: State, batch: Batch) -> State:
        word = batch.column(self.sink.order.word)
        better = batch.live & (word < state[0][-1])
        candidates = jnp.where(better, word, LAST)
        columns = [batch.column(ref) for ref in self.sink.columns]

        def update(state: State) -> State:
            rows, words = least(candidates, self.sink.count)
            chosen = (words, *(column.at[rows].get(mode="clip") for column in columns))
            return self.merge(state, chosen)

        new: State = lax.cond(better.any(), update, lambda state: state, state)
        return new

    def merge(self, left: State, right: State) -> State:
        words = jnp.concatenate([left[0], right[0]])
        ordered, position = lax.sort((words, jnp.arange(words.shape[0], dtype=jnp.int32)), num_keys=1, is_stable=True)
        best = position[: self.sink.count]
        merged = (jnp.concatenate(pair)[best] for pair in zip(left[1:], right[1:], strict=True))
        return (ordered[: self.sink.count], *merged)

    def finish(self, state: State) -> Result:
        return Result(state[1:], state[0] != LAST)


def least(words: Array, count: int) -> tuple[Array, Array]:
    """The `count` least of `words` (rows, words): only the `count` blocks with the least minima can hold them."""
    length = words.shape[0]
    if count * BLOCK >= length:
        count = min(count, length)
        ordered, rows = lax.sort((words, jnp.arange(length, dtype=jnp.int32)), num_keys=1, is_stable=True)
        return rows[:count], ordered[:count]
    blocks = words.reshape(-1, BLOCK)
    minima = blocks.min(1)
    _, block = lax.sort((minima, jnp.arange(minima.shape[0], dtype=jnp.int32)), num_keys=1, is_stable=True)
    chosen = block[:count]
    rows = (chosen[:, None] * BLOCK + jnp.arange(BLOCK, dtype=jnp.int32)[None, :]).reshape(-1)
    ordered, position = lax.sort(
        (blocks[chosen].reshape(-1), jnp.arange(rows.shape[0], dtype=jnp.int32)), num_keys=1, is_stable=True
    )
    return rows[position[:count]], ordered[:count]
