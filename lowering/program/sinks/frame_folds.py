"""Associative functions over frames: scanned from the partition's start or end, or looked up in a tree of partial results.

A difference of prefix sums would be wrong for floats: what stands before the frame would cancel only in part. The tree gives any
frame as at most two nodes of each level (Leis, Kundhikanjana, Kemper and Neumann, "Efficient Processing of Window Functions in
Analytical SQL Queries", VLDB 2015); small frames need only its lowest levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.errors import InternalError
from qtensor.lowering.ir.physical import (
    Accumulator,
    FrameFunction,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    QuantileAccumulator,
    WindowFrame,
)
from qtensor.lowering.program.loops import bounded_loop
from qtensor.lowering.program.sinks.base import Array, State
from qtensor.lowering.program.sinks.combining import OPERATIONS, JoinedMoments, identity_of, precedes
from qtensor.lowering.program.sinks.frame_inputs import counted_rows
from qtensor.lowering.program.sinks.frame_modes import scores
from qtensor.lowering.program.sinks.frames import Columns, Frames, Partitions
from qtensor.lowering.program.sinks.scans import Combine, segmented_scan

BLOCKS = (4096, 64, 1)  # how many nodes of a tree are computed at once


@dataclass(frozen=True)
class Fold:
    """How rows are combined: `values` [n] of single rows (neutral in rows that do not count), by `combine`, which is
    associative and commutative, from `identity`.
    """

    values: State
    identity: State
    combine: Combine

    @staticmethod
    def of_all(folds: Sequence[Fold]) -> Fold:
        """Several folds as one: one loop, of which there is one program to compile, for all of them."""

        def combine(left: State, right: State) -> State:
            parts: list[Array] = []
            first = 0
            for fold in folds:
                end = first + len(fold.values)
                parts += fold.combine(left[first:end], right[first:end])
                first = end
            return tuple(parts)

        values = tuple(value for fold in folds for value in fold.values)
        return Fold(values, tuple(item for fold in folds for item in fold.identity), combine)

    def reversed(self) -> Fold:
        """The fold over the rows in reverse."""
        return Fold(tuple(value[::-1] for value in self.values), self.identity, lambda a, b: self.combine(b, a))


def fold_of(function: FrameFunction, partitions: Partitions, column: Columns) -> Fold:
    accumulator = function.accumulator
    counted = counted_rows(function, partitions, column)
    match accumulator:
        case Accumulator(op=op, value=value, dtype=dtype):
            assert value is not None
            identity, combine = jnp.asarray(identity_of(accumulator), dtype), OPERATIONS[op]
            values = column(value).astype(dtype)
            return Fold((jnp.where(counted, values, identity),), (identity,), lambda a, b: (combine(a[0], b[0]),))
        case MomentsAccumulator(values=refs):
            return moments(counted, [column(ref) for ref in refs])
        case PickAccumulator():
            return pick(accumulator, counted, column)
        case ModeAccumulator():
            score = scores(function, partitions, column, backwards=not function.frame.starts_unbounded)
            return Fold((score,), (jnp.zeros((), jnp.int64),), lambda a, b: (jnp.maximum(a[0], b[0]),))
        case QuantileAccumulator() | ListAccumulator():
            raise InternalError(f"a {type(accumulator).__name__} is no fold")
        case _:
            assert_never(accumulator)


def moments(counted: Array, values: list[Array]) -> Fold:
    """The columns of `MomentsAccumulator`."""
    zero = jnp.zeros((), jnp.float64)
    zeros = jnp.zeros(counted.shape, jnp.float64)
    single: list[Array] = [counted.astype(jnp.int64)]
    for value in values:
        single += [jnp.where(counted, value, zero), zeros]
    if len(values) == 2:
        single.append(zeros)

    def combine(left: State, right: State) -> State:
        rows = JoinedMoments.of(left[0], right[0])
        merged: list[Array] = []
        apart: list[Array] = []
        for at in range(1, 1 + 2 * len(values), 2):
            distance = right[at] - left[at]
            merged += [rows.mean(left[at], distance), rows.products(left[at + 1], right[at + 1], distance, distance)]
            apart.append(distance)
        if len(values) == 2:
            merged.append(rows.products(left[5], right[5], *apart))
        kept = [rows.unless_alone(*each) for each in zip(left[1:], right[1:], merged, strict=True)]
        return (left[0] + right[0], *kept)

    return Fold(tuple(single), (jnp.zeros((), jnp.int64), *(zero for _ in single[1:])), combine)


def pick(accumulator: PickAccumulator, counted: Array, column: Columns) -> Fold:
    """The row that comes first by words and then by its place, as words and the row's place."""
    assert not accumulator.last
    words = [column(word.word).astype(jnp.int64) for word in accumulator.order]
    row = jnp.arange(counted.shape[0], dtype=jnp.int32)
    greatest, behind = jnp.asarray(np.iinfo(np.int64).max), jnp.asarray(np.iinfo(np.int32).max, jnp.int32)
    values = (*(jnp.where(counted, word, greatest) for word in words), jnp.where(counted, row, behind))

    def combine(left: State, right: State) -> State:
        before = precedes(left, right, jnp.zeros(left[0].shape, jnp.bool_))
        return tuple(jnp.where(before, a, b) for a, b in zip(left, right, strict=True))

    return Fold(values, (*(greatest for _ in words), behind), combine)


