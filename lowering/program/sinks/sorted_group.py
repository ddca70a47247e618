"""Groups of all rows at once: for keys whose possible values are too many to give each a slot, and for aggregates that need a
group's values in order. Rows are kept; equal keys are found by hashing or sorting, and values are sorted where they must be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import jax.numpy as jnp

from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    QuantileAccumulator,
    SortedGroupSink,
    SortWord,
)
from qtensor.lowering.program.sinks.accumulate import SIMPLE, carried, limbs_of
from qtensor.lowering.program.sinks.base import (
    AllRows,
    Array,
    Result,
    State,
    TextList,
    flat,
)
from qtensor.lowering.program.sinks.combining import identity_of
from qtensor.lowering.program.sinks.equal_rows import by_sorting, equal_rows
from qtensor.lowering.program.sinks.groups import RunGroups
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.ranks import most_frequent, quantile
from qtensor.lowering.program.sinks.reducers import reducer_of


@dataclass(frozen=True)
class Runs:
    """Rows in an order in which groups, and perhaps equal values within them, come together: `rows` int32[n] their numbers."""

    rows: Array
    groups: RunGroups
    live: Array  # which of them, in that order, count
    starts: Array  # where a run of equal rows that count begins


@dataclass(frozen=True)
class SortedGroup(AllRows):
    sink: SortedGroupSink

    @property
    def refs(self) -> tuple[int, ...]:
        """Everything a row must keep until the sort, each once."""
        refs = [word.word for word in self.sink.order] + list(self.sink.carried)
        for accumulator in self.sink.accumulators:
            refs += refs_of(accumulator)
        return tuple(dict.fromkeys(refs))

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
        return Result(tuple(results), exists, grouped.lists)


def refs_of(accumulator: AnyAccumulator) -> list[Ref]:
    """What an accumulator reads of each row."""
    mask = [] if accumulator.mask is None else [accumulator.mask]
    match accumulator:
        case Accumulator(value=value, distinct=distinct, order=order):
            return [*([] if value is None else [value]), *mask, *(word.word for word in (*distinct, *order))]
        case MomentsAccumulator(values=values, distinct=words):
            return [*values, *mask, *(word.word for word in words)]
        case PickAccumulator(order=words, columns=columns):
            return [*columns, *mask, *(word.word for word in words)]
        case ModeAccumulator(order=words, column=column, sequence=sequence):
            return [column, *mask, *(word.word for word in (*words, *sequence))]
        case QuantileAccumulator(order=words, column=column) | ListAccumulator(order=words, column=column):
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
    group_of_row: Array = field(init=False)  # int32[n]; anything for dead rows
    known: dict[tuple[Ref | None, tuple[SortWord, ...], bool], Runs] = field(default_factory=dict)
    lists: dict[int, TextList] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find the groups; without keys all rows are one."""
        numbers = jnp.arange(self.length, dtype=jnp.int32)
        if not self.order:
            self.group_of_row = jnp.zeros(self.length, jnp.int32)
            self.runs = Runs(numbers, RunGroups(self.group_of_row, 1), self.live, numbers < 1)
            return
        equal = equal_rows(self.words(self.order), [word.radix for word in self.order], self.live)
        self.runs = Runs(equal.rows, RunGroups(equal.number, self.length), equal.live, equal.starts)
        target = jnp.where(equal.live, equal.rows, self.length)
        self.group_of_row = jnp.zeros(self.length, jnp.int32).at[target].set(equal.number, mode="drop")

    @property
    def length(self) -> int:
        return int(self.live.shape[0])

    @property
    def narrow(self) -> bool:
        """Whether the keys have fewer possible values than there are rows."""
        radix = self.order[0].radix
        return len(self.order) == 1 and radix is not None and radix < self.length

    @property
    def group_word(self) -> Array:
        """int64[n]: for each row what tells its group from others, in as few bits as are known to suffice."""
        return self.columns[self.order[0].word] if self.narrow else self.group_of_row.astype(jnp.int64)

    @property
    def group_radix(self) -> int | None:
        return self.order[0].radix if self.narrow else self.length

    def words(self, words: tuple[SortWord, ...]) -> list[Array]:
        return [self.columns[word.word] for word in words]

    def first_rows(self) -> Array:
        """int32[groups]: a row of each group."""
        runs = self.runs
        target = jnp.where(runs.starts, runs.groups.group, runs.groups.count)
        return jnp.zeros(runs.groups.count, jnp.int32).at[target].set(runs.rows, mode="drop")

    def by_value(self, mask: Ref | None, values: tuple[SortWord, ...], ordered: bool) -> Runs:
        """The rows that count by group and equal `values`, of which `starts` is true for the first; `ordered` also in the order
        of groups and values.
        """
        key = (mask, values, ordered)
        if key not in self.known:
            counted = self.live if mask is None else self.live & self.columns[mask]
            words, radices = self.words(values), [word.radix for word in values]
            if self.order:
                words, radices = [self.group_word, *words], [self.group_radix, *radices]
            equal = (by_sorting if ordered else equal_rows)(words, radices, counted)
            groups = RunGroups(self.group_of_row.at[equal.rows].get(mode="clip"), self.runs.groups.count)
            self.known[key] = Runs(equal.rows, groups, equal.live, equal.starts)
        return self.known[key]

    def sequence(self, words: tuple[SortWord, ...]) -> Array | None:
        """int32[n]: all rows in the order of `words`; None for their own."""
        return sorted_rows(self.words(words), [word.radix for word in words], self.live)[0] if words else None

    def reduce(self, accumulator: AnyAccumulator) -> list[Array]:
        """The result columns of an accumulator, [groups] each."""
        match accumulator:
            case QuantileAccumulator(mask=mask, order=order, distinct=distinct):
                runs = self.by_value(mask, order, ordered=True)
                counted = runs.starts if distinct else runs.live
                return list(quantile(accumulator, self.columns[accumulator.column], runs.rows, counted, runs.groups))
            case ModeAccumulator(mask=mask, order=order, sequence=sequence):
                runs = self.by_value(mask, order, ordered=True)
                values = self.columns[accumulator.column]
                return list(most_frequent(values, runs.rows, runs.live, runs.starts, runs.groups, self.sequence(sequence)))
            case ListAccumulator():
                return self.listed(accumulator)
            case Accumulator(order=(_, *_)):
                return [self.one_by_one(accumulator)]
            case _:
                distinct_words = () if isinstance(accumulator, PickAccumulator) else accumulator.distinct
                runs = self.by_value(accumulator.mask, distinct_words, ordered=False) if distinct_words else self.runs
                column = self.columns_of(runs)
                mask_ref = accumulator.mask
                counted = runs.live if mask_ref is None else runs.live & column(mask_ref)
                counted = runs.starts if distinct_words else counted
                if isinstance(accumulator, Accumulator) and accumulator.op in SIMPLE:
                    return reduce_runs(accumulator, column, counted, runs.groups)
                reducer = reducer_of(accumulator)
                return list(reducer.finish(reducer.reduce(column, counted, runs.groups)))

    def listed(self, accumulator: ListAccumulator) -> list[Array]:
        """The number of each group and of its values; the values become a list of the program."""
        if self.order or accumulator.order:
            runs = self.by_value(accumulator.mask, accumulator.order, ordered=True)
        else:  # all rows in the order they came
            counted = self.live if accumulator.mask is None else self.live & self.columns[accumulator.mask]
            runs = Runs(self.runs.rows, self.runs.groups, counted, counted)
        counted = runs.starts if accumulator.distinct else runs.live
        codes = self.columns[accumulator.column].at[runs.rows].get(mode="clip")
        row = jnp.arange(self.length, dtype=jnp.int32)
        end = jnp.maximum(runs.groups.greatest(jnp.where(counted, row + 1, 0)), 0)
        start = jnp.minimum(runs.groups.least(jnp.where(counted, row, self.length)), end)
        self.lists[accumulator.number] = TextList(codes, jnp.where(counted, row, -1), start, end)
        return [jnp.arange(runs.groups.count, dtype=jnp.int32), runs.groups.total(counted.astype(jnp.int64))]

    def one_by_one(self, accumulator: Accumulator) -> Array:
        """A sum or a product of floats in their order: XLA scatters one row after the other on the CPU."""
        assert accumulator.value is not None
        runs = self.by_value(accumulator.mask, (*accumulator.order, *accumulator.distinct), ordered=True)
        counted = runs.starts if accumulator.distinct else runs.live
        values = self.columns[accumulator.value].at[runs.rows].get(mode="clip").astype(accumulator.dtype)
        group, size = jnp.where(counted, runs.groups.group, runs.groups.count), runs.groups.count
        if accumulator.op == "product":
            return jnp.ones(size, values.dtype).at[group].multiply(values, mode="drop")
        return jnp.zeros(size, values.dtype).at[group].add(values, mode="drop")

    def columns_of(self, runs: Runs) -> Callable[[Ref], Array]:
        """Columns in the order of `runs`, each brought into it once."""
        known: dict[Ref, Array] = {}

        def column(ref: Ref) -> Array:
            if ref not in known:
                known[ref] = self.columns[ref][runs.rows]
            return known[ref]

        return column


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
