"""The texts of frames, for string_agg: which rows the host joins, and in what order."""

from __future__ import annotations

import jax.numpy as jnp

from qtensor.lowering.ir.physical import FrameFunction, ListAccumulator
from qtensor.lowering.program.sinks.base import Array, TextList
from qtensor.lowering.program.sinks.equal_rows import differs_from_previous
from qtensor.lowering.program.sinks.frame_inputs import mask_of
from qtensor.lowering.program.sinks.frames import Columns, Frames, Partitions
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.prefix import running_sum
from qtensor.lowering.program.sinks.scans import prefix_sums


def frame_list(function: FrameFunction, frames: Frames, partitions: Partitions, column: Columns) -> tuple[list[Array], TextList]:
    """The result columns of a `ListAccumulator`, and its list: each row is a group of its own."""
    accumulator = function.accumulator
    assert isinstance(accumulator, ListAccumulator)
    counted = mask_of(function, partitions, column)
    (sums,) = prefix_sums([counted])
    ranks = jnp.where(counted, ranks_of(accumulator, counted, partitions, column), -1)
    texts = TextList(column(accumulator.column), ranks, frames.start, frames.end)
    return [partitions.row, sums[frames.end] - sums[frames.start]], texts


def ranks_of(accumulator: ListAccumulator, counted: Array, partitions: Partitions, column: Columns) -> Array:
    """int32[n]: the place of each row that is `counted` among all by the accumulator's order; of equal ones, if it is distinct,
    the same.
    """
    if not accumulator.order:
        return partitions.row
    words = [column(word.word) for word in accumulator.order]
    rows, ordered = sorted_rows(words, [word.radix for word in accumulator.order], counted)
    place = running_sum(differs_from_previous(ordered).astype(jnp.int32)) if accumulator.distinct else partitions.row
    return jnp.zeros(partitions.rows, jnp.int32).at[rows].set(place, unique_indices=True)
