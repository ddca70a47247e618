"""Aggregates over frames: integer sums and counts by prefix sums, all else by an associative function that is scanned from the
partition's start or end, or looked up in a tree of partial results.

A difference of prefix sums would be wrong for floats: what stands before the frame would cancel only in part. The tree gives any
frame as at most two nodes of each level (Leis, Kundhikanjana, Kemper and Neumann, "Efficient Processing of Window Functions in
Analytical SQL Queries", VLDB 2015); small frames need only its lowest levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.kernel import Ref
from qtensor.lowering.physical import Accumulator, MomentsAccumulator, PickAccumulator, WindowAccumulator, WindowFrame
from qtensor.lowering.sinks.accumulate import carried, identity_of, limbs_of
from qtensor.lowering.sinks.base import Array
from qtensor.lowering.sinks.frames import Frames, Partitions
from qtensor.lowering.sinks.scans import Combine, State, prefix_sums, segmented_scan


@dataclass(frozen=True)
class Fold:
    """How rows are combined: `values` [n] of single rows (neutral in rows that do not count), by `combine`, from `identity`."""

    values: State
    identity: State
    combine: Combine


def aggregate_frames(
    accumulator: WindowAccumulator,
    frame: WindowFrame,
    frames: Frames,
    partitions: Partitions,
    column: Callable[[Ref], Array],
) -> list[Array]:
    """The result columns of an accumulator over each row's frame; `column` gives a column in window order."""
    everywhere = jnp.ones(partitions.rows, jnp.bool_)
    counted = everywhere if accumulator.mask is None else column(accumulator.mask)
    if isinstance(accumulator, Accumulator) and (accumulator.op == "count" or is_exact_sum(accumulator)):
        return list(carried(tuple(sums_of(part, frames) for part in addends(accumulator, counted, column))))
    fold = fold_of(accumulator, counted, column)
    found = folded(fold, frame, frames, partitions)
    if not isinstance(accumulator, PickAccumulator):
        return list(found)
    row = found[-1]
    some = (row >= 0) & (row < partitions.rows)
    return [*(column(ref).at[row].get(mode="clip") for ref in accumulator.columns), some]


# --- sums of integers ---------------------------------------------------------------------------------------------------------


def is_exact_sum(accumulator: Accumulator) -> bool:
    return accumulator.op == "sum" and accumulator.range is not None


def addends(accumulator: Accumulator, counted: Array, column: Callable[[Ref], Array]) -> list[Array]:
    """What each row adds, limb by limb."""
    if accumulator.value is None or accumulator.range is None:
        return [counted]
    value = column(accumulator.value)
    kept = jnp.where(counted, value, jnp.zeros_like(value))
    return [part for part, _ in limbs_of(kept, accumulator.range, accumulator.limbs)]


def sums_of(values: Array, frames: Frames) -> Array:
    (sums,) = prefix_sums([values])
    return sums[frames.end] - sums[frames.start]


# --- associative functions ----------------------------------------------------------------------------------------------------


def fold_of(accumulator: WindowAccumulator, counted: Array, column: Callable[[Ref], Array]) -> Fold:
    match accumulator:
        case Accumulator(op=op, value=value):
            assert value is not None
            identity, function = operation(accumulator, op)
            values = column(value).astype(identity.dtype)
            return Fold((jnp.where(counted, values, identity),), (identity,), lambda a, b: (function(a[0], b[0]),))
        case MomentsAccumulator(values=refs):
            return moments(counted, [column(ref) for ref in refs])
        case PickAccumulator():
            return pick(accumulator, counted, column)
        case _:
            assert_never(accumulator)


def operation(accumulator: Accumulator, op: str) -> tuple[Array, Callable[[Array, Array], Array]]:
    """What the function leaves unchanged, and the function."""
    dtype = np.dtype(accumulator.dtype)
    match op:
        case "sum":
            return jnp.zeros((), dtype), lambda a, b: a + b
        case "min":
            return jnp.asarray(identity_of(accumulator), dtype), jnp.minimum
        case "max":
            return jnp.asarray(identity_of(accumulator), dtype), jnp.maximum
        case "product":
            return jnp.ones((), dtype), lambda a, b: a * b
        case "bit_and":
            return jnp.asarray(-1, dtype), lambda a, b: a & b
        case "bit_or":
            return jnp.zeros((), dtype), lambda a, b: a | b
        case _:
            return jnp.zeros((), dtype), lambda a, b: a ^ b


