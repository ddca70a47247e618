"""LIMIT without an order: the first live rows, in the order of the source; the scan ends when there are enough."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.ir.physical import FirstRowsSink
from qtensor.lowering.program.sinks.base import Array, Batch, Extent, Result, State
from qtensor.lowering.program.sinks.live_rows import live_rows


@dataclass(frozen=True)
class FirstRows:
    """State: columns [count], filled from the front, and how many rows they hold, int32."""

    sink: FirstRowsSink

    def init(self, extent: Extent) -> State:
        columns = (jnp.zeros(self.sink.count, extent.dtypes[ref]) for ref in self.sink.columns)
        return (*columns, jnp.zeros((), jnp.int32))

    def step(self, state: State, batch: Batch) -> State:
        rows, count = live_rows(batch.live, min(self.sink.count, batch.live.shape[0]))
        return self.append(state, tuple(batch.column(ref)[rows] for ref in self.sink.columns), count)

    def append(self, state: State, columns: State, count: Array) -> State:
        """Put the first `count` rows of `columns` behind those that are there, as far as there is room."""
        *stored, filled = state
        if not columns:
            return (jnp.minimum(filled + count, jnp.int32(self.sink.count)),)
        number = jnp.arange(columns[0].shape[0], dtype=jnp.int32)
        target = jnp.where(number < count, filled + number, jnp.int32(self.sink.count))
        new = (old.at[target].set(column, mode="drop") for old, column in zip(stored, columns, strict=True))
        return (*new, jnp.minimum(filled + count, jnp.int32(self.sink.count)))

    def merge(self, left: State, right: State) -> State:
        return self.append(left, right[:-1], right[-1])

    def done(self, state: State) -> Array | None:
        return state[-1] >= self.sink.count

    def finish(self, state: State) -> Result:
        *columns, filled = state
        return Result(tuple(columns), jnp.arange(self.sink.count, dtype=jnp.int32) < filled)
