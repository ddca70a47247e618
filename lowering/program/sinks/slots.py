"""Adding the rows of a chunk to their groups: by scatter-add, or for a single group by sums in vector registers.

Measured (2 cores, jaxlib 0.10.1, chunks of 65,536 rows): a scatter-add costs 1.0 to 1.6 ns a row. One masked sum for
each of a few groups, 0.2 ns a row and group when alone, is twice as slow in whole queries (Q1, 6 groups: 80 ms
against 42; headline, 4: 18 against 11), since each evaluates the row's values anew.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.ir.physical import GroupKey
from qtensor.lowering.program.sinks.base import Array, Batch, apart
from qtensor.lowering.program.sinks.combining import OPERATIONS

TOGETHER = 8  # so many sums or extremes of a single group are reduced in one pass, where there are as many
Operation: TypeAlias = Literal["sum", "min", "max"]
LANES = 64  # a sum down to rows of 64 uses whole vector registers, one down to a scalar does not


def codes(keys: Sequence[GroupKey], batch: Batch, dead: int) -> Array:
    """int32[length]: the mixed-radix number of each row's keys, 0 without keys; `dead` for dead rows."""
    code = jnp.zeros((), jnp.int32)
    for key in keys:
        digit = (batch.column(key.code).astype(jnp.int64) - key.low).astype(jnp.int32)
        if key.valid is not None:
            digit = jnp.where(batch.column(key.valid), digit, jnp.int32(key.size))
        code = code * jnp.int32(key.radix) + digit
    return jnp.where(batch.live, code, jnp.int32(dead))


@dataclass(frozen=True)
class Slots:
    """Where the rows of a chunk go: `code` int32[length] is each row's group, not in [0, count) for rows that belong to none.

    `code` is None when there is a single group, whose rows are then told by masks alone.
    """

    code: Array | None
    count: int
    length: int
    parts: int = 1

    @property
    def rows_together(self) -> int:
        """How many rows at most are added to one partial sum of `partial_sums`."""
        return self.length // (self.parts if self.code is not None else LANES)

    def split(self, parts: int) -> Slots:
        """The same groups, with slots of their own for each of `parts` equal parts of the chunk."""
        if self.code is None:
            return self
        part = jnp.arange(self.length, dtype=jnp.int32) // (self.length // parts)
        return Slots(self.code * parts + part, self.count * parts, self.length, parts)

    def joined(self, partial: Array) -> Array:
        """[groups]: the partial sums of each group added up."""
        return partial.reshape(self.count // self.parts, -1).sum(1)

    def lanes(self, values: Array) -> Array:
        return self.spread(values).reshape(-1, LANES)

    def partial_sums(self, values: Array) -> Array:
        """[count, 1], or of a single group [1, LANES]: the sums of `values` [length] in parts."""
        if self.code is None:
            return self.lanes(values).sum(0, dtype=values.dtype)[None, :]
        return jnp.zeros(self.count, values.dtype).at[self.code].add(self.spread(values), mode="drop")[:, None]

    def all_partial_sums(self, values: Sequence[Array]) -> list[Array]:
        """`partial_sums` of each of `values`."""
        if self.code is not None or len(values) < TOGETHER:
            return [self.partial_sums(each) for each in values]
        return [sums[None, :] for sums in self.reduced(values, ["sum"] * len(values), [0] * len(values))]

    def all_joined(self, partial: Sequence[Array]) -> list[Array]:
        """`joined` of each of `partial`."""
        if self.code is not None or len(partial) < TOGETHER:
            return [self.joined(each) for each in partial]
        return reduced_alike([sums[0] for sums in partial], ["sum"] * len(partial))

    def reduced(self, values: Sequence[Array], operations: Sequence[Operation], starts: Sequence[Any]) -> list[Array]:
        """Of a single group the `LANES` reductions of each of `values`, several in one pass.

        XLA:CPU takes 30 ms to compile a reduction by itself, and as long for eight at once.
        """
        results: list[Array] = []
        for first in range(0, len(values), TOGETHER):
            some = slice(first, first + TOGETHER)
            lanes = tuple(self.spread(each).reshape(LANES, -1) for each in values[some])  # rows of a lane lie together
            initial = tuple(jnp.asarray(start, each.dtype) for start, each in zip(starts[some], lanes, strict=True))
            results += lax.reduce(lanes, initial, functools.partial(combined, operations[some]), (1,))
        return results

    def add(self, total: Array, values: Array) -> Array:
        """`total` [count] with the rows' values added; in place where groups are many."""
        values = values.astype(total.dtype)
        if self.code is None:
            return total + self.partial_sums(values).sum(1, dtype=total.dtype)
        return total.at[self.code].add(self.spread(values), mode="drop")

    def all_added(self, additions: Sequence[tuple[Array, Array]]) -> list[Array]:
        """`add` of each total and its values."""
        if self.code is not None or len(additions) < TOGETHER:
            return [self.add(total, values) for total, values in additions]
        sums = self.all_joined(self.all_partial_sums([values.astype(total.dtype) for total, values in additions]))
        return [total + each for (total, _), each in zip(additions, sums, strict=True)]

    def all_extremes(self, totals: Sequence[Array], values: Sequence[Array], operations: Sequence[Operation]) -> list[Array]:
        """`least` or `greatest` of each total and its values, as `operations` say."""
        if self.code is not None or len(totals) < TOGETHER:
            extremes = {"min": self.least, "max": self.greatest}
            return [extremes[each](total, value) for total, value, each in zip(totals, values, operations, strict=True)]
        lanes = self.reduced(values, operations, [value.reshape(-1)[0] for value in values])
        found = reduced_alike(lanes, operations)
        return [OPERATIONS[each](total, one) for total, one, each in zip(totals, found, operations, strict=True)]

    def least(self, total: Array, values: Array) -> Array:
        """`total` [count] lowered to the least value of each group."""
        if self.code is None:
            return jnp.minimum(total, self.lanes(values).min(0).min(keepdims=True))
        return total.at[self.code].min(self.spread(values), mode="drop")

    def greatest(self, total: Array, values: Array) -> Array:
        """As `least`, upwards."""
        if self.code is None:
            return jnp.maximum(total, self.lanes(values).max(0).max(keepdims=True))
        return total.at[self.code].max(self.spread(values), mode="drop")

    def spread(self, values: Array) -> Array:
        return jnp.broadcast_to(values, (self.length,))


def combined(operations: Sequence[Operation], left: Sequence[Array], right: Sequence[Array]) -> tuple[Array, ...]:
    """What each operation makes of its two operands."""
    return tuple(OPERATIONS[operation](*operands) for operation, *operands in zip(operations, left, right, strict=True))


def reduced_alike(lanes: Sequence[Array], operations: Sequence[Operation]) -> list[Array]:
    """What is left of the lanes of each value, [1]: those of one type by one reduction."""
    found: list[Array] = list(lanes)
    kinds = [(operation, each.dtype) for operation, each in zip(operations, lanes, strict=True)]
    for kind in dict.fromkeys(kinds):
        operation, dtype = kind
        places = [place for place, other in enumerate(kinds) if other == kind]
        stacked = apart(jnp.stack([lanes[place] for place in places]))
        reduced = stacked.sum(1, dtype=dtype) if operation == "sum" else stacked.min(1) if operation == "min" else stacked.max(1)
        for number, place in enumerate(places):
            found[place] = reduced[number : number + 1]
    return found
