"""A registered relation: its schema at once, its columns encoded when a query first needs them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, count
from threading import RLock
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import CapacityError
from qtensor.lowering.storage import (
    LEVELS,
    EncodedColumn,
    Layout,
    Level,
    encode_column,
    layout_for,
    serves,
    strengthened,
    unique_together,
)
from qtensor.process.memory import enough_memory
from qtensor.row_numbers import ROW, numbered
from qtensor.sources.facts import ColumnFacts
from qtensor.types import BIGINT, Field, Schema, Unsupported, distinct_names

RowNumbers: TypeAlias = NDArray[np.int64] | range

_SMALLEST_HEAD = 2_048
MANY_ROWS = 1 << 18  # of which reading leaves much behind
MOST_ROWS = (1 << 31) - 1  # which have numbers of 32 bits; results of joins, too

_identities = count(1)


class Source(Protocol):
    """Where a table's data comes from: an Arrow table, a DataFrame, a file."""

    @property
    def fields(self) -> Schema:
        """Names and types of the columns."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        """Encode some columns, each requested once and once only for a layout.

        Raises:
            DataError: the data cannot be read or represented.
        """

    def is_current(self, indices: Collection[int]) -> bool:
        """Whether the schema, the number of rows and what was read of the columns `indices` still are what they were."""

    def head(self, rows: int) -> Source | None:
        """A source of at least the first `rows` rows, for which no more is read; None where that cannot be."""

    def parts(self, rows: int) -> Sequence[Source] | None:
        """Consecutive sources that together are this one, at least one; None where it cannot be read in parts.

        Each has up to `rows` rows, or more where what is read at once has more. Nothing is read here, and of what a part reads
        nothing is kept.

        Raises:
            CapacityError: they would be too many.
        """

    def facts(self, index: int) -> ColumnFacts:
        """What the source says of a column without reading it; of a part that of its own rows alone."""

    def forget(self, index: int) -> None:
        """Let go of what is kept of a column only to see whether it is the same: nobody has an encoding of it any more."""


class Table:
    """A relation under a name, cached column by column. Safe to use from several threads.

    `identity` is another for every Table: whoever keeps something made from a table's data keeps it under this number.
    Columns whose names are equal but for letter case are numbered, as DuckDB does it: `a`, `A_1`. A Table never changes. When its
    source did, `is_current` says so, and a new Table is to be opened.
    """

    def __init__(self, name: str, source: Source, numbers: RowNumbers | None = None, stream: bool = False) -> None:
        """numbers: of the rows, for `numbered`; from 0 if None. stream: whether queries read it block by block."""
        self.name = name
        self.stream = stream
        self.fields = with_distinct_names(source.fields)  # names and types of the columns, in order
        self.identity = next(_identities)
        self._source = source
        self._lock = RLock()
        self._encoded: dict[tuple[int, Layout], dict[Level, EncodedColumn]] = {}
        self._unique: dict[tuple[int, ...], bool] = {}
        self._numbers: RowNumbers = range(source.rows) if numbers is None else numbers
        self._numbered: Table | None = None
        self._heads: dict[int, Table] = {}

    @property
    def source(self) -> Source:
        """Where its data comes from."""
        return self._source

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._source.rows

    @property
    def numbered(self) -> Table:
        """The same table with the number of each row as one more column, for statements and queries that name it."""
        with self._lock:
            if self._numbered is None:
                self._numbered = Table(numbered(self.name), NumberedSource(self._source, self._numbers), stream=self.stream)
            return self._numbered

    def head(self, rows: int) -> Table:
        """A table of the first `rows` rows, or some more; this one where they are not many less or all are read at once."""
        size = 1 << (max(rows, _SMALLEST_HEAD) - 1).bit_length()
        if size > self.rows // 2:
            return self
        with self._lock:
            if size not in self._heads:
                source = self._source.head(size)
                if source is None or source.rows > self.rows // 2 or source.fields != self._source.fields:
                    return self  # types of Python objects are known by all values
                self._heads[size] = Table(self.name, source)
            return self._heads[size]

    def parts(self, rows: int) -> list[Table] | None:
        """Tables of the same name and fields, of up to `rows` consecutive rows each, or of more where these are read at once.

        Together they are this one; there is at least one. None where the source cannot be read in parts. Nothing is read here.
        Each keeps what it encodes, as any table: `forget_all` lets go of it.

        Raises:
            CapacityError: they would be too many.
        """
        sources = self._source.parts(rows)
        if sources is None:
            return None
        ends = accumulate(source.rows for source in sources)
        return [
            Table(self.name, source, self._numbers[end - source.rows : end]) for source, end in zip(sources, ends, strict=True)
        ]

    def facts(self, index: int) -> ColumnFacts:
        """What the source says of a column without reading it. Files may lie."""
        return self._source.facts(index)

    def is_made_of(self, table: Table) -> bool:
        """Whether this is `table`, or that with its rows numbered."""
        return self is table or self is table._numbered

    def layout(self, threads: int) -> Layout:
        """How the columns are cut when `threads` cores scan them."""
        return layout_for(self.rows, threads)

    def column(self, index: int, threads: int, level: Level = "ordered") -> EncodedColumn:
        """Column number `index`, encoded; read on first use. Of text the codes are of `level` at least.

        Raises:
            DataError: the column cannot be read or represented.
        """
        return self.columns([index], threads, [level])[0]

    def columns(self, indices: Sequence[int], threads: int, levels: Sequence[Level] | None = None) -> list[EncodedColumn]:
        """Several columns, encoded; those not yet there are read in one pass. levels: of each; without it, "ordered".

        Raises:
            DataError: a column cannot be read or represented.
        """
        return self.encoded(indices, self.layout(threads), levels)

    def encoded(self, indices: Sequence[int], layout: Layout, levels: Sequence[Level] | None = None) -> list[EncodedColumn]:
        """The same, cut by `layout`. Raises CapacityError: there are too many rows, or too little memory for them.

        A column is kept at each level that it was asked for, so that codes stay what they are for queries that have them.
        """
        if self.rows > MOST_ROWS:
            raise CapacityError(f"{self.name} has {self.rows:,} rows, of which there may be {MOST_ROWS:,}")
        with self._lock:
            missing = [index for index in dict.fromkeys(indices) if (index, layout) not in self._encoded]
            if missing:
                with enough_memory(f"the table {self.name}"):
                    read = self._source.read(missing, layout)
                for index, column in zip(missing, read, strict=True):
                    self._encoded[index, layout] = {column.level: column}
                if self.rows >= MANY_ROWS:
                    pa.default_memory_pool().release_unused()  # what reading took: as much again as a text column
            wanted = levels or ["ordered"] * len(indices)
            return [self._of_level(index, layout, level) for index, level in zip(indices, wanted, strict=True)]

    def _of_level(self, index: int, layout: Layout, level: Level) -> EncodedColumn:
        """The weakest column there is that serves; made of the strongest one if none does."""
        kept = self._encoded[index, layout]
        if isinstance(self.fields[index].type, Unsupported):
            return kept["plain"]
        for there in LEVELS:
            if there in kept and serves(there, level):
                return kept[there]
        column = strengthened(kept[max(kept, key=LEVELS.index)], level, layout)
        kept[column.level] = column
        return column

    def unique(self, indices: Sequence[int], threads: int) -> bool:
        """Whether no two rows have the same values in all of these columns; rows with a NULL in one are different from all.

        Computed when first asked.
        """
        key = tuple(sorted(indices))
        with self._lock:
            if key not in self._unique:
                columns = self.columns(key, threads, ["unique"] * len(key))
                self._unique[key] = columns[0].unique if len(columns) == 1 else unique_together(columns)
            return self._unique[key]

    @property
    def encoded_columns(self) -> set[int]:
        """The columns of which there are encodings."""
        with self._lock:
            return {index for index, _ in self._encoded}.union(*(head.encoded_columns for head in self._heads.values()))

    def bytes_of(self, index: int) -> int:
        """How much memory the encodings of a column take, dictionaries and what they share with Arrow included."""
        with self._lock:
            heads = sum(head.bytes_of(index) for head in self._heads.values())
            return heads + sum(
                column.size for (kept, _), levels in self._encoded.items() if kept == index for column in levels.values()
            )

    def forget(self, index: int) -> None:
        """Let go of the encodings of a column. Who holds one can go on with it; the next query that needs it reads it again."""
        with self._lock:
            for key in [key for key in self._encoded if key[0] == index]:
                del self._encoded[key]
            self._heads.clear()
            if self._numbered is not None:
                self._numbered.forget(index)  # its rows are compared with the same copy
            self._source.forget(index)

    def forget_all(self) -> None:
        """Let go of all encodings."""
        for index in self.encoded_columns:
            self.forget(index)

    def is_current(self) -> bool:
        """Whether the source still holds what this table was made of.

        False once a file was replaced or changed, or a value in a column that was read, of a DataFrame or NumPy array, is
        another. The columns are compared with a copy of theirs, at the speed of memory.
        """
        with self._lock:
            heads = all(head.is_current() for head in self._heads.values())
            return heads and self._source.is_current({index for index, _ in self._encoded})


def with_distinct_names(fields: Schema) -> Schema:
    """`fields`, no two of the same name."""
    names = [field.name for field in fields]
    distinct = distinct_names(names)
    if distinct == names:
        return fields
    return tuple(Field(name, field.type) for name, field in zip(distinct, fields, strict=True))


class NumberedSource:
    """Another source, behind whose columns the numbers of its rows stand."""

    def __init__(self, source: Source, numbers: RowNumbers) -> None:
        self._source = source
        self._numbers = numbers

    @property
    def fields(self) -> Schema:
        return (*self._source.fields, Field(ROW, BIGINT))

    @property
    def rows(self) -> int:
        return self._source.rows

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        width = len(self._source.fields)
        own = [index for index in indices if index < width]
        read = dict(zip(own, self._source.read(own, layout) if own else [], strict=True))
        if width in indices:
            numbers = self._numbers
            values = np.arange(numbers.start, numbers.stop) if isinstance(numbers, range) else numbers
            read[width] = encode_column(ROW, pa.chunked_array([pa.array(values)]), BIGINT, layout)
        return [read[index] for index in indices]

    def is_current(self, indices: Collection[int]) -> bool:
        return self._source.is_current({index for index in indices if index < len(self._source.fields)})

    def head(self, rows: int) -> Source | None:
        first = self._source.head(rows)
        return None if first is None else NumberedSource(first, self._numbers[: first.rows])

    def parts(self, rows: int) -> Sequence[Source] | None:
        parts = self._source.parts(rows)
        if parts is None:
            return None
        ends = accumulate(part.rows for part in parts)
        return [NumberedSource(part, self._numbers[end - part.rows : end]) for part, end in zip(parts, ends, strict=True)]

    def facts(self, index: int) -> ColumnFacts:
        if index < len(self._source.fields):
            return self._source.facts(index)
        numbers = self._numbers
        return ColumnFacts((numbers[0], numbers[-1]), 0) if isinstance(numbers, range) and numbers else ColumnFacts(nulls=0)

    def forget(self, index: int) -> None:
        """The other source has to remember: the table without numbers may have an encoding."""
