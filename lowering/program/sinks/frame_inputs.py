"""What rows bring into aggregates over frames: whether they count, and what they add."""

from __future__ import annotations

import jax.numpy as jnp

from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    FrameFunction,
    MomentsAccumulator,
    QuantileAccumulator,
    SortWord,
)
from qtensor.lowering.program.sinks.accumulate import limbs_of
from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.frame_classes import Classes
from qtensor.lowering.program.sinks.frames import Columns, Partitions


def mask_of(function: FrameFunction, partitions: Partitions, column: Columns) -> Array:
    """Which rows count. All do without a mask, but nothing may look constant: XLA would compute sums of constants itself, for
    minutes.
    """
    mask = function.accumulator.mask
    everywhere = partitions.row < partitions.end
    return everywhere if mask is None else everywhere & column(mask)


def distinct_words(accumulator: AnyAccumulator) -> tuple[SortWord, ...]:
    """The words of which equal ones count once; none if all count."""
    match accumulator:
        case Accumulator(distinct=words) | MomentsAccumulator(distinct=words):
            return words
        case QuantileAccumulator(distinct=True, order=words):
            return words
        case _:
            return ()


def counted_rows(function: FrameFunction, partitions: Partitions, column: Columns) -> Array:
    """Which rows count; DISTINCT ones in frames that begin with their partition only the first of equal rows, in others that end
    with it only the last.
    """
    counted, words = mask_of(function, partitions, column), distinct_words(function.accumulator)
    if not words or function.frame.slides:
        return counted
    classes = Classes.of(words, counted, partitions, column)
    return counted & (classes.firsts if function.frame.starts_unbounded else classes.lasts)


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
