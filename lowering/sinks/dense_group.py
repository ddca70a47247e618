"""Group by a dense code: a slot for every possible group; a query without keys has one."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.physical import Accumulator, AnyAccumulator, DenseGroupSink, DistinctAccumulator
from qtensor.lowering.sinks.accumulate import (
    addends,
    bitmap,
    carried,
    combine,
    extreme,
    fits_one_limb,
    initial,
    mark,
    reduce_bitmap,
    split_limbs,
    whole_addend,
)
from qtensor.lowering.sinks.base import Array, Batch, Extent, Result, State
from qtensor.lowering.sinks.packing import Addend, packed_sums
from qtensor.lowering.sinks.slots import Slots, codes

PACKED_SHARE = 8  # sums are packed while taking a chunk's fields apart, once for each group, is an eighth of its rows at most


@dataclass(frozen=True)
class DenseGroup:
    """State: the limbs of each accumulator in turn, [domain]; a bitmap for each distinct one."""

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
        length = batch.live.shape[0]
        slots = Slots(codes(self.sink.keys, batch, self.sink.domain) if self.sink.domain > 1 else None, self.sink.domain, length)
        packable = self.sink.domain * PACKED_SHARE <= length
        new = list(state)
        sums: list[Addend] = []
        wide: set[int] = set()  # sums of one chunk that fit an int64, where the sum of all may need two limbs
        for accumulator, position in self.positions():
            if isinstance(accumulator, DistinctAccumulator):
                new[position] = mark(accumulator, state[position], batch, slots)
            elif accumulator.op in ("min", "max"):
                new[position] = extreme(accumulator, state[position], batch, slots)
            elif packable and fits_one_limb(accumulator, length):
                sums.append(Addend(position, *whole_addend(accumulator, batch, slots)))
                wide.add(position)
            else:
                for target, (values, bounds) in enumerate(addends(accumulator, batch, slots), position):
                    if bounds is not None and packable:
                        sums.append(Addend(target, values, bounds))
                    else:
                        new[target] = slots.add(state[target], values)
        for target, total in packed_sums(sums, slots).items():
            parts = split_limbs(total) if target in wide else (total,)
            for limb, part in enumerate(parts, target):
                new[limb] = state[limb] + part
        return tuple(new)

    def merge(self, left: State, right: State) -> State:
        merged: list[Array] = []
        for accumulator, position in self.positions():
            if isinstance(accumulator, Accumulator):
                end = position + accumulator.limbs
                merged += combine(accumulator, left[position:end], right[position:end])
            else:
                merged.append(left[position] | right[position])
        return tuple(merged)

    def done(self, state: State) -> Array | None:
        return None

    def finish(self, state: State) -> Result:
        columns: list[Array] = []
        live = jnp.ones(self.sink.domain, jnp.bool_)
        for index, (accumulator, position) in enumerate(self.positions()):
            if isinstance(accumulator, Accumulator):
                result = carried(state[position : position + accumulator.limbs])
            else:
                result = reduce_bitmap(accumulator, state[position])
            if index == self.sink.presence:
                live = result[0] > 0
            columns += result
        return Result(tuple(columns), live)

    def positions(self) -> list[tuple[AnyAccumulator, int]]:
        """Each accumulator with the position of its first array in the state."""
        positions: list[tuple[AnyAccumulator, int]] = []
        position = 0
        for accumulator in self.sink.accumulators:
            positions.append((accumulator, position))
            position += accumulator.limbs if isinstance(accumulator, Accumulator) else 1
        return positions
