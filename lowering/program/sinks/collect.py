"""Keep every row, in order, dead ones marked: the result of a query, or of a row-wise one."""

from __future__ import annotations

from dataclasses import dataclass

from qtensor.lowering.ir.physical import CollectSink
from qtensor.lowering.program.sinks.base import Array, Batch, Extent, Result, State, append, buffers, flat, store


@dataclass(frozen=True)
class Collect:
    sink: CollectSink

    def init(self, extent: Extent) -> State:
        return buffers([extent.dtypes[ref] for ref in self.sink.columns], extent)

    def step(self, state: State, batch: Batch) -> State:
        return store(state, [batch.column(ref) for ref in self.sink.columns], batch)

    def merge(self, left: State, right: State) -> State:
        return append(left, right)

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        *columns, live = flat(state)
        return Result(tuple(columns), live)
