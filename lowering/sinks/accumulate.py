"""Accumulators of dense groups: one slot a group, or 64 lanes when there is a single group."""

from __future__ import annotations

import jax.numpy as jnp

from qtensor.lowering.physical import Accumulator, DistinctAccumulator
from qtensor.lowering.ranges import Range
from qtensor.lowering.sinks.base import Array, Batch, State

LANES = 64
LIMB_BITS = 32


def identity_of(accumulator: Accumulator) -> int:
    """The value that min and max leave unchanged: the far end of the range."""
    assert accumulator.range is not None
    return accumulator.range.high if accumulator.op == "min" else accumulator.range.low


def initial(accumulator: Accumulator, slots: int) -> State:
    """`slots` groups of no rows; one group is kept as LANES partial results."""
    shape = (LANES if slots == 1 else slots,)
    if accumulator.op in ("min", "max"):
        return (jnp.full(shape, identity_of(accumulator), accumulator.dtype),)
    return tuple(jnp.zeros(shape, accumulator.dtype) for _ in range(accumulator.limbs))


def accumulate(accumulator: Accumulator, state: State, batch: Batch, code: Array | None) -> State:
    """Add a batch. `code`: int32[length], the group of each live row, out of range for dead ones; None: one group."""
    mask = batch.live if accumulator.mask is None and code is None else batch.mask(accumulator.mask)
    if accumulator.op in ("min", "max"):
        assert accumulator.value is not None
        kept = jnp.where(mask, batch.column(accumulator.value), jnp.asarray(identity_of(accumulator), accumulator.dtype))
        return (extreme(accumulator.op, state[0], kept, code),)
    return tuple(
        add_into(total, part, bounds, code) for total, (part, bounds) in zip(state, addends(accumulator, batch, mask), strict=True)
    )


def extreme(op: str, state: Array, kept: Array, code: Array | None) -> Array:
    if code is None:
        lanes = kept.reshape(-1, LANES)
        return jnp.minimum(state, lanes.min(0)) if op == "min" else jnp.maximum(state, lanes.max(0))
    slots = state.at[code]
    return slots.min(kept, mode="drop") if op == "min" else slots.max(kept, mode="drop")


def addends(accumulator: Accumulator, batch: Batch, mask: Array) -> list[tuple[Array, Range | None]]:
    """What a batch adds to each limb, with the bounds of one row's share (None for floats)."""
    if accumulator.op == "count":
        return [(mask.astype(jnp.int32), Range(0, 1))]
    assert accumulator.value is not None
    value = batch.column(accumulator.value)
    if accumulator.range is None:
        return [(jnp.where(mask, value, 0).astype(accumulator.dtype), None)]
    return limbs_of(jnp.where(mask, value, jnp.zeros_like(value)), accumulator.range, accumulator.limbs)


def limbs_of(value: Array, bounds: Range, limbs: int) -> list[tuple[Array, Range | None]]:
    """An integer as itself, or as its high part and its low 32 bits."""
    if limbs == 1:
        return [(value, bounds | Range(0, 0))]
    wide = value.astype(jnp.int64)
    low_bits = (1 << LIMB_BITS) - 1
    high_bounds = Range(bounds.low >> LIMB_BITS, bounds.high >> LIMB_BITS)
    return [(wide >> LIMB_BITS, high_bounds | Range(0, 0)), (wide & low_bits, Range(0, low_bits))]


def add_into(total: Array, part: Array, bounds: Range | None, code: Array | None) -> Array:
    """One group: lanes, summed in int32 where the range proves it enough (twice as many fit a vector register)."""
    if code is not None:
        return total.at[code].add(part.astype(total.dtype), mode="drop")
    lanes = part.reshape(-1, LANES)
    if bounds is not None and bounds.magnitude * lanes.shape[0] < 1 << 31:
        return total + lanes.astype(jnp.int32).sum(0, dtype=jnp.int32).astype(total.dtype)
    return total + lanes.astype(total.dtype).sum(0, dtype=total.dtype)


def combine(accumulator: Accumulator, left: State, right: State) -> State:
    if accumulator.op in ("min", "max"):
        choose = jnp.minimum if accumulator.op == "min" else jnp.maximum
        return (choose(left[0], right[0]),)
    return tuple(a + b for a, b in zip(left, right, strict=True))


def total_of(accumulator: Accumulator, state: State, slots: int) -> State:
    """The result columns [slots], limbs with the low one brought into [0, 2**32)."""
    if slots == 1:
        if accumulator.op in ("min", "max"):
            state = (state[0].min(keepdims=True) if accumulator.op == "min" else state[0].max(keepdims=True),)
        else:
            state = tuple(part.sum(keepdims=True) for part in state)
    return carried(state)


def carried(state: State) -> State:
    """Two limbs with the carry moved from the low one to the high one."""
    if len(state) == 1:
        return state
    high, low = state
    return (high + (low >> LIMB_BITS), low & ((1 << LIMB_BITS) - 1))


def bitmap(accumulator: DistinctAccumulator, slots: int) -> Array:
    assert accumulator.range is not None
    return jnp.zeros((slots, accumulator.range.size), jnp.bool_)


def mark(accumulator: DistinctAccumulator, seen: Array, batch: Batch, code: Array | None) -> Array:
    """Set the bit of each row's value in its group."""
    assert accumulator.range is not None
    slots, size = seen.shape
    mask = batch.mask(accumulator.mask)
    group = jnp.zeros((), jnp.int32) if code is None else code
    digit = (batch.column(accumulator.value).astype(jnp.int64) - accumulator.range.low).astype(jnp.int32)
    index = jnp.where(mask, group * size + digit, slots * size)
    return seen.reshape(-1).at[index].set(True, mode="drop").reshape(seen.shape)


def reduce_bitmap(accumulator: DistinctAccumulator, seen: Array) -> State:
    """The number or the sum of the marked values of each group."""
    assert accumulator.range is not None
    if accumulator.op == "count":
        return (seen.sum(1, dtype=jnp.int64),)
    values = accumulator.range.low + jnp.arange(accumulator.range.size, dtype=jnp.int64)
    parts = limbs_of(values, accumulator.range, accumulator.limbs)
    return carried(tuple(jnp.where(seen, part[None, :], 0).sum(1, dtype=jnp.int64) for part, _ in parts))


