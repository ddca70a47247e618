"""What rows bring into aggregates over frames: whether they count, and what they add."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from qtensor.lowering.kernel import Ref
from qtensor.lowering.physical import Accumulator, FrameFunction
from qtensor.lowering.sinks.accumulate import limbs_of
from qtensor.lowering.sinks.base import Array
from qtensor.lowering.sinks.frames import Partitions

Columns: TypeAlias = Callable[[Ref], Array]  # in window order


def mask_of(function: FrameFunction, partitions: Partitions, column: Columns) -> Array:
    """Which rows count. All do without a mask, but nothing may look constant: XLA would compute sums of constants itself, for
    minutes.
    """
    mask = function.accumulator.mask
    everywhere = partitions.row < partitions.end
    return everywhere if mask is None else everywhere & column(mask)


def addends(function: FrameFunction, counted: Array, column: Columns) -> list[Array]:
    """What each row adds, limb by limb; nothing if the sum is the number of rows."""
    accumulator = function.accumulator
    assert isinstance(accumulator, Accumulator)
    if accumulator.op == "count":
        return [] if accumulator.mask is None else [counted]
    assert accumulator.value is not None and accumulator.range is not None
    value = column(accumulator.value)
    kept = jnp.where(counted, value, jnp.zeros_like(value))
    return [part for part, _ in limbs_of(kept, accumulator.range, accumulator.limbs)]
