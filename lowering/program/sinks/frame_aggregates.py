"""Aggregates over frames: integer sums and counts by prefix sums, those of DISTINCT rows and quantiles by wavelet matrices, all
else by associative functions; and what depends on which of a frame's values are equal, in a window that slides over the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    FrameFunction,
    ModeAccumulator,
    PickAccumulator,
    QuantileAccumulator,
    WindowFrame,
)
from qtensor.lowering.program.sinks.accumulate import carried
from qtensor.lowering.program.sinks.base import Array, State
from qtensor.lowering.program.sinks.frame_distinct import distinct_folds, distinct_quantiles, distinct_sums
from qtensor.lowering.program.sinks.frame_folds import Fold, fold_of, from_tree, scanned, split
from qtensor.lowering.program.sinks.frame_inputs import addends, distinct_words, mask_of
from qtensor.lowering.program.sinks.frame_modes import sliding_modes
from qtensor.lowering.program.sinks.frame_quantiles import frame_quantiles
from qtensor.lowering.program.sinks.frames import Columns, Frames, Partitions
from qtensor.lowering.program.sinks.ranks import of_score
from qtensor.lowering.program.sinks.scans import prefix_sums


def aggregate_frames(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """The result columns of each accumulator over each row's frame."""
    kinds: dict[str, list[FrameFunction]] = {}
    for function in functions:
        kinds.setdefault(kind_of(function), []).append(function)
    results: dict[FrameFunction, list[Array]] = {}
    for kind, compute in {
        "exact sum": exact_sums,
        "distinct sum": distinct_sums,
        "quantile": frame_quantiles,
        "distinct quantile": distinct_quantiles,
        "mode": sliding_modes,
    }.items():
        results |= compute(kinds.get(kind, []), frames_of, partitions, column)
    folds = {
        function: fold_of(function, partitions, column) for kind in ("fold", "distinct fold") for function in kinds.get(kind, [])
    }
    found = distinct_folds(kinds.get("distinct fold", []), folds, frames_of, partitions, column)
    found |= folded(kinds.get("fold", []), folds, frames_of, partitions)
    return results | {function: finished(function.accumulator, state, partitions, column) for function, state in found.items()}


def kind_of(function: FrameFunction) -> str:
    """How its values over frames are found."""
    repeats = bool(distinct_words(function.accumulator)) and function.frame.slides
    match function.accumulator:
        case Accumulator(is_exact=True, distinct=distinct):
            return "distinct sum" if distinct else "exact sum"
        case QuantileAccumulator():
            return "distinct quantile" if repeats else "quantile"
        case ModeAccumulator() if function.frame.slides:
            return "mode"
        case _:
            return "distinct fold" if repeats else "fold"


def folded(
    functions: Sequence[FrameFunction],
    folds: dict[FrameFunction, Fold],
    frames_of: Callable[[WindowFrame], Frames],
    partitions: Partitions,
) -> dict[FrameFunction, State]:
    """Folds over frames: those that begin or end with their partitions in one scan each."""
    forwards = [function for function in functions if function.frame.starts_unbounded]
    backwards = [function for function in functions if function.frame.ends_unbounded and function not in forwards]
    found = scanned(forwards, folds, frames_of, partitions, backwards=False)
    found |= scanned(backwards, folds, frames_of, partitions, backwards=True)
    rest = [function for function in functions if function not in found]
    for frame in dict.fromkeys(function.frame for function in rest):
        same = [function for function in rest if function.frame == frame]
        found |= split(from_tree(Fold.of_all([folds[function] for function in same]), frames_of(frame)), same, folds)
    return found


def finished(accumulator: AnyAccumulator, state: State, partitions: Partitions, column: Columns) -> list[Array]:
    """The result columns of a state."""
    if isinstance(accumulator, ModeAccumulator):
        row, count = of_score(state[0])
        return [column(accumulator.column).at[row].get(mode="clip"), count]
    if not isinstance(accumulator, PickAccumulator):
        return list(state)
    row = state[-1]
    return [*(column(ref).at[row].get(mode="clip") for ref in accumulator.columns), row < partitions.rows]


def exact_sums(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    parts = {function: addends(function, mask_of(function, partitions, column), column) for function in functions}
    distinct = list({id(part): part for values in parts.values() for part in values}.values())
    sums = dict(zip(map(id, distinct), prefix_sums(distinct), strict=True)) if distinct else {}
    results = {}
    for function, values in parts.items():
        frames = frames_of(function.frame)
        if not values:
            results[function] = [(frames.end - frames.start).astype(jnp.int64)]
            continue
        limbs = tuple(sums[id(part)][frames.end] - sums[id(part)][frames.start] for part in values)
        results[function] = list(carried(limbs))
    return results
