"""Rows that a step keeps for the next one: in memory as long as there is room, else in a file that nobody else sees.

The file has no name from the beginning, where the system lets: it is gone with the process, however that ends.
"""

from __future__ import annotations

import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from qtensor.errors import CapacityError, DataError
from qtensor.process.calls import check
from qtensor.process.memory import shown_size
from qtensor.streaming.partition import PARTS, Order, hashed_parts, joined

_RUN = 1 << 14  # rows of a batch of a sorted run: as many more than wanted are read at each of its ends

Reduce = Callable[[pa.Table], pa.Table]


class SpilledBatches:
    """Batches of rows in a file of their own, read by their numbers."""

    def __init__(self, schema: pa.Schema) -> None:
        self._file = tempfile.TemporaryFile(prefix="qtensor-")  # noqa: SIM115, open as long as this is
        weakref.finalize(self, self._file.close)
        self._schema = schema
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, "w"), schema)
        self._reader: pa.RecordBatchFileReader | None = None
        self.count = 0
        self.bytes = 0

    def add(self, rows: pa.Table) -> int:
        """Write rows as one batch; its number. Raises DataError: the disk is full."""
        arrays = [joined(column) for column in rows.columns]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        try:
            self._writer.write_batch(batch)
        except OSError as error:
            raise DataError(f"the rows of a query that do not fit memory cannot be written to disk: {error}") from error
        self.count += 1
        self.bytes += batch.nbytes
        return self.count - 1

    def get(self, numbers: Sequence[int]) -> pa.Table:
        if self._reader is None:
            self._writer.close()
            self._reader = pa.ipc.open_file(pa.PythonFile(self._file, "r"))
        return pa.Table.from_batches([self._reader.get_batch(number) for number in numbers], self._schema)


class Spill(ABC):
    """How rows are cut into parts where they do not fit memory."""

    _batches: SpilledBatches

    def open(self, schema: pa.Schema) -> None:
        """Begin; before that nothing is on disk."""
        self._batches = SpilledBatches(schema)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._batches.bytes

    @abstractmethod
    def add(self, rows: pa.Table) -> None: ...

    @abstractmethod
    def sizes(self) -> list[int]:
        """About the bytes of each part."""

    @abstractmethod
    def part(self, first: int, last: int) -> pa.Table:
        """The rows of the parts from `first` to `last`."""


