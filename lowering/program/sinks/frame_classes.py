"""Which rows of a partition have equal values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from qtensor.lowering.ir.physical import SortWord
from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.equal_rows import differs_from_previous
from qtensor.lowering.program.sinks.frames import Columns, Partitions
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.prefix import running_sum


class Classes(NamedTuple):
    """Equal values of one partition, int32[n] each: of a row that counts its class; of a class its rows' places in `rows`, from
    `start` up to `end`, where they stand in window order.
    """

    number: Array
    rows: Array
    start: Array
    end: Array
    counted: Array

    @staticmethod
    def of(words: Sequence[SortWord], counted: Array, partitions: Partitions, column: Columns) -> Classes:
        """Of the rows that are `counted`; words: those of a value."""
        keys = [partitions.first.astype(jnp.int64), *(column(word.word) for word in words)]
        rows, ordered = sorted_rows(keys, [partitions.rows, *(word.radix for word in words)], counted)
        place = partitions.row
        starts = differs_from_previous(ordered) | (place == counted.sum(dtype=jnp.int32))  # where those that do not count begin
        number = running_sum(starts.astype(jnp.int32)) - 1
        begins = jnp.full(partitions.rows + 1, partitions.rows, jnp.int32)
        begins = begins.at[jnp.where(starts, number, partitions.rows + 1)].set(place, mode="drop")
        of_row = jnp.zeros(partitions.rows, jnp.int32).at[rows].set(number, unique_indices=True)
        return Classes(of_row, rows, begins[:-1], begins[1:], counted)

    @property
    def firsts(self) -> Array:
        """bool[n]: which rows are the first of their class."""
        return self.of_rows(self.place == self.start[self.number[self.rows]])

    @property
    def lasts(self) -> Array:
        return self.of_rows(self.place + 1 == self.end[self.number[self.rows]])

    @property
    def place(self) -> Array:
        return jnp.arange(self.rows.shape[0], dtype=jnp.int32)

    def of_rows(self, by_class: Array) -> Array:
        """What is known of rows by class, in window order."""
        return jnp.zeros_like(by_class).at[self.rows].set(by_class, unique_indices=True)