def moments(counted: Array, values: list[Array]) -> Fold:
    """The columns of `MomentsAccumulator`, merged by the formula of Chan, Golub and LeVeque (1979)."""
    zero = jnp.zeros((), jnp.float64)
    zeros = jnp.zeros(counted.shape, jnp.float64)
    single: list[Array] = [counted.astype(jnp.int64)]
    for value in values:
        single += [jnp.where(counted, value, zero), zeros]
    if len(values) == 2:
        single.append(zeros)

    def combine(left: State, right: State) -> State:
        n, m = left[0].astype(jnp.float64), right[0].astype(jnp.float64)
        rows = jnp.maximum(n + m, 1.0)
        result = [left[0] + right[0]]
        distances = []
        for place in range(1, 1 + 2 * len(values), 2):
            distance = right[place] - left[place]
            mean = left[place] + distance * (m / rows)
            spread = left[place + 1] + right[place + 1] + distance * distance * (n * m / rows)
            distances.append(distance)
            # Beside no rows a state stays what it is: infinities would leave NaN.
            result += [either(n, m, left[place], right[place], mean), either(n, m, left[place + 1], right[place + 1], spread)]
        if len(values) == 2:
            product = left[5] + right[5] + distances[0] * distances[1] * (n * m / rows)
            result.append(either(n, m, left[5], right[5], product))
        return tuple(result)

    return Fold(tuple(single), (jnp.zeros((), jnp.int64), *(zero for _ in single[1:])), combine)


def either(n: Array, m: Array, left: Array, right: Array, both: Array) -> Array:
    return jnp.where(n == 0, right, jnp.where(m == 0, left, both))


def pick(accumulator: PickAccumulator, counted: Array, column: Callable[[Ref], Array]) -> Fold:
    """The row that comes first by words and then by its place, as words and the row's place."""
    assert not accumulator.last
    words = [column(word.word).astype(jnp.int64) for word in accumulator.order]
    row = jnp.arange(counted.shape[0], dtype=jnp.int32)
    greatest, behind = jnp.asarray(np.iinfo(np.int64).max), jnp.asarray(np.iinfo(np.int32).max, jnp.int32)
    values = (*(jnp.where(counted, word, greatest) for word in words), jnp.where(counted, row, behind))

    def combine(left: State, right: State) -> State:
        before = jnp.zeros(left[0].shape, jnp.bool_)
        same = ~before
        for a, b in zip(left, right, strict=True):
            before, same = before | (same & (a < b)), same & (a == b)
        return tuple(jnp.where(before, a, b) for a, b in zip(left, right, strict=True))

    return Fold(values, (*(greatest for _ in words), behind), combine)


def folded(fold: Fold, frame: WindowFrame, frames: Frames, partitions: Partitions) -> State:
    """The fold over each frame; the identity where it is empty."""
    empty = frames.start == frames.end
    if frame.start.kind == "preceding" and frame.start.offset is None:
        running = segmented_scan(fold.combine, fold.identity, partitions.row == partitions.first, fold.values)
        found = tuple(value.at[frames.end - 1].get(mode="clip") for value in running)
    elif frame.end.kind == "following" and frame.end.offset is None:
        last = (partitions.row == partitions.end - 1)[::-1]
        reverse = tuple(value[::-1] for value in fold.values)
        running = segmented_scan(lambda a, b: fold.combine(b, a), fold.identity, last, reverse)
        found = tuple(value[::-1].at[frames.start].get(mode="clip") for value in running)
    else:
        return from_tree(fold, frames)
    return tuple(jnp.where(empty, neutral, value) for neutral, value in zip(fold.identity, found, strict=True))


def from_tree(fold: Fold, frames: Frames) -> State:
    """The fold over each frame, from a tree of which every node combines two of the level below."""
    rows = frames.start.shape[0]
    size = 1 << max(0, rows - 1).bit_length()
    level = tuple(
        jnp.concatenate([value, jnp.broadcast_to(neutral, (size - rows,))])
        for value, neutral in zip(fold.values, fold.identity, strict=True)
    )
    levels = [level]
    while level[0].shape[0] > 1:
        pairs = [value.reshape(-1, 2) for value in level]
        level = fold.combine(tuple(pair[:, 0] for pair in pairs), tuple(pair[:, 1] for pair in pairs))
        levels.append(level)
    tree = [jnp.concatenate(parts) for parts in zip(*levels, strict=True)]

    def node(taken: Array, place: Array) -> State:
        found = [values.at[place].get(mode="clip") for values in tree]
        return tuple(jnp.where(taken, value, neutral) for value, neutral in zip(found, fold.identity, strict=True))

    def climb(state: tuple[Array, Array, Array, Array, State, State]) -> tuple[Array, Array, Array, Array, State, State]:
        left, right, base, width, before, after = state
        open_left = (left < right) & (left % 2 == 1)
        before = fold.combine(before, node(open_left, base + left))
        left = left + open_left.astype(left.dtype)
        open_right = (left < right) & (right % 2 == 1)
        right = right - open_right.astype(right.dtype)
        after = fold.combine(node(open_right, base + right), after)
        return left // 2, right // 2, base + width, width // 2, before, after

    nothing = tuple(jnp.broadcast_to(neutral, (rows,)) for neutral in fold.identity)
    start = (frames.start, frames.end, jnp.int32(0), jnp.int32(size), nothing, nothing)
    *_, before, after = lax.while_loop(lambda state: (state[0] < state[1]).any(), climb, start)
    return fold.combine(before, after)
