"""Finds the rows whose words are equal: by a small hash table if there are few different ones, else by sorting.

Measured (2 cores, jaxlib 0.10.1, 2 M rows grouped by a DOUBLE, the whole query): 1,000 different values take 52 ms by hashing,
and 680 took sorting by several operands; 2 M different values take 290 ms by packed sorts, 780 before. A round of hashing that
turns out to be useless is a tenth of that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.program.sinks.base import Array, apart
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.prefix import running_sum

SLOT_BITS = 17  # a table of row numbers that stays in L2
MANY_WORDS = 8  # as many are compared in loops
ROUNDS = 4  # each with other bits of a hash
FEWEST_ROWS = 1 << 15  # fewer are sorted at once
MULTIPLIER = -7046029254386353131  # 2**64 / golden ratio, odd


class EqualRows(NamedTuple):
    """Rows in some order, `rows` int32[n] their numbers: for each the number of its class of equal rows, whether it is live,
    and whether it is the one that stands for its class. Of equal rows the first comes first.
    """

    rows: Array
    number: Array
    live: Array
    starts: Array


def equal_rows(words: Sequence[Array], radices: Sequence[int | None], live: Array) -> EqualRows:
    """The classes of live rows that are equal in all words, numbered from 0 on; those of dead rows may be any.

    A word of radix r lies in [0, r); of radix None it is any int64.
    """
    if len(words) >= MANY_WORDS:
        many = ManyWords.of(words)
        by_order = functools.partial(by_sorting_hashes, many, live)
    else:
        many = None
        by_order = functools.partial(by_sorting, words, radices, live)
    if live.shape[0] < FEWEST_ROWS:
        return by_order()
    representative, open_rows = by_hashing(many or FewWords(words), live)
    found: EqualRows = lax.cond(open_rows == 0, lambda: numbered(representative, live), by_order)
    return found


def by_sorting(words: Sequence[Array], radices: Sequence[int | None], live: Array) -> EqualRows:
    rows, ordered = sorted_rows(words, radices, live)
    alive = jnp.arange(live.shape[0], dtype=jnp.int32) < live.sum(dtype=jnp.int32)
    starts = alive & differs_from_previous(ordered)
    number = running_sum(starts.astype(jnp.int32)) - 1
    return EqualRows(rows, jnp.maximum(number, 0), alive, starts)


def differs_from_previous(words: Sequence[Array]) -> Array:
    """bool[n]: the first row, and each whose words are not all those of the row before."""
    changed = jnp.zeros(words[0].shape[0] - 1, jnp.bool_)
    for word in words:
        changed = changed | (word[1:] != word[:-1])
    return jnp.concatenate([jnp.ones(1, jnp.bool_), changed])


def by_sorting_hashes(words: ManyWords, live: Array) -> EqualRows:
    """The classes in the order of their hashes; where different rows have equal ones, which hardly ever happens, in the order of
    all words, sorted by one after the other.
    """
    hashes = words.hashes()
    rows, (ordered,) = sorted_rows([hashes], [None], live)
    alive = jnp.arange(live.shape[0], dtype=jnp.int32) < live.sum(dtype=jnp.int32)
    changed = words.differs_from_previous(rows)
    collided = (alive & changed & ~differs_from_previous([ordered])).any()

    def by_all_words() -> tuple[Array, Array]:
        rows = words.sorted(live)
        return rows, words.differs_from_previous(rows)

    rows, changed = lax.cond(collided, by_all_words, lambda: (rows, changed))
    starts = alive & changed
    number = running_sum(starts.astype(jnp.int32)) - 1
    return EqualRows(rows, jnp.maximum(number, 0), alive, starts)


def by_hashing(words: FewWords | ManyWords, live: Array) -> tuple[Array, Array]:
    """For each live row the first row equal to it, int32[n], and how many rows were left without.

    In each round rows go to slots by their hash; the first row of a slot takes all that are equal to it, and the others try
    other slots. It is given up when rows are left after the last round, or when the first one found less than half.
    """
    count = live.shape[0]
    hashes = words.hashes()
    slots = 1 << SLOT_BITS
    numbers = jnp.arange(count, dtype=jnp.int32)
    total = live.sum(dtype=jnp.int32)

    def wanted(state: tuple[Array, Array, Array]) -> Array:
        turn, _, left = state
        return (left > 0) & (turn < ROUNDS) & ((turn == 0) | (left <= total // 2))

    def find(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        turn, found, _ = state
        waiting = live & (found < 0)
        slot = (hashes >> (turn.astype(jnp.int64) * (SLOT_BITS - 2))).astype(jnp.int32) & jnp.int32(slots - 1)
        target = jnp.where(waiting, slot, jnp.int32(slots))
        first = jnp.full(slots, count, jnp.int32).at[target].min(numbers, mode="drop").at[slot].get(mode="clip")
        found = jnp.where(waiting & words.equal(first), first, found)
        return turn + 1, found, (live & (found < 0)).sum(dtype=jnp.int32)

    _, found, left = lax.while_loop(wanted, find, (jnp.int32(0), jnp.full(count, -1, jnp.int32), total))
    return found, left


@dataclass(frozen=True)
class FewWords:
    """The words of rows, int64[n] each, compared one by one."""

    words: Sequence[Array]

    def hashes(self) -> Array:
        """int64[n]: equal words have equal hashes, others hardly ever have the same bits anywhere."""
        mixed = jnp.zeros((), jnp.int64)
        for word in self.words:
            mixed = mixed_in(mixed, word)
        return finally_mixed(mixed)

    def equal(self, others: Array) -> Array:
        """bool[n]: whether each row is equal to row number `others`."""
        equal = jnp.ones((), jnp.bool_)
        for word in self.words:
            equal = equal & (word.at[others].get(mode="clip") == word)
        return equal


@dataclass(frozen=True)
class ManyWords:
    """The words of rows, int64[words, n], compared in loops: code for each of a hundred would be seconds of compiling."""

    words: Array

    @staticmethod
    def of(words: Sequence[Array]) -> ManyWords:
        return ManyWords(jnp.stack([apart(word) for word in words]))

    @property
    def count(self) -> int:
        return int(self.words.shape[0])

    @property
    def rows(self) -> int:
        return int(self.words.shape[1])

    def hashes(self) -> Array:
        """As those of few words."""
        start = jnp.zeros(self.rows, jnp.int64)
        return finally_mixed(lax.fori_loop(0, self.count, lambda at, mixed: mixed_in(mixed, self.words[at]), start))

    def equal(self, others: Array) -> Array:
        def both(at: Array, equal: Array) -> Array:
            word = self.words[at]
            return equal & (word.at[others].get(mode="clip") == word)

        equal: Array = lax.fori_loop(0, self.count, both, jnp.ones(self.rows, jnp.bool_))
        return equal

    def differs_from_previous(self, rows: Array) -> Array:
        """bool[n]: the first of `rows`, and each whose words are not all those of the one before."""

        def either(at: Array, changed: Array) -> Array:
            ordered = self.words[at].at[rows].get(mode="clip")
            return changed | (ordered[1:] != ordered[:-1])

        changed = lax.fori_loop(0, self.count, either, jnp.zeros(self.rows - 1, jnp.bool_))
        return jnp.concatenate([jnp.ones(1, jnp.bool_), changed])

    def sorted(self, live: Array) -> Array:
        """int32[n]: the rows in the order of their words, the dead ones last."""

        def by_word(turn: Array, order: Array) -> Array:
            word = self.words[self.count - 1 - turn].at[order].get(mode="clip")
            place, _ = sorted_rows([word], [None], live.at[order].get(mode="clip"))
            return order.at[place].get(mode="clip")

        order: Array = lax.fori_loop(0, self.count, by_word, jnp.arange(self.rows, dtype=jnp.int32))
        return order


def mixed_in(mixed: Array, word: Array) -> Array:
    """A hash with one more word in it."""
    mixed = (mixed ^ word) * jnp.int64(MULTIPLIER)
    return mixed ^ lax.shift_right_logical(mixed, jnp.full_like(mixed, 32))


def finally_mixed(mixed: Array) -> Array:
    mixed = mixed * jnp.int64(MULTIPLIER)
    result: Array = mixed ^ lax.shift_right_logical(mixed, jnp.full_like(mixed, 29))
    return result


def numbered(representative: Array, live: Array) -> EqualRows:
    """The classes of rows in the order of the table, by the first row of each."""
    rows = jnp.arange(live.shape[0], dtype=jnp.int32)
    starts = live & (representative == rows)
    number = running_sum(starts.astype(jnp.int32)) - 1
    return EqualRows(rows, number.at[jnp.maximum(representative, 0)].get(mode="clip"), live, starts)
