"""The build side of a join: rows to be found by their key, through a table addressed by it or by binary search."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import DirectLookupSink, SortedLookupSink
from qtensor.lowering.program.sinks.base import AllRows, Array, Batch, Extent, Result, State, append, buffers, flat, store
from qtensor.lowering.program.sinks.packed_sort import LAST, sorted_rows
from qtensor.lowering.program.sinks.prefix import running_sum
from qtensor.lowering.program.sinks.slots import codes


@dataclass(frozen=True)
class DirectLookup:
    """State without duplicates: columns [domain], and which slots are taken. With them: rows' codes and columns as they come."""

    sink: DirectLookupSink

    def init(self, extent: Extent) -> State:
        dtypes = [extent.dtypes[ref] for ref in self.sink.columns]
        if self.sink.duplicates:
            return buffers(["int32", *dtypes], extent)
        domain = self.sink.domain
        return (*(jnp.zeros(domain, dtype) for dtype in dtypes), jnp.zeros(domain, jnp.bool_))

    def step(self, state: State, batch: Batch) -> State:
        code = codes(self.sink.keys, batch, self.sink.domain)
        columns = [batch.column(ref) for ref in self.sink.columns]
        if self.sink.duplicates:
            return store(state, [code, *columns], batch)
        rows = (*columns, jnp.ones_like(batch.live))
        return tuple(old.at[code].set(new, mode="drop") for old, new in zip(state, rows, strict=True))

    def merge(self, left: State, right: State) -> State:
        if self.sink.duplicates:
            return append(left, right)
        taken = right[-1]
        return (*(jnp.where(taken, new, old) for old, new in zip(left[:-1], right[:-1], strict=True)), left[-1] | taken)

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        if not self.sink.duplicates:
            return Result(state[:-1], state[-1])
        code, *columns, live = flat(state)
        domain = self.sink.domain
        counts = jnp.zeros(domain, jnp.int32).at[jnp.where(live, code, domain)].add(1, mode="drop")
        starts = jnp.concatenate([jnp.zeros(1, jnp.int32), running_sum(counts)])
        rows, _ = sorted_rows([code.astype(jnp.int64)], [domain], live)
        present = jnp.arange(live.shape[0], dtype=jnp.int32) < starts[-1]
        return Result((*(column[rows] for column in columns), starts), present)


@dataclass(frozen=True)
class SortedLookup(AllRows):
    """State: the rows' words and columns, as they come."""

    sink: SortedLookupSink

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (self.sink.word, *self.sink.columns)

    def finish(self, state: State) -> Result:
        word, *columns, live = flat(state)
        rows, (ordered,) = sorted_rows([word], [self.sink.radix], live)
        present = jnp.arange(live.shape[0], dtype=jnp.int32) < live.sum(dtype=jnp.int32)
        words = jnp.where(present, ordered, LAST)
        return Result((*(column[rows] for column in columns), words), present)
