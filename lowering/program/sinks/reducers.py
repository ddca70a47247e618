"""Aggregates that are more than one scatter: the rows of a chunk, or of all chunks at once, are reduced group by group to
small states, and states are merged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import jax
import jax.numpy as jnp

from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.physical import Accumulator, MomentsAccumulator, PickAccumulator
from qtensor.lowering.program.sinks.accumulate import combine, initial
from qtensor.lowering.program.sinks.base import Array, State
from qtensor.lowering.program.sinks.combining import JoinedMoments, precedes
from qtensor.lowering.program.sinks.groups import Groups, greatest_of

Columns: TypeAlias = Callable[[Ref], Array]  # [rows] each


class Reducer(Protocol):
    """One accumulator; a state is arrays [groups]."""

    @property
    def arrays(self) -> int:
        """How many arrays a state has."""
        ...

    def init(self, dtypes: Sequence[DType], groups: int) -> State:
        """The state of no rows."""
        ...

    def reduce(self, column: Columns, mask: Array, groups: Groups) -> State:
        """The state of the rows where `mask` bool[rows] holds."""
        ...

    def merge(self, left: State, right: State) -> State:
        """The state of the rows of both, those of `left` being the first."""
        ...

    def finish(self, state: State) -> State:
        """The result columns."""
        ...


@dataclass(frozen=True)
class Reduction(ABC):
    """State: the values combined by an operation of two of them."""

    accumulator: Accumulator

    @property
    def arrays(self) -> int:
        return 1

    def init(self, dtypes: Sequence[DType], groups: int) -> State:
        return initial(self.accumulator, groups)

    @abstractmethod
    def reduce(self, column: Columns, mask: Array, groups: Groups) -> State: ...

    def merge(self, left: State, right: State) -> State:
        return combine(self.accumulator, left, right)

    def finish(self, state: State) -> State:
        return state


@dataclass(frozen=True)
class ProductReducer(Reduction):
    """Multiplied in the order that XLA takes."""

    def reduce(self, column: Columns, mask: Array, groups: Groups) -> State:
        assert self.accumulator.value is not None
        value = column(self.accumulator.value)
        return (groups.product(jnp.where(mask, value, jnp.ones_like(value))),)


@dataclass(frozen=True)
class BitsReducer(Reduction):
    """Combined bit by bit, since there is no scatter by bitwise operations: an or is a count that is not 0, an xor one that is
    odd, an and the complement of the or of complements.
    """

    @property
    def bits(self) -> int:
        """How many bits the values have; above them all are like the highest of these."""
        bounds = self.accumulator.range
        assert bounds is not None
        return min(64, max(bounds.low.bit_length(), bounds.high.bit_length()) + 1)

    def reduce(self, column: Columns, mask: Array, groups: Groups) -> State:
        assert self.accumulator.value is not None
        value = column(self.accumulator.value)
        complement = self.accumulator.op == "bit_and"
        kept = jnp.where(mask, ~value if complement else value, jnp.zeros_like(value))

        def add_bit(bit: Array, combined: Array) -> Array:
            count = groups.total(((kept >> bit) & 1).astype(jnp.int32))
            present = count & 1 if self.accumulator.op == "bit_xor" else (count > 0).astype(jnp.int32)
            return combined | (present.astype(jnp.int64) << bit)

        combined = jax.lax.fori_loop(jnp.int64(0), jnp.int64(self.bits), add_bit, jnp.zeros(groups.count, jnp.int64))
        above = 64 - self.bits
        combined = (combined << above) >> above  # the highest bit is the sign
        return (~combined if complement else combined,)


@dataclass(frozen=True)
class MomentsReducer:
    """State: the number of rows; for each value some value of the group, the mean's distance from it, and the sum of squared
    distances from the mean; for two values the sum of the products of theirs.

    Nothing cancels in values like 1e9 + noise, and values that are all the same have the distance 0 exactly.
    """

    accumulator: MomentsAccumulator

    @property
    def pair(self) -> bool:
        return len(self.accumulator.values) == 2

    @property
    def arrays(self) -> int:
        return 1 + 3 * len(self.accumulator.values) + self.pair

    def init(self, dtypes: Sequence[DType], groups: int) -> State:
        return (jnp.zeros(groups, jnp.int64), *(jnp.zeros(groups, jnp.float64) for _ in range(self.arrays - 1)))

    def reduce(self, column: Columns, mask: Array, groups: Groups) -> State:
        count = groups.total(mask.astype(jnp.int64))
        divisor = jnp.maximum(count, 1).astype(jnp.float64)
        columns: list[Array] = []
        distances: list[Array] = []
        for ref in self.accumulator.values:
            value = column(ref)
            some = groups.least(jnp.where(mask, value, greatest_of(value.dtype)))
            from_some = jnp.where(mask, value - groups.of_rows(some), jnp.zeros_like(value))
            mean = groups.total(from_some) / divisor
            distance = jnp.where(mask, from_some - groups.of_rows(mean), jnp.zeros_like(value))
            columns += [jnp.where(count == 0, 0.0, some), mean, groups.total(distance * distance)]
            distances.append(distance)
        if self.pair:
            columns.append(groups.total(distances[0] * distances[1]))
        return (count, *columns)

    def merge(self, left: State, right: State) -> State:
        rows = JoinedMoments.of(left[0], right[0])
        merged: list[Array] = []
        apart: list[Array] = []
        for at in range(1, self.arrays - 1, 3):
            distance = (right[at] - left[at]) + (right[at + 1] - left[at + 1])
            squares = rows.products(left[at + 2], right[at + 2], distance, distance)
            merged += [left[at], rows.mean(left[at + 1], distance), squares]
            apart.append(distance)
        if self.pair:
            merged.append(rows.products(left[7], right[7], *apart))
        kept = [rows.unless_alone(*each) for each in zip(left[1:], right[1:], merged, strict=True)]
        return (left[0] + right[0], *kept)

    def finish(self, state: State) -> State:
        columns = [state[0]]
        for at in range(1, self.arrays - 1, 3):
            columns += [state[at] + state[at + 1], state[at + 2]]
        return (*columns, state[7]) if self.pair else tuple(columns)


@dataclass(frozen=True)
class PickReducer:
    """State: the least words so far, whether there is a row, and its columns."""

    accumulator: PickAccumulator

    @property
    def words(self) -> int:
        return len(self.accumulator.order)

    @property
    def arrays(self) -> int:
        return self.words + self.accumulator.width

    def init(self, dtypes: Sequence[DType], groups: int) -> State:
        words = [jnp.zeros(groups, jnp.int64) for _ in self.accumulator.order]
        columns = [jnp.zeros(groups, dtypes[ref]) for ref in self.accumulator.columns]
        return (*words, jnp.zeros(groups, jnp.bool_), *columns)

    def reduce(self, column: Columns, mask: Array, groups: Groups) -> State:
        candidates = mask
        words: list[Array] = []
        for word in self.accumulator.order:
            value = column(word.word)
            value = -1 - value if self.accumulator.last else value  # the last is the first of the order turned round
            words.append(groups.least(jnp.where(candidates, value, greatest_of(value.dtype))))
            candidates = candidates & (value == groups.of_rows(words[-1]))
        number = jnp.arange(groups.rows, dtype=jnp.int32)
        if self.accumulator.last:
            row = groups.greatest(jnp.where(candidates, number, jnp.int32(-1)))
        else:
            row = groups.least(jnp.where(candidates, number, jnp.int32(groups.rows)))
        found = (row >= 0) & (row < groups.rows)
        columns = [column(ref).at[row].get(mode="clip") for ref in self.accumulator.columns]
        return (*words, found, *columns)

    def merge(self, left: State, right: State) -> State:
        found = self.words
        follows = jnp.full(left[0].shape, self.accumulator.last)  # which is what counts where all words are equal
        taken = right[found] & (precedes(right[:found], left[:found], follows) | ~left[found])
        return tuple(
            before | after if position == found else jnp.where(taken, after, before)
            for position, (before, after) in enumerate(zip(left, right, strict=True))
        )

    def finish(self, state: State) -> State:
        found, *columns = state[self.words :]
        return (*columns, found)


def reducer_of(accumulator: Accumulator | MomentsAccumulator | PickAccumulator) -> Reducer:
    match accumulator:
        case MomentsAccumulator():
            return MomentsReducer(accumulator)
        case PickAccumulator():
            return PickReducer(accumulator)
        case Accumulator(op="product"):
            return ProductReducer(accumulator)
        case Accumulator():
            return BitsReducer(accumulator)