def split(state: State, functions: Sequence[FrameFunction], folds: dict[FrameFunction, Fold]) -> dict[FrameFunction, State]:
    """The parts of a joint state."""
    parts, first = {}, 0
    for function in functions:
        end = first + len(folds[function].values)
        parts[function] = state[first:end]
        first = end
    return parts


def scanned(
    functions: Sequence[FrameFunction],
    folds: dict[FrameFunction, Fold],
    frames_of: Callable[[WindowFrame], Frames],
    partitions: Partitions,
    backwards: bool,
) -> dict[FrameFunction, State]:
    """Folds over frames that begin at the partition's start, or with `backwards` end at its end; identities where empty."""
    if not functions:
        return {}
    fold = Fold.of_all([folds[function] for function in functions])
    if backwards:
        last = (partitions.row == partitions.end - 1)[::-1]
        fold = fold.reversed()
        running = tuple(value[::-1] for value in segmented_scan(fold.combine, fold.identity, last, fold.values))
    else:
        running = segmented_scan(fold.combine, fold.identity, partitions.row == partitions.first, fold.values)
    found = {}
    for function, state in split(running, functions, folds).items():
        frames = frames_of(function.frame)
        row, empty = frames.start if backwards else frames.end - 1, frames.start == frames.end
        identity = folds[function].identity
        values = [value.at[row].get(mode="clip") for value in state]
        found[function] = tuple(jnp.where(empty, neutral, value) for neutral, value in zip(identity, values, strict=True))
    return found


def from_tree(fold: Fold, frames: Frames) -> State:
    """The fold over each frame, from a tree of which every node combines two of the level below."""
    rows = frames.start.shape[0]
    size = 1 << max(0, rows - 1).bit_length()
    tree = tree_of(fold, size)

    def node(taken: Array, place: Array) -> State:
        found = [values.at[place].get(mode="clip") for values in tree]
        return tuple(jnp.where(taken, value, neutral) for value, neutral in zip(found, fold.identity, strict=True))

    def climb(state: tuple[Array, Array, Array, Array, State]) -> tuple[Array, Array, Array, Array, State]:
        left, right, base, width, total = state
        open_left = (left < right) & (left % 2 == 1)
        total = fold.combine(total, node(open_left, base + left))
        left = left + open_left.astype(left.dtype)
        open_right = (left < right) & (right % 2 == 1)
        right = right - open_right.astype(right.dtype)
        total = fold.combine(total, node(open_right, base + right))
        return left // 2, right // 2, base + width, width // 2, total

    nothing = tuple(jnp.broadcast_to(neutral, (rows,)) for neutral in fold.identity)
    start = (frames.start, frames.end, jnp.int32(0), jnp.int32(size), nothing)
    return bounded_loop(size.bit_length() + 1, lambda state: (state[0] < state[1]).any(), climb, start)[-1]


def tree_of(fold: Fold, size: int) -> list[Array]:
    """The values, then level by level the nodes above: node t above has the children 2 t and 2 t + 1, counted from the values on.

    Nodes are computed in blocks of neighbours by loops, whose programs do not grow with the number of levels as one program for
    each level would. A block may have no node whose children are in the block; towards the root blocks get smaller.
    """
    rows = fold.values[0].shape[0]
    tree = tuple(
        jnp.concatenate([value, jnp.broadcast_to(neutral, (2 * size - rows,))])
        for value, neutral in zip(fold.values, fold.identity, strict=True)
    )
    first = 0
    for block in BLOCKS:

        def combine_block(index: Array, tree: State, block: int = block, first: int = first) -> State:
            start = first + index * block
            children = [lax.dynamic_slice_in_dim(values, 2 * start, 2 * block).reshape(block, 2) for values in tree]
            parents = fold.combine(tuple(pair[:, 0] for pair in children), tuple(pair[:, 1] for pair in children))
            return tuple(
                lax.dynamic_update_slice_in_dim(values, nodes, size + start, 0)
                for values, nodes in zip(tree, parents, strict=True)
            )

        blocks = (size - block - first) // block
        if blocks > 0:
            tree = lax.fori_loop(jnp.int32(0), jnp.int32(blocks), combine_block, tree)
            first += blocks * block
    return list(tree)
