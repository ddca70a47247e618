"""Group by sorting: for keys whose possible values are too many to give each a slot. Rows are kept, sorted and
reduced in runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from qtensor.lowering.physical import Accumulator, DistinctAccumulator, SortedGroupSink, SortWord
from qtensor.lowering.sinks.accumulate import carried, identity_of, limbs_of
from qtensor.lowering.sinks.base import Array, Batch, Extent, Result, State, append, buffers, flat, store
from qtensor.lowering.sinks.sorting import sorted_rows


@dataclass(frozen=True)
class Runs:
    """Rows in the order of their keys: `rows` int32[n] their numbers, `group` int32[n] the number of each one's run."""

    rows: Array
    group: Array
    live: Array  # of the rows in that order
    starts: Array  # where a run of live rows begins

    def sums(self, values: Array) -> Array:
        return jax.ops.segment_sum(values, self.group, self.rows.shape[0], indices_are_sorted=True)


@dataclass(frozen=True)
class SortedGroup:
    sink: SortedGroupSink

    @property
    def refs(self) -> tuple[int, ...]:
        """Everything a row must keep until the sort, each once."""
        refs = [word.word for word in self.sink.order] + list(self.sink.carried)
        for accumulator in self.sink.accumulators:
            refs += [ref for ref in (accumulator.value, accumulator.mask) if ref is not None]
            if isinstance(accumulator, DistinctAccumulator):
                refs += [word.word for word in accumulator.order]
        return tuple(dict.fromkeys(refs))

    def init(self, extent: Extent) -> State:
        return buffers([extent.dtypes[ref] for ref in self.refs], extent)

    def step(self, state: State, batch: Batch) -> State:
        return store(state, [batch.column(ref) for ref in self.refs], batch)

    def merge(self, left: State, right: State) -> State:
        return append(left, right)

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        *stored, live = flat(state)
        columns = dict(zip(self.refs, stored, strict=True))
        runs = find_runs(columns, self.sink.order, live)
        count = runs.starts.sum(dtype=jnp.int32)
        size = live.shape[0] if self.sink.order else 1
        first = (
            jnp.zeros(live.shape[0], jnp.int32).at[jnp.where(runs.starts, runs.group, live.shape[0])].set(runs.rows, mode="drop")
        )
        results = [columns[ref].at[first].get(mode="clip") for ref in self.sink.carried]
        for accumulator in self.sink.accumulators:
            if isinstance(accumulator, Accumulator):
                results += reduce_runs(accumulator, columns, runs)
            else:
                results += reduce_distinct(accumulator, columns, runs, live)
        exists = jnp.arange(size, dtype=jnp.int32) < count if self.sink.order else jnp.ones(1, jnp.bool_)
        return Result(tuple(result[:size] for result in results), exists)


def find_runs(columns: dict[int, Array], order: tuple[SortWord, ...], live: Array) -> Runs:
    """Sort the rows by `order`; without it all are one run."""
    length = live.shape[0]
    if not order:
        numbers = jnp.arange(length, dtype=jnp.int32)
        return Runs(numbers, jnp.zeros(length, jnp.int32), live, numbers < 1)
    rows, words = sorted_rows([columns[word.word] for word in order], [word.radix for word in order], live)
    alive = jnp.arange(length, dtype=jnp.int32) < live.sum(dtype=jnp.int32)
    starts = alive & differs_from_previous(words)
    group = jnp.cumsum(starts.astype(jnp.int32), dtype=jnp.int32) - 1
    return Runs(rows, jnp.maximum(group, 0), alive, starts)


def differs_from_previous(words: list[Array]) -> Array:
    """bool[n]: the first row, and each whose words are not all those of the row before."""
    changed = jnp.zeros(words[0].shape[0] - 1, jnp.bool_)
    for word in words:
        changed = changed | (word[1:] != word[:-1])
    return jnp.concatenate([jnp.ones(1, jnp.bool_), changed])


def reduce_runs(accumulator: Accumulator, columns: dict[int, Array], runs: Runs) -> list[Array]:
    """An accumulator over each run."""
    mask = runs.live if accumulator.mask is None else runs.live & columns[accumulator.mask][runs.rows]
    if accumulator.op == "count":
        return [runs.sums(mask.astype(jnp.int64))]
    assert accumulator.value is not None
    value = columns[accumulator.value][runs.rows]
    if accumulator.op in ("min", "max"):
        kept = jnp.where(mask, value, jnp.asarray(identity_of(accumulator), value.dtype))
        reduce = jax.ops.segment_min if accumulator.op == "min" else jax.ops.segment_max
        return [reduce(kept, runs.group, runs.rows.shape[0], indices_are_sorted=True)]
    return sum_limbs(accumulator, jnp.where(mask, value, jnp.zeros_like(value)), runs)


def sum_limbs(accumulator: Accumulator | DistinctAccumulator, kept: Array, runs: Runs) -> list[Array]:
    if accumulator.range is None:
        return [runs.sums(kept.astype(accumulator.dtype))]
    parts = limbs_of(kept, accumulator.range, accumulator.limbs)
    return list(carried(tuple(runs.sums(part.astype(jnp.int64)) for part, _ in parts)))


def reduce_distinct(accumulator: DistinctAccumulator, columns: dict[int, Array], runs: Runs, live: Array) -> list[Array]:
    """Sort once more, by group and value: the first of equal values counts."""
    length = live.shape[0]
    group_of_row = jnp.zeros(length, jnp.int32).at[runs.rows].set(runs.group, unique_indices=True)
    counted = live if accumulator.mask is None else live & columns[accumulator.mask]
    words = [group_of_row.astype(jnp.int64), *(columns[word.word] for word in accumulator.order)]
    rows, ordered = sorted_rows(words, [length, *(word.radix for word in accumulator.order)], counted)
    alive = jnp.arange(length, dtype=jnp.int32) < counted.sum(dtype=jnp.int32)
    first = alive & differs_from_previous(ordered)
    by_value = Runs(rows, jnp.where(alive, ordered[0], length - 1).astype(jnp.int32), alive, first)
    if accumulator.op == "count":
        return [by_value.sums(first.astype(jnp.int64))]
    value = columns[accumulator.value][rows]
    return sum_limbs(accumulator, jnp.where(first, value, jnp.zeros_like(value)), by_value)
