"""Group by a dense code: a slot for every possible group, filled by scatter-add; a query without keys has one group in 64 lanes."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.physical import Accumulator, DenseGroupSink
from qtensor.lowering.sinks.accumulate import accumulate, bitmap, combine, initial, mark, reduce_bitmap, total_of
from qtensor.lowering.sinks.base import Array, Batch, Extent, Result, State


@dataclass(frozen=True)
class DenseGroup:
    """State: the limbs of each accumulator in turn, [domain] (or [64] without keys); a bitmap for each distinct one."""

    sink: DenseGroupSink

    def init(self, extent: Extent) -> State:
        state: list[Array] = []
        for accumulator in self.sink.accumulators:
            if isinstance(accumulator, Accumulator):
                state += initial(accumulator, self.sink.domain)
            else:
                state.append(bitmap(accumulator, self.sink.domain))
        return tuple(state)

    def step(self, state: State, batch: Batch) -> State:
        code = self.codes(batch) if self.sink.domain > 1 else None
        new: list[Array] = []
        for accumulator, part in self.parts(state):
            if isinstance(accumulator, Accumulator):
                new += accumulate(accumulator, part, batch, code)
            else:
                new.append(mark(accumulator, part[0], batch, code))
        return tuple(new)

    def codes(self, batch: Batch) -> Array:
        """int32[length]: the mixed-radix number of each row's keys; `domain` for dead rows, which scatters drop."""
        code = jnp.zeros((), jnp.int32)
        for key in self.sink.keys:
            digit = (batch.column(key.code).astype(jnp.int64) - key.low).astype(jnp.int32)
            if key.valid is not None:
                digit = jnp.where(batch.column(key.valid), digit, jnp.int32(key.size))
            code = code * jnp.int32(key.radix) + digit
        return jnp.where(batch.live, code, jnp.int32(self.sink.domain))

    def merge(self, left: State, right: State) -> State:
        merged: list[Array] = []
        for (accumulator, a), (_, b) in zip(self.parts(left), self.parts(right), strict=True):
            merged += combine(accumulator, a, b) if isinstance(accumulator, Accumulator) else (a[0] | b[0],)
        return tuple(merged)

    def finish(self, state: State) -> Result:
        columns: list[Array] = []
        live = jnp.ones(self.sink.domain, jnp.bool_)
        for index, (accumulator, part) in enumerate(self.parts(state)):
            if isinstance(accumulator, Accumulator):
                result = total_of(accumulator, part, self.sink.domain)
            else:
                result = reduce_bitmap(accumulator, part[0])
            if index == self.sink.presence:
                live = result[0] > 0
            columns += result
        return Result(tuple(columns), live)

    def parts(self, state: State) -> list[tuple]:  # type: ignore[type-arg]
        """Each accumulator with its arrays of the state."""
        parts = []
        position = 0
        for accumulator in self.sink.accumulators:
            width = accumulator.limbs if isinstance(accumulator, Accumulator) else 1
            parts.append((accumulator, state[position : position + width]))
            position += width
        return parts
