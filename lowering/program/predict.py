"""How a model is called for the rows of a batch: all at once, or, if it is large, block by block and for live rows only.

A model of a few weights is a part of the loop that it stands in, and its rows are as many as the batch has. The activations of
a wide one would not fit any cache then: 65,536 rows of 256 units are 64 MB. So it goes over blocks of `BLOCK` rows, ends behind
the last live row, and, where filters went before, gathers the rows that they left if that costs less than the model does.

Live rows are brought together in smaller pieces, since of the last one most may be for nothing: of 10,240 rows, 1 in 100 live,
through 100-256-128-10 3.6 ms in pieces of 2,048 and 0.77 of 256 (half of them live: 10.7 and 11.3), through LSTM(32) of 20 steps
12 ms and 2.1 (33 and 25).

Measured (2 cores, jaxlib 0.10.1, ns of CPU a row in chunks of 65,536 rows and in blocks of 2,048, both over features):
100-256-128-10 1,192 and 766, 32-128-64-1 253 and 248, 20-64-32-1 92 and 109; over rows in tiles 680, 161 and 62. Later blocks of
1,024 were as fast (400,000 rows through 100-256-128-10: 546 ms of CPU and 533), and leave less of the last one unused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.models.model import WIDE, Model, Prediction
from qtensor.lowering.program.sinks.live_rows import LiveRows

Array: TypeAlias = jax.Array
Columns: TypeAlias = Sequence[Array]  # a model's arguments

BLOCK = 1_024
# Of a filtered batch so many pieces, of so many rows at least: of what is computed for the last piece most is for nothing.
PIECES, LEAST_PIECE = 64, 256
# Multiply-adds a row and argument from which the rows of a wide model are gathered (1 ns each, in which a core does 50 of them:
# worth it where filters leave two rows of three, or fewer).
WORTH_GATHERING = 100
WORTH_LEAVING_OUT = 25_000_000  # multiply-adds of a batch: half a millisecond


class Rows(NamedTuple):
    """The rows of a batch, `length` of them. live: bool[length], those that are asked for. filtered: whether the live ones may
    be anywhere, not only in front. block, gathered: a model's arguments for `BLOCK` rows from a first one on, and for rows by
    their numbers, int32[piece].
    """

    length: int
    live: Array
    filtered: bool
    block: Callable[[Array], Columns]
    gathered: Callable[[Array], Columns]

    @property
    def piece(self) -> int:
        """How many live rows are brought together at a time."""
        return max(LEAST_PIECE, min(BLOCK, self.length // PIECES))


def is_wide(model: Model, length: int, filtered: bool) -> bool:
    """Whether a model is called block by block for a batch of `length` rows, or piece by piece for those that filters left of it.

    Of few rows, too, if they cost much: to leave out dead ones takes longer to compile.
    """
    if filtered and picks_rows(model) and length > LEAST_PIECE and length * model.work >= WORTH_LEAVING_OUT:
        return True
    return model.work >= WIDE and length > BLOCK


def picks_rows(model: Model) -> bool:
    """Whether a model is called for those rows alone that filters leave of a batch."""
    return model.work >= max(WIDE, WORTH_GATHERING * len(model.arguments))


def predict_in_blocks(model: Model, weights: Sequence[Array], rows: Rows) -> Prediction:
    """The model's result for the live rows; other rows hold anything, and did not fail."""
    if rows.filtered and picks_rows(model):
        return predict_gathered(model, weights, rows)
    numbers = jnp.arange(1, rows.length + 1, dtype=jnp.int32)
    end = lax.min(jnp.where(rows.live, numbers, 0).max(), jnp.int32(rows.length))  # a reader of the program sees the loop end

    def step(loop: tuple[Array, Prediction]) -> tuple[Array, Prediction]:
        first, found = loop
        start = jnp.minimum(first, rows.length - BLOCK)
        new = model.apply(weights, rows.block(start))
        written = jax.tree.map(lambda all, part: lax.dynamic_update_slice_in_dim(all, part, start, all.ndim - 1), found, new)
        return first + BLOCK, written

    return lax.while_loop(
        lambda loop: loop[0] < end, step, (jnp.int32(0), nothing(model, weights, rows, lambda: rows.block(jnp.int32(0))))
    )[1]


def predict_gathered(model: Model, weights: Sequence[Array], rows: Rows) -> Prediction:
    """The live rows alone, brought together.

    Their numbers are listed one block ahead: what a turn of a loop takes over from the last one is there as it is, while XLA
    would compute the numbers anew in the gather of each argument.
    """
    missing, piece = -rows.length % 64, rows.piece
    live = LiveRows.of(jnp.pad(rows.live, (0, missing)) if missing else rows.live)

    def step(loop: tuple[Array, Array, Prediction]) -> tuple[Array, Array, Prediction]:
        first, numbers, found = loop
        new = model.apply(weights, rows.gathered(jnp.minimum(numbers, rows.length - 1)))
        is_there = jnp.arange(piece, dtype=jnp.int32) + first < live.total
        target = jnp.where(is_there, numbers, rows.length)  # beyond the end: dropped
        written = jax.tree.map(lambda all, part: all.at[..., target].set(part, mode="drop"), found, new)
        return first + piece, live.listed(piece, first + piece), written

    numbers = live.listed(piece)
    start = (jnp.int32(0), numbers, nothing(model, weights, rows, lambda: rows.gathered(numbers)))
    end = lax.min(live.total, jnp.int32(rows.length))
    return lax.while_loop(lambda loop: loop[0] < end, step, start)[2]


def nothing(model: Model, weights: Sequence[Array], rows: Rows, some: Callable[[], Columns]) -> Prediction:
    """The result before any row was computed. some: the model's arguments for some rows."""
    shapes: Prediction = jax.eval_shape(lambda: model.apply(weights, some()))
    return jax.tree.map(lambda part: jnp.zeros((*part.shape[:-1], rows.length), part.dtype), shapes)  # type: ignore[no-any-return]
