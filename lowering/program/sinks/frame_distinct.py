"""Aggregates over the different values of frames that lose rows and win others.

A sum of integers counts the rows whose value does not stand earlier in the frame. For all else a window slides over the frames: a
tree, whose leaves are the values that are inside, changes where a value comes or goes, and holds at its root what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from qtensor.lowering.ir.physical import FrameFunction, QuantileAccumulator, SortWord, WindowFrame
from qtensor.lowering.program.loops import bounded_loop
from qtensor.lowering.program.sinks.accumulate import carried
from qtensor.lowering.program.sinks.base import Array, State
from qtensor.lowering.program.sinks.equal_rows import differs_from_previous
from qtensor.lowering.program.sinks.frame_classes import Classes
from qtensor.lowering.program.sinks.frame_folds import Fold, split
from qtensor.lowering.program.sinks.frame_inputs import addends, distinct_words, mask_of
from qtensor.lowering.program.sinks.frames import Columns, Frames, Partitions
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.ranks import quantile_ranks
from qtensor.lowering.program.sinks.sliding import at, next_move, put
from qtensor.lowering.program.sinks.wavelet import sums_below


def distinct_sums(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """Sums over the rows of each frame that are the first there with their words."""
    results: dict[FrameFunction, list[Array]] = {}
    for key in dict.fromkeys(rows_of(function) for function in functions):
        alike = [function for function in functions if rows_of(function) == key]
        counted = mask_of(alike[0], partitions, column)
        previous = previous_rows(distinct_words(alike[0].accumulator), counted, partitions, column)
        for frame in dict.fromkeys(function.frame for function in alike):
            parts = {function: addends(function, counted, column) or [counted] for function in alike if function.frame == frame}
            frames = frames_of(frame)
            weights = [weight for values in parts.values() for weight in values]
            sums = iter(sums_below(previous + 1, weights, (frames.start, frames.end), frames.start + 1))
            results |= {function: list(carried(tuple(next(sums) for _ in values))) for function, values in parts.items()}
    return results


def rows_of(function: FrameFunction) -> tuple[object, ...]:
    """Equal where the same rows count, and the same ones of them are equal."""
    return distinct_words(function.accumulator), function.accumulator.mask


def previous_rows(words: Sequence[SortWord], counted: Array, partitions: Partitions, column: Columns) -> Array:
    """Of each row that is `counted`, the row before with the same words in its partition, -1 if there is none; int32[n]."""
    keys = [partitions.first.astype(jnp.int64), *(column(word.word) for word in words)]
    rows, ordered = sorted_rows(keys, [partitions.rows, *(word.radix for word in words)], counted)
    before = jnp.where(differs_from_previous(ordered), -1, jnp.roll(rows, 1))
    return jnp.zeros(partitions.rows, jnp.int32).at[rows].set(before, unique_indices=True)


# --- in a sliding window ------------------------------------------------------------------------------------------------------


def distinct_folds(
    functions: Sequence[FrameFunction],
    folds: dict[FrameFunction, Fold],
    frames_of: Callable[[WindowFrame], Frames],
    partitions: Partitions,
    column: Columns,
) -> dict[FrameFunction, State]:
    """Folds over the different rows of each frame."""
    results: dict[FrameFunction, State] = {}
    for key in dict.fromkeys((*rows_of(function), function.frame) for function in functions):
        alike = [function for function in functions if (*rows_of(function), function.frame) == key]
        classes = classes_of(alike[0], partitions, column)
        fold = Fold.of_all([folds[function] for function in alike])
        leaves = tuple(value.at[classes.rows[classes.start]].get(mode="clip") for value in fold.values)
        found, _ = slide(classes, frames_of(alike[0].frame), Fold(leaves, fold.identity, fold.combine))
        results |= split(found, alike, folds)
    return results


def distinct_quantiles(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """Quantiles of the different values of each frame, which are counted first and then looked for."""
    results = {}
    for function in functions:
        accumulator, frames = function.accumulator, frames_of(function.frame)
        assert isinstance(accumulator, QuantileAccumulator)
        classes = classes_of(function, partitions, column)
        ones = jnp.ones(partitions.rows, jnp.int32)
        present = Fold((ones,), (jnp.int32(0),), lambda a, b: (a[0] + b[0],))
        (counts,), _ = slide(classes, frames, present)
        wanted = quantile_ranks(accumulator, counts.astype(jnp.int64))
        places = [slide(classes, frames, present, rank.astype(jnp.int32))[1] for rank in wanted.ranks]
        rows = [classes.rows[classes.start[place]] for place in places]
        values = [column(accumulator.column).at[row].get(mode="clip") for row in rows]
        results[function] = [counts.astype(jnp.int64), *values, *wanted.parts]
    return results


def classes_of(function: FrameFunction, partitions: Partitions, column: Columns) -> Classes:
    counted = mask_of(function, partitions, column)
    return Classes.of(distinct_words(function.accumulator), counted, partitions, column)


class Sliding(NamedTuple):
    """A window from row `low` up to `high`, and what was found for the frames of those before `row`.

    counts: of each class how many rows are inside; tree: the fold of nodes 2 t and 2 t + 1 in node t, the classes from `size` on.
    Still to be done are a class's new count, and a node's new value.
    climbing: whether the node above that is next; node: where a search for the class of rank `rank` is, 0 if there is none.
    """

    row: Array
    low: Array
    high: Array
    counts: Array
    tree: State
    changed: tuple[Array, Array]
    turned: tuple[Array, State]
    search: tuple[Array, Array]
    found: State
    places: Array


def slide(classes: Classes, frames: Frames, fold: Fold, ranks: Array | None = None) -> tuple[State, Array]:
    """The fold over the classes of each frame; and where the fold counts them, the class of each of `ranks`, int32[n]."""
    rows = classes.rows.shape[0]
    size = 1 << max(0, rows - 1).bit_length()
    zero = jnp.int32(0)

    def step(state: Sliding) -> Sliding:
        counts = put(state.counts, *state.changed)
        node, values = state.turned
        tree = tuple(put(nodes, node, value) for nodes, value in zip(state.tree, values, strict=True))
        above = node // 2
        climbs = above > 0
        place, rank = state.search
        start, end = at(frames.start, state.row), at(frames.end, state.row)
        move = next_move(state.low, state.high, start, end, ~climbs & (place == 0))
        number = at(classes.number, move.row)
        counted = at(classes.counted, move.row)
        count = at(counts, number)
        enters, leaves = move.adds & counted & (count == 0), move.removes & counted & (count == 1)
        joined = fold.combine(*(tuple(at(nodes, 2 * above + side) for nodes in tree) for side in (0, 1)))
        alone = tuple(
            jnp.where(enters, at(leaf, number), neutral) for leaf, neutral in zip(fold.values, fold.identity, strict=True)
        )
        arrives = ~(climbs | move.adds | move.removes)  # at the frame
        if ranks is None:
            done, search = arrives, (zero, zero)
        else:
            place, rank = jnp.where(place == 0, 1, place), jnp.where(place == 0, at(ranks, state.row), rank)
            done = arrives & (place >= size)
            less = at(tree[0], jnp.minimum(2 * place, 2 * size - 1))
            right = rank >= less
            further = arrives & ~done
            search = (
                jnp.where(further, 2 * place + right.astype(jnp.int32), 0),
                jnp.where(further, rank - jnp.where(right, less, 0), 0),
            )
        target = jnp.where(done, state.row, rows)  # elsewhere into the last entry, which nobody reads
        return Sliding(
            state.row + done.astype(jnp.int32),
            move.low,
            move.high,
            counts,
            tree,
            (jnp.where(counted, number, rows), jnp.where(counted, count + move.change, 0)),
            (
                jnp.where(climbs, above, jnp.where(enters | leaves, size + number, 0)),
                tuple(jnp.where(climbs, node, leaf) for node, leaf in zip(joined, alone, strict=True)),
            ),
            search,
            tuple(
                put(results, target, jnp.where(start < end, nodes[1], neutral))
                for results, nodes, neutral in zip(state.found, tree, fold.identity, strict=True)
            ),
            put(state.places, target, place - size),
        )

    def filled(length: int) -> State:
        return tuple(jnp.broadcast_to(neutral, (length,)) for neutral in fold.identity)

    nothing = jnp.zeros(rows + 1, jnp.int32)
    begin = Sliding(
        *(zero, zero, zero), nothing, filled(2 * size), (jnp.int32(rows), zero), (zero, fold.identity), (zero, zero),
        filled(rows + 1), nothing,
    )  # fmt: skip
    # A frame's window is reached by moving each of its two ends over all rows at most, and each move climbs the tree, as a rank's
    # search goes down it.
    turns = (rows + 1) * (2 * rows + 2) * (size.bit_length() + 2)
    end = bounded_loop(turns, lambda state: state.row < rows, step, begin)
    return tuple(results[:-1] for results in end.found), end.places[:-1]
