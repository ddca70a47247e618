"""Partitions and frames: for each row of a window which rows it sees, as positions in the window's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import jax.numpy as jnp

from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import FrameEnd, WindowFrame
from qtensor.lowering.program.loops import bounded_loop
from qtensor.lowering.program.sinks.base import Array
from qtensor.lowering.program.sinks.scans import prefix_sums

Columns: TypeAlias = Callable[[Ref], Array]  # in window order


@dataclass(frozen=True)
class Partitions:
    """Rows in window order, [n] each: `row` is a row's own position; `first` and `end` enclose its partition, `peer_first` and
    `peer_end` its peers; `peers` numbers the groups of peers.
    """

    row: Array
    first: Array
    end: Array
    peer_first: Array
    peer_end: Array
    peers: Array

    @property
    def rows(self) -> int:
        return int(self.row.shape[0])

    @staticmethod
    def of(partition_starts: Array, peer_starts: Array) -> Partitions:
        """Of the rows with which a partition, or within it a group of peers, starts; the first row is one of both."""
        rows = partition_starts.shape[0]
        row = jnp.arange(rows, dtype=jnp.int32)

        def runs(starts: Array, number: Array) -> Array:
            """int32[n + 1]: where each run starts, and behind the last one `n`."""
            begins = jnp.full(rows + 1, rows, jnp.int32)
            return begins.at[jnp.where(starts, number, rows + 1)].set(row, mode="drop")

        alike = peer_starts is partition_starts
        counts = prefix_sums([partition_starts] if alike else [partition_starts, peer_starts])
        partition, *others = [(sums[1:] - 1).astype(jnp.int32) for sums in counts]
        at = runs(partition_starts, partition)
        if alike:
            return Partitions(row, at[partition], at[partition + 1], at[partition], at[partition + 1], partition)
        (peers,) = others
        peers_at = runs(peer_starts, peers)
        return Partitions(row, at[partition], at[partition + 1], peers_at[peers], peers_at[peers + 1], peers)


@dataclass(frozen=True)
class Frames:
    """The frames of all rows: from `start` up to, but without, `end`; start <= end, int32[n]."""

    start: Array
    end: Array


def frames_of(frame: WindowFrame, partitions: Partitions, column: Columns) -> Frames:
    """The frames; `column` gives a column in window order."""
    find = FrameFinder(frame, partitions, column)
    start = jnp.clip(find.start(frame.start), partitions.first, partitions.end)
    end = jnp.clip(find.end(frame.end), start, partitions.end)
    return Frames(start, end)


@dataclass(frozen=True)
class FrameFinder:
    frame: WindowFrame
    partitions: Partitions
    column: Columns

    def start(self, bound: FrameEnd) -> Array:
        """The first row of the frame, as far as the partition goes; see `frames_of`."""
        parts = self.partitions
        if bound.offset is None:
            current = parts.row if self.frame.unit == "rows" else parts.peer_first
            return {"preceding": parts.first, "current": current, "following": parts.end}[bound.kind]
        if self.frame.unit == "rows":
            return parts.row + self.distance(bound)
        return self.search(bound, parts.peer_first, after_equal=False)

    def end(self, bound: FrameEnd) -> Array:
        """The row behind the last of the frame."""
        parts = self.partitions
        if bound.offset is None:
            current = parts.row + 1 if self.frame.unit == "rows" else parts.peer_end
            return {"preceding": parts.first, "current": current, "following": parts.end}[bound.kind]
        if self.frame.unit == "rows":
            return parts.row + self.distance(bound) + 1
        return self.search(bound, parts.peer_end, after_equal=True)

    def distance(self, bound: FrameEnd) -> Array:
        """How many rows further, negative towards the first."""
        assert bound.offset is not None
        rows = self.partitions.rows
        steps = jnp.clip(self.column(bound.offset), 0, rows).astype(jnp.int32)
        return -steps if bound.kind == "preceding" else steps

    def search(self, bound: FrameEnd, of_null: Array, after_equal: bool) -> Array:
        """Where the key reaches the bound's value, or with `after_equal` passes it; `of_null` for rows whose key is NULL."""
        parts, frame = self.partitions, self.frame
        assert frame.key is not None and bound.offset is not None
        keys, target = self.column(frame.key), self.column(bound.offset)
        low, high = parts.first, parts.end
        valid = None if frame.valid is None else self.column(frame.valid)
        if valid is not None:
            (count,) = prefix_sums([valid])
            known = (count[parts.end] - count[parts.first]).astype(jnp.int32)
            low, high = (high - known, high) if frame.nulls_first else (low, low + known)

        def narrow(ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = low + (high - low) // 2
            key = keys.at[middle].get(mode="clip")
            right = (key <= target if after_equal else key < target) & (low < high)
            return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

        halvings = parts.rows.bit_length() + 1
        found, _ = bounded_loop(halvings, lambda ends: (ends[0] < ends[1]).any(), narrow, (low, high))
        return found if valid is None else jnp.where(valid, found, of_null)
