"""The most frequent value of each frame.

Where frames begin at their partition's start, or end at its end, a row's value is as frequent as rows up to this one have it, and
the mode a maximum over rows. Any other frame is made of the one before by taking rows in and out. Values lie in the order of
their frequencies then, those that are equally frequent in any; a value that becomes more or less frequent by one changes places
with the last, or the first, of its like, so that a step takes the same few reads and writes however many values there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from qtensor.lowering.ir.physical import FrameFunction, ModeAccumulator, WindowFrame
from qtensor.lowering.program.loops import bounded_loop
from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.frame_classes import Classes
from qtensor.lowering.program.sinks.frame_inputs import mask_of
from qtensor.lowering.program.sinks.frames import Columns, Frames, Partitions
from qtensor.lowering.program.sinks.ranks import mode_score
from qtensor.lowering.program.sinks.sliding import at, next_move, put


def mode_of(function: FrameFunction) -> ModeAccumulator:
    assert isinstance(function.accumulator, ModeAccumulator)
    return function.accumulator


def classes_of(function: FrameFunction, partitions: Partitions, column: Columns) -> Classes:
    return Classes.of(mode_of(function).order, mask_of(function, partitions, column), partitions, column)


def scores(function: FrameFunction, partitions: Partitions, column: Columns, backwards: bool) -> Array:
    """int64[n], whose maximum over the rows of a frame tells the mode: how often a row's value has come up, from the partition's
    start or with `backwards` from its end, above how early it came first; 0 of rows that do not count.
    """
    classes = classes_of(function, partitions, column)
    number, place = classes.number[classes.rows], partitions.row
    count = classes.end[number] - place if backwards else place - classes.start[number] + 1
    first = classes.rows if backwards else classes.rows[classes.start[number]]
    by_row = jnp.zeros(partitions.rows, jnp.int64).at[classes.rows].set(mode_score(count, first), unique_indices=True)
    return jnp.where(classes.counted, by_row, 0)


def sliding_modes(
    functions: Sequence[FrameFunction], frames_of: Callable[[WindowFrame], Frames], partitions: Partitions, column: Columns
) -> dict[FrameFunction, list[Array]]:
    """The mode of any frames; of several values one."""
    results = {}
    for function in functions:
        classes = classes_of(function, partitions, column)
        found, count = slide(classes, frames_of(function.frame))
        row = classes.rows[classes.start[found]]
        results[function] = [column(mode_of(function).column).at[row].get(mode="clip"), count.astype(jnp.int64)]
    return results


class Turn(NamedTuple):
    """A class that gets a row more, or less, or stays as it is: its new size, where it stands among the classes and where it goes
    to, the class that makes room there, and the new start of those with `border` rows or more.
    """

    changed: Array
    size: Array
    place: Array
    target: Array
    other: Array
    border: Array
    start: Array


class Frequencies(NamedTuple):
    """What is inside a window. counts: of each class how many rows; order: the classes by that; place: where each stands there;
    first[c]: from where on classes have c rows or more.
    """

    counts: Array
    order: Array
    place: Array
    first: Array

    def turned(self, turn: Turn) -> Frequencies:
        return Frequencies(
            put(self.counts, turn.changed, turn.size),
            put(put(self.order, turn.place, turn.other), turn.target, turn.changed),
            put(put(self.place, turn.other, turn.place), turn.changed, turn.target),
            put(self.first, turn.border, turn.start),
        )

    def turn(self, changed: Array, adds: Array, removes: Array) -> Turn:
        count, place = at(self.counts, changed), at(self.place, changed)
        more, less = adds.astype(jnp.int32), removes.astype(jnp.int32)
        border = jnp.where(adds | removes, count + more, self.first.shape[0] - 1)  # else into the last entry, which nobody reads
        target = jnp.where(adds | removes, at(self.first, border) - more, place)
        return Turn(changed, count + more - less, place, target, at(self.order, target), border, target + less)


class Sliding(NamedTuple):
    """A window from row `low` up to `high`, and what was found for the frames of those before `row`.

    turn: of the last row that went in or out, and is still to be done.
    """

    row: Array
    low: Array
    high: Array
    window: Frequencies
    turn: Turn
    found: Array
    most: Array


def slide(classes: Classes, frames: Frames) -> tuple[Array, Array]:
    """For each frame the class with most rows in it, and how many these are; int32[n]."""
    rows = classes.rows.shape[0]

    def step(state: Sliding) -> Sliding:
        window = state.window.turned(state.turn)
        start, end = at(frames.start, state.row), at(frames.end, state.row)
        move = next_move(state.low, state.high, start, end)
        done = ~(move.adds | move.removes)
        counted = at(classes.counted, move.row)
        best = window.order[rows - 1]
        place = jnp.where(done, state.row, rows)
        return Sliding(
            state.row + done.astype(jnp.int32),
            move.low,
            move.high,
            window,
            window.turn(at(classes.number, move.row), move.adds & counted, move.removes & counted),
            put(state.found, place, best),
            put(state.most, place, jnp.where(start < end, at(window.counts, best), 0)),
        )

    number = jnp.arange(rows, dtype=jnp.int32)
    nothing = jnp.zeros(rows + 1, jnp.int32)
    empty = Frequencies(nothing[:-1], number, number, jnp.full(rows + 2, rows, jnp.int32).at[0].set(0))
    zero, never = jnp.int32(0), jnp.zeros((), jnp.bool_)
    begin = Sliding(zero, zero, zero, empty, empty.turn(zero, never, never), nothing, nothing)
    # A frame's window is reached by moving each of its two ends over all rows at most.
    end = bounded_loop((rows + 1) * (2 * rows + 2), lambda state: state.row < rows, step, begin)
    return end.found[:-1], end.most[:-1]
