"""Group by sorting: for keys whose possible values are too many to give each a slot, and for aggregates that need a group's
values in order. Rows are kept, sorted and reduced in runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import jax.numpy as jnp

from qtensor.lowering.kernel import Ref
from qtensor.lowering.physical import (
    Accumulator,
    AnyAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    QuantileAccumulator,
    SortedGroupSink,
    SortWord,
)
from qtensor.lowering.sinks.accumulate import SIMPLE, carried, identity_of, limbs_of
from qtensor.lowering.sinks.base import Array, Batch, Extent, Result, State, append, buffers, flat, store
from qtensor.lowering.sinks.groups import RunGroups
from qtensor.lowering.sinks.ranks import most_frequent, quantile
from qtensor.lowering.sinks.reducers import reducer_of
from qtensor.lowering.sinks.sorting import sorted_rows


@dataclass(frozen=True)
class Runs:
    """Rows in an order in which groups, and perhaps equal values within them, come together: `rows` int32[n] their numbers."""

    rows: Array
    groups: RunGroups
    live: Array  # which of them, in that order, count
    starts: Array  # where a run of equal rows that count begins


@dataclass(frozen=True)
class SortedGroup:
    sink: SortedGroupSink

    @property
    def refs(self) -> tuple[int, ...]:
        """Everything a row must keep until the sort, each once."""
        refs = [word.word for word in self.sink.order] + list(self.sink.carried)
        for accumulator in self.sink.accumulators:
            refs += refs_of(accumulator)
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
        grouped = Grouped(dict(zip(self.refs, stored, strict=True)), live, self.sink.order)
        runs = grouped.runs
        first = grouped.first_rows()
        results = [grouped.columns[ref].at[first].get(mode="clip") for ref in self.sink.carried]
        for accumulator in self.sink.accumulators:
            results += grouped.reduce(accumulator)
        size = runs.groups.count
        exists = jnp.ones(1, jnp.bool_)
        if self.sink.order:
            exists = jnp.arange(size, dtype=jnp.int32) < runs.starts.sum(dtype=jnp.int32)
        return Result(tuple(results), exists)


def refs_of(accumulator: AnyAccumulator) -> list[Ref]:
    """What an accumulator reads of each row."""
    mask = [] if accumulator.mask is None else [accumulator.mask]
    match accumulator:
        case Accumulator(value=value, distinct=words):
            return [*([] if value is None else [value]), *mask, *(word.word for word in words)]
        case MomentsAccumulator(values=values, distinct=words):
            return [*values, *mask, *(word.word for word in words)]
        case PickAccumulator(order=words, columns=columns):
            return [*columns, *mask, *(word.word for word in words)]
        case QuantileAccumulator(order=words, column=column) | ModeAccumulator(order=words, column=column):
            return [column, *mask, *(word.word for word in words)]
        case _:
            assert_never(accumulator)


@dataclass
class Grouped:
    """All rows of the input: their columns [n], which of them are live, and the words of the group keys."""

    columns: dict[Ref, Array]
    live: Array
    order: tuple[SortWord, ...]
    runs: Runs = field(init=False)
    by_value: dict[tuple[Ref | None, tuple[SortWord, ...]], Runs] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = self.find_runs()

    @property
    def length(self) -> int:
        return int(self.live.shape[0])

    def find_runs(self) -> Runs:
        """The rows sorted by the keys; without keys all are one run."""
        numbers = jnp.arange(self.length, dtype=jnp.int32)
        if not self.order:
            return Runs(numbers, RunGroups(jnp.zeros(self.length, jnp.int32), 1, sorted=True), self.live, numbers < 1)
        words = [self.columns[word.word] for word in self.order]
        rows, ordered = sorted_rows(words, [word.radix for word in self.order], self.live)
        alive = numbers < self.live.sum(dtype=jnp.int32)
        starts = alive & differs_from_previous(ordered)
        group = jnp.cumsum(starts.astype(jnp.int32), dtype=jnp.int32) - 1
        return Runs(rows, RunGroups(jnp.maximum(group, 0), self.length, sorted=True), alive, starts)

    def first_rows(self) -> Array:
        """int32[groups]: a row of each group."""
        runs = self.runs
        target = jnp.where(runs.starts, runs.groups.group, runs.groups.count)
        return jnp.zeros(runs.groups.count, jnp.int32).at[target].set(runs.rows, mode="drop")

    def ordered(self, mask: Ref | None, order: tuple[SortWord, ...]) -> Runs:
        """The rows that count sorted by group and `order`: a run is the equal values of a group."""
        if (mask, order) not in self.by_value:
            runs = self.runs
            counted = self.live if mask is None else self.live & self.columns[mask]
            words, radices = [self.columns[word.word] for word in order], [word.radix for word in order]
            if self.order:
                group = jnp.zeros(self.length, jnp.int32).at[runs.rows].set(runs.groups.group, unique_indices=True)
                words, radices = [group.astype(jnp.int64), *words], [self.length, *radices]
            rows, ordered = sorted_rows(words, radices, counted)
            alive = jnp.arange(self.length, dtype=jnp.int32) < counted.sum(dtype=jnp.int32)
            starts = alive & differs_from_previous(ordered)
            last = runs.groups.count - 1
            number = jnp.where(alive, ordered[0], last).astype(jnp.int32) if self.order else runs.groups.group
            self.by_value[mask, order] = Runs(rows, RunGroups(number, runs.groups.count, sorted=True), alive, starts)
        return self.by_value[mask, order]

    def reduce(self, accumulator: AnyAccumulator) -> list[Array]:
        """The result columns of an accumulator, [groups] each."""
        match accumulator:
            case QuantileAccumulator(mask=mask, order=order, distinct=distinct):
                runs = self.ordered(mask, order)
                counted = runs.starts if distinct else runs.live
                return list(quantile(accumulator, self.columns[accumulator.column], runs.rows, counted, runs.groups))
            case ModeAccumulator(mask=mask, order=order):
                runs = self.ordered(mask, order)
                return list(most_frequent(self.columns[accumulator.column], runs.rows, runs.live, runs.starts, runs.groups))
            case _:
                distinct_words = () if isinstance(accumulator, PickAccumulator) else accumulator.distinct
                runs = self.ordered(accumulator.mask, distinct_words) if distinct_words else self.runs
                column = self.columns_of(runs)
                mask_ref = accumulator.mask
                counted = runs.live if mask_ref is None else runs.live & column(mask_ref)
                counted = runs.starts if distinct_words else counted
                if isinstance(accumulator, Accumulator) and accumulator.op in SIMPLE:
                    return reduce_runs(accumulator, column, counted, runs.groups)
                reducer = reducer_of(accumulator)
                return list(reducer.finish(reducer.reduce(column, counted, runs.groups)))

    def columns_of(self, runs: Runs) -> Callable[[Ref], Array]:
        """Columns in the order of `runs`, each brought into it once."""
        known: dict[Ref, Array] = {}

        def column(ref: Ref) -> Array:
            if ref not in known:
                known[ref] = self.columns[ref][runs.rows]
            return known[ref]

        return column


def differs_from_previous(words: list[Array]) -> Array:
    """bool[n]: the first row, and each whose words are not all those of the row before."""
    changed = jnp.zeros(words[0].shape[0] - 1, jnp.bool_)
    for word in words:
        changed = changed | (word[1:] != word[:-1])
    return jnp.concatenate([jnp.ones(1, jnp.bool_), changed])


def reduce_runs(accumulator: Accumulator, column: Callable[[Ref], Array], counted: Array, groups: RunGroups) -> list[Array]:
    """A count, a sum or an extreme of each group."""
    if accumulator.op == "count":
        return [groups.total(counted.astype(jnp.int64))]
    assert accumulator.value is not None
    value = column(accumulator.value)
    if accumulator.op in ("min", "max"):
        kept = jnp.where(counted, value, jnp.asarray(identity_of(accumulator), value.dtype))
        return [groups.least(kept) if accumulator.op == "min" else groups.greatest(kept)]
    kept = jnp.where(counted, value, jnp.zeros_like(value))
    if accumulator.range is None:
        return [groups.total(kept.astype(accumulator.dtype))]
    parts = limbs_of(kept, accumulator.range, accumulator.limbs)
    return list(carried(tuple(groups.total(part.astype(jnp.int64)) for part, _ in parts)))
