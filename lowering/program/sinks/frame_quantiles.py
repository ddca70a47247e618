"""Quantiles over frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from qtensor.lowering.ir.physical import FrameFunction, QuantileAccumulator, WindowFrame
from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.frame_inputs import counted_rows
from qtensor.lowering.program.sinks.frames import Columns, Frames, Partitions
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.ranks import quantile_ranks
from qtensor.lowering.program.sinks.scans import prefix_sums
from qtensor.lowering.program.sinks.wavelet import smallest


def frame_quantiles(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """Quantiles; those of the same values by one search."""
    results: dict[FrameFunction, list[Array]] = {}
    accumulators = {function: quantile_of(function) for function in functions}
    for key in dict.fromkeys(values_of(function) for function in functions):
        alike = {function: accumulators[function] for function in functions if values_of(function) == key}
        order = quantile_of(next(iter(alike))).order
        counted = counted_rows(next(iter(alike)), partitions, column)
        rows, _ = sorted_rows([column(word.word) for word in order], [word.radix for word in order], counted)
        (sums,) = prefix_sums([counted])
        before = sums.astype(jnp.int32)
        # Of the rows that count, in window order, their ranks among all by value.
        rank = jnp.zeros_like(rows).at[rows].set(partitions.row, unique_indices=True)
        ranks = jnp.zeros_like(rows).at[jnp.where(counted, before[:-1], partitions.rows)].set(rank, mode="drop")
        ranges, counts, wanted = {}, {}, {}
        for function, accumulator in alike.items():
            frames = frames_of(function.frame)
            ranges[function] = before[frames.start], before[frames.end]
            counts[function] = (ranges[function][1] - ranges[function][0]).astype(jnp.int64)
            wanted[function] = quantile_ranks(accumulator, counts[function])
        asked = [(ranges[function], rank.astype(jnp.int32)) for function in alike for rank in wanted[function].ranks]
        found = iter(smallest(ranks, [place for place, _ in asked], [rank for _, rank in asked]))
        for function, accumulator in alike.items():
            at = [rows.at[next(found)].get(mode="clip") for _ in wanted[function].ranks]
            values = [column(accumulator.column).at[row].get(mode="clip") for row in at]
            results[function] = [counts[function], *values, *wanted[function].parts]
    return results


def values_of(function: FrameFunction) -> tuple[object, ...]:
    """Equal where frames are searched for the same values: DISTINCT ones are not those of any frame."""
    accumulator = quantile_of(function)
    return accumulator.order, accumulator.mask, accumulator.distinct and function.frame.starts_unbounded, accumulator.distinct


def quantile_of(function: FrameFunction) -> QuantileAccumulator:
    assert isinstance(function.accumulator, QuantileAccumulator)
    return function.accumulator
