"""Accumulators of dense groups: one slot a group."""

from __future__ import annotations

import jax.numpy as jnp

from qtensor.lowering.ir.physical import Accumulator
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.program.sinks.base import Array, Batch, State
from qtensor.lowering.program.sinks.combining import OPERATIONS, identity_of
from qtensor.lowering.program.sinks.slots import Slots

LIMB_BITS = 32
SIMPLE = ("count", "sum", "min", "max")


def initial(accumulator: Accumulator, slots: int) -> State:
    """`slots` groups of no rows: one array [slots], or one for each limb."""
    return tuple(jnp.full(slots, identity_of(accumulator), accumulator.dtype) for _ in range(accumulator.limbs))


def candidates(accumulator: Accumulator, batch: Batch) -> Array:
    """The values of which one may be a minimum or maximum; in rows that are not aggregated what changes neither."""
    assert accumulator.value is not None
    far_end = jnp.asarray(identity_of(accumulator), accumulator.dtype)
    return jnp.where(batch.mask(accumulator.mask), batch.column(accumulator.value), far_end)


def addends(accumulator: Accumulator, batch: Batch, slots: Slots) -> list[tuple[Array, Range | None]]:
    """What a batch's rows add to each limb, and the bounds of that (None for floats). Rows without a group need not be masked."""
    if accumulator.op == "count":
        mask = counted(accumulator, batch, slots)
        ones = jnp.ones_like(batch.live) if mask is None else mask
        return [(ones.astype(jnp.int32), Range(0, 1))]
    kept = summed(accumulator, batch, slots)
    if accumulator.range is None:
        return [(kept.astype(accumulator.dtype), None)]
    return limbs_of(kept, accumulator.range, accumulator.limbs)


def whole_addend(accumulator: Accumulator, batch: Batch, slots: Slots) -> tuple[Array, Range]:
    """What a batch's rows add to a sum of two limbs, not yet split; see `fits_one_limb`."""
    assert accumulator.range is not None
    return summed(accumulator, batch, slots), accumulator.range | Range(0, 0)


def fits_one_limb(accumulator: Accumulator, rows: int) -> bool:
    """Whether the sum of `rows` values fits an int64 where that of all rows may not: it is split once, not row by row."""
    bounds = accumulator.range
    return accumulator.limbs == 2 and bounds is not None and (bounds.magnitude * rows).bit_length() < 63


def split_limbs(total: Array) -> State:
    """int64 sums as their high part and their low 32 bits."""
    return total >> LIMB_BITS, total & ((1 << LIMB_BITS) - 1)


def counted(accumulator: Accumulator, batch: Batch, slots: Slots) -> Array | None:
    """Which rows are aggregated; None when those without a group are all that are not."""
    return None if accumulator.mask is None and slots.code is not None else batch.mask(accumulator.mask)


def summed(accumulator: Accumulator, batch: Batch, slots: Slots) -> Array:
    """The values to add up, 0 in rows that are not aggregated."""
    assert accumulator.value is not None
    value = batch.column(accumulator.value)
    mask = counted(accumulator, batch, slots)
    return value if mask is None else jnp.where(mask, value, jnp.zeros_like(value))


def limbs_of(value: Array, bounds: Range, limbs: int) -> list[tuple[Array, Range | None]]:
    """An integer as itself, or as its high part and its low 32 bits."""
    if limbs == 1:
        return [(value, bounds | Range(0, 0))]
    wide = value.astype(jnp.int64)
    low_bits = (1 << LIMB_BITS) - 1
    high_bounds = Range(bounds.low >> LIMB_BITS, bounds.high >> LIMB_BITS)
    return [(wide >> LIMB_BITS, high_bounds | Range(0, 0)), (wide & low_bits, Range(0, low_bits))]


def combine(accumulator: Accumulator, left: State, right: State) -> State:
    """What the same groups have of the rows of both, array by array."""
    return tuple(OPERATIONS[accumulator.op](a, b) for a, b in zip(left, right, strict=True))


def carried(state: State) -> State:
    """Two limbs with the carry moved from the low one to the high one."""
    if len(state) == 1:
        return state
    high, low = state
    return (high + (low >> LIMB_BITS), low & ((1 << LIMB_BITS) - 1))


def radix_of(accumulator: Accumulator) -> int:
    """How many different values a distinct accumulator may see."""
    (word,) = accumulator.distinct
    assert word.radix is not None
    return word.radix


def bitmap(accumulator: Accumulator, slots: int) -> Array:
    return jnp.zeros((slots, radix_of(accumulator)), jnp.bool_)


def mark(accumulator: Accumulator, seen: Array, batch: Batch, slots: Slots) -> Array:
    """Set the bit of each row's word in its group."""
    count, size = seen.shape
    mask = batch.mask(accumulator.mask)
    group = jnp.zeros((), jnp.int32) if slots.code is None else slots.code
    digit = batch.column(accumulator.distinct[0].word).astype(jnp.int32)
    index = jnp.where(mask, group * size + digit, count * size)
    return seen.reshape(-1).at[index].set(True, mode="drop").reshape(seen.shape)


def reduce_bitmap(accumulator: Accumulator, seen: Array) -> State:
    """The number or the sum of the marked values of each group; a number's word is its distance from the least."""
    if accumulator.op == "count":
        return (seen.sum(1, dtype=jnp.int64),)
    assert accumulator.range is not None
    values = accumulator.range.low + jnp.arange(radix_of(accumulator), dtype=jnp.int64)
    parts = limbs_of(values, accumulator.range, accumulator.limbs)
    return carried(tuple(jnp.where(seen, part[None, :], 0).sum(1, dtype=jnp.int64) for part, _ in parts))
