"""Where a stream's rows come from: blocks, each a table of its own, all of them cut alike, so that one program serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import pyarrow as pa

from qtensor.errors import UnsupportedError
from qtensor.lowering.storage import Layout, layout_for
from qtensor.run.measured import Learned
from qtensor.sources.arrow import ArrowSource
from qtensor.sources.table import Source, Table
from qtensor.types import Array, Schema

Tables: TypeAlias = Mapping[str, Table]  # by the names that plans have for them


class Block(Table):
    """A part of a stream's rows as a table."""

    def __init__(self, name: str, source: Source, room: Layout) -> None:
        """room: how blocks of this stream are cut, whatever number of rows they have."""
        super().__init__(name, source)
        self._room = room

    def layout(self, threads: int) -> Layout:
        return replace(self._room, rows=self.rows)


class TableParts:
    """A table's rows, part by part. learned: what holds of them, as far as they were seen."""

    def __init__(
        self,
        name: str,
        cut: Callable[[], Sequence[Table]],
        threads: int,
        hints: Mapping[int, tuple[int, int]],
        keep: Callable[[Table], bool],
    ) -> None:
        """cut: the parts, of which each reads its rows but once. hints: the ranges of columns, as the source says. keep: whether
        a part may hold a row that is wanted.
        """
        self._name = name
        self._cut = cut
        self._keep = keep
        sizes = [part.rows for part in self._parts()]
        self.rows = sum(sizes)  # that are read
        self._room = layout_for(max(sizes), threads)
        self.learned = {name: Learned(self._room.capacity, hints)}

    def blocks(self) -> Iterator[Tables]:
        """The blocks from the first to the last; each call begins anew."""
        parts = self._parts()
        while parts:
            yield {self._name: Block(self._name, parts.pop(0).source, self._room)}

    def _parts(self) -> list[Table]:
        """The parts that are read, at least one: without a block nobody would know that there are no rows."""
        parts = list(self._cut())
        return [part for part in parts if self._keep(part)] or parts[:1]


class Rows(ArrowSource):
    """Rows of a query, as columns of the very types that they have in its plan."""

    def __init__(self, rows: pa.Table, fields: Schema) -> None:
        """Raises UnsupportedError: a column is of a type that tables cannot have."""
        for field in fields:
            if isinstance(field.type, Array):
                kept = "among rows that are sorted, grouped or joined of a table that is read block by block"
                raise UnsupportedError(
                    f'not supported yet: "{field.name}", an array ({field.type}), {kept}; select its elements, as in v[1]'
                )
        super().__init__(rows, valid=True)
        self.fields = fields


class RowBatches:
    """Rows that other steps give, as they come, for one or several tables of a block.

    batches: for each block the rows of each table. learned: by the tables' names what holds of them, as far as they were seen.
    """

    def __init__(
        self, fields: Mapping[str, Schema], batches: Callable[[], Iterator[Mapping[str, pa.Table]]], threads: int
    ) -> None:
        self._fields = fields
        self._batches = batches
        self._threads = threads
        self._rooms = {name: layout_for(0, threads) for name in fields}
        self.learned = {name: Learned(0, {}) for name in fields}

    def rows(self) -> Iterator[Mapping[str, pa.Table]]:
        """The rows themselves."""
        return self._batches()

    def blocks(self) -> Iterator[Tables]:
        for batch in self._batches():
            yield {
                name: Block(name, Rows(rows, self._fields[name]), self._room(name, rows.num_rows)) for name, rows in batch.items()
            }

    def _room(self, name: str, rows: int) -> Layout:
        """How a table of so many rows is cut: as those before it, unless these were smaller."""
        if rows > self._rooms[name].capacity or not self.learned[name].rows:
            self._rooms[name] = layout_for(rows + rows // 4, self._threads)
            self.learned[name].make_room(self._rooms[name].capacity)
        return self._rooms[name]


Leaf: TypeAlias = TableParts | RowBatches  # what a stream begins with
