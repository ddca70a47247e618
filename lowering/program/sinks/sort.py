"""ORDER BY: keep all rows, sort them once at the end. Without an order, only move the live rows to the front."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.ir.physical import SortSink
from qtensor.lowering.program.sinks.base import AllRows, Result, State, flat
from qtensor.lowering.program.sinks.live_rows import live_rows
from qtensor.lowering.program.sinks.packed_sort import sorted_rows


@dataclass(frozen=True)
class Sort(AllRows):
    sink: SortSink

    @property
    def refs(self) -> tuple[int, ...]:
        return (*(word.word for word in self.sink.order), *self.sink.columns)

    def finish(self, state: State) -> Result:
        *stored, live = flat(state)
        order = self.sink.order
        words, columns = stored[: len(order)], stored[len(order) :]
        capacity = self.sink.capacity or live.shape[0]
        if order:
            rows, _ = sorted_rows(words, [word.radix for word in order], live)
            count = live.sum(dtype=jnp.int32)
        else:
            rows, count = live_rows(live, capacity)
        rows = rows[:capacity]
        kept = jnp.arange(capacity, dtype=jnp.int32) < count
        return Result(tuple(column.at[rows].get(mode="clip") for column in columns), kept)
