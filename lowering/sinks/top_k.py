"""ORDER BY ... LIMIT: the state is the best rows so far; a chunk costs a comparison unless it holds a better one."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.physical import TopKSink
from qtensor.lowering.sinks.base import Array, Batch, Extent, Result, State
from qtensor.lowering.sinks.compact import live_rows
from qtensor.lowering.sinks.sorting import LAST, sorted_rows

BLOCK = 64
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
        columns = tuple(batch.column(ref) for ref in self.refs)
        worst, full = state[0][-1], state[-1][-1]
        first = columns[0]
        better = batch.live & (~full | ((first < worst) if len(self.sink.order) == 1 else (first <= worst)))

        def update(state: State) -> State:
            return self.merge(state, self.best(columns, better))

        new: State = lax.cond(better.any(), update, lambda state: state, state)
        return new

    def best(self, columns: State, live: Array) -> State:
        """The best `count` of a chunk's rows: the few that can be among them are sorted, in the worst case all."""
        live = live & self.may_be_best(columns[0], live)
        length = live.shape[0]
        few = min(length, max(CANDIDATES, 2 * self.sink.count))
        if few == length:
            return self.ordered((*columns, live))

        def of_few(_: None) -> State:
            rows, count = live_rows(live, few)
            gathered = (column.at[rows].get(mode="clip") for column in columns)
            return self.ordered((*gathered, jnp.arange(few, dtype=jnp.int32) < count))

        chosen: State = lax.cond(live.sum(dtype=jnp.int32) <= few, of_few, lambda _: self.ordered((*columns, live)), None)
        return chosen

    def may_be_best(self, first: Array, live: Array) -> Array:
        """Rows whose first word is at most the `count`-th least of the blocks' minima: at least `count` rows are, if live."""
        length, count = live.shape[0], self.sink.count
        if count > length // BLOCK:
            return jnp.ones_like(live)
        minima = jnp.where(live, first, LAST).reshape(-1, BLOCK).min(1)
        return first <= lax.sort(minima)[count - 1]

    def ordered(self, rows: State) -> State:
        """The first `count` of some rows in order; of fewer rows all, and dead ones."""
        count = self.sink.count
        missing = max(0, count - rows[-1].shape[0])
        rows = tuple(jnp.pad(column, (0, missing)) for column in rows) if missing else rows
        words = rows[: len(self.sink.order)]
        position, _ = sorted_rows(words, [word.radix for word in self.sink.order], rows[-1])
        return tuple(column[position[:count]] for column in rows)

    def merge(self, left: State, right: State) -> State:
        return self.ordered(tuple(jnp.concatenate(pair) for pair in zip(left, right, strict=True)))

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        return Result(state[len(self.sink.order) : -1], state[-1])
