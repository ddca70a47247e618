"""Rows that belong to groups, reduced group by group: a total, a least, a greatest and a product for each group.

Aggregates that are more than a count, a sum or an extreme (`reducers.py`) are made of these four, and so need not know how groups
are told apart. There are two ways: `SlotGroups` are the rows of one chunk, for groups that have a slot each in the sink's state;
`RunGroups` are all rows of the input, which a sink has kept and numbered by their group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.slots import Slots


class Groups(Protocol):
    """Rows that belong to groups.

    values: one for each row, [rows]; in rows that do not count it must be what the reduction leaves unchanged, such as 0 for
    `total`. Results: one for each group, [count].
    """

    @property
    def count(self) -> int: ...
    @property
    def rows(self) -> int: ...
    def total(self, values: Array) -> Array: ...
    def least(self, values: Array) -> Array: ...
    def greatest(self, values: Array) -> Array: ...
    def product(self, values: Array) -> Array: ...
    def of_rows(self, groups: Array) -> Array:
        """For each row what `groups` [count] holds for its group; anything for rows without one."""
        ...


@dataclass(frozen=True)
class SlotGroups:
    """The rows of one chunk; the number of a row's group is the slot that `slots` has for it."""

    slots: Slots

    @property
    def count(self) -> int:
        return self.slots.count

    @property
    def rows(self) -> int:
        return self.slots.length

    def total(self, values: Array) -> Array:
        return self.slots.add(jnp.zeros(self.count, values.dtype), values)

    def least(self, values: Array) -> Array:
        return self.slots.least(jnp.full(self.count, greatest_of(values.dtype)), values)

    def greatest(self, values: Array) -> Array:
        return self.slots.greatest(jnp.full(self.count, least_of(values.dtype)), values)

    def product(self, values: Array) -> Array:
        if self.slots.code is None:
            return self.slots.lanes(values).prod(0).prod(keepdims=True)
        return jnp.ones(self.count, values.dtype).at[self.slots.code].multiply(self.slots.spread(values), mode="drop")

    def of_rows(self, groups: Array) -> Array:
        if self.slots.code is None:
            return jnp.broadcast_to(groups[0], (self.rows,))
        return groups.at[self.slots.code].get(mode="clip")


@dataclass(frozen=True)
class RunGroups:
    """All rows of the input; `group` int32[rows] is the number of each row's group, in [0, count)."""

    group: Array
    count: int

    @property
    def rows(self) -> int:
        return int(self.group.shape[0])

    def reduce(self, function: Callable[..., Array], values: Array) -> Array:
        return function(values, self.group, self.count)

    def total(self, values: Array) -> Array:
        return self.reduce(jax.ops.segment_sum, values)

    def least(self, values: Array) -> Array:
        return self.reduce(jax.ops.segment_min, values)

    def greatest(self, values: Array) -> Array:
        return self.reduce(jax.ops.segment_max, values)

    def product(self, values: Array) -> Array:
        return self.reduce(jax.ops.segment_prod, values)

    def of_rows(self, groups: Array) -> Array:
        return groups.at[self.group].get(mode="clip")


def greatest_of(dtype: np.dtype) -> Array:
    """What `least` leaves unchanged."""
    return jnp.asarray(np.inf if dtype.kind == "f" else np.iinfo(dtype).max, dtype)


def least_of(dtype: np.dtype) -> Array:
    return jnp.asarray(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min, dtype)
