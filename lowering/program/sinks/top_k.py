"""ORDER BY ... LIMIT: the state is the best rows so far; a chunk costs a comparison unless it holds a better one."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.ir.physical import TopKSink
from qtensor.lowering.program.loops import bounded_loop
from qtensor.lowering.program.sinks.base import Array, Batch, Extent, Result, State
from qtensor.lowering.program.sinks.live_rows import LiveRows
from qtensor.lowering.program.sinks.packed_sort import sorted_rows

CANDIDATES = 2_048


@dataclass(frozen=True)
class TopK:
    """State: the words of the best `count` rows in ascending order, their columns, and which of them there are."""

    sink: TopKSink

    @property
    def refs(self) -> tuple[int, ...]:
        return (*(word.word for word in self.sink.order), *self.sink.columns)

    def init(self, extent: Extent) -> State:
        count = self.sink.count
        return (*(jnp.zeros(count, extent.dtypes[ref]) for ref in self.refs), jnp.zeros(count, jnp.bool_))

    def step(self, state: State, batch: Batch) -> State:
        """Rows that are better than the worst so far are sorted in, a few at a time, since each time that gets better: in any
        usual order two or three times for the first chunk, and hardly ever after it. There is one sort to compile.
        """
        columns = tuple(batch.column(ref) for ref in self.refs)
        length = batch.live.shape[0]
        few = min(length, max(CANDIDATES, 2 * self.sink.count))
        numbers = jnp.arange(length, dtype=jnp.int32)

        def better(state: State, seen: Array) -> Array:
            """Rows from number `seen` on that may be among the best. Ties of all words are for the row that came first."""
            worst, full = state[0][-1], state[-1][-1]
            below = (columns[0] < worst) if len(self.sink.order) == 1 else (columns[0] <= worst)
            return batch.live & (numbers >= seen) & (~full | below)

        def improve(loop: tuple[Array, Array, State]) -> tuple[Array, Array, State]:
            _, wanted, state = loop
            found = LiveRows.of(wanted)
            rows = found.listed(few)
            present = jnp.arange(few, dtype=jnp.int32) < found.total
            chosen = (*(column.at[rows].get(mode="clip") for column in columns), present)
            state = self.merge(state, chosen)
            seen = jnp.where(found.total > few, rows[-1] + 1, length)
            wanted = better(state, seen)
            return wanted.any(), wanted, state

        wanted = better(state, jnp.int32(0))
        turns = length // few + 2  # each but the last takes so many rows that are wanted
        *_, state = bounded_loop(turns, lambda loop: loop[0], improve, (wanted.any(), wanted, state))
        return state

    def ordered(self, rows: State) -> State:
        """The first `count` of some rows in order."""
        words = rows[: len(self.sink.order)]
        position, _ = sorted_rows(words, [word.radix for word in self.sink.order], rows[-1])
        return tuple(column[position[: self.sink.count]] for column in rows)

    def merge(self, left: State, right: State) -> State:
        return self.ordered(tuple(jnp.concatenate(pair) for pair in zip(left, right, strict=True)))

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        return Result(state[len(self.sink.order) : -1], state[-1])
