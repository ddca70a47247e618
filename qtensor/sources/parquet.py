"""A Parquet file, read column by column when a query needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from threading import local
from typing import NamedTuple

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import ColumnEncoder, EncodedColumn, Layout, arrow_type, column_encoder, for_each
from qtensor.sources.arrow import READ_ERRORS
from qtensor.sources.facts import ColumnFacts, Expectations
from qtensor.sources.parquet_file import CutGroups, ParquetFile, Piece, cut_pieces, whole_groups
from qtensor.sources.parts import put_together
from qtensor.types import Field


class Wanted(NamedTuple):
    """A column that is read: what takes it, and the Arrow type that its values are to have there, None as they come."""

    encoder: ColumnEncoder
    type: pa.DataType | None


class ParquetSource:
    """A Parquet file, or a part of one. Only its footer is read here.

    Columns are read one row group at a time and encoded while it is in cache, on several threads. The footer's minima and
    maxima tell the width of the encoded integers beforehand; the data is measured all the same.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError when the footer cannot be read."""
        file = ParquetFile(path)
        self._become(file, whole_groups(file.groups))

    def _become(self, file: ParquetFile, pieces: Sequence[Piece]) -> None:
        self.file = file
        self._pieces = pieces
        self._cut: CutGroups | None = None  # reads pieces that are no whole row groups
        self._expected: Expectations | None = None  # of the whole that this is a part of
        self.fields = file.fields
        self.rows = sum(piece.rows for piece in pieces)

    def limited_to(self, pieces: Sequence[Piece], cut: CutGroups | None = None) -> ParquetSource:
        """Some of the pieces of this source. cut: reads those that are no whole row groups."""
        part = ParquetSource.__new__(ParquetSource)
        part._become(self.file, pieces)
        part._cut = cut
        return part

    def is_current(self, indices: Collection[int]) -> bool:
        return self.file.is_current()

    def head(self, rows: int) -> ParquetSource:
        """The first row groups."""
        ends = accumulate(piece.rows for piece in self._pieces)
        return self.limited_to(self._pieces[: 1 + sum(end < rows for end in ends)], self._cut)

    def pieces(self, rows: int) -> list[Piece]:
        """What parts of `rows` rows are made of: row groups, those of more than twice as many cut. Raises CapacityError."""
        return cut_pieces(self._pieces, rows)

    def parts(self, rows: int) -> list[ParquetSource]:
        pieces = self.pieces(rows)
        cut, expected = CutGroups(self.file, rows), Expectations(self.facts)
        found = [
            self.limited_to([pieces[number] for number in numbers], cut)
            for numbers in put_together([piece.rows for piece in pieces], rows)
        ]
        for part in found:
            part._expected = expected
        return found

    def facts(self, index: int) -> ColumnFacts:
        return self.file.facts(index, self._pieces)

    def forget(self, index: int) -> None:
        pass

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        fields = [self.fields[index] for index in indices]
        expected = self._expected or Expectations(self.facts)
        return read_columns(indices, fields, [(self, indices)], layout, expected, keep_width=self._expected is not None)

    def has_dictionary(self, index: int) -> bool:
        """Whether a column of text is to be read into a dictionary."""
        return self.file.has_dictionary(index)

    def read_into(self, wanted: Mapping[int, Wanted], first: int, threads: int, texts: Collection[str]) -> None:
        """Read all pieces of some columns, as the rows from `first` on; a task is one column of one piece.

        texts: read into dictionaries. Raises DataError.
        """
        if not self.is_current(()):
            raise DataError(f"{self.file.path}: the file has changed since it was registered; register it again")
        files = local()

        def read_task(task: tuple[Piece, int, int]) -> None:
            piece, start, index = task
            if piece.whole:
                if not hasattr(files, "file"):
                    files.file = self.file.opened(texts)
                arrays = self.file.row_group(files.file, piece.group, index)
            else:
                assert self._cut is not None
                arrays = self._cut.read(piece, index, texts)
            encoder, type = wanted[index]
            for array in arrays:
                encoder.write(start, array if type is None else array.cast(type))
                start += len(array)

        try:
            for_each(read_task, self._tasks(list(wanted), first), threads)
        except READ_ERRORS as error:
            raise DataError(f"{self.file.path}: cannot be read as Parquet: {error}") from error

    def _tasks(self, indices: list[int], start: int) -> list[tuple[Piece, int, int]]:
        """(piece, its first row, column) for every piece and column."""
        tasks = []
        for piece in self._pieces:
            tasks += [(piece, start, index) for index in indices]
            start += piece.rows
        return tasks


def read_columns(
    indices: Sequence[int],
    fields: Sequence[Field],
    files: Sequence[tuple[ParquetSource, Sequence[int]]],
    layout: Layout,
    expected: Expectations,
    *,
    keep_width: bool,
) -> list[EncodedColumn]:
    """Columns of several files, one behind the other; with each file the number that each of them has in it.

    expected: of the columns, which there are `indices`. keep_width: see `column_encoder`. Raises DataError.
    """
    encoders = [
        column_encoder(field.name, field.type, layout, expected.of(index), keep_width=keep_width)
        for index, field in zip(indices, fields, strict=True)
    ]
    firsts = list(accumulate((file.rows for file, _ in files), initial=0))
    columns: dict[int, EncodedColumn] = {}
    at_once = max(1, min(layout.shares, len(files)))  # files; each is read by what is left of the cores

    def read_file(number: int) -> None:
        file, places = files[number]
        wanted = {}
        for place, (field, index) in enumerate(zip(fields, places, strict=True)):
            if place not in columns:
                other = file.fields[index].type != field.type  # of integers: what does not fit is an error
                wanted[index] = Wanted(encoders[place], arrow_type(field.type) if other else None)
        texts = [file.fields[index].name for index in wanted if file.has_dictionary(index)]
        file.read_into(wanted, firsts[number], max(1, layout.shares // at_once), texts)

    while len(columns) < len(fields):
        for_each(read_file, range(len(files)), at_once)
        for place in range(len(fields)):
            column = encoders[place].finish() if place not in columns else None
            if column is not None:
                columns[place] = column
            elif place not in columns:
                expected.was_wrong(indices[place])
    return [columns[place] for place in range(len(fields))]
