"""Aggregates over frames that depend on which values of a frame are equal, or least: those of DISTINCT rows, and quantiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from qtensor.lowering.physical import Accumulator, FrameFunction, QuantileAccumulator, SortWord, WindowFrame
from qtensor.lowering.sinks.accumulate import carried
from qtensor.lowering.sinks.base import Array
from qtensor.lowering.sinks.equal_rows import differs_from_previous
from qtensor.lowering.sinks.frame_inputs import Columns, addends, mask_of
from qtensor.lowering.sinks.frames import Frames, Partitions
from qtensor.lowering.sinks.ranks import quantile_ranks
from qtensor.lowering.sinks.scans import prefix_sums
from qtensor.lowering.sinks.sorting import sorted_rows
from qtensor.lowering.sinks.wavelet import smallest, sums_below


def distinct_sums(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """Sums over the rows of each frame that are the first there with their words."""
    results: dict[FrameFunction, list[Array]] = {}
    for words, mask in dict.fromkeys((words_of(function), function.accumulator.mask) for function in functions):
        alike = [function for function in functions if (words_of(function), function.accumulator.mask) == (words, mask)]
        counted = mask_of(alike[0], partitions, column)
        previous = previous_rows(words, counted, partitions, column)
        for frame in dict.fromkeys(function.frame for function in alike):
            parts = {function: addends(function, counted, column) or [counted] for function in alike if function.frame == frame}
            frames = frames_of(frame)
            weights = [weight for values in parts.values() for weight in values]
            sums = iter(sums_below(previous + 1, weights, (frames.start, frames.end), frames.start + 1))
            results |= {function: list(carried(tuple(next(sums) for _ in values))) for function, values in parts.items()}
    return results


def words_of(function: FrameFunction) -> tuple[SortWord, ...]:
    """The words of which equal ones count once."""
    assert isinstance(function.accumulator, Accumulator)
    return function.accumulator.distinct


def previous_rows(words: Sequence[SortWord], counted: Array, partitions: Partitions, column: Columns) -> Array:
    """Of each row that is `counted`, the row before with the same words in its partition, -1 if there is none; int32[n]."""
    keys = [partitions.first.astype(jnp.int64), *(column(word.word) for word in words)]
    rows, ordered = sorted_rows(keys, [partitions.rows, *(word.radix for word in words)], counted)
    before = jnp.where(differs_from_previous(ordered), -1, jnp.roll(rows, 1))
    return jnp.zeros(partitions.rows, jnp.int32).at[rows].set(before, unique_indices=True)


def frame_quantiles(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """Quantiles; those of the same values by one search."""
    results: dict[FrameFunction, list[Array]] = {}
    accumulators = {function: quantile_of(function) for function in functions}
    for order, mask in dict.fromkeys((accumulator.order, accumulator.mask) for accumulator in accumulators.values()):
        alike = {
            f: accumulator for f, accumulator in accumulators.items() if (accumulator.order, accumulator.mask) == (order, mask)
        }
        counted = mask_of(next(iter(alike)), partitions, column)
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


def quantile_of(function: FrameFunction) -> QuantileAccumulator:
    assert isinstance(function.accumulator, QuantileAccumulator)
    return function.accumulator
