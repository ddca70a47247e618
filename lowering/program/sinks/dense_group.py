"""GROUP BY keys that have few possible values: there is a slot for each combination of them, and a row's keys, read as digits of
a number, say which slot is its own. No hash table, no sorting. A query without keys has one slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.errors import InternalError
from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    DenseGroupSink,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    QuantileAccumulator,
)
from qtensor.lowering.program.sinks.accumulate import (
    SIMPLE,
    addends,
    bitmap,
    candidates,
    carried,
    combine,
    fits_one_limb,
    initial,
    mark,
    reduce_bitmap,
    split_limbs,
    whole_addend,
)
from qtensor.lowering.program.sinks.base import Array, Batch, Extent, Result, State
from qtensor.lowering.program.sinks.groups import SlotGroups
from qtensor.lowering.program.sinks.packing import Addend, packed_sums
from qtensor.lowering.program.sinks.reducers import Reducer, reducer_of
from qtensor.lowering.program.sinks.slots import Slots, codes

PACKED_SHARE = 8  # sums are packed while taking a chunk's fields apart, once for each group, is an eighth of its rows at most


@dataclass(frozen=True)
class DenseGroup:
    """State: the arrays of each accumulator, one accumulator after the other; each array has an entry for every slot, [domain].

    A count, a sum or an extreme has one array, a sum of two limbs two (see `Accumulator`). With DISTINCT it has a bitmap
    instead, bool[domain, values]: which values the slot has seen. Any other accumulator has the arrays of its `Reducer`.
    `positions` says which arrays are whose.
    """

    sink: DenseGroupSink

    def init(self, extent: Extent) -> State:
        state: list[Array] = []
        for accumulator in self.sink.accumulators:
            reducer = reducer_for(accumulator)
            if reducer is not None:
                state += reducer.init(extent.dtypes, self.sink.domain)
            elif is_distinct(accumulator):
                state.append(bitmap(plain(accumulator), self.sink.domain))
            else:
                state += initial(plain(accumulator), self.sink.domain)
        return tuple(state)

    def step(self, state: State, batch: Batch) -> State:
        length = batch.live.shape[0]
        slots = Slots(codes(self.sink.keys, batch, self.sink.domain) if self.sink.domain > 1 else None, self.sink.domain, length)
        packable = self.sink.domain * PACKED_SHARE <= length
        new = list(state)
        sums: list[Addend] = []
        added: list[tuple[int, Array]] = []
        extremes: list[tuple[int, Accumulator]] = []
        wide: set[int] = set()  # sums of one chunk that fit an int64, where the sum of all may need two limbs
        for each, position, end in self.positions():
            reducer = reducer_for(each)
            if reducer is not None:
                chunk = reducer.reduce(batch.column, batch.mask(each.mask), SlotGroups(slots))
                new[position:end] = reducer.merge(state[position:end], chunk)
                continue
            accumulator = plain(each)
            if accumulator.distinct:
                new[position] = mark(accumulator, state[position], batch, slots)
            elif accumulator.op in ("min", "max"):
                extremes.append((position, accumulator))
            elif packable and fits_one_limb(accumulator, length):
                sums.append(Addend(position, *whole_addend(accumulator, batch, slots)))
                wide.add(position)
            else:
                for target, (values, bounds) in enumerate(addends(accumulator, batch, slots), position):
                    if bounds is not None and packable:
                        sums.append(Addend(target, values, bounds))
                    else:
                        added.append((target, values))
        found = slots.all_extremes(
            [state[position] for position, _ in extremes],
            [candidates(accumulator, batch) for _, accumulator in extremes],
            ["min" if accumulator.op == "min" else "max" for _, accumulator in extremes],
        )
        for (position, _), extreme in zip(extremes, found, strict=True):
            new[position] = extreme
        for (target, _), total in zip(added, slots.all_added([(state[at], values) for at, values in added]), strict=True):
            new[target] = total
        for target, total in packed_sums(sums, slots).items():
            parts = split_limbs(total) if target in wide else (total,)
            for limb, part in enumerate(parts, target):
                new[limb] = state[limb] + part
        return tuple(new)

    def merge(self, left: State, right: State) -> State:
        merged: list[Array] = []
        for accumulator, position, end in self.positions():
            reducer = reducer_for(accumulator)
            if reducer is not None:
                merged += reducer.merge(left[position:end], right[position:end])
            elif is_distinct(accumulator):
                merged.append(left[position] | right[position])
            else:
                merged += combine(plain(accumulator), left[position:end], right[position:end])
        return tuple(merged)

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        columns: list[Array] = []
        live = jnp.ones(self.sink.domain, jnp.bool_)
        for index, (accumulator, position, end) in enumerate(self.positions()):
            reducer = reducer_for(accumulator)
            if reducer is not None:
                result = reducer.finish(state[position:end])
            elif is_distinct(accumulator):
                result = reduce_bitmap(plain(accumulator), state[position])
            else:
                result = carried(state[position:end])
            if index == self.sink.presence:
                live = result[0] > 0
            columns += result
        return Result(tuple(columns), live)

    def positions(self) -> list[tuple[AnyAccumulator, int, int]]:
        """Each accumulator with the positions in the state at which its arrays begin and end."""
        positions: list[tuple[AnyAccumulator, int, int]] = []
        position = 0
        for accumulator in self.sink.accumulators:
            reducer = reducer_for(accumulator)
            arrays = reducer.arrays if reducer is not None else 1 if is_distinct(accumulator) else accumulator.width
            positions.append((accumulator, position, position + arrays))
            position += arrays
        return positions


def reducer_for(accumulator: AnyAccumulator) -> Reducer | None:
    """What reduces `accumulator`; None for counts, sums and extremes, which are scattered straight into the state."""
    match accumulator:
        case Accumulator(op=op) if op in SIMPLE:
            return None
        case Accumulator() | MomentsAccumulator() | PickAccumulator():
            return reducer_of(accumulator)
        case QuantileAccumulator() | ModeAccumulator() | ListAccumulator():
            raise InternalError("quantiles, modes and lists need their values in order")


def plain(accumulator: AnyAccumulator) -> Accumulator:
    assert isinstance(accumulator, Accumulator)
    return accumulator


def is_distinct(accumulator: AnyAccumulator) -> bool:
    return isinstance(accumulator, Accumulator) and bool(accumulator.distinct)