class ByHash(Spill):
    """By hashes of columns: rows with equal keys are in the same part, in the order in which they came."""

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns = columns
        self._numbers: list[list[int]] = [[] for _ in range(PARTS)]
        self._sizes = [0] * PARTS

    def add(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        parts = hashed_parts([rows.column(column) for column in self._columns])
        counts = np.bincount(parts, minlength=PARTS)
        ordered = rows.combine_chunks().take(pa.array(np.argsort(parts, kind="stable")))
        start = 0
        for part, count in enumerate(counts.tolist()):
            if count:
                own = ordered.slice(start, count)
                self._sizes[part] += own.nbytes
                self._numbers[part].append(self._batches.add(own))
                start += count

    def sizes(self) -> list[int]:
        return self._sizes

    def part(self, first: int, last: int) -> pa.Table:
        return self._batches.get([number for part in range(first, last + 1) for number in self._numbers[part]])


class ByArrival(Spill):
    """As rows come: each block is a part."""

    def __init__(self) -> None:
        self._sizes: list[int] = []

    def add(self, rows: pa.Table) -> None:
        self._batches.add(rows)
        self._sizes.append(rows.nbytes)

    def sizes(self) -> list[int]:
        return self._sizes

    def part(self, first: int, last: int) -> pa.Table:
        return self._batches.get(range(first, last + 1))


class ByOrder(Spill):
    """By ranges of what rows are ordered by first. What comes is in order, each time anew: a run."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._runs: list[list[tuple[int, Any]]] = []  # the batches of each, with their first keys; None for NULL
        self._samples: list[Any] = []
        self._bounds: list[Any] | None = None

    def add(self, rows: pa.Table) -> None:
        run = []
        for start in range(0, rows.num_rows, _RUN):
            own = rows.slice(start, _RUN)
            keys = self._order.key(own)
            self._samples += self._order.samples(keys, _RUN // 16)
            run.append((self._batches.add(own), next(iter(self._order.samples(keys.slice(0, 1), 1)), None)))
        if run:
            self._runs.append(run)

    def bounds(self) -> list[Any]:
        if self._bounds is None:
            self._bounds = self._order.bounds(self._samples, PARTS)
        return self._bounds

    def sizes(self) -> list[int]:
        parts = len(self.bounds()) + 1
        return [self._batches.bytes // parts] * parts

    def part(self, first: int, last: int) -> pa.Table:
        bounds = self.bounds()
        low = None if first == 0 else bounds[first - 1]
        high = None if last == len(bounds) else bounds[last]
        pieces = [self._batches.get([])]
        for run in self._runs:
            check()
            for number in self._between(run, low, high):
                rows = self._batches.get([number])
                keys = self._order.key(rows)
                start = 0 if low is None else self._order.before(keys, low)
                end = rows.num_rows if high is None else self._order.before(keys, high)
                pieces.append(rows.slice(start, max(end - start, 0)))
        return pa.concat_tables(pieces)

    def _between(self, run: Sequence[tuple[int, Any]], low: Any, high: Any) -> Iterator[int]:
        """The batches of a run that may hold keys from `low` on and before `high`."""
        for (number, first), (_, following) in zip(run, [*run[1:], (0, None)], strict=True):
            past = high is not None and first is not None and not self._order.precedes(first, high)
            short = low is not None and following is not None and self._order.precedes(following, low)
            if not (past or short):
                yield number


class Store:
    """Rows of a step, added block by block."""

    def __init__(self, step: str, budget: int, spill: Spill | None, reduce: Reduce | None = None) -> None:
        """step: what needs them, for errors. budget: bytes that are kept in memory. reduce: makes fewer rows of them, perhaps.

        spill: how the rest is cut; None where all rows are needed at once.
        """
        self._step = step
        self._budget = budget
        self._spill = spill
        self._reduce = reduce
        self._held: list[pa.Table] = []
        self._bytes = 0
        self.spilled = False

    def add(self, rows: pa.Table) -> None:
        """Raises CapacityError: all rows are needed at once, and there are too many."""
        if self.spilled:
            assert self._spill is not None
            self._spill.add(rows)
            return
        self._held.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._budget:
            self._make_room(rows.schema)

    def _make_room(self, schema: pa.Schema) -> None:
        if self._reduce is not None and len(self._held) > 1:
            reduced = self._reduce(pa.concat_tables(self._held))
            before, self._held, self._bytes = self._bytes, [reduced], reduced.nbytes
            if self._bytes <= self._budget // 2:
                return
            if self._bytes > before // 2:
                self._reduce = None  # there is little that is the same
        if self._bytes <= self._budget:
            return
        if self._spill is None:
            raise CapacityError(
                f"{self._step} needs all rows at once, more than {shown_size(self._bytes)} of them; there is room for "
                f"{shown_size(self._budget)} (a part of memory_limit)"
            )
        self.spill(schema)

    @property
    def size_on_disk(self) -> int:
        """The bytes that were spilled."""
        return self._spill.size if self.spilled and self._spill is not None else 0

    def rows(self) -> pa.Table:
        """All rows, where they are in memory."""
        return pa.concat_tables(self._held)

    def parts(self, beside: Store | None = None) -> Iterator[tuple[int, int]]:
        """The parts, as many at once as there is room for: the first and the last of them; with those of another store.

        Raises CapacityError: one part is too large.
        """
        assert self._spill is not None
        sizes = self._spill.sizes()
        if beside is not None:
            assert beside._spill is not None
            sizes = [own + other for own, other in zip(sizes, beside._spill.sizes(), strict=True)]
        first, size = 0, 0
        for part, more in enumerate(sizes):
            if more > 8 * self._budget:
                raise CapacityError(
                    f"{self._step} needs all rows of equal keys at once, {shown_size(more)} of them; there is room for "
                    f"{shown_size(8 * self._budget)} (a part of memory_limit)"
                )
            if size and size + more > self._budget:
                yield first, part - 1
                first, size = part, 0
            size += more
        yield first, len(sizes) - 1

    def spill(self, schema: pa.Schema) -> None:
        """Put the rows that are in memory into parts."""
        if not self.spilled:
            assert self._spill is not None
            self._spill.open(schema)
            for rows in self._held:
                self._spill.add(rows)
            self._held, self._bytes, self.spilled = [], 0, True

    def part(self, first: int, last: int) -> pa.Table:
        assert self._spill is not None
        return self._spill.part(first, last)
