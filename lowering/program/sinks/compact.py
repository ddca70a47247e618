"""The live rows without gaps, for as many as there is room: what a join of unknown size, or a sharp filter, leaves."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.ir.physical import CompactSink
from qtensor.lowering.program.sinks.base import Array, Batch, Extent, Result, State
from qtensor.lowering.program.sinks.live_rows import LiveRows

PIECES = 16  # live rows are written a sixteenth of a batch at a time, so that few of them cost little


@dataclass(frozen=True)
class Compact:
    """State: columns [room], filled from the front, and how many rows there were, int64, also those there was no room for.

    The room is the capacity and one batch more, so that every batch is written whole where the last one ended.
    """

    sink: CompactSink

    def init(self, extent: Extent) -> State:
        room = self.sink.capacity + extent.chunk
        return (*(jnp.zeros(room, extent.dtypes[ref]) for ref in self.sink.columns), jnp.zeros((), jnp.int64))

    def step(self, state: State, batch: Batch) -> State:
        *stored, seen = state
        columns = [batch.column(ref) for ref in self.sink.columns]
        found = LiveRows.of(batch.live)
        piece = max(64, batch.live.shape[0] // PIECES)
        start = jnp.minimum(seen, self.sink.capacity).astype(jnp.int32)

        def write(loop: tuple[Array, list[Array]]) -> tuple[Array, list[Array]]:
            """The next live rows behind those that are there; what is arbitrary past the last is overwritten or never read."""
            first, stored = loop
            rows = found.listed(piece, first)
            target = start + first
            new = [
                lax.dynamic_update_slice_in_dim(old, column[rows], target, 0) for old, column in zip(stored, columns, strict=True)
            ]
            return first + piece, new

        end = lax.min(found.total, jnp.int32(batch.live.shape[0]))  # so that a reader of the program sees the loop end
        _, new = lax.while_loop(lambda loop: loop[0] < end, write, (jnp.int32(0), stored))
        return (*new, seen + found.total.astype(jnp.int64))

    def merge(self, left: State, right: State) -> State:
        *stored, seen = left
        *added, more = right
        room = jnp.minimum(seen, self.sink.capacity)
        new = (
            lax.dynamic_update_slice_in_dim(jnp.concatenate([old, jnp.zeros_like(rows)]), rows, room, 0)[: old.shape[0]]
            for old, rows in zip(stored, added, strict=True)
        )
        return (*new, seen + more)

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        *columns, seen = state
        capacity = self.sink.capacity
        return Result(tuple(column[:capacity] for column in columns), jnp.arange(capacity, dtype=jnp.int64) < seen)
