"""What planning knows of tables: measured of all their data when columns are encoded, or learned block by block."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from qtensor.lowering.ir.physical import SourceColumn, TableSource
from qtensor.lowering.ir.ranges import INT64, Range, range_of_type, widened
from qtensor.lowering.storage import EncodedColumn, Level
from qtensor.lowering.storage.levels import LEVELS
from qtensor.optimise.facts.statistics import ColumnStatistics
from qtensor.optimise.facts.text_levels import TextLevels
from qtensor.sources.table import Table
from qtensor.types import SqlType, Unsupported, Varchar


class MeasuredTables:
    """Tables as planning sees them: which columns exist is known at once, what holds of their data once they are encoded.

    levels: what text columns must be at least; "ordered" where they are not named. learned: of tables that are blocks of a
    stream, what holds of all blocks as far as they were seen. unread: tables that are too large to be read only to plan a query.
    """

    of_examples = False

    def __init__(
        self,
        tables: Mapping[str, Table],
        threads: int,
        levels: TextLevels | None = None,
        learned: Mapping[str, Learned] | None = None,
        unread: Collection[str] = (),
    ) -> None:
        self._tables = tables
        self._learned = {} if learned is None else learned
        self._unread = unread
        self._threads = threads
        self._levels: TextLevels = levels or {}
        self.encoded: dict[tuple[str, int], EncodedColumn] = {}  # of all sources that were asked for
        self.dictionary_sizes: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, float] = {}

    def source(self, table: str, columns: Sequence[int]) -> TableSource:
        start = time.perf_counter()
        levels: list[Level] = [self._levels.get((table, index), "ordered") for index in columns]
        encoded = self._tables[table].columns(columns, self._threads, levels)
        self.seconds["read and encode"] = self.seconds.get("read and encode", 0.0) + time.perf_counter() - start
        layout = self._tables[table].layout(self._threads)
        for index, column in zip(columns, encoded, strict=True):
            self.encoded[table, index] = column
            if column.dictionary is not None:
                self.dictionary_sizes[table, index] = len(column.dictionary)
        fields = self._tables[table].fields
        described = tuple(assumed(index, fields[index].name, column) for index, column in zip(columns, encoded, strict=True))
        if table in self._learned:
            learned = self._learned[table]
            described = tuple(learned.columns[index] for index in columns)
            self.dictionary_sizes |= {(table, index): learned.strings[index] for index in columns if index in learned.strings}
        return TableSource(table, described, layout.shares, layout.chunks, layout.chunk)

    def rows(self, table: str) -> int:
        return self._tables[table].rows

    def column(self, table: str, index: int) -> ColumnStatistics:
        """What is known of a column, which the query reads."""
        if table in self._unread:
            return said_of(self._tables[table], index)
        known = self._tables[table].column(index, self._threads, "plain").statistics
        ordered = not isinstance(self._tables[table].fields[index].type, Varchar | Unsupported)
        bounds = (known.minimum, known.maximum) if ordered else (None, None)
        return ColumnStatistics(known.distinct, *bounds, known.nulls / max(known.rows, 1))

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        """Whether no two rows are equal in all of `columns`, which the query reads."""
        if table in self._unread:
            return False
        if table in self._learned:
            return self._learned[table].unique(columns, self._tables[table], self._threads)
        return self._tables[table].unique(columns, self._threads)

    def close(self) -> None:
        """Forget all: what plans and optimises has cycles, which would keep columns until a collection of garbage."""
        self._tables = {}
        self.encoded = {}


def dictionary_of(column: EncodedColumn) -> pa.Array:
    """The strings of a column of text."""
    assert column.dictionary is not None
    return column.dictionary


def assumed(index: int, name: str, column: EncodedColumn) -> SourceColumn:
    """What a program may assume of a column: what the statistics say, ranges rounded so that similar data share a program."""
    statistics = column.statistics
    bounds = None
    if column.data.dtype.kind == "i":
        low, high = int(statistics.minimum or 0), int(statistics.maximum or 0)
        limits = np.iinfo(column.data.dtype)
        bounds = widened(low, high) & Range(int(limits.min), int(limits.max))
    unusual = statistics.has_nan or statistics.has_denormals
    return SourceColumn(index, name, str(column.data.dtype), column.valid is not None, bounds, unusual, column.level)  # type: ignore[arg-type]


def said_of(table: Table, index: int) -> ColumnStatistics:
    """What is known of a column that is not read before the query is planned."""
    facts = table.facts(index)
    nulls = 0.0 if facts.nulls is None else facts.nulls / max(table.rows, 1)
    if facts.range is None:
        return ColumnStatistics(float(max(table.rows, 1)), nulls=nulls)
    low, high = facts.range
    return ColumnStatistics(float(min(table.rows, high - low + 1)), float(low), float(high), nulls)


_MANY_VALUES = 1 << 16  # fewer have a slot each
_FEW = 4  # of so many values one is in a block


class Learned:
    """What holds of all blocks of a stream that were seen: what programs assume of the next one. It only ever grows.

    hints: the range of a column's integers as far as something is known of it beforehand. rows: what a block has room for.
    version: another number whenever something else is assumed than before.
    """

    def __init__(self, rows: int, hints: Mapping[int, tuple[int, int]]) -> None:
        self.rows = rows
        self.columns: dict[int, SourceColumn] = {}
        self.strings: dict[int, int] = {}  # of texts, how many different ones there may be
        self.version = 0
        self._hints = hints
        self._spans: dict[int, int] = {}
        self._keys: dict[tuple[int, ...], bool] = {}

    def make_room(self, rows: int) -> None:
        """Blocks have room for more rows from now on."""
        self.rows = rows
        self.version += 1

    def see(self, table: Table, columns: Mapping[int, EncodedColumn], threads: int) -> None:
        """Take the columns of a block into account."""
        for index, column in columns.items():
            found, known = self._found(index, table.fields[index].name, column), self.columns.get(index)
            grown = found if known is None else self._grown(known, found, column.type)
            grown = replace(grown, span=self._span(index, column, grown.range))
            if grown != known:
                self.columns[index] = grown
                self.version += 1
        for key, was_unique in self._keys.items():
            if was_unique and not table.unique(key, threads):
                self._keys[key] = False
                self.version += 1

    def unique(self, columns: Sequence[int], table: Table, threads: int) -> bool:
        """Whether no block has two rows that are equal in all of `columns`; `table` is the present block."""
        key = tuple(sorted(columns))
        if key not in self._keys:
            self._keys[key] = table.unique(key, threads)
        return self._keys[key]

    def _found(self, index: int, name: str, column: EncodedColumn) -> SourceColumn:
        """What a block alone shows of a column, with what is known beforehand."""
        found = assumed(index, name, column)
        if column.dictionary is not None:
            room = self.rows if column.level == "plain" else self._room_for_strings(index, len(column.dictionary))
            self.strings[index] = max(room, self.strings.get(index, 0))
            return with_range(found, Range(0, max(self.strings[index] - 1, 0)))
        if found.range is None or index not in self._hints:
            return found
        whole = found.range | within(widened(*self._hints[index]), column.type)
        return with_range(found, whole)

    def _span(self, index: int, column: EncodedColumn, range: Range | None) -> int | None:
        """By how much values of a block are greater than its least one at most, if that is little."""
        if range is None or column.dictionary is not None:
            return None
        span = int(column.statistics.maximum or 0) - int(column.statistics.minimum or 0)
        if span > self._spans.get(index, -1):
            self._spans[index] = widened(0, span if index not in self._spans else 2 * span).high
        return self._spans[index] if max(self._spans[index], _MANY_VALUES) * _FEW < range.size else None

    def _room_for_strings(self, index: int, count: int) -> int:
        """How many strings a program has room for: those that there are, and where these became more, many more."""
        known = self.strings.get(index)
        if known is not None and count <= known:
            return known
        return 1 << (max(count, 1) - 1).bit_length() + (known is not None)

    def _grown(self, known: SourceColumn, found: SourceColumn, type: SqlType) -> SourceColumn:
        """What holds of both; where values lie outside of what was known, with room for more of their kind."""
        level = found.level if LEVELS.index(found.level) < LEVELS.index(known.level) else known.level
        both = replace(
            known,
            nullable=known.nullable or found.nullable,
            may_be_nan=known.may_be_nan or found.may_be_nan,
            level=level,
        )
        if known.range is None or found.range is None or found.range in known.range:
            return both
        hull, room = known.range | found.range, found.range.size
        wide = hull
        if not isinstance(type, Varchar | Unsupported):
            low = hull.low - (room if hull.low < known.range.low else 0)
            wide = within(Range(low, hull.high + (room if hull.high > known.range.high else 0)), type)
        return with_range(both, wide)


def within(range: Range, type: SqlType) -> Range:
    """The values of `range` that a type has and 64 bits hold."""
    return range & range_of_type(type) & INT64


def with_range(column: SourceColumn, range: Range) -> SourceColumn:
    return replace(column, range=range, dtype=range.dtype)
