"""Window functions: keep all rows, sort their numbers once by partition and order, compute each function by vectors over that
order, and hand its values back to the rows where they are: the columns that a row has stay in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import jax.numpy as jnp

from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import FetchFunction, FrameFunction, ListAccumulator, PlaceFunction, WindowFrame, WindowSink
from qtensor.lowering.ir.references import refs_of_sink
from qtensor.lowering.program.sinks.base import AllRows, Array, Result, State, flat
from qtensor.lowering.program.sinks.equal_rows import differs_from_previous
from qtensor.lowering.program.sinks.frame_aggregates import aggregate_frames
from qtensor.lowering.program.sinks.frame_lists import frame_list
from qtensor.lowering.program.sinks.frames import Frames, Partitions, frames_of
from qtensor.lowering.program.sinks.live_rows import live_rows
from qtensor.lowering.program.sinks.packed_sort import sorted_rows
from qtensor.lowering.program.sinks.scans import prefix_sums


@dataclass(frozen=True)
class Window(AllRows):
    sink: WindowSink

    @property
    def refs(self) -> tuple[Ref, ...]:
        """Everything a row must keep until the sort, each once."""
        return refs_of_sink(self.sink)

    def finish(self, state: State) -> Result:
        *stored, live = flat(state)
        rows = Ordered(dict(zip(self.refs, stored, strict=True)), live, self.sink)
        results: list[Array] = []
        aggregates = [function for function in self.sink.functions if isinstance(function, FrameFunction)]
        listed = [function for function in aggregates if isinstance(function.accumulator, ListAccumulator)]
        others = [function for function in aggregates if function not in listed]
        aggregated = aggregate_frames(others, rows.frames_of, rows.partitions, rows.column)
        lists = {}
        for each in listed:
            assert isinstance(each.accumulator, ListAccumulator)
            frames = rows.frames_of(each.frame)
            aggregated[each], lists[each.accumulator.number] = frame_list(each, frames, rows.partitions, rows.column)
        for function in self.sink.functions:
            results += aggregated[function] if isinstance(function, FrameFunction) else rows.compute(function)
        passed = [rows.stored[ref] for ref in self.sink.columns]
        return Result((*passed, *map(rows.as_they_came, results)), live, lists)


@dataclass
class Ordered:
    """All rows in window order, the dead ones last, as a partition of their own."""

    stored: dict[Ref, Array]
    live: Array
    sink: WindowSink
    rows: Array = field(init=False)
    place: Array = field(init=False)  # int32[n]: where each live row stands in window order
    partitions: Partitions = field(init=False)
    known: dict[Ref, Array] = field(default_factory=dict)
    frames: dict[WindowFrame, Frames] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = self.live.shape[0]
        count = self.live.sum(dtype=jnp.int32)
        words = [self.stored[word.word] for word in self.sink.order]
        if words:
            self.rows, ordered = sorted_rows(words, [word.radix for word in self.sink.order], self.live)
            changed = differs_from_previous(ordered)
        else:
            self.rows, _ = live_rows(self.live, length)
            changed = jnp.arange(length) == 0
        row = jnp.arange(length, dtype=jnp.int32)
        there = jnp.where(row < count, self.rows, length)  # what is arbitrary past the live rows must not disturb them
        self.place = jnp.zeros(length, jnp.int32).at[there].set(row, mode="drop")
        first_dead = row == count
        keys = [self.column(word.word) for word in self.sink.partition]
        starts = first_dead | (differs_from_previous(keys) if keys else row == 0)
        self.partitions = Partitions.of(starts, starts if self.sink.order == self.sink.partition else starts | changed)

    def column(self, ref: Ref) -> Array:
        """A column in window order."""
        if ref not in self.known:
            self.known[ref] = self.stored[ref].at[self.rows].get(mode="clip")
        return self.known[ref]

    def as_they_came(self, ordered: Array) -> Array:
        """What is in window order for the rows as they came."""
        return ordered.at[self.place].get(mode="clip")

    def frames_of(self, frame: WindowFrame) -> Frames:
        if frame not in self.frames:
            self.frames[frame] = frames_of(frame, self.partitions, self.column)
        return self.frames[frame]

    def compute(self, function: PlaceFunction | FetchFunction) -> list[Array]:
        """The result columns of a function, in window order."""
        match function:
            case PlaceFunction():
                return [self.place_of(function).astype(jnp.int64)]
            case FetchFunction():
                row, found = self.fetched_row(function)
                return [*(self.column(ref).at[row].get(mode="clip") for ref in function.columns), found]
            case _:
                assert_never(function)

    def place_of(self, function: PlaceFunction) -> Array:
        parts = self.partitions
        match function.kind:
            case "row_number":
                return parts.row - parts.first + 1
            case "rank":
                return parts.peer_first - parts.first + 1
            case "dense_rank":
                return parts.peers - parts.peers[parts.first] + 1
            case "last_peer":
                return parts.peer_end - parts.first
            case "rows":
                return parts.end - parts.first
            case _:
                assert_never(function.kind)

    def fetched_row(self, function: FetchFunction) -> tuple[Array, Array]:
        """The position of the row to take values from, and whether there is one."""
        parts = self.partitions
        count = jnp.int32(1) if function.count is None else self.count(function.count)
        if function.kind in ("lag", "lead"):
            low, high = parts.first, parts.end
        else:
            assert function.frame is not None
            frames = self.frames_of(function.frame)
            low, high = frames.start, frames.end
        if function.present is None:
            row = by_kind(function.kind, parts.row, parts.row, low, high, count)
            return row, (row >= low) & (row < high)
        present = self.column(function.present)
        (before,) = prefix_sums([present])
        before = before.astype(jnp.int32)
        low, high = before[low], before[high]
        # Counted among the rows that are present: those before this one, and those up to this one.
        place = by_kind(function.kind, before[:-1], before[1:] - 1, low, high, count)
        found = (place >= low) & (place < high)
        rows = jnp.zeros(parts.rows, jnp.int32).at[jnp.where(present, before[:-1], parts.rows)].set(parts.row, mode="drop")
        row = rows.at[place].get(mode="clip")
        if function.kind in ("lag", "lead"):  # at distance 0 stands the row itself, present or not
            return jnp.where(count == 0, parts.row, row), found | (count == 0)
        return row, found

    def count(self, ref: Ref) -> Array:
        """A number of rows, brought into what positions can be added to."""
        rows = self.partitions.rows
        return jnp.clip(self.column(ref), -rows - 1, rows + 1).astype(jnp.int32)


def by_kind(kind: str, before: Array, after: Array, low: Array, high: Array, count: Array) -> Array:
    """The position that a function means, in [low, high) if it exists."""
    places: dict[str, Callable[[], Array]] = {
        "lag": lambda: jnp.where(count >= 0, before, after) - count,
        "lead": lambda: jnp.where(count >= 0, after, before) + count,
        "first": lambda: low,
        "last": lambda: high - 1,
        "nth": lambda: jnp.where(count > 0, low + count - 1, high),
    }
    return places[kind]()
